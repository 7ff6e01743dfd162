"""Metrics against scikit-learn, with ties and missing labels; influence against its definition."""

import numpy as np
import pytest
from sklearn import metrics as reference

from taskgroup.exceptions import InvalidInputError
from taskgroup.plan._blend import best_thresholds, calibrate
from taskgroup.scoring import main_scores, score
from taskgroup.scoring._calibration import calibration_error
from taskgroup.scoring._main import main_of_kinds
from taskgroup.scoring._metrics import METRICS, chance_level, evaluate, main_metrics
from taskgroup.tasks import Task, TaskSet

MIXED = TaskSet(
    [
        Task("b0"),
        Task("m0", kind="multiclass", n_classes=4),
        Task("r0", kind="regression"),
        Task("b1"),
        Task("m1", kind="multiclass", n_classes=3),
        Task("r1", kind="regression"),
    ]
)


def _mixed(seed, n=83, missing=0.25, decimals=None):
    """Targets and packed outputs of MIXED; rounding the outputs makes ties."""
    rng = np.random.default_rng(seed)
    y = np.empty((n, len(MIXED)), np.float32)
    outputs = rng.normal(size=(n, sum(task.n_outputs for task in MIXED))).astype(np.float32)
    start = 0
    for t, task in enumerate(MIXED):
        if task.kind == "regression":
            y[:, t] = outputs[:, start] + rng.normal(size=n)
        else:
            y[:, t] = rng.integers(0, task.n_classes or 2, n)
        start += task.n_outputs
    if decimals is not None:
        outputs = outputs.round(decimals)
    y[rng.random(y.shape) < missing] = np.nan
    return y, outputs


