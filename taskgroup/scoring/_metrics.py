"""Metrics of T tasks at once, and how much each sample contributes to the main one.

A *main metric* belongs to each kind of task, by default the area under the ROC curve (binary), accuracy (multiclass)
and R2 (regression). Beside its value stands its *influence*: one number per sample, summing to zero, such that giving
sample i the weight w_i moves the metric by sum_i w_i influence_i to first order. Those of the AUC and of average
precision are in `_ranking`; accuracy, log-loss, the Brier score and R2 are means or ratios of sums, whose first-order
terms are elementary; a user's function is left out samples of, see `_main`. Resampling samples a thousand times then
costs one matrix product.

Undefined values (one class only, no label, constant targets) are NaN, and their influence is zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_softmax

from taskgroup.scoring._calibration import calibration_error
from taskgroup.scoring._main import DEFAULT_MAIN, MainMetric, jackknife
from taskgroup.scoring._ranking import auc, average_precision, rank_counts
from taskgroup.tasks import Kind, Task, TaskSet

__all__ = [
    "LOWER_IS_BETTER", "METRICS", "Evaluation", "Mains", "chance_level", "evaluate", "main_metrics", "metrics_of"
]  # fmt: skip

METRICS: dict[Kind, tuple[str, ...]] = {
    "binary": ("auc", "average_precision", "f1", "log_loss", "brier", "ece"),
    "multiclass": ("accuracy", "macro_f1", "log_loss", "brier", "ece"),
    "regression": ("r2", "rmse"),
}
"""Metrics of each kind of task, the default main one first. "brier" is the mean squared error of the probabilities,
summed over the classes of a multiclass task; "ece" is the expected calibration error of bins of equal numbers of
samples, of the positive class or, with several classes, of the predicted one."""

LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece", "rmse"})

_BLOCK = 256  # tasks that are evaluated at a time: some twenty arrays of their samples are held meanwhile
_FEW = 30  # labels below which a regression task is measured against the spread of more of them than its own

Floats = NDArray[np.float64]
Mains = Mapping[Kind, MainMetric]


class Evaluation(NamedTuple):
    """Metrics of T tasks on n samples."""

    values: dict[str, Floats]  # metric -> (T,), NaN where undefined or not a metric of the task's kind
    main: Floats  # (T,), negated where lower is better
    influence: NDArray[np.float32]  # (T, n), of the main metric
    thresholds: Floats  # (T,) the logit from which F1 predicts the positive class, NaN where undefined


def main_metrics(tasks: TaskSet, mains: Mains = DEFAULT_MAIN) -> tuple[str, ...]:
    """Return the name of the main metric of every task."""
    return tuple(mains[task.kind].name for task in tasks)


def metrics_of(kind: Kind, mains: Mains = DEFAULT_MAIN) -> tuple[str, ...]:
    """Return the metrics of a kind of task, with the main one first."""
    return tuple(dict.fromkeys((mains[kind].name, *METRICS[kind])))


def evaluate(
    tasks: TaskSet,
    y: NDArray[Any],
    outputs: NDArray[Any],
    thresholds: Floats | None = None,
    mains: Mains = DEFAULT_MAIN,
    weights: NDArray[Any] | None = None,
    spreads: Floats | None = None,
) -> Evaluation:
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
    mains : dict
        The main metric of each kind of task.
    weights : ndarray of shape (n, T), optional
        How much each label counts; 1 when left out.
    spreads : ndarray of shape (T,), optional
        Variance of each task's labels as more samples tell it. R2 of a task with fewer than 30 labels is measured
        against it: three labels tell their own spread badly, and the mean over tasks would be of the unluckiest.
    """
    kinds: list[Kind] = list(dict.fromkeys(task.kind for task in tasks))
    names = dict.fromkeys(name for kind in METRICS if kind in kinds for name in metrics_of(kind, mains))
    values = {name: np.full(len(tasks), np.nan) for name in names}
    main = np.full(len(tasks), np.nan)
    influence = np.zeros((len(tasks), len(y)), np.float32)
    used = np.full(len(tasks), np.nan)
    for kind, columns, heads in _by_kind(tasks):
        targets = np.ascontiguousarray(y[:, columns].T, dtype=np.float64)
        given = 1.0 if weights is None else np.asarray(weights[:, columns].T, np.float64)
        mass = np.where(np.isnan(targets), 0.0, given)
        chosen = mains[kind]
        if kind == "multiclass":
            logits = np.asarray(outputs[:, heads], np.float64)
            found, part = _multiclass(targets[0], logits, mass[0], chosen.name)
            scores = logits[None]
        else:
            scores = np.ascontiguousarray(outputs[:, heads].T, dtype=np.float64)
            if kind == "binary":
                cuts = None if thresholds is None else thresholds[columns]
                found, part, used[columns] = _binary(targets, scores, mass, cuts, chosen.name)
            else:
                found, part = _regression(targets, scores, mass, None if spreads is None else spreads[columns])
        if chosen.function is not None:
            masses = [None] * len(targets) if weights is None else mass
            pairs = [jackknife(chosen.function, *own) for own in zip(targets, scores, masses, strict=True)]
            found[chosen.name] = np.array([value for value, _ in pairs])
            part = np.array([of_sample for _, of_sample in pairs])
        for name, value in found.items():
            values.setdefault(name, np.full(len(tasks), np.nan))[columns] = value
        main[columns] = chosen.sign * found[chosen.name]
        influence[columns] = chosen.sign * part
    return Evaluation({name: values[name] for name in names}, main, influence, used)


