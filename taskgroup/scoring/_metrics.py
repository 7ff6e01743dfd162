"""Metrics of T tasks at once, and how much each sample contributes to the main one.

A *main metric* belongs to each kind of task: the area under the ROC curve (binary), accuracy (multiclass) and R2
(regression). Beside its value stands its *influence*: one number per sample, summing to zero, such that giving sample
i the weight w_i moves the metric by sum_i w_i influence_i to first order. For the AUC these are the structural
components of DeLong, DeLong & Clarke-Pearson (Biometrics 1988, equations 3-5); accuracy and R2 are ratios of sums,
whose first-order terms are elementary. Resampling samples a thousand times then costs one matrix product.

Undefined values (one class only, no label, constant targets) are NaN, and their influence is zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit, log_softmax

from taskgroup.tasks import Kind, TaskSet

__all__ = ["LOWER_IS_BETTER", "METRICS", "Evaluation", "chance_level", "evaluate", "main_metrics"]

METRICS: dict[Kind, tuple[str, ...]] = {
    "binary": ("auc", "average_precision", "f1", "log_loss"),
    "multiclass": ("accuracy", "macro_f1", "log_loss"),
    "regression": ("r2", "rmse"),
}
"""Metrics of each kind of task, the main one first."""

LOWER_IS_BETTER = frozenset({"log_loss", "rmse"})

Floats = NDArray[np.float64]


class Evaluation(NamedTuple):
    """Metrics of T tasks on n samples."""

    values: dict[str, Floats]  # metric -> (T,), NaN where undefined or not a metric of the task's kind
    main: Floats  # (T,)
    influence: NDArray[np.float32]  # (T, n), of the main metric
    thresholds: Floats  # (T,) the logit from which F1 predicts the positive class, NaN where undefined


def main_metrics(tasks: TaskSet) -> tuple[str, ...]:
    """Return the name of the main metric of every task."""
    return tuple(METRICS[task.kind][0] for task in tasks)


def evaluate(tasks: TaskSet, y: NDArray[Any], outputs: NDArray[Any], thresholds: Floats | None = None) -> Evaluation:
    """Return every metric of every task, and the influence of the samples on the main metrics.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    y : ndarray of shape (n, T)
        Targets, NaN where missing.
    outputs : ndarray of shape (n, n_outputs)
        Packed outputs in task order: a logit per binary task, C logits per multiclass task, the predicted value.
    thresholds : ndarray of shape (T,), optional
        Predict the positive class where the logit is at least this; F1 is undefined where it is NaN. Without them those
        of the largest F1 on these samples are taken.
    """
    names = {name for task in tasks for name in METRICS[task.kind]}
    values = {name: np.full(len(tasks), np.nan) for kind in METRICS.values() for name in kind if name in names}
    main = np.full(len(tasks), np.nan)
    influence = np.zeros((len(tasks), len(y)), np.float32)
    used = np.full(len(tasks), np.nan)
    for kind, columns, heads in _by_kind(tasks):
        targets = np.ascontiguousarray(y[:, columns].T, dtype=np.float64)
        if kind == "multiclass":
            found, part = _multiclass(targets[0], np.asarray(outputs[:, heads], np.float64))
        else:
            scores = np.ascontiguousarray(outputs[:, heads].T, dtype=np.float64)
            if kind == "binary":
                given = None if thresholds is None else thresholds[columns]
                found, part, used[columns] = _binary(targets, scores, given)
            else:
                found, part = _regression(targets, scores)
        for name, value in found.items():
            values[name][columns] = value
        main[columns] = found[METRICS[kind][0]]
        influence[columns] = part
    return Evaluation(values, main, influence, used)


def chance_level(tasks: TaskSet, y: NDArray[Any]) -> Floats:
    """Return what the main metric is worth without looking at the inputs: AUC .5, R2 0, the commonest class's share."""
    level = np.array([0.5 if task.kind == "binary" else 0.0 for task in tasks])
    for t, task in enumerate(tasks):
        if task.kind == "multiclass":
            labels = y[~np.isnan(y[:, t]), t].astype(int)
            level[t] = np.bincount(labels).max() / len(labels) if len(labels) else np.nan
    return level


def _by_kind(tasks: TaskSet) -> list[tuple[Kind, NDArray[np.intp], NDArray[np.intp]]]:
    """Return (kind, task columns, output columns): all binary tasks, all regression tasks, each multiclass task."""
    starts = np.cumsum([0, *(task.n_outputs for task in tasks)])
    parts: list[tuple[Kind, NDArray[np.intp], NDArray[np.intp]]] = []
    for kind in ("binary", "regression"):
        columns = np.array([t for t, task in enumerate(tasks) if task.kind == kind], np.intp)
        if len(columns):
            parts.append((kind, columns, starts[columns]))
    for t, task in enumerate(tasks):
        if task.kind == "multiclass":
            parts.append(("multiclass", np.array([t], np.intp), np.arange(starts[t], starts[t + 1])))
    return parts


