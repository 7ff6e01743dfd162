"""The labels that the tracker meets, kept once per sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import TaskSet

__all__ = ["Targets"]


class Targets:
    """Labels (N, T) in a small type: int8 for classes, -1 where missing; float32 for real numbers, NaN where missing.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    n_samples : int
        Number of rows N.
    given : ndarray of float32 of shape (N, T), optional
        Labels known from the start; then nothing is recorded.
    """

    def __init__(self, tasks: TaskSet, n_samples: int, given: NDArray[np.float32] | None = None) -> None:
        self._real = any(task.kind == "regression" for task in tasks)
        small = max(task.n_outputs for task in tasks) <= 127
        dtype = np.dtype(np.float32 if self._real else np.int8 if small else np.int32)
        self.values: NDArray[Any] = np.full((n_samples, len(tasks)), np.nan if self._real else -1, dtype)
        self.given = given is not None
        self._names = tasks.names
        self.changed = np.zeros(n_samples, bool)  # rows not yet written to disk or sent to other processes
        self._complete = False
        self._known: NDArray[np.bool_] = np.zeros(n_samples, bool)
        if given is not None:
            self.values[:] = self._stored(given)

    def record(self, rows: NDArray[np.int64], labels: NDArray[np.float32], partial: bool = False) -> None:
        """Keep the labels (B, T) of rows met for the first time; of all rows when the batch lacks some tasks."""
        if self.given or (not partial and (self._complete or self._known[rows].all())):
            return
        values = self._stored(labels)
        if partial:
            values = np.where(self._missing(values), self.values[rows], values)
        self.values[rows] = values
        self._known[rows] = self.changed[rows] = True

    def check(self, rows: NDArray[np.int64], labels: NDArray[np.float32], where: str) -> None:
        """Raise when a label differs from the one that was stored for the same sample; missing ones never do."""
        stored, given = self.values[rows], self._stored(labels)
        differ = (stored != given) & ~self._missing(stored) & ~self._missing(given)
        if differ.any():
            b, t = (int(i) for i in np.argwhere(differ)[0])
            raise InvalidInputError(
                f"{where}, task {self._names[t]!r}: sample {rows[b]} had the label {stored[b, t]:g} before and now has "
                f"{given[b, t]:g}, one of {int(differ.sum())} labels that differ. Ids must mean the same sample in "
                "every epoch: number the training rows once, before shuffling, or wrap the dataset in IndexedDataset."
            )

    @property
    def complete(self) -> bool:
        """Whether the labels of all rows are known."""
        return self.given or self._complete

    def settle(self) -> None:
        """Look whether all rows are known, so that later batches need not look."""
        self._complete = bool(self._known.all())

    def load(self, values: NDArray[Any]) -> None:
        """Take over stored labels."""
        self.values[:] = values
        self._known = np.logical_not(self._missing(self.values).all(1))
        self.changed[:] = self._known
        self.settle()

    def merge(self, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Fill what is missing here from stored labels of some rows."""
        if len(rows):
            mine: NDArray[Any] = self.values[rows]
            self.values[rows] = np.where(self._missing(mine), values, mine)
            self._known[rows] = self.changed[rows] = True

    def labels(self, rows: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.float32]:
        """Return labels as float32, NaN where missing."""
        values = self.values[rows].astype(np.float32)
        if not self._real:
            values[values < 0] = np.nan
        return values

    def _stored(self, labels: NDArray[np.float32]) -> NDArray[Any]:
        if self._real:
            return labels
        missing = np.isnan(labels)
        return (np.where(missing, np.float32(-1), labels) if missing.any() else labels).astype(self.values.dtype)

    def _missing(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        missing: NDArray[np.bool_] = np.isnan(values) if self._real else values < 0
        return missing
