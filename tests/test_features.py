import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgroup.datamaps import DataMaps, decode_probability, encode_probability
from taskgroup.exceptions import InvalidInputError, OverlapWarning
from taskgroup.features import KINDS, task_features
from taskgroup.tasks import Task, TaskSet


def make_maps(n_samples=700, n_tasks=6, n_epochs=4, hidden=0.0, seed=0, **fields):
    """Maps of tasks that share two latent difficulties, with a share of labels hidden."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n_samples, 2))[:, np.arange(n_tasks) % 2]
    logit = latent + rng.normal(size=(n_epochs, n_samples, n_tasks)) + 0.3 * np.arange(n_epochs)[:, None, None]
    p = 1 / (1 + np.exp(-logit))
    targets = (rng.uniform(size=(n_samples, n_tasks)) < 0.4).astype(np.float32)
    missing = rng.uniform(size=(n_samples, n_tasks)) < hidden
    p[:, missing], targets[missing] = np.nan, np.nan
    tasks = TaskSet([f"t{i}" for i in range(n_tasks)])
    return DataMaps.from_history(tasks, encode_probability(p), targets=targets, **fields)


def pairwise_correlation(x):
    """Literal transcription: the correlation of every two columns over the rows where both are there."""
    r = np.eye(x.shape[1])
    for i in range(x.shape[1]):
        for j in range(i):
            both = ~np.isnan(x[:, i]) & ~np.isnan(x[:, j])
            r[i, j] = r[j, i] = np.corrcoef(x[both, i], x[both, j])[0, 1]
    return r


@pytest.mark.parametrize("hidden", [0.0, 0.3])
@pytest.mark.parametrize(("kind", "field"), [("abs-corr", "confidence"), ("variability", "variability")])
def test_correlations_are_pairwise_complete(kind, field, hidden):
    maps = make_maps(hidden=hidden)
    features = task_features(maps, kind)
    expected = pairwise_correlation(getattr(maps, field).astype(float))
    np.testing.assert_allclose(features.relation.correlation, expected, atol=1e-6)
    seen = ~np.isnan(maps.confidence)
    np.testing.assert_array_equal(features.relation.n_joint, seen.T.astype(int) @ seen)
    np.testing.assert_allclose(features.overlap, features.relation.n_joint / 700)


def floored(r, floor):
    return np.where(np.eye(len(r)) > 0, 1.0, np.maximum(r - floor, 0))


def test_abs_corr_takes_off_two_standard_errors_from_500_samples_on():
    large, small = make_maps(n_samples=700), make_maps(n_samples=400)
    r = np.abs(pairwise_correlation(large.confidence.astype(float)))
    np.testing.assert_allclose(task_features(large).similarity, floored(r, 2 / 700**0.5), atol=1e-6)
    r = np.abs(pairwise_correlation(small.confidence.astype(float)))
    np.testing.assert_allclose(task_features(small).similarity, r, atol=1e-6)


def test_complements_are_related_by_absolute_and_not_by_signed_correlation():
    p = np.random.default_rng(0).uniform(size=(3, 800, 2))
    p[..., 1] = 1 - p[..., 0]
    maps = DataMaps.from_history(TaskSet(["a", "b"]), encode_probability(p))
    assert task_features(maps, "abs-corr").similarity[0, 1] > 0.9
    assert task_features(maps, "corr+").similarity[0, 1] == 0


def test_class_residual_is_blind_to_what_only_the_labels_share():
    rng = np.random.default_rng(0)
    y = (rng.uniform(size=1000) < 0.3).astype(np.float32)
    p = 0.3 + 0.4 * y[:, None] + rng.uniform(-0.05, 0.05, size=(3, 1000, 4))
    p[..., 2:] += rng.uniform(-0.2, 0.2, size=(1, 1000, 1))
    maps = DataMaps.from_history(TaskSet(list("abcd")), encode_probability(p), targets=np.tile(y[:, None], 4))
    similarity = task_features(maps, "class-residual").similarity
    assert task_features(maps).similarity.min() > 0.7
    assert similarity[0, 1] < 0.1
    assert similarity[2, 3] > 0.8


def stg_vectors(maps, snapshots):
    """Literal transcription of STG-MTL's vectors: running mean and standard deviation at every snapshot."""
    p = decode_probability(np.asarray(maps.history))
    parts = []
    for e in snapshots:
        parts.append(np.nanmean(p[: e + 1], 0))
        parts.append(np.zeros_like(p[0]) if e < maps.ddof else np.nanstd(p[: e + 1], 0, ddof=maps.ddof))
    return np.concatenate(parts).T  # (T, 2 N S)


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("snapshots", [None, [1, 3]])
def test_raw_gram_is_that_of_the_published_vectors(ddof, snapshots):
    maps = make_maps(ddof=ddof)
    features = task_features(maps, "raw", snapshots=snapshots)
    x = stg_vectors(maps, snapshots or range(4))
    x -= x.mean(0)
    np.testing.assert_allclose(features.gram, x @ x.T, rtol=1e-5, atol=1e-3)
    z = features.embedding
    expected = ((x[:, None] - x[None]) ** 2).sum(2)
    np.testing.assert_allclose(((z[:, None] - z[None]) ** 2).sum(2), expected, rtol=1e-5, atol=1e-3)


