import numpy as np
import pytest

from taskgroup.cluster import group_tasks
from taskgroup.datamaps import DataMaps, encode_probability
from taskgroup.exceptions import InvalidInputError
from taskgroup.features import attach, explain, explain_groups
from taskgroup.grouping import Grouping
from taskgroup.tasks import Task, TaskSet


def maps_of(p, targets=None, tasks=None, **fields):
    names = tasks or TaskSet([f"t{i}" for i in range(p.shape[-1])])
    return DataMaps.from_history(names, encode_probability(p[None]), targets=targets, **fields)


def labelled_tasks(rng, n=2000):
    """Two tasks with the same rare label, hard when positive, and the same difficulty within classes."""
    y = (rng.uniform(size=n) < 0.2).astype(np.float32)
    difficulty = rng.uniform(-0.1, 0.1, n)
    p = 0.8 - 0.4 * y[:, None] + difficulty[:, None] + rng.uniform(-0.05, 0.05, (n, 2))
    return p, np.tile(y[:, None], 2)


def test_contributions_sum_to_the_correlation():
    p, targets = labelled_tasks(np.random.default_rng(0))
    why = explain(maps_of(p, targets), ["t0", "t1"], top=2000)
    assert sum(why.contributions) == pytest.approx(why.correlation)
    assert why.correlation == pytest.approx(np.corrcoef(p.T)[0, 1], abs=1e-4)
    assert why.contributions == tuple(sorted(why.contributions, reverse=True))
    assert why.n_samples == 2000


def test_shares_are_the_law_of_total_covariance():
    p, targets = labelled_tasks(np.random.default_rng(0))
    why = explain(maps_of(p, targets), ["t0", "t1"])
    assert sum(why.shares.values()) == pytest.approx(1)
    z = (p - p.mean(0)) / p.std(0)
    positive = targets[:, 0] == 1
    share = positive.mean()
    expected = share * z[positive].mean(0).prod() / why.correlation
    assert why.shares["positives"] == pytest.approx(expected, abs=1e-3)
    within = share * np.cov(z[positive].T, ddof=0)[0, 1] + (1 - share) * np.cov(z[~positive].T, ddof=0)[0, 1]
    assert why.shares["within"] == pytest.approx(within / why.correlation, abs=1e-3)


def test_the_samples_that_matter_are_named_by_their_ids():
    p = np.full((300, 2), 0.9) + np.random.default_rng(0).uniform(-0.02, 0.02, (300, 2))
    p[[7, 90]] = 0.1
    why = explain(maps_of(p, sample_ids=np.arange(300) * 10), ["t0", "t1"], top=2)
    assert set(why.sample_ids) == {70, 900}
    assert why.shares == {}


def test_complements_are_explained_by_their_negative_correlation():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.4, 0.6, (300, 2))
    p[:, 1] = 1 - p[:, 0]
    p[5] = 0.0, 1.0
    why = explain(maps_of(p), ["t0", "t1"], top=1)
    assert why.correlation == pytest.approx(-1, abs=1e-3)
    assert why.sample_ids == (5,)


def test_missing_labels_do_not_contribute():
    p, targets = labelled_tasks(np.random.default_rng(0), 400)
    p[:100, 0] = np.nan
    targets[:100, 0] = np.nan
    why = explain(maps_of(p, targets), ["t0", "t1"], top=400)
    assert why.n_samples == 300
    assert all(c == 0 for i, c in zip(why.sample_ids, why.contributions, strict=True) if i < 100)
    assert why.correlation == pytest.approx(np.corrcoef(p[100:].T)[0, 1], abs=1e-4)


def test_other_kinds_of_tasks_have_one_share_between_classes():
    rng = np.random.default_rng(0)
    tasks = TaskSet([Task("a", "multiclass", 3), Task("b", "regression")])
    code = rng.integers(0, 3, 600)
    p = np.stack([0.3 + 0.2 * code, 0.3 + 0.2 * code], 1) + rng.uniform(-0.1, 0.1, (600, 1))
    why = explain(maps_of(p, np.stack([code, code], 1).astype(np.float32), tasks), ["a", "b"])
    assert set(why.shares) == {"classes", "within"}
    assert why.shares["classes"] > why.shares["within"] > 0


