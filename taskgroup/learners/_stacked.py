"""Labels of several tasks one below the other, for models that know one target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.tasks import Task

__all__ = ["Stacked", "stacked", "with_task"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stacked:
    """All labels of T tasks, task by task.

    Parameters
    ----------
    task, row : ndarray of int64 of shape (n,)
        Where each label stood.
    y : ndarray of float64 of shape (n,)
        The labels.
    weight : ndarray of float64 of shape (n,), optional
        Their weights; 1 when left out.
    complete : bool
        Whether no task misses a label.
    """

    task: NDArray[np.int64]
    row: NDArray[np.int64]
    y: Floats
    weight: Floats | None
    complete: bool

    def center(self, tasks: Sequence[Task]) -> Floats:
        """Return where the outputs of each task start: smoothed log-odds, log class shares, or the mean."""
        return np.concatenate([_center(task, *self._of(t)) for t, task in enumerate(tasks)])

    def scale(self, tasks: Sequence[Task]) -> Floats:
        """Return the standard deviations of regression targets, 1 for logits."""
        found = []
        for t, task in enumerate(tasks):
            y, weight = self._of(t)
            regression = task.kind == "regression" and len(y)
            found.append(np.full(task.n_outputs, (_deviation(y, weight) or 1.0) if regression else 1.0))
        return np.concatenate(found)

    def _of(self, task: int) -> tuple[Floats, Floats | None]:
        own = self.task == task
        return self.y[own], None if self.weight is None else self.weight[own]


def stacked(Y: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]] | None = None) -> Stacked:
    """Return the labels of (n, T) one below the other; what is NaN, or has no weight, is left out.

    >>> found = stacked(np.array([[1.0, np.nan], [0.0, 1.0]]))
    >>> found.task.tolist(), found.row.tolist(), found.y.tolist()
    ([0, 0, 1], [0, 1, 1], [1.0, 0.0, 1.0])
    """
    seen = ~np.isnan(Y)
    if weights is not None:
        seen &= weights > 0
    task, row = np.nonzero(seen.T)
    weight = None if weights is None else weights[row, task].astype(np.float64)
    return Stacked(task, row, Y[row, task].astype(np.float64), weight, bool(seen.all()))


def with_task(x: NDArray[Any], task: NDArray[np.int64], one_hot: int = 0) -> NDArray[Any]:
    """Return features (n, d) with the number of the task, or `one_hot` columns that mark it, after them."""
    own = task[:, None] == np.arange(one_hot) if one_hot else task[:, None]
    return np.hstack([x, own.astype(x.dtype)])


def _center(task: Task, y: Floats, weight: Floats | None) -> Floats:
    if task.kind == "regression":
        return np.array([np.average(y, weights=weight) if len(y) else 0.0])
    shares: Floats = np.log(np.bincount(y.astype(int), weight, minlength=task.n_classes or 2) + 0.5)
    return shares[1:] - shares[:1] if task.kind == "binary" else shares


def _deviation(y: Floats, weight: Floats | None) -> float:
    mean = np.average(y, weights=weight)
    return float(np.sqrt(np.average((y - mean) ** 2, weights=weight)))
