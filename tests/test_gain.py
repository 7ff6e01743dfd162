from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from taskgroup.cluster import cluster_summary, group_tasks
from taskgroup.cluster._by_gain import _message
from taskgroup.data import TaskTable
from taskgroup.datamaps import DataMaps, encode_probability
from taskgroup.exceptions import InvalidInputError
from taskgroup.features import task_features
from taskgroup.gain import (
    ForestJudge,
    answer_similarity,
    find_groups,
    importance_similarity,
    label_similarity,
)
from taskgroup.gain._expected import components, expected
from taskgroup.gain._judge import score_outputs
from taskgroup.gain._ledger import Ledger
from taskgroup.gain._tree import contract, task_tree
from taskgroup.grouping import Grouping
from taskgroup.tasks import Task, TaskSet


class PlantedJudge:
    """Answers better the more fellows, and worse the more strangers, a task is fitted with; the noise is its own."""

    def __init__(self, truth, *, fellow=0.4, stranger=-0.4, n=600, blend=False, fails=()):
        rng = np.random.default_rng(0)
        self.truth, self.fellow, self.stranger, self.fails = np.asarray(truth), fellow, stranger, fails
        self.tasks = TaskSet([f"t{i}" for i in range(len(truth))])
        self.targets = (rng.uniform(size=(n, len(truth))) < 0.4).astype(np.float32)
        self.noise = rng.normal(size=(2, n, len(truth)))
        self.seen = []

    def outputs(self, tasks, effort):
        self.seen.append((tuple(tasks), effort))
        if tuple(tasks) in self.fails:
            raise RuntimeError("out of memory")
        own = self.truth[list(tasks)]
        fellows = (own[:, None] == own).sum(1) - 1
        strength = 1.0 + self.fellow * (fellows > 0) + self.stranger * (fellows < len(own) - 1)
        return (self.targets[:, list(tasks)] * strength + self.noise[:, :, list(tasks)]).astype(np.float32)


def similarity_of(truth, inside=0.8, outside=0.1):
    truth = np.asarray(truth)
    S = np.where(truth[:, None] == truth, inside, outside)
    np.fill_diagonal(S, 1.0)
    return S


