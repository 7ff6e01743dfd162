import numpy as np
import pytest
import skfuzzy
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from taskgroup.cluster import (
    AverageLinkageGroups,
    FuzzyCMeans,
    KMeansGroups,
    LouvainGroups,
    MixtureGroups,
    SpectralGroups,
    WardGroups,
    group_tasks,
    mixture_membership,
)
from taskgroup.cluster._fuzzy import memberships, solve_fuzziness
from taskgroup.datamaps import DataMaps, decode_probability, encode_probability
from taskgroup.exceptions import InvalidInputError
from taskgroup.features import task_features
from taskgroup.grouping import canonical_labels
from taskgroup.tasks import TaskSet


def blobs(n=40, k=4, d=5, spread=0.3, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % k
    return 2 * rng.normal(size=(k, d))[truth] + spread * rng.normal(size=(n, d)), truth


ALL = [SpectralGroups, WardGroups, AverageLinkageGroups, KMeansGroups, FuzzyCMeans, MixtureGroups, LouvainGroups]


@pytest.mark.parametrize("clusterer", ALL)
def test_labels_are_canonical_and_right(clusterer):
    points, truth = blobs()
    np.testing.assert_array_equal(clusterer(4).fit(points).labels_, truth)


@pytest.mark.parametrize("clusterer", ALL)
def test_the_order_of_points_does_not_matter(clusterer):
    points, truth = blobs()
    order = np.random.default_rng(1).permutation(len(points))
    labels = clusterer(4).fit(points[order]).labels_
    np.testing.assert_array_equal(np.equal.outer(labels, labels), np.equal.outer(truth[order], truth[order]))


@pytest.mark.parametrize("clusterer", ALL)
def test_too_many_groups_are_refused(clusterer):
    with pytest.raises(InvalidInputError, match="`n_clusters` must be between 1 and n_samples=40; got 41"):
        clusterer(41).fit(blobs()[0])


@pytest.mark.parametrize("m", [1.5, 2.0, 3.0])
def test_fuzzy_c_means_is_that_of_scikit_fuzzy(m):
    points, _ = blobs(spread=1.5)
    ours = FuzzyCMeans(4, m=m, tol=1e-10, max_iter=5000).fit(points)
    start = memberships(((points[:, None] - ours.cluster_centers_) ** 2).sum(2), m).T
    centres, theirs, *_ = skfuzzy.cmeans(points.T, 4, m, error=1e-12, maxiter=5000, init=start)
    np.testing.assert_allclose(ours.membership_, theirs.T, atol=1e-6)
    np.testing.assert_allclose(ours.cluster_centers_, centres, atol=1e-6)


@pytest.mark.filterwarnings("ignore:fuzzy c-means did not settle")  # extreme m settle slowly, and say so
@settings(max_examples=40, deadline=None)
@given(st.floats(1 + 1e-6, 50), st.integers(1, 6), st.integers(0, 99))
def test_memberships_are_finite_whatever_the_fuzziness(m, k, seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(8, 2)) * 10.0 ** rng.integers(-8, 8)
    points[3] = points[0]
    w = FuzzyCMeans(k, m=m, tol=1e-3, max_iter=10_000).fit(points).membership_
    assert np.isfinite(w).all()
    np.testing.assert_allclose(w.sum(1), 1)


def test_a_point_on_a_centre_belongs_to_it_alone():
    np.testing.assert_allclose(memberships(np.array([[0.0, 1.0]]), 2.0), [[1.0, 0.0]], atol=1e-300)


@pytest.mark.parametrize("perplexity", [1.05, 1.5, 3.0])
def test_fuzziness_is_solved_for_a_perplexity(perplexity):
    points, _ = blobs(spread=1.0)
    w = FuzzyCMeans(4, perplexity=perplexity, max_iter=3000).fit(points).membership_
    entropy = -(w * np.log(np.maximum(w, 1e-300))).sum(1).mean()
    assert np.exp(entropy) == pytest.approx(perplexity, rel=1e-3)


def test_fuzzy_arguments_are_checked():
    points, _ = blobs()
    with pytest.raises(InvalidInputError, match="`m` must be above 1; got 1"):
        FuzzyCMeans(4, m=1).fit(points)
    with pytest.raises(InvalidInputError, match="`perplexity` must be above 1 and below n_clusters=4; got 4"):
        FuzzyCMeans(4, perplexity=4).fit(points)
    with pytest.raises(InvalidInputError, match="`perplexity` must be above 1"):
        solve_fuzziness(np.ones((3, 2)), 0.5)
    with pytest.warns(ConvergenceWarning, match="did not settle in 1 iterations"):
        FuzzyCMeans(4, max_iter=1).fit(points)


def test_affinities_must_be_affinities():
    for bad in ([[1.0, 0.2], [0.9, 1.0]], [[1.0, -0.2], [-0.2, 1.0]]):
        with pytest.raises(InvalidInputError, match="`X` must be a symmetric, non-negative matrix"):
            SpectralGroups(2, affinity="precomputed").fit(bad)
    with pytest.raises(InvalidInputError, match="`affinity` must be one of 'rbf', 'precomputed'"):
        SpectralGroups(2, affinity="cosine").fit(np.eye(3))
    with pytest.raises(InvalidInputError, match="`n_components` must be at least 1"):
        MixtureGroups(2, n_components=0).fit(np.eye(3))
    with pytest.raises(InvalidInputError, match="`resolution` must be at least 0"):
        LouvainGroups(resolution=-1).fit(np.eye(3))


def test_louvain_finds_the_number_of_groups():
    affinity = np.kron(np.eye(5), np.full((4, 4), 0.8))
    labels = LouvainGroups(affinity="precomputed").fit(affinity).labels_
    np.testing.assert_array_equal(labels, np.repeat(np.arange(5), 4))
    assert LouvainGroups(7, affinity="precomputed").fit(affinity).labels_.max() == 6
    assert LouvainGroups(2, affinity="precomputed").fit(affinity).labels_.max() == 1


def test_spectral_groups_follow_connection_not_compactness():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 80)
    radius = np.repeat([1.0, 4.0], 40)
    ring = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    squared = ((ring[:, None] - ring) ** 2).sum(2)
    labels = SpectralGroups(2, affinity="precomputed").fit(np.exp(-squared / 0.5)).labels_
    np.testing.assert_array_equal(labels, np.repeat([0, 1], 40))