def test_raw_parts_add_up_to_the_whole():
    statistics = task_features(make_maps(), "raw").statistics
    whole = sum(statistics.part(s, c).gram for s in range(4) for c in range(2))
    np.testing.assert_allclose(whole, statistics.relation(np.arange(10)).gram, rtol=1e-6, atol=1e-6)


def test_raw_compares_tasks_over_the_samples_they_share():
    maps = make_maps(hidden=0.3)
    features = task_features(maps, "raw", snapshots=[3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, on cells that no epoch saw
        x = stg_vectors(maps, [3])
    both = ~np.isnan(x[0]) & ~np.isnan(x[1])
    expected = ((x[0] - x[1])[both] ** 2).sum() * x.shape[1] / both.sum()
    gram = features.gram
    assert gram[0, 0] + gram[1, 1] - 2 * gram[0, 1] == pytest.approx(expected, rel=1e-5)


def test_labels_is_phi_cramers_v_and_the_correlation_ratio():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 900)
    b = np.where(rng.uniform(size=900) < 0.6, a, rng.integers(0, 4, 900))
    c, d = (a == 1).astype(float), a + rng.normal(size=900)
    tasks = [Task("a", "multiclass", 3), Task("b", "multiclass", 4), Task("c"), Task("d", "regression")]
    maps = make_maps(n_samples=900, n_tasks=4)
    targets = np.stack([a, b, c, d], 1).astype(np.float32)
    maps = DataMaps(TaskSet(tasks), maps.confidence, maps.variability, maps.count, targets=targets)
    strength = task_features(maps, "labels").relation.strength
    table = np.histogram2d(a, b, bins=(3, 4))[0] / 900
    outer = np.outer(table.sum(1), table.sum(0))
    assert strength[0, 1] == pytest.approx((((table - outer) ** 2 / outer).sum() / 2) ** 0.5, abs=1e-4)
    assert strength[2, 3] == pytest.approx(abs(np.corrcoef(c, d)[0, 1]), abs=1e-4)
    between = sum((a == g).mean() * (d[a == g].mean() - d.mean()) ** 2 for g in range(3))
    assert strength[0, 3] == pytest.approx((between / d.var() / 1) ** 0.5, abs=1e-4)


def test_distribution_ignores_the_identity_of_samples():
    maps = make_maps()
    shuffled = np.random.default_rng(1).permuted(maps.confidence[:, 0])
    p = np.stack([maps.confidence[:, 0], shuffled, maps.confidence[:, 1] * 0.3], 1)[None]
    twin = DataMaps.from_history(TaskSet(list("abc")), encode_probability(p))
    similarity = task_features(twin, "distribution").similarity
    assert similarity[0, 1] > 0.95
    assert similarity[0, 2] < 0.5


def test_distribution_needs_no_shared_samples():
    maps = make_maps(n_samples=900, n_tasks=3)
    alone = np.arange(900)[:, None] % 3 != np.arange(3)
    history = np.asarray(maps.history).copy()
    history[:, alone] = 65535
    apart = DataMaps.from_history(maps.tasks, history)
    assert np.isfinite(task_features(apart, "distribution").embedding).all()
    with pytest.warns(OverlapWarning, match="kind='distribution'"):
        task_features(apart, "abs-corr")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", [0.0, 0.2])
def test_every_kind_is_symmetric_bounded_and_indifferent_to_the_order_of_tasks(kind, hidden):
    maps = make_maps(hidden=hidden)
    features, turned = task_features(maps, kind), task_features(maps.select([3, 1, 5, 0, 2, 4]), kind)
    similarity = features.similarity
    np.testing.assert_allclose(similarity, similarity.T, atol=1e-12)
    assert similarity.min() >= 0
    assert similarity.max() <= 1 + 1e-9
    np.testing.assert_allclose(np.diag(similarity), 1)
    np.testing.assert_allclose(turned.similarity, similarity[np.ix_([3, 1, 5, 0, 2, 4], [3, 1, 5, 0, 2, 4])], atol=1e-5)
    assert features.names == maps.tasks.names


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_takes_one_task_and_a_constant_task(kind):
    maps = make_maps(n_tasks=2)
    assert task_features(maps.select([0]), kind).similarity.tolist() == [[1.0]]
    p = np.full((2, 600, 2), 0.7)
    p[..., 0] = np.random.default_rng(0).uniform(size=(2, 600))
    constant = DataMaps.from_history(TaskSet(["a", "b"]), encode_probability(p), targets=np.ones((600, 2), np.float32))
    assert np.isfinite(task_features(constant, kind).embedding).all()


def test_halves_are_disjoint_and_together_the_whole():
    features = task_features(make_maps())
    whole = features.relation.n_joint
    for first, second in features.halves(3, random_state=1):
        np.testing.assert_array_equal(first.n_joint + second.n_joint, whole)
        assert not np.array_equal(first.similarity, second.similarity)


def test_sorted_samples_do_not_unbalance_the_halves():
    maps = make_maps(n_samples=3000)
    order = np.argsort(maps.confidence[:, 0])
    ordered = DataMaps.from_history(maps.tasks, np.asarray(maps.history)[:, order])
    for first, second in task_features(ordered).halves(5):
        assert abs(first.correlation[0, 2] - second.correlation[0, 2]) < 0.15


def test_weights_mix_kinds():
    maps = make_maps()
    one, other = task_features(maps, "abs-corr").similarity, task_features(maps, "variability").similarity
    mixed = task_features(maps, {"abs-corr": 3, "variability": 1})
    np.testing.assert_allclose(mixed.similarity, 0.75 * one + 0.25 * other, atol=1e-9)
    np.testing.assert_allclose(task_features(maps, "joint").similarity, (one + other) / 2, atol=1e-9)
    assert mixed.kind == "0.75 abs-corr + 0.25 variability"


def test_maps_read_from_a_file_give_the_same_features(tmp_path):
    maps = make_maps(hidden=0.1)
    maps.save(tmp_path / "maps.safetensors")
    loaded = DataMaps.load(tmp_path / "maps.safetensors")
    for kind in ("abs-corr", "raw"):
        np.testing.assert_array_equal(task_features(loaded, kind).gram, task_features(maps, kind).gram)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 60), st.integers(1, 7), st.integers(1, 4), st.floats(0, 0.9))