def chance_level(
    tasks: TaskSet, y: NDArray[Any], mains: Mains = DEFAULT_MAIN, weights: NDArray[Any] | None = None
) -> Floats:
    """Return what the main metric is worth without looking at the inputs, shape (T,); NaN without labels.

    It is the metric of the shares of the classes, or of the mean target, given to every sample: AUC .5, R2 0, the
    commonest class's share, the entropy of the labels.
    """
    level = np.array([{"auc": 0.5, "r2": 0.0}.get(mains[task.kind].name, np.nan) for task in tasks])
    for t, task in enumerate(tasks):
        seen = ~np.isnan(y[:, t])
        labels = y[seen, t].astype(np.float64)
        mass = np.ones(len(labels)) if weights is None else np.asarray(weights[seen, t], np.float64)
        if np.isnan(level[t]) and mass.any():
            constant = _constant(task, labels, mass)
            level[t] = evaluate(TaskSet([task]), labels[:, None], constant, None, mains, mass[:, None]).main[0]
    return level


def _constant(task: Task, labels: Floats, mass: Floats) -> Floats:
    """Return the outputs, (n, n_outputs), that say the same of every sample: shares of classes, or the mean."""
    if task.kind == "regression":
        best = np.array([np.average(labels, weights=mass)])
    else:
        shares = np.bincount(labels.astype(int), mass, minlength=task.n_classes or 2) / mass.sum()
        logs = np.log(np.maximum(shares, 1e-9))
        best = logs if task.kind == "multiclass" else logs[1:] - logs[:1]
    return np.tile(best, (len(labels), 1))


def _by_kind(tasks: TaskSet) -> list[tuple[Kind, NDArray[np.intp], NDArray[np.intp]]]:
    """Return (kind, task columns, output columns): blocks of binary and of regression tasks, each multiclass task."""
    starts = np.cumsum([0, *(task.n_outputs for task in tasks)])
    parts: list[tuple[Kind, NDArray[np.intp], NDArray[np.intp]]] = []
    for kind in ("binary", "regression"):
        columns = np.array([t for t, task in enumerate(tasks) if task.kind == kind], np.intp)
        blocks = [columns[first : first + _BLOCK] for first in range(0, len(columns), _BLOCK)]
        parts += [(kind, block, starts[block]) for block in blocks]
    for t, task in enumerate(tasks):
        if task.kind == "multiclass":
            parts.append(("multiclass", np.array([t], np.intp), np.arange(starts[t], starts[t + 1])))
    return parts


