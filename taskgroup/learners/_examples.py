"""What learners see of a table: features in two forms, targets with holes, no split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._display import brief
from taskgroup.data import InputSchema, TaskTable
from taskgroup.tasks import TaskSet

__all__ = ["Examples", "Inputs", "Packed"]

Packed = NDArray[np.float32]
"""Outputs (n, n_outputs) in task order: a logit per binary task, C logits per multiclass task, a value in the units of
the target per regression task."""


@brief
@dataclass(frozen=True, eq=False)
class Inputs:
    """The same rows in two forms.

    Parameters
    ----------
    raw : ndarray of float32 of shape (n, d)
        Features as they came, in the units of the schema; NaN where one is missing, codes in categorical columns.
    scaled : ndarray of float32 of shape (n, d')
        What the schema makes of them: finite, at unit scale.
    """

    raw: NDArray[np.float32]
    scaled: NDArray[np.float32]

    @classmethod
    def of(cls, X: NDArray[Any], schema: InputSchema) -> Inputs:
        """Return both forms of raw rows (n, d)."""
        raw = schema.units.seen(X)
        return cls(raw, schema.scaled(raw))

    def take(self, rows: NDArray[np.int64]) -> Inputs:
        """Return some of the rows, copied."""
        return Inputs(np.ascontiguousarray(self.raw[rows]), np.ascontiguousarray(self.scaled[rows]))

    def __len__(self) -> int:
        return len(self.raw)


@brief
@dataclass(frozen=True, eq=False)
class Examples:
    """All rows of a table; learners are told which of them to fit.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    schema : InputSchema
        Makes the scaled inputs; fitted on the training rows, without their labels.
    inputs : Inputs
        Features of the n rows.
    Y : ndarray of float32 of shape (n, T)
        Targets, NaN where a label is missing.
    weights : ndarray of float32 of shape (n, T), optional
        Weight of each label; 1 when left out. A label of weight 0 counts as missing.
    """

    tasks: TaskSet
    schema: InputSchema
    inputs: Inputs
    Y: NDArray[np.float32]
    weights: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and (self.weights == 0).any():
            object.__setattr__(self, "Y", np.where(self.weights == 0, np.float32(np.nan), self.Y))

    @classmethod
    def from_table(cls, table: TaskTable) -> Examples:
        """Return the rows of a table; the weights of each task's labels are 1 on average."""
        return cls(table.tasks, table.schema, Inputs.of(table.X, table.schema), table.Y, table.label_weights)

    def targets(self, rows: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.float32]:
        """Return the targets of some tasks on some rows, (n_rows, n_names)."""
        return np.ascontiguousarray(self.Y[rows][:, self._columns(names)])

    def label_weights(self, rows: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.float32] | None:
        """Return the weights of the labels of some tasks on some rows, (n_rows, n_names), or None when all are 1."""
        if self.weights is None:
            return None
        return np.ascontiguousarray(self.weights[rows][:, self._columns(names)])

    def _columns(self, names: Sequence[str]) -> list[int]:
        return [self.tasks.index_of(name) for name in names]