def planted_table(groups=(0, 0, 0, 1, 1, 1), n=400, seed=0, flip=0.1):
    """Tasks of one group are noisy copies of one rule, on features that no other group uses."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6 * (max(groups) + 1))).astype(np.float32)
    Y = np.empty((n, len(groups)), np.float32)
    for t, g in enumerate(groups):
        rule = X[:, 6 * g : 6 * g + 6].sum(1) > 0
        Y[:, t] = np.where(rng.uniform(size=n) < flip, ~rule, rule)
    return TaskTable.from_arrays(X, Y, [f"t{t}" for t in range(len(groups))], random_state=0)


def maps_of(table, seed=0):
    """Maps of the training rows whose confidences follow the labels' agreement with a rule, as a profile's would."""
    rng = np.random.default_rng(seed)
    Y = table.targets("train")
    X = table.inputs("train")
    answer = np.stack([1 / (1 + np.exp(-X[:, :6].sum(1) * (1 if t < 3 else 0.1))) for t in range(table.n_tasks)], 1)
    p = np.where(np.nan_to_num(Y) == 1, answer, 1 - answer)
    p = np.clip(p + 0.05 * rng.normal(size=(3, *p.shape)), 0, 1)
    p = np.where(np.isnan(Y), np.nan, p)
    return DataMaps.from_history(table.tasks, encode_probability(p), targets=Y)


def fast(table, **options):
    return ForestJudge(table, n_trees=16, **options)


def names(found):
    return [set(group) for group in found.groups]


# The search, on a judge whose truth is known


def test_the_cut_finds_groups_that_gain():
    truth = [0, 0, 0, 1, 1, 1, 2, 2]
    found = find_groups(PlantedJudge(truth), {"given": similarity_of(truth)})
    assert names(found) == [{0, 1, 2}, {3, 4, 5}, {6, 7}]
    assert found.info["proposer"] == "given"
    assert found.info["expected"]["all-in-one"]["low"] > 0
    assert found.info["expected"]["alone"]["low"] > 0
    ks = [row["k"] for row in found.info["path"]]
    assert ks[0] == 1
    assert ks == sorted(ks)
    assert 3 in ks
    assert max(found.info["path"], key=lambda row: row["gain"])["k"] == 3
    np.testing.assert_array_equal(found.membership.sum(1), 1.0)


def test_one_group_stays_whole_when_sharing_helps():
    found = find_groups(PlantedJudge([0] * 6), {"given": np.eye(6)})
    assert found.groups == (tuple(range(6)),)
    assert found.info["expected"]["all-in-one"] == {"gain": 0.0, "low": 0.0, "high": 0.0, "apparent": 0.0}


def test_tasks_that_cannot_be_told_apart_are_not_split():
    judge = PlantedJudge([0, 0, 0, 1, 1, 1], fellow=0.0, stranger=0.0)
    assert len(find_groups(judge, {"given": similarity_of([0, 0, 0, 1, 1, 1])}).groups) == 1


def test_a_task_is_alone_only_where_alone_is_better():
    truth = [0, 0, 0, 1, 1, 1, 2]
    found = find_groups(PlantedJudge(truth), {"given": similarity_of(truth)})
    assert (6,) in found.groups  # a stranger costs it, and its hosts
    found = find_groups(PlantedJudge(truth, stranger=0.0), {"given": similarity_of(truth)})
    assert min(map(len, found.groups)) > 1


def test_proposers_compete_by_measured_gain():
    truth = [0, 1] * 4
    wrong = similarity_of([0, 0, 0, 0, 1, 1, 1, 1])
    found = find_groups(PlantedJudge(truth), {"wrong": wrong, "right": similarity_of(truth)})
    assert found.info["proposer"] == "right"
    assert names(found) == [{0, 2, 4, 6}, {1, 3, 5, 7}]
    rows = {row["name"]: row for row in found.info["proposers"]}
    assert {"wrong", "right", "answers"} <= set(rows)
    assert rows["right"]["gain"] == 0
    assert rows["wrong"]["gain"] < 0


def test_moves_mend_what_the_tree_cannot():
    truth = [0, 0, 0, 0, 1, 1, 1, 1]
    S = similarity_of([0, 0, 0, 1, 1, 1, 1, 1])  # the tree puts task 3 with the wrong four
    S[3, :3] = S[:3, 3] = 0.7
    found = find_groups(PlantedJudge(truth), {"given": S}, trials=8)
    assert names(found) == [{0, 1, 2, 3}, {4, 5, 6, 7}]


def test_limits_on_groups_are_kept():
    truth = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    S = {"given": similarity_of(truth)}
    assert len(find_groups(PlantedJudge(truth), S, max_groups=2).groups) == 2
    assert max(map(len, find_groups(PlantedJudge([0] * 9), S, max_size=4).groups)) <= 4
    with pytest.raises(InvalidInputError, match="9 tasks do not fit in max_groups=2 groups of max_size=4"):
        find_groups(PlantedJudge(truth), S, max_groups=2, max_size=4)


@pytest.mark.parametrize("seed", range(8))
def test_both_limits_are_kept_where_groups_must_be_taken_apart(seed):
    R = np.random.default_rng(seed).uniform(size=(6, 6))
    found = find_groups(PlantedJudge([0, 0, 1, 1, 2, 2]), {"random": R + R.T}, max_size=3, max_groups=2)
    assert sorted(map(len, found.groups)) == [3, 3]


def test_a_judge_that_fails_on_a_set_leaves_it_out_with_a_note():
    truth = [0, 0, 0, 1, 1, 1]
    found = find_groups(PlantedJudge(truth, fails={(0, 1, 2)}), {"given": similarity_of(truth)})
    assert (0, 1, 2) not in found.groups
    assert (3, 4, 5) in found.groups
    assert "tasks t0, t1, t2: RuntimeError: out of memory" in found.info["notes"]
    everything = find_groups(PlantedJudge(truth, fails={tuple(range(6))}), {"given": similarity_of(truth)})
    assert names(everything) == [{0, 1, 2}, {3, 4, 5}]
    assert everything.info["expected"]["all-in-one"] is None


def test_settled_nodes_are_not_judged_at_full_effort():
    judge = PlantedJudge(np.repeat(np.arange(6), 3), n=300)
    find_groups(judge, {"given": similarity_of(judge.truth)}, trials=0)
    full = {tasks for tasks, effort in judge.seen if effort == 1.0}
    assert tuple(range(18)) not in full
    assert len(judge.seen) == len(set(judge.seen))


def test_processes_change_nothing_and_progress_is_told():
    truth = np.repeat(np.arange(6), 8)
    told = []
    judge, given = planted_table(truth, n=160), {"given": similarity_of(truth)}
    one = find_groups(fast(judge), given, progress=lambda *a: told.append(a), trials=2)
    two = find_groups(fast(judge), given, jobs=2, trials=2)
    without = [{k: v for k, v in found.info.items() if k != "seconds"} for found in (one, two)]
    assert one.groups == two.groups
    assert without[0] == without[1]
    assert told[-1][0] == "cluster"
    assert all(done <= total for _, done, total in told)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarities": {"given": np.eye(3)}}, r"`similarity 'given'` must have shape \(6, 6\); got \(3, 3\)"),
        ({"similarities": {"given": np.triu(np.ones((6, 6)))}}, "`similarity` must be a finite, symmetric matrix"),
        ({"margin": -1.0}, "`margin` must be at least 0"),
        ({"max_size": 0}, "`max_size` must be at least 1; got 0"),
        ({"jobs": 0}, "`jobs` must be at least 1; got 0"),
        ({"own_proposals": ["labels"]}, "`own_proposals` must be one of 'answers', 'importances'; got 'labels'"),
        ({"own_proposals": ["importances"]}, "needs a judge that has `importances`"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(InvalidInputError, match=message):
        find_groups(PlantedJudge([0] * 6), **options)


def test_importances_of_the_forest_may_propose():
    found = find_groups(fast(planted_table(n=800)), own_proposals=["importances"], trials=0)
    assert found.info["proposer"] == "importances"
    assert names(found) == [{0, 1, 2}, {3, 4, 5}]


# Noise and soft groups


def test_the_noise_of_a_gain_is_the_spread_of_gains_over_rows():
    gains, noises = [], []
    for seed in range(40):
        judge = PlantedJudge([0, 0, 1, 1], fellow=0.3, stranger=-0.3)
        rng = np.random.default_rng(100 + seed)
        judge.targets = (rng.uniform(size=(400, 4)) < 0.4).astype(np.float32)
        judge.noise = np.repeat(rng.normal(size=(1, 400, 4)), 2, axis=0)  # draws agree: no luck of the fit
        ledger = Ledger(judge)
        ledger._luck = (0.0, 1.0)
        gain = ledger.compare([(0, 1), (2, 3)], [(0, 1, 2, 3)], 1.0)
        gains.append(gain.value)
        noises.append(gain.noise)
    assert np.std(gains) == pytest.approx(np.mean(noises), rel=0.35)


def test_a_task_between_two_groups_is_blended():
    truth = [0, 0, 0, 0, 1, 1, 1, 1]

    class Between(PlantedJudge):
        def outputs(self, tasks, effort):
            answers = super().outputs(tasks, effort)
            if 3 in tasks:  # what the two groups get wrong of task 3 has nothing in common
                own = np.random.default_rng([7, sum(t < 3 for t in tasks) > 0]).normal(size=len(self.targets))
                answers[:, :, list(tasks).index(3)] = self.targets[:, 3] + own
            return answers

    S = similarity_of(truth)
    S[3, 4:] = S[4:, 3] = 0.6
    found = find_groups(Between(truth, n=1500), {"given": S}, soft=True)
    assert found.info["blended"] == ["t3"]
    assert sorted(found.membership[3]) == [0.5, 0.5]


# Trees and proposals


def test_contracting_a_chain_bounds_its_fits():
    order = np.arange(60)
    chain = task_tree(1.0 / (1 + np.maximum(order[:, None], order)))
    assert sum(len(node.tasks) for node in chain.walk()) > 1500
    short = contract(chain, 600, 1000)
    assert sum(len(node.tasks) for node in short.walk()) <= 600
    assert sorted(t for node in short.walk() if not node.children for t in node.tasks) == list(range(60))
    for node in short.walk():
        if node.children:
            assert tuple(sorted(t for child in node.children for t in child.tasks)) == node.tasks


def test_of_too_many_nodes_the_smallest_go():
    rng = np.random.default_rng(0)
    tree = task_tree(np.corrcoef(rng.normal(size=(64, 5))))
    few = contract(tree, 10**6, 10)
    inner = [node for node in few.walk() if node.children]
    assert 3 <= len(inner) <= 10
    assert few.tasks == tree.tasks
    kept = {node.tasks for node in inner}
    gone = [node for node in tree.walk() if node.children and node.tasks not in kept]
    assert max(len(node.tasks) for node in gone) < min(map(len, kept)) + 1
    for node in inner:
        assert tuple(sorted(t for child in node.children for t in child.tasks)) == node.tasks


def test_a_cross_map_relates_tasks_that_share_no_row():
    rng = np.random.default_rng(0)
    concept = rng.normal(size=(300, 2))
    answers = [concept[:, [0]], -2 * concept[:, [0]] + 1, concept[:, [1]], np.ones((300, 1)), concept]
    S = answer_similarity(answers)
    np.testing.assert_allclose(S, S.T)
    assert S[0, 1] == pytest.approx(1.0)
    assert S[0, 2] < 0.2
    assert S[0, 3] == 0.0
    assert 0.5 < S[0, 4] < 0.9


def test_importances_relate_tasks_by_the_features_they_need():
    S = importance_similarity(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    np.testing.assert_allclose(S[0], [1, 1, 0, 0])
    np.testing.assert_allclose(np.diag(S), 1.0)


# The forest


def test_the_forest_is_honest_out_of_bag():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(400, 5)), (rng.uniform(size=(400, 3)) < 0.5).astype(np.float32)
    judge = fast(TaskTable.from_arrays(X, Y))
    score = score_outputs(judge, [0, 1, 2], judge.outputs([0, 1, 2]))
    assert np.abs(score.values - 0.5).max() < 0.12  # coin flips cannot be foretold


def test_the_forest_never_sees_test_rows():
    table = planted_table()
    spoiled = TaskTable.from_arrays(
        table.X, np.where((table.split == 2)[:, None], 1 - table.Y, table.Y), table.tasks, table.split
    )
    np.testing.assert_array_equal(fast(table).outputs([0, 3]), fast(spoiled).outputs([0, 3]))


def test_forest_answers_are_in_target_units():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4))
    Y = np.stack([1000 + 50 * X[:, 0], np.digitize(X[:, 1], [-0.5, 0.5]), X[:, 0] > 0], 1)
    tasks = [Task("r", "regression"), Task("m", "multiclass", 3), Task("b")]
    judge = ForestJudge(TaskTable.from_arrays(X, Y, tasks), n_trees=32)
    out = judge.outputs([0, 1, 2])
    assert out.shape == (2, len(judge.rows), 5)
    assert out[0, :, 0].mean() == pytest.approx(1000, abs=20)
    np.testing.assert_allclose(out.mean(0)[:, 1:4].sum(1), 1.0, atol=1e-5)
    assert (score_outputs(judge, [0, 1, 2], out).values > [0.5, 0.6, 0.9]).all()


def test_many_targets_are_split_on_by_combinations():
    table = planted_table((0,) * 10 + (1,) * 10)
    judge = fast(table, max_targets=4)
    values = score_outputs(judge, range(20), judge.outputs(range(20))).values
    assert values.mean() > 0.6


@pytest.mark.parametrize("pooled", [False, True])
def test_disjoint_tasks_share_what_is_common(pooled):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4)).astype(np.float32)
    Y = np.full((600, 12), np.nan)
    for t in range(12):
        rows = slice(50 * t, 50 * t + 50)
        Y[rows, t] = X[rows, :2].sum(1) + 0.5 * rng.normal(size=50)
    table = TaskTable.from_arrays(X, Y, [Task(f"s{t}", "regression") for t in range(12)])
    judge = fast(table, pooled=pooled)
    together = score_outputs(judge, range(12), judge.outputs(range(12))).values.mean()
    alone = np.mean([score_outputs(judge, [t], judge.outputs([t])).values[0] for t in range(12)])
    assert alone > -0.2  # a shrunken mean, not a wild guess
    assert together > alone
    assert len(find_groups(judge).groups) < 12


def test_pooling_needs_tasks_of_one_kind():
    table = planted_table()
    mixed = TaskTable.from_arrays(table.X, table.Y[:, :2], [Task("a"), Task("b", "regression")], table.split)
    with pytest.raises(InvalidInputError, match="must be of one kind to be pooled; got 2 kinds"):
        ForestJudge(mixed, pooled=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n_trees": 1}, "`n_trees` must be at least 2"), ({"max_rows": 1}, "`max_rows` must be at least 2")],
)
def test_forest_arguments_are_checked(options, message):
    with pytest.raises(InvalidInputError, match=message):
        ForestJudge(planted_table(n=100), **options)


# From a table to a grouping


def test_group_tasks_by_gain(tmp_path):
    table = planted_table()
    features = task_features(maps_of(table))
    grouping = group_tasks(features, k="auto", table=table)
    assert grouping.groups == (("t0", "t1", "t2"), ("t3", "t4", "t5"))
    assert grouping.info["k"] == "gain"
    assert "6 tasks in 2 groups by measured gain" in grouping.info["message"]
    assert "expected against one model for all" in grouping.info["message"]
    assert grouping.info["gain"]["fits"] >= grouping.info["gain"]["nodes"] > 0
    again = group_tasks(features, k="gain", table=table)
    assert again.content_hash() == grouping.content_hash()
    grouping.save(tmp_path / "grouping.json")
    assert Grouping.load(tmp_path / "grouping.json").info["gain"]["proposer"] == grouping.info["gain"]["proposer"]
    summary = cluster_summary(maps_of(table), features, grouping)
    assert set(summary["gain"]["expected"]) == {"all-in-one", "alone"}


def test_the_estimate_is_said_in_a_sentence():
    expected = {"all-in-one": {"low": 0.041, "high": 0.093}, "alone": {"low": -0.204, "high": 10.04}}
    words = _message(9, 3, 1, 2, {"proposer": "labels", "expected": expected})
    assert words == (
        "9 tasks in 3 groups by measured gain, proposed by labels; 1 task is measured to be better alone; 2 are "
        "related to no other above the noise. grouping: +.04 to +.09 expected against one model for all; -.20 to "
        "+10.04 expected against one model per task."
    )
    assert "one group: no split" in _message(9, 1, 0, 0, {"proposer": "labels", "expected": expected})
    assert _message(1, 1, 0, 0, {}) == "There is one task, and nothing to group."


def test_stability_and_fixed_k_do_not_look_at_the_table():
    table = planted_table()
    maps = maps_of(table)
    for k in (2, "stability"):
        with_table, without = (group_tasks(maps, k=k, **more) for more in ({"table": table}, {}))
        assert with_table.info["k"] == k
        assert with_table.content_hash() == without.content_hash()
    assert group_tasks(maps, k="auto").content_hash() == group_tasks(maps, k="stability").content_hash()


def test_gain_needs_something_to_measure_on():
    table = planted_table(n=100)
    maps = maps_of(table)
    with pytest.raises(InvalidInputError, match="k='gain' measures on data: give `table`, or a `judge`"):
        group_tasks(maps, k="gain")
    with pytest.raises(InvalidInputError, match="`k` must be one of 'auto', 'gain', 'stability'"):
        group_tasks(maps, k="gian")
    with pytest.raises(InvalidInputError, match="must judge the same tasks, in the same order"):
        group_tasks(maps, k="gain", judge=PlantedJudge([0, 1]))
    with pytest.raises(InvalidInputError, match="no task 't2'"):
        group_tasks(maps, k="gain", table=table.select(["t0", "t1"]))


@pytest.mark.parametrize(
    ("case", "n_tasks"),
    [("one task", 1), ("two tasks", 2), ("identical", 4), ("one positive", 4), ("no labels", 4), ("disjoint", 4),
     ("constant features", 4)],
)  # fmt: skip
def test_poor_data_still_give_an_answer(case, n_tasks):
    table = planted_table((0, 0, 1, 1)[:n_tasks] if n_tasks > 2 else (0, 1)[:n_tasks], n=200)
    X, Y = table.X.copy(), table.Y.copy()
    train = np.flatnonzero(table.split < 2)
    if case == "identical":
        Y[:] = Y[:, :1]
    elif case == "one positive":
        Y[train, 1] = 0
        Y[train[0], 1] = 1
    elif case == "no labels":
        Y[:, 1] = np.nan
    elif case == "disjoint":
        for t in range(4):
            Y[np.arange(200) % 4 != t, t] = np.nan
    elif case == "constant features":
        X[:] = 1.0
    poor = TaskTable.from_arrays(X, Y, table.tasks, table.split)
    found = find_groups(fast(poor), {"labels": label_similarity(poor)})
    assert sorted(t for group in found.groups for t in group) == list(range(n_tasks))
    for row in found.info["expected"].values():
        assert np.isfinite(list(row.values())).all()
    if case in ("one task", "identical", "constant features"):
        assert len(found.groups) == 1


def sparse_table(seen=0.08, n=900, n_tasks=40, families=4, seed=0):
    """Tasks of a family share most of a direction; few labels are there, and hardly two on one row."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 10)).astype(np.float32)
    centres = rng.normal(size=(families, 10))
    directions = centres[np.arange(n_tasks) % families] + 0.2 * rng.normal(size=(n_tasks, 10))
    Y = (X @ directions.T + rng.logistic(size=(n, n_tasks)) > 0).astype(np.float32)
    Y[rng.uniform(size=Y.shape) >= seen] = np.nan
    return TaskTable.from_arrays(X, Y, [f"t{t}" for t in range(n_tasks)], random_state=seed)