def test_every_group_of_two_or_more_is_explained():
    rng = np.random.default_rng(0)
    latent = rng.uniform(size=(800, 2))
    p = np.clip(latent[:, [0, 0, 0, 1, 1]] + rng.normal(scale=0.1, size=(800, 5)), 0, 1)
    maps = maps_of(np.concatenate([p, rng.uniform(size=(800, 1))], 1))
    grouping = group_tasks(maps, k="auto")
    assert grouping.groups == (("t0", "t1", "t2"), ("t3", "t4"), ("t5",))
    reasons = explain_groups(maps, grouping)
    assert set(reasons) == {0, 1}
    assert reasons[0].tasks == ("t0", "t1", "t2")
    r = np.corrcoef(p[:, :3].T)
    assert reasons[0].correlation == pytest.approx(r[np.triu_indices(3, 1)].mean(), abs=1e-3)


def test_large_groups_are_explained_by_a_sample_of_pairs():
    rng = np.random.default_rng(0)
    p = np.clip(rng.uniform(size=(300, 1)) + rng.normal(scale=0.1, size=(300, 30)), 0, 1)
    maps = maps_of(p)
    why = explain(maps, maps.tasks.names)
    assert why.correlation == pytest.approx(np.corrcoef(p.T)[np.triu_indices(30, 1)].mean(), abs=0.01)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [(["t0"], "at least two different tasks"), (["t0", "t0"], "at least two"), (["t0", "T1"], "no task 'T1'")],
)
def test_what_cannot_be_explained_is_refused(tasks, message):
    with pytest.raises(InvalidInputError, match=message):
        explain(maps_of(np.full((10, 2), 0.5)), tasks)


def attachable(rng, n=1500):
    """Six known tasks in two groups, one new task in each group and one in none."""
    latent = rng.uniform(size=(n, 2))
    which = [0, 0, 0, 1, 1, 1, 0, 1]
    p = np.clip(latent[:, which] + rng.normal(scale=0.3, size=(n, 8)), 0, 1)
    p[:, 7] = 1 - p[:, 7]
    return np.concatenate([p, rng.uniform(size=(n, 1))], 1)


def test_a_new_task_finds_its_group_or_none():
    whole = maps_of(attachable(np.random.default_rng(0)))
    known, new = whole.select(range(6)), whole.select([6, 7, 8])
    grouping = group_tasks(known, k=2)
    one, other, none = attach(grouping, new, known)
    assert (one.task, one.group) == ("t6", 0)
    assert other.group == 1  # a complement belongs with what it negates
    assert none.group is None
    assert one.margin == pytest.approx(max(one.affinity) - min(one.affinity))
    assert one.margin > 0.2
    assert one.p_value < 0.01 < none.p_value
    assert "group 0, by a margin of 0." in one.message
    assert "none of these groups" in none.message
    assert attach(grouping, whole) == (one, other, none)


def test_maps_are_matched_by_sample_id():
    p = attachable(np.random.default_rng(1))
    ids = np.arange(1500)
    known = maps_of(p[:, :6], sample_ids=ids)
    turned = np.random.default_rng(2).permutation(1500)[:1000]
    tasks = TaskSet(["new"])
    late = maps_of(p[turned, 6:7], tasks=tasks, sample_ids=ids[turned])
    (found,) = attach(group_tasks(known, k=2), late, known)
    assert found.group == 0


def test_what_cannot_be_attached_is_refused():
    p = attachable(np.random.default_rng(0))
    whole = maps_of(p)
    known = whole.select(range(6))
    grouping = Grouping.from_labels(known.tasks, [0, 0, 0, 1, 1, 1])
    with pytest.raises(InvalidInputError, match="no map of the grouped task 't0'"):
        attach(grouping, whole.select([6]))
    with pytest.raises(InvalidInputError, match="must hold a task that is not in the grouping"):
        attach(grouping, known)
    elsewhere = maps_of(p[:, 6:7], tasks=TaskSet(["new"]), sample_ids=np.arange(1500) + 5000)
    with pytest.raises(InvalidInputError, match="must share samples"):
        attach(grouping, elsewhere, known)
