"""Blends: weighted means of the answers of a few methods, chosen on honest answers.

Greedy selection with replacement (Caruana et al., ICML 2004): starting from nothing, the method whose addition gives
the best mean score over the tasks is added, again and again; how often each was added is its weight. One set of weights
serves all tasks, for a task with ten positives would choose by luck.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from taskgroup.tasks import TaskSet

__all__ = ["greedy_weights", "mean_scores"]

Floats = NDArray[np.float64]
Packed = NDArray[np.float32]

_ROUNDS = 24


def greedy_weights(
    tasks: TaskSet, Y: NDArray[np.float32], answers: Mapping[str, Packed], *, rounds: int = _ROUNDS
) -> dict[str, float]:
    """Return {method: weight}, summing to 1, of the blend that greedy selection finds.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    Y : ndarray of float32 of shape (n, T)
        Targets, NaN where missing.
    answers : dict
        {method: honest packed outputs (n, n_outputs)}, on one scale.
    rounds : int
        Methods that are added.
    """
    names = list(answers)
    counts = np.zeros(len(names))
    total = np.zeros_like(next(iter(answers.values())), dtype=np.float64)
    best, kept = -np.inf, counts
    for n in range(1, rounds + 1):
        scores = [_mean(mean_scores(tasks, Y, (total + answers[name]) / n)) for name in names]
        chosen = int(np.argmax(scores))
        counts = counts.copy()
        counts[chosen] += 1
        total += answers[names[chosen]]
        if scores[chosen] > best:
            best, kept = scores[chosen], counts
    return {name: float(count / kept.sum()) for name, count in zip(names, kept, strict=True) if count}


def mean_scores(tasks: TaskSet, Y: NDArray[np.float32], packed: NDArray[np.floating]) -> Floats:
    """Return the main metric of every task (T,), NaN where undefined: AUC, accuracy or R2."""
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
    """Return the areas under the ROC curves of some tasks from targets and logits (n, m)."""
    seen, positive = ~np.isnan(Y), Y == 1
    ranks = rankdata(np.where(seen, z, np.inf), axis=0)  # those without a label come last and move nobody
    n_positive = positive.sum(0)
    n_negative = seen.sum(0) - n_positive
    with np.errstate(invalid="ignore", divide="ignore"):
        above = (ranks * positive).sum(0) - n_positive * (n_positive + 1) / 2
        return np.asarray(np.where((n_positive > 0) & (n_negative > 0), above / (n_positive * n_negative), np.nan))


def _mean(scores: Floats) -> float:
    defined = scores[~np.isnan(scores)]
    return float(defined.mean()) if len(defined) else -np.inf