def test_families_gain_where_most_labels_are_missing():
    judge = ForestJudge(sparse_table())
    ledger = Ledger(judge)
    families = [tuple(range(f, 40, 4)) for f in range(4)]
    alone = ledger.compare(families, [(t,) for t in range(40)], 1.0)
    assert alone.value > 2 * alone.noise
    assert ledger.compare(families, [tuple(range(40))], 1.0).value > 0


def test_a_row_is_answered_by_what_has_not_seen_its_labels_nor_what_is_expected_from_them():
    table = sparse_table(n_tasks=8)
    judge = ForestJudge(table, random_state=3)
    before = judge.outputs(range(8))
    held = judge._folds == 1
    Y = table.Y.copy()
    own = Y[judge.rows]
    own[held] = 1 - own[held]  # NaN stays NaN
    Y[judge.rows] = own
    changed = ForestJudge(replace(table, Y=Y), random_state=3)
    after = changed.outputs(range(8))
    # What is added back is the task's mean over all rows, which moved with the labels.
    shift = np.nanmean(changed.targets, 0) - np.nanmean(judge.targets, 0)
    np.testing.assert_allclose(after[:, held], before[:, held] + shift.astype(np.float32), atol=2e-6)
    assert np.abs(after[:, ~held] - before[:, ~held]).max() > 0.05