def _binary(
    y: Floats, scores: Floats, mass: Floats, thresholds: Floats | None, main: str
) -> tuple[dict[str, Floats], Floats, Floats]:
    """Return metrics (T,), influence (T, n) on the main one and thresholds (T,); the inputs are (T, n)."""
    positive = y == 1
    ours, theirs = np.where(positive, mass, 0.0), np.where(positive, 0.0, mass)
    n_positive, n_negative = ours.sum(1), theirs.sum(1)
    counts = rank_counts(ours, theirs, scores)
    area, influence = auc(ours, theirs, counts)
    precision, of_precision = average_precision(ours, theirs, counts, deep=main == "average_precision")
    probability = expit(scores)
    losses = {
        "log_loss": -log_expit(np.where(positive, scores, -scores)),
        "brier": np.square(probability - positive),
        "accuracy": ((scores > 0) == positive).astype(np.float64),
    }
    with np.errstate(invalid="ignore", divide="ignore"):
        if thresholds is None:
            hits = n_positive[:, None] - counts.positives_below
            predicted = hits + n_negative[:, None] - counts.negatives_below  # positive when cutting at this score
            f1_here = np.where(ours > 0, 2 * hits / (predicted + n_positive[:, None]), -1.0)
            best = scores[np.arange(len(scores)), f1_here.argmax(1)]
            thresholds = np.where(n_positive > 0, best, np.nan)
        chosen = scores >= thresholds[:, None]
        f1 = 2 * (chosen * ours).sum(1) / ((chosen * mass).sum(1) + n_positive)
    two_classes = (n_positive > 0) & (n_negative > 0)
    values = {
        "auc": np.where(two_classes, area, np.nan),
        "average_precision": np.where(two_classes, precision, np.nan),
        "f1": np.where((n_positive > 0) & ~np.isnan(thresholds), f1, np.nan),
        "ece": calibration_error(positive, probability, mass, counts.order),
    }
    for name in ("log_loss", "brier", *(["accuracy"] if main == "accuracy" else [])):
        values[name], part = _mean(losses[name], mass)
        influence = part if name == main else influence
    if main in losses:
        return values, influence, thresholds
    influence = of_precision if main == "average_precision" else influence
    return values, np.where(two_classes[:, None], influence, 0.0), thresholds


def _mean(losses: Floats, mass: Floats) -> tuple[Floats, Floats]:
    """Return the mean (T,) over the labelled samples, NaN without any, and its influence (T, n)."""
    n = mass.sum(1)
    mean = np.divide((mass * losses).sum(1), n, out=np.full(len(n), np.nan), where=n > 0)
    influence = np.where(mass > 0, mass * (losses - mean[:, None]), 0.0) / np.where(n > 0, n, 1.0)[:, None]
    return mean, influence


def _multiclass(y: Floats, logits: Floats, mass: Floats, main: str) -> tuple[dict[str, Floats], Floats]:
    """Return the metrics and the influence (1, n) on the main one, from targets (n,), logits (n, C) and masses (n,)."""
    labelled = mass > 0
    influence = np.zeros((1, len(y)))
    if not labelled.any():
        return {name: np.array([np.nan]) for name in METRICS["multiclass"]}, influence
    truth, guess, own_mass = y[labelled].astype(int), logits[labelled].argmax(1), mass[labelled]
    n_classes = logits.shape[1]
    right = truth == guess
    hits = np.bincount(truth[right], own_mass[right], minlength=n_classes)
    sizes = np.bincount(truth, own_mass, minlength=n_classes) + np.bincount(guess, own_mass, minlength=n_classes)
    log_likelihood = log_softmax(logits[labelled], axis=1)
    probability = np.exp(log_likelihood)
    own = np.arange(len(truth)), truth
    by_sample = {
        "accuracy": right.astype(np.float64),
        "log_loss": -log_likelihood[own],
        "brier": np.square(probability).sum(1) - 2 * probability[own] + 1.0,
    }
    means = {name: _mean(losses[None], own_mass[None]) for name, losses in by_sample.items()}
    values = {name: value for name, (value, _) in means.items()}
    if main in by_sample:
        influence[0, labelled] = means[main][1][0]
    values["macro_f1"] = np.array([(2 * hits[sizes > 0] / sizes[sizes > 0]).mean()])
    values["ece"] = calibration_error(right[None], probability.max(1)[None], own_mass[None])
    return values, influence


def _regression(y: Floats, predicted: Floats, mass: Floats, spreads: Floats | None) -> tuple[dict[str, Floats], Floats]:
    """Return the metrics (T,) of regression tasks and the influence (T, n) on R2; the inputs are (T, n)."""
    labelled, n = ~np.isnan(y), mass.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(labelled, mass * y, 0.0).sum(1) / n
        spread = np.where(labelled, mass * (y - mean[:, None]) ** 2, 0.0)
        if spreads is not None:
            few = (labelled.sum(1) < _FEW) & (spreads > 0)
            spread = np.where(few[:, None], np.where(labelled, mass * spreads[:, None], 0.0), spread)
        errors = np.where(labelled, mass * (y - predicted) ** 2, 0.0)
        total, residual = spread.sum(1), errors.sum(1)
        varies = total > np.finfo(float).eps * n * np.maximum(mean**2, np.finfo(float).tiny)
        r2 = np.where(varies, 1.0 - residual / total, np.nan)
        influence = ((1.0 - r2[:, None]) * spread - errors) / total[:, None]
        rmse = np.sqrt(residual / n)
    return {"r2": r2, "rmse": rmse}, np.where(varies[:, None], influence, 0.0)