def _binary(y: Floats, scores: Floats, thresholds: Floats | None) -> tuple[dict[str, Floats], Floats, Floats]:
    """Return metrics (T,), influence (T, n) on the AUC and thresholds (T,), from (T, n) targets and logits."""
    positive, negative = y == 1, y == 0
    n_positive, n_negative = positive.sum(1).astype(float), negative.sum(1).astype(float)
    counts = _rank_counts(positive, negative, scores)
    with np.errstate(invalid="ignore", divide="ignore"):
        # DeLong's components: the share of the other class that each sample is ranked rightly against, ties one half
        beaten = (counts.negatives_below + counts.negatives_through) / (2 * n_negative[:, None])
        beating = 1.0 - (counts.positives_below + counts.positives_through) / (2 * n_positive[:, None])
        auc = np.where(positive, beaten, 0.0).sum(1) / n_positive
        influence = np.where(
            positive,
            (beaten - auc[:, None]) / n_positive[:, None],
            np.where(negative, (beating - auc[:, None]) / n_negative[:, None], 0.0),
        )
        hits = n_positive[:, None] - counts.positives_below
        predicted = hits + n_negative[:, None] - counts.negatives_below  # positive when cutting at this score
        average_precision = np.where(positive, hits / predicted, 0.0).sum(1) / n_positive
        if thresholds is None:
            f1_here = np.where(positive, 2 * hits / (predicted + n_positive[:, None]), -1.0)
            best = scores[np.arange(len(scores)), f1_here.argmax(1)]
            thresholds = np.where(n_positive > 0, best, np.nan)
        chosen = scores >= thresholds[:, None]
        true_positives = (chosen & positive).sum(1)
        f1 = 2 * true_positives / ((chosen & (positive | negative)).sum(1) + n_positive)
        losses = -log_expit(np.where(positive, scores, -scores))
        log_loss = np.where(positive | negative, losses, 0.0).sum(1) / (n_positive + n_negative)
    two_classes = (n_positive > 0) & (n_negative > 0)
    values = {
        "auc": np.where(two_classes, auc, np.nan),
        "average_precision": np.where(two_classes, average_precision, np.nan),
        "f1": np.where((n_positive > 0) & ~np.isnan(thresholds), f1, np.nan),
        "log_loss": log_loss,
    }
    return values, np.where(two_classes[:, None], influence, 0.0), thresholds


def _multiclass(y: Floats, logits: Floats) -> tuple[dict[str, Floats], Floats]:
    """Return the metrics and the influence (1, n) on accuracy of one task, from targets (n,) and logits (n, C)."""
    labelled = ~np.isnan(y)
    if not labelled.any():
        return {name: np.array([np.nan]) for name in METRICS["multiclass"]}, np.zeros((1, len(y)))
    truth, guess = y[labelled].astype(int), logits[labelled].argmax(1)
    n_classes = logits.shape[1]
    hits = np.bincount(truth[truth == guess], minlength=n_classes)
    sizes = np.bincount(truth, minlength=n_classes) + np.bincount(guess, minlength=n_classes)
    right = truth == guess
    influence = np.zeros((1, len(y)))
    influence[0, labelled] = (right - right.mean()) / len(truth)
    log_likelihood = log_softmax(logits[labelled], axis=1)[np.arange(len(truth)), truth]
    values = {
        "accuracy": right.mean(),
        "macro_f1": (2 * hits[sizes > 0] / sizes[sizes > 0]).mean(),
        "log_loss": -log_likelihood.mean(),
    }
    return {name: np.array([value]) for name, value in values.items()}, influence


def _regression(y: Floats, predicted: Floats) -> tuple[dict[str, Floats], Floats]:
    """Return the metrics (T,) of regression tasks and the influence (T, n) on R2, from (T, n) targets and values."""
    labelled = ~np.isnan(y)
    n = labelled.sum(1).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(labelled, y, 0.0).sum(1) / n
        spread = np.where(labelled, (y - mean[:, None]) ** 2, 0.0)
        errors = np.where(labelled, (y - predicted) ** 2, 0.0)
        total, residual = spread.sum(1), errors.sum(1)
        varies = total > np.finfo(float).eps * n * np.maximum(mean**2, np.finfo(float).tiny)
        r2 = np.where(varies, 1.0 - residual / total, np.nan)
        influence = ((1.0 - r2[:, None]) * spread - errors) / total[:, None]
        rmse = np.sqrt(residual / n)
    return {"r2": r2, "rmse": rmse}, np.where(varies[:, None], influence, 0.0)


class _RankCounts(NamedTuple):
    """For each sample of each task: how many of a class score strictly below it, or no higher than it; (T, n)."""

    positives_below: Floats
    positives_through: Floats
    negatives_below: Floats
    negatives_through: Floats


def _rank_counts(positive: NDArray[np.bool_], negative: NDArray[np.bool_], scores: Floats) -> _RankCounts:
    """Count, by one sort per task; unlabelled samples belong to neither class and count nowhere."""
    n = scores.shape[1]
    order = scores.argsort(axis=1)
    ranked = np.take_along_axis(scores, order, 1)
    new = np.ones(scores.shape, bool)  # a tie starts here
    new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    index = np.broadcast_to(np.arange(n), scores.shape)
    first = np.maximum.accumulate(np.where(new, index, 0), axis=1)
    last = np.ones(scores.shape, bool)
    last[:, :-1] = new[:, 1:]
    after = np.minimum.accumulate(np.where(last, index + 1, n)[:, ::-1], axis=1)[:, ::-1]
    counts = []
    for member in (positive, negative):
        total = np.zeros((len(scores), n + 1))
        np.cumsum(np.take_along_axis(member, order, 1), axis=1, out=total[:, 1:])
        for position in (first, after):
            count = np.empty(scores.shape)
            np.put_along_axis(count, order, np.take_along_axis(total, position, 1), 1)
            counts.append(count)
    return _RankCounts(*counts)