def test_what_is_expected_is_ridge_regression_by_generalised_cross_validation():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(200, 5))
    Z = np.stack([A @ rng.normal(size=5) + rng.normal(size=200), rng.normal(size=200), np.full(200, np.nan)], 1)
    Z[rng.uniform(size=200) < 0.3, 0] = np.nan
    rows = np.arange(150)
    found = expected(A, Z, rows)
    for c in range(2):
        own = rows[~np.isnan(Z[rows, c])]
        best = min(
            (Ridge(alpha).fit(A[own], Z[own, c]) for alpha in (1.0, 10.0, 100.0, 1000.0)),
            key=lambda model: generalised_error(model, A[own], Z[own, c]),
        )
        low, high = Z[own, c].min(), Z[own, c].max()
        np.testing.assert_allclose(found[:, c], np.clip(best.predict(A), low, high), atol=1e-9)
    assert (found[:, 2] == 0).all()


def generalised_error(model, A, y):
    centred = A - A.mean(0)
    hat = centred @ np.linalg.solve(centred.T @ centred + model.alpha * np.eye(A.shape[1]), centred.T)
    return np.square(y - model.predict(A)).sum() / (len(y) - 1 - np.trace(hat)) ** 2


def test_wide_inputs_are_expected_from_by_their_leading_directions():
    X = np.random.default_rng(0).normal(size=(60, 300)).astype(np.float32)
    assert components(X, 0).shape == (60, 60)
    assert components(X[:, :20], 0).shape == (60, 20)
    np.testing.assert_array_equal(components(X, 0), components(X, 0))


@pytest.mark.parametrize("n_features", [6, 200])
def test_labels_and_inputs_may_be_missing_both(n_features):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(300, n_features)), (rng.uniform(size=(300, 5)) < 0.4).astype(float)
    X[rng.uniform(size=X.shape) < 0.1], Y[rng.uniform(size=Y.shape) < 0.4] = np.nan, np.nan
    X[:, 1] = np.nan
    found = find_groups(ForestJudge(TaskTable.from_arrays(X, Y, [f"t{t}" for t in range(5)], random_state=0)))
    assert not found.info["notes"]
    A = components(X.astype(np.float32), 0)
    assert np.isfinite(A).all()


def test_inputs_are_standardised_by_what_is_there():
    X = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]], np.float32)
    np.testing.assert_allclose(components(X, 0), [[-1, 0], [1, 0], [0, 0]])