def _calibration_error(happened, p):
    """Literal: bins of equal numbers, equals together, the mean absolute gap weighted by the samples of each."""
    p, n_bins = p.round(9), min(15, max(1, len(p) // 10))
    bins = np.array([(p < value).sum() for value in p]) * n_bins // len(p)
    return sum((bins == b).mean() * abs(p[bins == b].mean() - happened[bins == b].mean()) for b in np.unique(bins))


def _expected(task, y, z, threshold):
    """The metrics of one task from scikit-learn, on labelled rows."""
    labelled = ~np.isnan(y)
    y, z = y[labelled], z[labelled].astype(np.float64)
    if task.kind == "binary":
        p = 1 / (1 + np.exp(-z[:, 0]))
        return {
            "auc": reference.roc_auc_score(y, z[:, 0]),
            "average_precision": reference.average_precision_score(y, z[:, 0]),
            "f1": reference.f1_score(y, z[:, 0] >= threshold),
            "log_loss": reference.log_loss(y, p, labels=[0, 1]),
            "brier": reference.brier_score_loss(y, p),
            "ece": _calibration_error(y, p),
        }
    if task.kind == "multiclass":
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        return {
            "accuracy": reference.accuracy_score(y, z.argmax(1)),
            "macro_f1": reference.f1_score(y, z.argmax(1), average="macro"),
            "log_loss": reference.log_loss(y, p, labels=range(task.n_classes)),
            "brier": np.square(p - np.eye(task.n_classes)[y.astype(int)]).sum(1).mean(),
            "ece": _calibration_error(y == z.argmax(1), p.max(1)),
        }
    return {"r2": reference.r2_score(y, z[:, 0]), "rmse": reference.root_mean_squared_error(y, z[:, 0])}


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_every_metric_equals_that_of_sklearn(seed, missing, decimals):
    y, outputs = _mixed(seed, missing=missing, decimals=decimals)
    thresholds = np.array([0.2] * len(MIXED))
    found = evaluate(MIXED, y, outputs, thresholds)
    start = 0
    for t, task in enumerate(MIXED):
        expected = _expected(task, y[:, t], outputs[:, start : start + task.n_outputs], 0.2)
        start += task.n_outputs
        for name, value in expected.items():
            assert found.values[name][t] == pytest.approx(value, abs=1e-6), (task.name, name)
        assert found.main[t] == found.values[METRICS[task.kind][0]][t]
        others = set(found.values) - set(expected)
        assert all(np.isnan(found.values[name][t]) for name in others)


def test_constant_scores_rank_at_chance():
    y = np.array([[0], [1], [1], [0], [1]], np.float32)
    found = evaluate(TaskSet(["a"]), y, np.zeros((5, 1), np.float32))
    assert found.main[0] == 0.5
    assert found.values["average_precision"][0] == pytest.approx(0.6)


@pytest.mark.parametrize("decimals", [None, 0])
def test_the_influence_is_the_derivative_of_the_metric_in_the_weights(decimals):
    """Doubling a sample many times over a large sample moves the metric by its influence, to first order."""
    y, outputs = _mixed(5, n=60, decimals=decimals)
    base = evaluate(MIXED, y, outputs)
    copies = 400
    many_y, many_outputs = np.tile(y, (copies, 1)), np.tile(outputs, (copies, 1))
    for i in (0, 7, 31, 59):
        more = evaluate(MIXED, np.vstack([many_y, y[i : i + 1]]), np.vstack([many_outputs, outputs[i : i + 1]]))
        np.testing.assert_allclose((more.main - base.main) * copies, base.influence[:, i], atol=2e-4)


def test_influences_sum_to_zero_and_are_zero_where_there_is_no_label():
    y, outputs = _mixed(1)
    influence = evaluate(MIXED, y, outputs).influence
    np.testing.assert_allclose(influence.sum(1), 0, atol=1e-5)
    assert np.all(influence.T[np.isnan(y)] == 0)


def test_the_spread_of_the_influence_is_delongs_variance():
    """Literal transcription of DeLong et al. 1988, equations 3 to 5, for one AUC."""
    rng = np.random.default_rng(0)
    y = (rng.random(90) < 0.4).astype(np.float32)
    z = (rng.normal(size=90) + y).round(1).astype(np.float32)
    x, w = z[y == 1], z[y == 0]
    psi = (x[:, None] > w[None]) + 0.5 * (x[:, None] == w[None])
    expected = psi.mean(1).var(ddof=0) / len(x) + psi.mean(0).var(ddof=0) / len(w)
    influence = evaluate(TaskSet(["a"]), y[:, None], z[:, None]).influence
    assert (influence.astype(np.float64) ** 2).sum() == pytest.approx(expected, rel=1e-5)


def test_what_is_undefined_is_nan_and_never_zero():
    tasks = TaskSet(["all 0", "all 1", "none", Task("flat", kind="regression"), Task("m", "multiclass", 3)])
    y = np.array([[0, 1, np.nan, 0.1, np.nan]] * 6, np.float32)
    outputs = np.random.default_rng(0).normal(size=(6, 7)).astype(np.float32)
    found = evaluate(tasks, y, outputs, np.zeros(5))
    assert np.isnan(found.main).all()
    assert np.isnan(found.values["average_precision"]).all()
    assert np.isnan(found.values["f1"]).tolist() == [True, False, True, True, True]
    assert np.isnan(found.values["log_loss"]).tolist() == [False, False, True, True, True]
    assert found.values["rmse"][3] > 0
    assert np.all(found.influence == 0)


def test_the_threshold_gives_the_largest_f1_of_all_thresholds():
    rng = np.random.default_rng(3)
    y = (rng.random((70, 4)) < [0.1, 0.3, 0.5, 0.8]).astype(np.float32)
    y[rng.random(y.shape) < 0.2] = np.nan
    z = (rng.normal(size=y.shape) + np.nan_to_num(y)).round(1).astype(np.float32)
    tasks = TaskSet(list("abcd"))
    chosen = evaluate(tasks, y, z)
    found = evaluate(tasks, y, z, chosen.thresholds).values["f1"]
    np.testing.assert_array_equal(found, chosen.values["f1"])
    for t in range(4):
        labelled = ~np.isnan(y[:, t])
        best = max(reference.f1_score(y[labelled, t], z[labelled, t] >= cut) for cut in z[labelled, t])
        assert found[t] == pytest.approx(best)


def test_no_threshold_without_a_positive_label():
    no_positive = evaluate(TaskSet(["a"]), np.zeros((3, 1)), np.ones((3, 1)))
    assert np.isnan([no_positive.thresholds[0], no_positive.values["f1"][0]]).all()
    y, outputs = _mixed(0)
    assert np.isnan(evaluate(MIXED, y, outputs).thresholds).tolist() == [False, True, True, False, True, True]


def test_chance_is_a_half_the_commonest_class_or_nothing():
    tasks = TaskSet(["a", Task("m", "multiclass", 3), Task("r", "regression")])
    y = np.array([[0, 2, 1.5], [1, 2, 2.5], [1, 0, np.nan], [0, np.nan, 3]])
    np.testing.assert_allclose(chance_level(tasks, y), [0.5, 2 / 3, 0.0])
    assert main_metrics(tasks) == ("auc", "accuracy", "r2")


@pytest.mark.parametrize("decimals", [None, 0])
def test_a_label_of_weight_k_counts_like_k_labels(decimals):
    y, outputs = _mixed(3, decimals=decimals)
    copies = np.random.default_rng(3).integers(0, 4, len(y))
    weights = np.repeat(copies[:, None], len(MIXED), 1).astype(np.float64)
    many = evaluate(MIXED, y.repeat(copies, 0), outputs.repeat(copies, 0))
    weighed = evaluate(MIXED, np.where(weights > 0, y, np.nan), outputs, weights=weights)
    for name, values in many.values.items():
        if name != "ece":  # its number of bins is that of the labels
            np.testing.assert_allclose(weighed.values[name], values, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(weighed.thresholds, many.thresholds)
    level = chance_level(MIXED, y.repeat(copies, 0))
    np.testing.assert_allclose(chance_level(MIXED, y, weights=weights), level)
    quick = main_scores(MIXED, y.repeat(copies, 0), outputs.repeat(copies, 0))
    if decimals is None:  # ties fall as they do
        np.testing.assert_allclose(main_scores(MIXED, y, outputs, weights), quick)
    cuts = best_thresholds(MIXED, np.where(weights > 0, y, np.nan), outputs, weights)
    expected = best_thresholds(MIXED, y.repeat(copies, 0), outputs.repeat(copies, 0))
    assert [cut for cut in cuts if cut is not None] == pytest.approx([cut for cut in expected if cut is not None])


def test_the_calibration_error_weighs_its_samples():
    happened, confidence = np.array([[True, False] * 20]), np.array([[0.7] * 20 + [0.2] * 20])
    mass = np.where(happened, 3.0, 1.0)
    assert calibration_error(happened, confidence, mass)[0] == pytest.approx((0.05 + 0.55) / 2)


@pytest.mark.parametrize("metric", [None, "average-precision", "log-loss", "accuracy"])
def test_the_influence_of_a_weighed_label_is_its_derivative(metric):
    y, outputs = _mixed(6, n=60, decimals=1)
    mains = main_of_kinds(metric)
    weights = np.random.default_rng(0).uniform(0.2, 3.0, y.shape)
    base = evaluate(MIXED, y, outputs, mains=mains, weights=weights)
    for i in (0, 7, 31, 59):
        more = weights.copy()
        more[i] *= 1 + 1e-5
        moved = evaluate(MIXED, y, outputs, mains=mains, weights=more).main - base.main
        np.testing.assert_allclose(moved / 1e-5, base.influence[:, i], atol=2e-4)


def test_scores_weigh_rows_and_labels():
    y = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]], np.float32)
    z = np.array([[1, 2], [2, 1], [3, 2], [0, 1], [1, 3]], np.float32)
    weights = np.array([1.0, 4.0, 2.0, 1.0, 0.0])
    card = score(y, {"a": z}, sample_weight=weights)
    for t, task in enumerate(card.tasks.names):
        assert card.value(task, "a") == pytest.approx(reference.roc_auc_score(y[:, t], z[:, t], sample_weight=weights))
    each = score(y, {"a": z}, sample_weight=np.stack([weights, np.ones(5)], 1))
    assert each.value("task_1", "a") == score(y, {"a": z}).value("task_1", "a") != card.value("task_1", "a")
    by_function = score(y, {"a": z}, sample_weight=weights, metric=reference.roc_auc_score)
    assert by_function.value("task_0", "a") == pytest.approx(card.value("task_0", "a"))
    for wrong, message in ((np.ones(4), "must have shape"), (-weights, "not negative"), (0 * weights, "all weigh 0")):
        with pytest.raises(InvalidInputError, match=message):
            score(y, {"a": z}, sample_weight=wrong)


def test_calibration_follows_the_labels_that_count():
    rng = np.random.default_rng(0)
    y = (rng.random((400, 1)) < 0.5).astype(np.float32)
    z = np.where(y == 1, 1.0, -1.0).astype(np.float32)
    wrong = rng.random((400, 1)) < 0.5
    z[wrong] *= -1
    lost, kept = calibrate(TaskSet(["a"]), y, z), calibrate(TaskSet(["a"]), y, z, np.where(wrong, 0.05, 1.0))
    assert lost.slope < 0.5 < 1.0 < kept.slope
