"""The main metrics alone, for searches that score thousands of answers: one sort per task, ties fall as they do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from taskgroup.tasks import TaskSet

__all__ = ["main_scores"]

Floats = NDArray[np.float64]


def main_scores(tasks: TaskSet, Y: NDArray[np.float32], packed: NDArray[np.floating]) -> Floats:
    """Return AUC, accuracy or R2 of every task (T,), NaN where undefined, without anything else.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    Y : ndarray of float32 of shape (n, T)
        Targets, NaN where missing.
    packed : ndarray of shape (n, n_outputs)
        Packed outputs.

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
        scores[binary] = _aucs(Y[:, binary], packed[:, [starts[t] for t in binary]])
    for t, task in enumerate(tasks):
        seen = ~np.isnan(Y[:, t])
        y = Y[seen, t].astype(np.float64)
        if task.kind == "binary" or not len(y):
            continue
        own = packed[seen, starts[t] : starts[t] + task.n_outputs]
        if task.kind == "multiclass":
            scores[t] = (own.argmax(1) == y).mean()
        elif (spread := ((y - y.mean()) ** 2).sum()) > 0:
            scores[t] = 1 - ((y - own[:, 0]) ** 2).sum() / spread
    return scores


def _aucs(Y: NDArray[np.float32], z: NDArray[np.floating]) -> Floats:
    """Return the areas under the ROC curves of some tasks from targets and logits (n, m); ties fall as they do."""
    seen, positive = ~np.isnan(Y.T), Y.T == 1
    values = np.where(seen, z.T, np.inf).astype(np.float32)  # those without a label come last and move nobody
    order = values.argsort(axis=1)
    ranked = np.take_along_axis(positive, order, 1)
    n_positive = positive.sum(1)
    n_negative = seen.sum(1) - n_positive
    above = (ranked * np.arange(1, ranked.shape[1] + 1)).sum(1) - n_positive * (n_positive + 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where((n_positive > 0) & (n_negative > 0), above / (n_positive * n_negative), np.nan))
