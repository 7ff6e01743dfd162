import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from taskgroup.cluster import (
    METHODS,
    AverageLinkageGroups,
    FuzzyCMeans,
    KMeansGroups,
    LouvainGroups,
    MixtureGroups,
    SpectralGroups,
    WardGroups,
    cluster_summary,
    group_tasks,
)
from taskgroup.datamaps import DataMaps, encode_probability
from taskgroup.exceptions import InvalidInputError
from taskgroup.features import task_features
from taskgroup.tasks import TaskSet

ESTIMATORS = [
    SpectralGroups(),
    WardGroups(),
    AverageLinkageGroups(),
    KMeansGroups(n_init=10),
    FuzzyCMeans(),
    MixtureGroups(n_init=2),
    LouvainGroups(),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_contract(estimator, check):
    if check.func.__name__ == "check_array_api_input":
        return  # needs SCIPY_ARRAY_API in the environment before SciPy is imported
    check(estimator)


def planted_maps(groups, n_samples=1200, noise=0.7, seed=0, isolated=0):
    """Maps whose tasks share a latent difficulty within each group; ``groups`` is one label per task."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate([groups, max(groups) + 1 + np.arange(isolated)]).astype(int)
    latent = rng.normal(size=(n_samples, truth.max() + 1))
    logit = latent[:, truth] + noise * rng.normal(size=(4, n_samples, len(truth)))
    logit += noise * rng.normal(size=(n_samples, len(truth)))
    sign = np.where(np.arange(len(truth)) % 3 == 2, -1, 1)  # every third task is a complement
    p = 1 / (1 + np.exp(-logit * sign))
    targets = (rng.uniform(size=(n_samples, len(truth))) < 0.3).astype(np.float32)
    maps = DataMaps.from_history(TaskSet([f"t{i}" for i in range(len(truth))]), encode_probability(p), targets=targets)
    return maps, truth


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_planted_groups(method):
    maps, truth = planted_maps(np.arange(24) % 4)
    grouping = group_tasks(maps, k=4, method=method)
    assert adjusted_rand_score(truth, grouping.labels) == 1.0
    assert grouping.stability > 0.95
    assert grouping.info["method"] == method


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [1, 2, 5, 11, 12])
def test_k_groups_are_exactly_k_groups(method, k):
    maps, _ = planted_maps([0] * 5 + [1] * 3, isolated=4)
    grouping = group_tasks(maps, k=k, method=method, n_splits=0)
    assert len(np.unique(grouping.labels)) == k
    assert grouping.n_groups == k
    assert grouping.stability is None


def test_coinciding_tasks_still_make_k_groups():
    p = np.repeat(np.random.default_rng(0).uniform(size=(2, 600, 1)), 5, axis=2)
    maps = DataMaps.from_history(TaskSet(list("abcde")), encode_probability(p))
    for method in METHODS:
        assert group_tasks(maps, k=3, method=method, n_splits=0).n_groups == 3


@pytest.mark.parametrize("sizes", [[6] * 5, [12, 6, 4, 3], [10, 10]])
def test_auto_finds_the_number_of_groups(sizes):
    maps, truth = planted_maps(np.repeat(np.arange(len(sizes)), sizes))
    grouping = group_tasks(maps, k="auto")
    assert adjusted_rand_score(truth, grouping.labels) == 1.0
    table = {row["k"]: row for row in grouping.selection}
    assert table[len(sizes)]["stability"] > 0.95
    assert f"in {len(sizes)} groups" in grouping.info["message"]


def test_auto_leaves_unrelated_tasks_alone():
    maps, truth = planted_maps([0] * 6 + [1] * 6, isolated=3)
    grouping = group_tasks(maps, k="auto")
    assert grouping.isolated == ("t12", "t13", "t14")
    assert adjusted_rand_score(truth, grouping.labels) == 1.0
    assert "3 tasks are related to no other" in grouping.info["message"]


def test_auto_does_not_split_one_group():
    grouping = group_tasks(planted_maps([0] * 12)[0], k="auto")
    assert grouping.n_groups == 1
    assert "do not split" in grouping.info["message"]


@pytest.mark.parametrize("seed", range(3))
def test_pure_noise_stays_apart_and_is_said_in_words(seed):
    grouping = group_tasks(planted_maps([0], isolated=19, seed=seed)[0], k="auto")
    assert grouping.n_groups == 20
    assert grouping.isolated == grouping.tasks.names
    assert grouping.stability is None
    assert "No task is related to any other" in grouping.info["message"]


@pytest.mark.parametrize("method", ["spectral", "fuzzy"])
def test_soft_membership_means_something(method):
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(2000, 3))
    which = np.repeat([0, 1, 2], 5)
    logit = latent[:, which] + 0.8 * rng.normal(size=(2000, 15))
    twin = logit[:, :1]
    half = np.where(rng.uniform(size=2000) < 0.5, latent[:, 0], latent[:, 1])[:, None]
    random = rng.normal(size=(2000, 1))
    p = 1 / (1 + np.exp(-np.concatenate([logit, twin, half, random], 1)))[None]
    maps = DataMaps.from_history(TaskSet([f"t{i}" for i in range(18)]), encode_probability(p))
    grouping = group_tasks(maps, k=3, method=method, soft=True)
    duplicated, split, unrelated = grouping.membership[15:]
    assert duplicated[0] > 0.95
    assert split[:2].min() > 0.35
    assert split[2] < 0.1
    np.testing.assert_allclose(unrelated, 1 / 3)
    assert grouping.isolated == ("t17",)


def test_size_limits_are_kept():
    maps, _ = planted_maps([0] * 10 + [1] * 3 + [2] * 2)
    for method in ("spectral", "ward"):
        sizes = np.bincount(group_tasks(maps, k=3, method=method, min_size=4, max_size=6).labels)
        assert sizes.min() >= 4
        assert sizes.max() <= 6
    assert group_tasks(maps, k="auto", max_size=4).n_groups >= 4
    alone, _ = planted_maps([0] * 6 + [1] * 6, isolated=6)
    limited = group_tasks(alone, k="auto", max_groups=3)
    assert limited.n_groups <= 3
    assert np.bincount(group_tasks(alone, k="auto", min_size=3).labels).min() >= 3


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    maps, _ = planted_maps(np.arange(20) % 3, noise=2.0)
    for name in ("a", "b"):
        group_tasks(maps, k="auto", soft=True, random_state=3).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_features_may_be_given_instead_of_maps():
    maps, truth = planted_maps(np.arange(12) % 3)
    features = task_features(maps, "variability")
    grouping = group_tasks(features, k=3)
    assert grouping.info["kind"] == "variability"
    np.testing.assert_array_equal(grouping.labels, truth)


def test_summary_is_the_document_of_cluster_json():
    maps, _ = planted_maps(np.arange(12) % 3, isolated=1)
    features = task_features(maps)
    summary = cluster_summary(maps, features, group_tasks(features, k=3))
    assert summary["feature_kind"] == "abs-corr"
    assert summary["n_groups"] == 3
    assert summary["isolated"] == ("t12",)
    assert summary["overlap"] == {"min": 1.0, "median": 1.0}
    assert 0 <= summary["prevalence_eta2"] <= 1
    assert summary["prevalence_eta2_chance"] == pytest.approx(2 / 12)


def test_eta2_tells_groups_that_are_only_class_frequency():
    maps, _ = planted_maps(np.arange(12) % 3)
    rng = np.random.default_rng(0)
    features = task_features(maps)
    rare = (rng.uniform(size=(1200, 12)) < np.array([0.5, 0.1, 0.02])[np.arange(12) % 3]).astype(np.float32)
    frequency = DataMaps(maps.tasks, maps.confidence, maps.variability, maps.count, targets=rare)
    grouping = group_tasks(features, k=3)
    assert cluster_summary(frequency, features, grouping)["prevalence_eta2"] > 0.9
    bare = DataMaps(maps.tasks, maps.confidence, maps.variability, maps.count)
    assert cluster_summary(bare, features, grouping)["prevalence_eta2"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 40}, r"`k` must be between 1 and n_tasks=12; got 40\."),
        ({"k": 0}, r"`k` must be between 1 and n_tasks=12; got 0\."),
        ({"k": 2.5}, "`k` must be an integer; got 2.5"),
        ({"method": "kmean"}, r"`method` must be one of .* Did you mean 'kmeans'\?"),
        ({"k": "auto", "n_splits": 0}, "`n_splits` must be at least 1; got 0"),
        ({"k": 3, "min_size": 5}, "12 tasks in groups of 5 to 12 tasks need between 1 and 2 groups; got k=3"),
        ({"k": 2, "max_size": 4}, "12 tasks in groups of 1 to 4 tasks need between 3 and 12 groups; got k=2"),
        ({"k": 5, "max_groups": 4}, "need between 1 and 4 groups; got k=5, max_groups=4"),
        ({"k": 3, "max_size": 0}, "`max_size` must be at least 1"),
        ({"k": 3, "max_groups": 0}, "`max_groups` must be at least 1"),
        ({"k": 3, "random_state": -1}, "`random_state` must be at least 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    maps, _ = planted_maps(np.arange(12) % 3, n_samples=100)
    with pytest.raises(InvalidInputError, match=message):
        group_tasks(maps, **arguments)


def test_importing_the_clusterers_loads_no_torch():
    code = "import sys, taskgroup.cluster; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
