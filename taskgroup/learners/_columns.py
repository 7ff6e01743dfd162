"""Targets of all kinds as numbers to regress on, and the way back to packed outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.learners._examples import Packed
from taskgroup.tasks import TaskSet

__all__ = ["Columns", "logits_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Columns:
    """One column per packed output: 0/1 for a binary task, one per class, a standardised value.

    Parameters
    ----------
    tasks : TaskSet
        The tasks.
    mean : ndarray of float64 of shape (n_outputs,)
        Mean of each column over the fitted labels: the share of a class, 0 for regression.
    center, scale : ndarray of float64 of shape (n_outputs,)
        Mean and standard deviation of regression targets; 0 and 1 elsewhere.
    """

    tasks: TaskSet
    mean: Floats
    center: Floats
    scale: Floats

    @classmethod
    def of(cls, tasks: TaskSet, Y: NDArray[np.float32]) -> Columns:
        """Return the columns of targets (n, T), NaN where missing."""
        width = tasks.n_outputs
        found = cls(tasks, np.zeros(width), np.zeros(width), np.ones(width))
        for t, start in enumerate(tasks.first_outputs):
            values = Y[:, t][~np.isnan(Y[:, t])].astype(np.float64)
            if tasks[t].kind == "regression" and len(values):
                found.center[start], found.scale[start] = values.mean(), values.std() or 1.0
        encoded = found.encode(Y)
        seen = ~np.isnan(encoded)
        found.mean[:] = np.where(seen, encoded, 0.0).sum(0) / np.maximum(seen.sum(0), 1)
        for task, start in zip(tasks, tasks.first_outputs, strict=True):
            if task.kind != "regression" and not seen[:, start].any():  # no label: every class is as likely
                found.mean[start : start + task.n_outputs] = 1 / (task.n_classes or 2)
        return found

    def encode(self, Y: NDArray[np.float32]) -> Floats:
        """Return targets (n, T) as columns (n, n_outputs), NaN where missing."""
        encoded = np.empty((len(Y), self.tasks.n_outputs))
        for t, (task, start) in enumerate(zip(self.tasks, self.tasks.first_outputs, strict=True)):
            y = Y[:, t].astype(np.float64)
            if task.kind == "multiclass":
                own = y[:, None] == np.arange(task.n_outputs)
                encoded[:, start : start + task.n_outputs] = np.where(np.isnan(y)[:, None], np.nan, own)
            else:
                encoded[:, start] = (y - self.center[start]) / self.scale[start]
        return encoded

    def decode(self, values: Floats, votes: int) -> Packed:
        """Return columns (n, n_outputs) that a model answered as packed outputs.

        Shares become logits after they are moved away from 0 and 1 by half of one of `votes` votes.
        """
        packed = np.empty(values.shape, np.float32)
        for task, start in zip(self.tasks, self.tasks.first_outputs, strict=True):
            own = slice(start, start + task.n_outputs)
            if task.kind == "regression":
                packed[:, own] = values[:, own] * self.scale[own] + self.center[own]
            else:
                packed[:, own] = logits_of(values[:, own], votes)
        return packed

    def bounded(self, values: Floats) -> Floats:
        """Return columns (n, n_outputs) with shares of classes kept within 0 and 1."""
        bounded = values.copy()
        for task, start in zip(self.tasks, self.tasks.first_outputs, strict=True):
            if task.kind != "regression":
                own = slice(start, start + task.n_outputs)
                bounded[:, own] = np.clip(values[:, own], 0.0, 1.0)
        return bounded

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as a JSON-able dictionary, without the tasks."""
        return {"mean": self.mean.tolist(), "center": self.center.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, tasks: TaskSet, document: Mapping[str, Any]) -> Columns:
        """Return the columns that :meth:`to_dict` wrote."""
        return cls(tasks, *(np.asarray(document[name], np.float64) for name in ("mean", "center", "scale")))


def logits_of(shares: Floats, votes: int) -> Floats:
    """Return the logits of probabilities (n, 1), or the log of those of several classes (n, C), finite for 0 and 1.

    >>> logits_of(np.array([[0.5], [1.0]]), votes=9).round(2).tolist()
    [[0.0], [2.94]]
    """
    half = 0.5 / votes
    moved = (np.clip(shares, 0.0, 1.0) + half) / (1.0 + 2.0 * half)
    found: Floats = np.log(moved) - np.log1p(-moved) if shares.shape[1] == 1 else np.log(moved)
    return found