def test_embeddings_hold_the_gram_matrix_whatever_the_shape(n_samples, n_tasks, n_epochs, hidden):
    maps = make_maps(n_samples, n_tasks, n_epochs, hidden)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverlapWarning)
        features = task_features(maps, "raw")
    values = np.linalg.eigvalsh(features.gram)
    if values.min() > -1e-9 * max(values.max(), 1):
        z = features.embedding
        np.testing.assert_allclose(z @ z.T, features.gram, atol=1e-6 * (1 + values.max()))
    assert features.embedding.shape[0] == n_tasks
    assert features.embedding.shape[1] <= n_tasks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "abscorr"}, r"`kind` must be one of .*; got 'abscorr'\. Did you mean 'abs-corr'\?"),
        ({"kind": {}}, "`kind` must name at least one kind"),
        ({"kind": {"abs-corr": 0}}, "weights of `kind` must not all be 0"),
        ({"kind": {"abs-corr": -1}}, "weight of 'abs-corr'` must be at least 0"),
        ({"z": -1}, "`z` must be at least 0"),
        ({"kind": "raw", "snapshots": [4]}, "`snapshots` must be between 0 and n_epochs - 1=3; got 4"),
        ({"kind": "raw", "snapshots": [2, 1]}, "`snapshots` must be increasing epochs"),
        ({"kind": "raw", "variability_weight": float("nan")}, "`variability_weight` must be a finite number"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        task_features(make_maps(), **arguments)


@pytest.mark.parametrize("kind", ["labels", "class-residual"])
def test_kinds_that_need_targets_say_so(kind):
    maps = make_maps()
    bare = DataMaps(maps.tasks, maps.confidence, maps.variability, maps.count)
    with pytest.raises(InvalidInputError, match=f"'{kind}' needs `maps.targets`"):
        task_features(bare, kind)