def test_mixtures_of_profiles_are_found():
    profile = np.array([[0.9, 0.2], [0.2, 0.7]])
    weight = np.array([[1, 0]] * 6 + [[0, 1]] * 6 + [[0.3, 0.7]])
    membership = mixture_membership(weight @ profile @ weight.T, np.array([0] * 6 + [1] * 6 + [1]))
    np.testing.assert_allclose(membership[12], [0.3, 0.7], atol=0.02)
    assert membership[:6, 0].min() > 0.97
    np.testing.assert_array_equal(mixture_membership(np.eye(3), np.array([0, 1, 1]))[0], [0.5, 0.5])
    np.testing.assert_array_equal(mixture_membership(np.eye(1), np.array([0])), [[1.0]])


def test_raw_k_means_is_k_means_on_the_full_vectors():
    rng = np.random.default_rng(0)
    latent = rng.uniform(size=(300, 4))[:, np.arange(20) % 4]
    p = 0.7 * latent + 0.3 * rng.uniform(size=(5, 300, 20))
    maps = DataMaps.from_history(TaskSet([f"t{i}" for i in range(20)]), encode_probability(p))
    q = decode_probability(maps.history)
    vectors = np.concatenate([part for e in range(5) for part in (q[: e + 1].mean(0), q[: e + 1].std(0))]).T
    theirs = KMeans(4, n_init=20, random_state=0).fit(vectors)
    features = task_features(maps, "raw")
    ours = KMeansGroups(4, n_init=20).fit(features.embedding)
    np.testing.assert_array_equal(ours.labels_, canonical_labels(theirs.labels_))
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-6)
    distance = np.linalg.norm(features.embedding - ours.cluster_centers_[ours.labels_], axis=1)
    expected = np.linalg.norm(vectors - theirs.cluster_centers_[theirs.labels_], axis=1)
    np.testing.assert_allclose(distance, expected, rtol=1e-6)


def test_the_number_of_threads_changes_nothing():
    p = np.random.default_rng(0).uniform(size=(3, 700, 40))
    p[..., ::2] += p[..., :1]
    maps = DataMaps.from_history(TaskSet([f"t{i}" for i in range(40)]), encode_probability(p / 2))
    found = []
    for threads in (1, 4):
        with threadpool_limits(threads):
            found.append(group_tasks(maps, k="auto", soft=True))
    one, other = found
    assert one.content_hash() == other.content_hash()
    assert (one.stability, one.selection) == (other.stability, other.selection)
