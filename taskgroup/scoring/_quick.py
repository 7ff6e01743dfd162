"""The main metrics alone, for searches that score thousands of answers: one sort per task, ties fall as they do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from taskgroup.tasks import TaskSet

__all__ = ["main_scores"]

Floats = NDArray[np.float64]


def main_scores(
    tasks: TaskSet, Y: NDArray[np.float32], packed: NDArray[np.floating], weights: NDArray[np.floating] | None = None
) -> Floats:
    """Return AUC, accuracy or R2 of every task (T,), NaN where undefined, without anything else.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    Y : ndarray of float32 of shape (n, T)
        Targets, NaN where missing.
    packed : ndarray of shape (n, n_outputs)
        Packed outputs.
    weights : ndarray of shape (n, T), optional
        How much each label counts; 1 when left out.

    Examples
    --------
    >>> Y = np.array([[0], [1], [1]], np.float32)
    >>> main_scores(TaskSet(["a"]), Y, np.array([[0.1], [0.3], [0.0]])).tolist()
    [0.5]
    """
    scores = np.full(len(tasks), np.nan)
    binary = [t for t, task in enumerate(tasks) if task.kind == "binary"]
    starts = tasks.first_outputs
    if binary:
        own_weights = None if weights is None else weights[:, binary]
        scores[binary] = _aucs(Y[:, binary], packed[:, [starts[t] for t in binary]], own_weights)
    for t, task in enumerate(tasks):
        seen = ~np.isnan(Y[:, t])
        y = Y[seen, t].astype(np.float64)
        if task.kind == "binary" or not len(y):
            continue
        own = packed[seen, starts[t] : starts[t] + task.n_outputs]
        mass = np.ones(len(y)) if weights is None else weights[seen, t].astype(np.float64)
        if task.kind == "multiclass":
            scores[t] = np.average(own.argmax(1) == y, weights=mass)
        elif (spread := mass @ (y - np.average(y, weights=mass)) ** 2) > 0:
            scores[t] = 1 - mass @ (y - own[:, 0]) ** 2 / spread
    return scores


def _aucs(Y: NDArray[np.float32], z: NDArray[np.floating], weights: NDArray[np.floating] | None) -> Floats:
    """Return the areas under the ROC curves of some tasks from targets and logits (n, m); ties fall as they do."""
    seen, positive = ~np.isnan(Y.T), Y.T == 1
    values = np.where(seen, z.T, np.inf).astype(np.float32)  # those without a label come last and move nobody
    order = values.argsort(axis=1)
    ranked = np.take_along_axis(positive, order, 1)
    if weights is not None:
        return _weighed_aucs(ranked, np.take_along_axis(np.where(seen, weights.T, 0.0), order, 1))
    n_positive = positive.sum(1)
    n_negative = seen.sum(1) - n_positive
    above = (ranked * np.arange(1, ranked.shape[1] + 1)).sum(1) - n_positive * (n_positive + 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where((n_positive > 0) & (n_negative > 0), above / (n_positive * n_negative), np.nan))


def _weighed_aucs(positive: NDArray[np.bool_], mass: Floats) -> Floats:
    """Return the same from what is ranked already, the lowest first, (m, n)."""
    ours, theirs = np.where(positive, mass, 0.0), np.where(positive, 0.0, mass)
    above = (ours * theirs.cumsum(1)).sum(1)
    pairs = ours.sum(1) * theirs.sum(1)
    found: Floats = np.divide(above, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return found
