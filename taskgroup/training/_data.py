"""A table as tensors: scaled inputs, targets with a mask, and where each output should start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from taskgroup.data import SPLITS, InputSchema, TaskTable
from taskgroup.tasks import TaskSet

__all__ = ["Part", "TargetScale", "TrainingData", "first_outputs", "output_columns"]


class Part(NamedTuple):
    """The rows of one split."""

    x: Tensor  # (n, d) float32, scaled
    y: Tensor  # (n, T) float32: 0/1, class codes or standardised values; 0 where missing
    seen: Tensor  # (n, T) float32: 1 where labelled, 0 where missing


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


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What models are fitted on; build it with :meth:`from_table`.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    schema : InputSchema
        Scales the inputs.
    train, valid, test : Part
    target_scale : TargetScale
        Undoes the standardisation of regression targets.
    output_bias : ndarray of float32 of shape (n_outputs,)
        Label log-odds, log class shares, or 0, from the training rows.
    """

    tasks: TaskSet
    schema: InputSchema
    train: Part
    valid: Part
    test: Part
    target_scale: TargetScale
    output_bias: NDArray[np.float32]

    @classmethod
    def from_table(cls, table: TaskTable) -> TrainingData:
        """Return the tensors of a table; regression targets are standardised on the training rows."""
        targets = table.targets("train")
        scale = _target_scale(targets, table.tasks)
        bias = _output_bias(targets, table.tasks)
        of_task = first_outputs(table.tasks)
        mean, deviation = scale.mean[of_task], scale.scale[of_task]
        parts = {split: _part(table.inputs(split), (table.targets(split) - mean) / deviation) for split in SPLITS}
        return cls(table.tasks, table.schema, parts["train"], parts["valid"], parts["test"], scale, bias)

    def outputs_of(self, names: Iterable[str]) -> list[int]:
        """Return the packed output columns of some tasks, in the order given."""
        return output_columns(self.tasks, names)


def output_columns(tasks: TaskSet, names: Iterable[str]) -> list[int]:
    """Return the packed output columns of some of the tasks, in the order given.

    >>> from taskgroup.tasks import Task
    >>> output_columns(TaskSet(["a", Task("b", "multiclass", 3), "c"]), ["c", "b"])
    [4, 1, 2, 3]
    """
    starts = first_outputs(tasks)
    chosen = [tasks.index_of(name) for name in names]
    return [starts[t] + c for t in chosen for c in range(tasks[t].n_outputs)]


def first_outputs(tasks: TaskSet) -> list[int]:
    """Return the first packed output column of every task."""
    sizes = [task.n_outputs for task in tasks]
    return [sum(sizes[:t]) for t in range(len(sizes))]


def _part(inputs: NDArray[np.float32], targets: NDArray[np.float32]) -> Part:
    seen = ~np.isnan(targets)
    return Part(
        torch.from_numpy(np.ascontiguousarray(inputs)),
        torch.from_numpy(np.where(seen, targets, 0.0).astype(np.float32)),
        torch.from_numpy(seen.astype(np.float32)),
    )


def _target_scale(targets: NDArray[np.float32], tasks: TaskSet) -> TargetScale:
    mean = np.zeros(sum(task.n_outputs for task in tasks), np.float32)
    scale = np.ones_like(mean)
    for t, start in enumerate(first_outputs(tasks)):
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
