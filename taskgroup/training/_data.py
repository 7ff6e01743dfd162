"""A table as tensors: scaled inputs, targets with a mask, and where each output should start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from taskgroup._display import brief
from taskgroup.data import InputSchema, TaskTable
from taskgroup.tasks import TaskSet

__all__ = ["Part", "TargetScale", "TrainingData"]


class Part(NamedTuple):
    """Some rows of a table."""

    x: Tensor  # (n, d) float32, scaled
    y: Tensor  # (n, T) float32: 0/1, class codes or standardised values; 0 where missing
    seen: Tensor  # (n, T) float32: weight of the label, 1 unless weights are given; 0 where missing


@dataclass(frozen=True, eq=False)
class TargetScale:
    """Mean and standard deviation of regression targets by packed output; 0 and 1 for logits.

    Parameters
    ----------
    mean, scale : ndarray of float32 of shape (n_outputs,)
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def restore(self, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return packed model outputs (n, n_outputs) in target units."""
        restored: NDArray[np.float32] = packed * self.scale + self.mean
        return restored

    def take(self, columns: list[int]) -> TargetScale:
        """Return the scale of some of the outputs."""
        return TargetScale(self.mean[columns], self.scale[columns])


@brief
@dataclass(frozen=True, eq=False)
class TrainingData:
    """What models are fitted on; build it with :meth:`from_table` or :meth:`from_rows`.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    schema : InputSchema
        Scales the inputs.
    train, valid : Part
        Rows that weights are fitted to, and rows that say when to stop.
    target_scale : TargetScale
        Undoes the standardisation of regression targets.
    output_bias : ndarray of float32 of shape (n_outputs,)
        Label log-odds, log class shares, or 0, from the training rows.
    """

    tasks: TaskSet
    schema: InputSchema
    train: Part
    valid: Part
    target_scale: TargetScale
    output_bias: NDArray[np.float32]

    @classmethod
    def from_table(cls, table: TaskTable) -> TrainingData:
        """Return the training and validation rows of a table as tensors."""
        return cls.from_rows(
            table.tasks,
            table.schema,
            table.schema.transform(table.X),
            table.Y,
            table.rows("train"),
            table.rows("valid"),
            table.label_weights,
        )

    @classmethod
    def from_rows(
        cls,
        tasks: TaskSet,
        schema: InputSchema,
        scaled: NDArray[np.float32],
        Y: NDArray[np.float32],
        train: NDArray[np.int64],
        valid: NDArray[np.int64],
        weights: NDArray[np.float32] | None = None,
    ) -> TrainingData:
        """Return the tensors of some rows; regression targets are standardised on the training rows.

        Parameters
        ----------
        tasks, schema
            Of the table.
        scaled : ndarray of float32 of shape (n, d)
            Inputs as models see them.
        Y : ndarray of float32 of shape (n, T)
            Targets, NaN where missing.
        train, valid : ndarray of int64
            Row numbers.
        weights : ndarray of float32 of shape (n, T), optional
            Weight of each label.
        """
        targets = Y[train]
        scale = _target_scale(targets, tasks)
        of_task = tasks.first_outputs
        mean, deviation = scale.mean[of_task], scale.scale[of_task]
        train_part, valid_part = (
            _part(scaled[rows], (Y[rows] - mean) / deviation, None if weights is None else weights[rows])
            for rows in (train, valid)
        )
        return cls(tasks, schema, train_part, valid_part, scale, _output_bias(targets, tasks))

    def to(self, device: torch.device | str) -> TrainingData:
        """Return the same data with its tensors on a device."""
        train, valid = (Part(*(tensor.to(device) for tensor in part)) for part in (self.train, self.valid))
        return replace(self, train=train, valid=valid)

    def outputs_of(self, names: Iterable[str]) -> list[int]:
        """Return the packed output columns of some tasks, in the order given."""
        return self.tasks.output_columns(names)


def _part(inputs: NDArray[np.float32], targets: NDArray[np.float32], weights: NDArray[np.float32] | None) -> Part:
    seen = ~np.isnan(targets)
    return Part(
        torch.from_numpy(np.ascontiguousarray(inputs)),
        torch.from_numpy(np.where(seen, targets, 0.0).astype(np.float32)),
        torch.from_numpy((seen if weights is None else np.where(seen, weights, 0.0)).astype(np.float32)),
    )


def _target_scale(targets: NDArray[np.float32], tasks: TaskSet) -> TargetScale:
    mean = np.zeros(tasks.n_outputs, np.float32)
    scale = np.ones_like(mean)
    for t, start in enumerate(tasks.first_outputs):
        if tasks[t].kind == "regression":
            values = targets[:, t][~np.isnan(targets[:, t])]
            if len(values):
                mean[start] = values.mean(dtype=np.float64)
                scale[start] = values.std(dtype=np.float64) or 1.0
    return TargetScale(mean, scale)


def _output_bias(targets: NDArray[np.float32], tasks: TaskSet) -> NDArray[np.float32]:
    """Return the logits of the smoothed label shares (half a count is added to every class)."""
    parts = []
    for t, task in enumerate(tasks):
        if task.kind == "regression":
            parts.append(np.zeros(1))
            continue
        values = targets[:, t][~np.isnan(targets[:, t])].astype(np.int64)
        log_shares = np.log(np.bincount(values, minlength=task.n_classes or 2) + 0.5)
        parts.append(log_shares[1:] - log_shares[:1] if task.kind == "binary" else log_shares - log_shares.mean())
    return np.concatenate(parts).astype(np.float32)
