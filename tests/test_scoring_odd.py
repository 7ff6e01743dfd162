"""The metric that decides can be chosen; bounds hold; odd splits are defined or refused, never a verdict of nan."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, r2_score

from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring import Objective, Resampler, score, task_intervals
from taskgroup.scoring._comparison import bounded
from taskgroup.scoring._main import main_of_kinds
from taskgroup.scoring._metrics import chance_level, evaluate
from taskgroup.tasks import Task, TaskSet

MIXED = TaskSet(["b", Task("m", kind="multiclass", n_classes=3), Task("r", kind="regression")])
CHOICES = ("average-precision", "log-loss", "brier", "accuracy")


def _mixed(seed=0, n=60, decimals=1):
    rng = np.random.default_rng(seed)
    y = np.column_stack([rng.random(n) < 0.4, rng.integers(0, 3, n), rng.normal(size=n)]).astype(np.float32)
    signal = np.column_stack([y[:, 0], np.eye(3)[y[:, 1].astype(int)], y[:, 2]])
    y[rng.random(y.shape) < 0.2] = np.nan
    return y, (signal + rng.normal(size=signal.shape)).round(decimals).astype(np.float32)


@pytest.mark.parametrize("metric", CHOICES)
def test_the_influence_of_every_main_metric_is_its_derivative_in_the_weights(metric):
    y, z = _mixed()
    mains = main_of_kinds(metric)
    base = evaluate(MIXED, y, z, None, mains)
    copies = 400
    many = np.tile(y, (copies, 1)), np.tile(z, (copies, 1))
    for i in (0, 11, 42):
        more = evaluate(MIXED, np.vstack([many[0], y[i : i + 1]]), np.vstack([many[1], z[i : i + 1]]), None, mains)
        np.testing.assert_allclose((more.main - base.main) * copies, base.influence[:, i], atol=3e-4)
    np.testing.assert_allclose(base.influence.sum(1), 0, atol=1e-5)
    assert np.all(base.influence.T[np.isnan(y)] == 0)


@pytest.mark.parametrize("metric", CHOICES)
def test_a_main_metric_stands_first_and_losses_are_negated_in_the_main_values_only(metric):
    y, z = _mixed()
    card = score(y, {"a": {0: z, 1: z + 1}, "b": {0: z, 1: 2 * z}}, tasks=MIXED, metric=metric, n_resamples=100)
    name = metric.replace("-", "_")
    kinds = {"average_precision": (name, "accuracy", "r2")}.get(name, (name, name, "r2"))
    assert card.main_metrics == kinds
    sign = -1 if name in ("log_loss", "brier") else 1
    assert card.value("b", "a", 1) == sign * card.value("b", "a", 1, metric=name)
    assert next(card.rows()).metric == name
    assert card.to_dict()["main_metric"] == dict(zip("bmr", kinds, strict=True))


def test_a_users_function_decides_as_the_same_metric_does_by_name():
    """Its influence is by leaving groups of samples out, so intervals agree to what fifty groups can tell."""
    rng = np.random.default_rng(0)
    y = (rng.random((400, 6)) < 0.3).astype(np.float32)
    z = {m: {0: y + rng.normal(size=y.shape)} for m in ("a", "b")}

    def precision(labels, outputs):
        return average_precision_score(labels, outputs)

    ours, theirs = (score(y, z, metric=metric) for metric in ("average-precision", precision))
    assert theirs.main_metrics == ("precision",) * 6
    np.testing.assert_allclose(ours.main["test"]["a"].values, theirs.main["test"]["a"].values, atol=1e-6)
    pairs = [card.compare([("a", "b")])[0].difference for card in (ours, theirs)]
    assert pairs[0].high - pairs[0].low == pytest.approx(pairs[1].high - pairs[1].low, rel=0.25)
    np.testing.assert_allclose(theirs.chance["test"], y.mean(0), atol=1e-6)


def test_a_users_function_is_undefined_where_it_says_so():
    def strict(labels, outputs):
        if labels.sum() < 2:
            raise ValueError("too few")
        return f1_score(labels, outputs > 0)

    y = np.array([[1, 0], [1, 1], [0, 0], [0, np.nan]])
    card = score(y, {"a": np.ones((4, 2))}, metric=strict)
    assert card.value("task_0", "a") == pytest.approx(2 / 3)
    assert np.isnan(card.value("task_1", "a"))
    assert np.all(card.main["test"]["a"].influence[0, 1] == 0)


def test_metrics_are_asked_for_by_kind_and_unknown_ones_are_refused():
    y, z = _mixed()
    by_kind = score(y, {"a": z}, tasks=MIXED, metric={"binary": "brier", "multiclass": "log-loss"}, n_resamples=100)
    assert by_kind.main_metrics == ("brier", "log_loss", "r2")
    with pytest.raises(
        InvalidInputError, match=r"`metric` must be one of accuracy, auc, average-precision, .*; got 'f1'"
    ):
        score(y, {"a": z}, tasks=MIXED, metric="f1")
    with pytest.raises(InvalidInputError, match=r"one of accuracy, log-loss, brier, or a function .*; got 'auc'"):
        score(y, {"a": z}, tasks=MIXED, metric={"multiclass": "auc"})
    with pytest.raises(InvalidInputError, match=r"by kind of task, of binary, .*; got 'binry'"):
        score(y, {"a": z}, tasks=MIXED, metric={"binry": "auc"})


def test_chance_is_what_the_shares_of_the_labels_score():
    y = np.array([[1, 0, 1.0], [0, 0, 2.0], [0, 1, 3.0], [0, 2, 4.0]])
    p = np.array([0.5, 0.25, 0.25])
    np.testing.assert_allclose(chance_level(MIXED, y, main_of_kinds("brier")), [-0.1875, p @ p - 1, 0])
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    np.testing.assert_allclose(chance_level(MIXED, y, main_of_kinds("log-loss")), [-entropy, p @ np.log(p), 0])
    np.testing.assert_allclose(chance_level(MIXED, y, main_of_kinds("accuracy")), [0.75, 0.5, 0])
    np.testing.assert_allclose(chance_level(MIXED, y, main_of_kinds("average-precision")), [0.25, 0.5, 0])


def test_weights_of_tasks_and_of_labels():
    rng = np.random.default_rng(1)
    y = (rng.random((80, 3)) < 0.5).astype(np.float32)
    y[20:, 0] = np.nan
    z = {"a": y.copy() + rng.normal(size=y.shape), "b": rng.normal(size=y.shape)}
    z["a"] = np.nan_to_num(z["a"])
    by_task = np.array([score(y, z, metric="accuracy").value(f"task_{t}", "a") for t in range(3)])
    micro = score(y, z, metric="accuracy", average="micro")
    right = (z["a"] > 0) == (y == 1)
    assert micro.means["a"].mean == pytest.approx(right[~np.isnan(y)].mean())
    assert score(y, z, metric="accuracy", task_weights=[2, 1, 1]).means["a"].mean == pytest.approx(
        by_task @ [0.5, 0.25, 0.25]
    )
    named = score(y, z, metric="accuracy", task_weights={"task_1": 0, "task_2": 3}).means["a"]
    assert named.mean == pytest.approx(by_task @ [0.25, 0, 0.75])
    assert named.low < named.mean < named.high
    with pytest.raises(InvalidInputError, match="`task_weights` must be 3 numbers, none negative and not all zero"):
        score(y, z, task_weights=[1, 2])
    with pytest.raises(InvalidInputError, match="no task 'task_9'"):
        score(y, z, task_weights={"task_9": 1})
    with pytest.raises(InvalidInputError, match="no average 'mirco'; did you mean 'micro'"):
        score(y, z, average="mirco")


def test_intervals_stay_within_what_the_metric_can_be():
    rng = np.random.default_rng(2)
    y = np.array([[1]] * 4 + [[0]] * 6, np.float32)
    nearly = np.array([3, 2, 1, 0.1, 0.2, -1, -1, -2, -2, -3])[:, None]
    card = score(y, {"a": {s: nearly + 0.05 * rng.normal(size=nearly.shape) for s in range(2)}, "b": -nearly})
    for name in ("a", "b"):
        assert 0 <= card.means[name].low < card.means[name].high <= 1
    gain = card.compare([("a", "b")])[0].difference
    assert -1 <= gain.low < gain.high <= 1
    row = card.task_gains("a", "b")[0]
    assert -1 <= row["low"] < row["high"] <= 1


def test_the_interval_of_a_task_stays_within_bounds_and_a_perfect_score_is_not_certain():
    y = np.array([[1, 1, 0]] * 4 + [[0, 0, 0]] * 6, np.float32)
    scores = np.array([3, 2, 1, 0.1, 0.2, -1, -1, -2, -2, -3])
    card = score(y, {"a": np.column_stack([scores, y[:, 1], scores]), "b": np.column_stack([-scores, -scores, scores])})
    methods = card.main["test"]
    low, high = task_intervals(methods["a"])
    assert 0 < low[0] < card.value("task_0", "a") < high[0] < 1
    assert card.value("task_1", "a") == 1
    assert 0.2 < low[1] < 0.9 < high[1] == 1
    assert np.isnan([low[2], high[2]]).all()
    gain = task_intervals(methods["a"].minus(methods["b"]))
    assert np.all((gain[:, :2] >= -1) & (gain[:, :2] <= 1))
    alone = score(y[:, [1]], {"a": y[:, [1]]})
    assert 0.2 < task_intervals(alone.main["test"]["a"])[0, 0] < 0.9
    rooted = task_intervals(
        score([[1.0], [2.0], [4.0]], {"a": [[1.1], [2], [4]]}, tasks=[Task("r", "regression")]).main["test"]["a"]
    )
    assert rooted[1, 0] <= 1


def test_a_perfect_mean_and_a_difference_that_no_sample_moves_are_not_certain():
    y = np.array([[1, 0], [0, 1]] * 10, np.float32)
    for n, shown in ((2, False), (20, True)):
        answers = {"right": 3.0 * y[:n] - 1, "wrong": 1 - 3.0 * y[:n], "level": np.zeros((n, 2))}
        card = score(y[:n], answers)
        right, wrong = card.means["right"], card.means["wrong"]
        assert right.mean == right.high == 1
        assert 1 - right.low == pytest.approx(wrong.high)
        assert right.low == pytest.approx((n / 4) / (n / 4 + 1.959964**2))  # Wilson's of n1 n0 / (n1 + n0) samples
        for other in ("wrong", "level"):
            gain = card.compare([("right", other)])[0].difference
            assert (gain.low > 0) == (gain.p < 0.05) == (shown if other == "wrong" else False)
        itself = card.compare([("right", "right")])[0].difference
        assert (itself.low, itself.high, itself.p) == (0, 0, 1)


def test_the_ends_of_an_interval_by_the_bounds_of_its_mean():
    ends = np.array([-0.3, 0.3])
    np.testing.assert_allclose(bounded(0.5, ends / 1e4, 0, 1), 0.5 + ends / 1e4, rtol=1e-6)
    assert bounded(0.95, ends, -np.inf, 1)[1] < 1
    assert bounded(-0.1, ends, -np.inf, 0)[1] < 0
    assert bounded(0.1, ends, 0, np.inf)[0] > 0
    np.testing.assert_allclose(bounded(0.1, ends, -np.inf, np.inf), [-0.2, 0.4])
    np.testing.assert_allclose(bounded(1.0, ends, 0, 1), [0.7, 1.0])


def test_three_rows_are_enough_for_r2_to_be_defined():
    tasks = [Task("r", kind="regression"), Task("s", kind="regression"), Task("flat", kind="regression")]
    y = np.array([[1, 5, 2], [2, np.nan, 2], [4, np.nan, 2.0]])
    card = score(
        y, {"a": {0: y[:, [0]] + [0.5, 0.1, 0], 1: y[:, [0]] - [0.1, 0, 0]}, "b": np.zeros((3, 3))}, tasks=tasks
    )
    assert np.isfinite(card.value("r", "a"))
    assert np.isnan([card.value("s", "a"), card.value("flat", "a")]).all()
    gain = card.compare([("a", "b")])[0].difference
    assert np.isfinite([gain.mean, gain.low, gain.high, gain.p]).all()
    assert [row["call"] for row in card.task_gains("a", "b")][1:] == ["open", "open"]
    assert card.task_gains("a", "b")[1]["gain"] is None


def test_r2_of_few_labels_is_measured_against_the_spread_of_all():
    """The mean of the task, told by other rows, is worth about nothing, not minus a hundred."""
    rng = np.random.default_rng(5)
    tasks = [Task(f"r{t}", kind="regression") for t in range(40)]
    y = {"honest": rng.normal(50, 10, (25, 40)), "test": rng.normal(50, 10, (3, 40))}
    means = {split: {"mean": np.tile(y["honest"].mean(0), (len(v), 1))} for split, v in y.items()}
    card = score(y, means, tasks=tasks)
    assert abs(card.main["test"]["mean"].by_seed.mean()) < 0.3
    alone = score(y["test"], means["test"], tasks=tasks)
    assert alone.main["test"]["mean"].by_seed.mean() < -1
    many = {"honest": y["honest"], "test": rng.normal(50, 10, (30, 40))}
    guess = {split: {"a": v + rng.normal(0, 5, v.shape)} for split, v in many.items()}
    exact = [r2_score(many["test"][:, t], guess["test"]["a"][:, t]) for t in range(40)]
    np.testing.assert_allclose(score(many, guess, tasks=tasks).main["test"]["a"].values[0], exact, atol=1e-6)


def test_a_split_without_a_label_is_refused_and_without_a_positive_is_defined():
    rng = np.random.default_rng(3)
    y = {s: (rng.random((30, 2)) < 0.5).astype(float) for s in ("valid", "test")}
    z = {s: {m: {k: rng.normal(size=(30, 2)) for k in range(2)} for m in ("stl", "mtl")} for s in y}
    y["valid"][:, 0] = 0
    assert np.isfinite(score(y, z).means["stl"].mean)
    y["valid"][:] = np.nan
    with pytest.raises(
        InvalidInputError, match="y_true of split 'valid' must hold at least one label; all 60 are missi"
    ):
        score(y, z)


def test_every_interval_of_many_quantities_is_made_from_one_pass():
    """A generator is gone through once, so that hundreds of differences need not be held."""
    y, z = _mixed(1)
    card = score(y, {m: {s: z + s + i for s in range(2)} for i, m in enumerate("abc")}, tasks=MIXED, n_resamples=200)
    methods = card.main["test"]
    listed = [methods["a"].minus(methods[m]) for m in "bc"]
    resampler = Resampler(200)
    assert resampler.intervals(iter(listed)) == resampler.intervals(listed)


@pytest.mark.parametrize("metric", [None, *CHOICES, f"{__name__}:_closeness"])
@pytest.mark.parametrize("average", ["macro", "micro"])
def test_an_objective_is_the_mean_that_the_scorecard_reports(metric, average):
    y, z = _mixed(decimals=6)  # without ties, which fall as they do in the quick scores
    y[:20, 0] = np.nan
    weights = {"m": 2.0, "r": 0.5}
    objective = Objective.of(MIXED, metric, weights, average)
    card = score(y, {"a": z}, tasks=MIXED, metric=metric, task_weights=weights, average=average, n_resamples=100)
    measured = card.main["test"]["a"]
    np.testing.assert_allclose(objective.values(y, z), measured.values[0], rtol=1e-6)
    assert objective.mean(y, z) == pytest.approx(measured.by_seed[0], rel=1e-6)
    assert objective.mean(np.full_like(y, np.nan), z) == -np.inf


def _closeness(y, outputs):
    return -float(np.abs(y - (outputs if outputs.ndim == 1 else outputs.argmax(1))).mean())
