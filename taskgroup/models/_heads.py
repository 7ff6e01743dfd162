"""The heads of all tasks: an optional hidden layer (tower) each, then one packed linear map.

Outputs are packed in task order: 1 column for a binary or regression task, C columns for C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taskgroup.models._layers import BatchedLinear, Pick, Roles, pick, row_major_gradient, rows, shared, take
from taskgroup.tasks import TaskSet

__all__ = ["TaskHeads", "output_tasks"]

_WASTE = 1.5  # padded slots a task up to which running tasks side by side in their unit beats copying its features


class TaskHeads(nn.Module):
    """Heads of T tasks on the features of U units, without a loop over tasks.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    in_features : int
        Features D of every unit.
    tower : int
        Width of each task's own hidden layer; 0 for a linear head.
    unit_of_task : sequence of int of length T, optional
        The unit that each task reads; task t reads unit t when left out.

    Attributes
    ----------
    weight : Parameter of shape (n_outputs, tower or D)
        Rows of task t are those of its outputs.
    bias : Parameter of shape (n_outputs,)

    Notes
    -----
    Values are kept feature-major, (features, B), so that the towers of tasks on one unit are one matrix product whose
    result is already laid out for the heads. Units of fewer tasks, and tasks of fewer outputs, than the largest are
    padded by repeated weights whose results are dropped.
    """

    def __init__(
        self, tasks: TaskSet, in_features: int, tower: int = 0, unit_of_task: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        units = list(range(len(tasks))) if unit_of_task is None else list(unit_of_task)
        sizes = [task.n_outputs for task in tasks]
        self.tower = BatchedLinear(len(tasks), in_features, tower, "task") if tower else None
        last = nn.Linear(tower or in_features, sum(sizes))
        self.weight, self.bias = last.weight, last.bias
        self.roles: Roles = {"weight": ("output", None), "bias": ("output",)}
        self._one_unit = _Layout.of([list(range(len(tasks)))], None, sizes)
        self._own_units = _layout_of_units(units, sizes)

    def forward(self, features: Tensor) -> Tensor:
        """Return packed logits (B, n_outputs) of features (U, B, D), or of one shared (1, B, D)."""
        if shared(features) and self.tower is None:
            return F.linear(features.squeeze(0), self.weight, self.bias)
        layout = self._one_unit if shared(features) else self._own_units
        values = row_major_gradient(take(features, layout.units)).transpose(1, 2)  # (V, D, B), V blocks of n task slots
        n_blocks, _, n_samples = values.shape
        if self.tower is not None:
            weight = rows(self.tower.weight, layout.tasks).view(n_blocks, -1, values.shape[1])  # (V, n * tower, D)
            bias = rows(self.tower.bias, layout.tasks).view(n_blocks, -1, 1)
            values = torch.baddbmm(bias, weight, values).relu_()
            values = values.view(-1, self.weight.shape[1], n_samples)  # (V * n, tower, B)
        weight = rows(self.weight, layout.outputs).view(len(values), -1, values.shape[1])
        logits = torch.bmm(weight, values).view(-1, n_samples)
        return rows(logits, layout.kept).t() + self.bias


@dataclass(frozen=True)
class _Layout:
    """Where tasks and outputs sit when V blocks of n slots are computed at once; None means "as they are".

    Attributes
    ----------
    units : unit of every block
    tasks : task of every slot, (V * n,)
    outputs : packed output of every computed row, (V * n * largest task,)
    kept : computed row of every packed output, (n_outputs,)
    """

    units: Pick
    tasks: Pick
    outputs: Pick
    kept: Pick

    @classmethod
    def of(cls, blocks: Sequence[Sequence[int]], units: Pick, sizes: Sequence[int]) -> _Layout:
        """Return the layout of blocks of tasks, padded to equal length by repeating their last one."""
        n_slots, widest = max(map(len, blocks)), max(sizes)
        starts = [sum(sizes[:t]) for t in range(len(sizes))]
        slots = [block[min(i, len(block) - 1)] for block in blocks for i in range(n_slots)]
        outputs = [starts[t] + min(c, sizes[t] - 1) for t in slots for c in range(widest)]
        first = {o: row for row, o in reversed(list(enumerate(outputs)))}
        kept = [first[o] for o in range(sum(sizes))]
        return cls(units, pick(slots, len(sizes)), pick(outputs, sum(sizes)), pick(kept, len(outputs)))


def output_tasks(tasks: TaskSet) -> list[int]:
    """Return the task number of every packed output column."""
    return [t for t, task in enumerate(tasks) for _ in range(task.n_outputs)]


def _layout_of_units(units: Sequence[int], sizes: Sequence[int]) -> _Layout:
    """Return one block a unit when groups are about equal, else one block a task, on a copy of its unit's features."""
    blocks = [[t for t, unit in enumerate(units) if unit == u] for u in range(max(units) + 1)]
    if len(blocks) * max(map(len, blocks)) <= _WASTE * len(units):
        return _Layout.of(blocks, None, sizes)
    return _Layout.of([[t] for t in range(len(units))], pick(units, max(units) + 1), sizes)
