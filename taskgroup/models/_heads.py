"""The heads of all tasks: an optional hidden layer (tower) each, then one packed linear map.

Outputs are packed in task order: 1 column for a binary or regression task, C columns for C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taskgroup.models._layers import BatchedLinear, Roles, pick, shared, take
from taskgroup.tasks import TaskSet

__all__ = ["TaskHeads", "output_tasks"]


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
    """

    def __init__(
        self, tasks: TaskSet, in_features: int, tower: int = 0, unit_of_task: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        n_tasks = len(tasks)
        self.unit_of_task = None if unit_of_task is None else pick(unit_of_task, n_tasks)
        self.tower = BatchedLinear(n_tasks, in_features, tower, "task") if tower else None
        last = nn.Linear(tower or in_features, sum(task.n_outputs for task in tasks))
        self.weight, self.bias = last.weight, last.bias
        self.roles: Roles = {"weight": ("output", None), "bias": ("output",)}
        self._columns = _padded_columns([task.n_outputs for task in tasks])

    def forward(self, features: Tensor) -> Tensor:
        """Return packed logits (B, n_outputs) of features (U, B, D), or of one shared (1, B, D)."""
        features = take(features, self.unit_of_task)
        if self.tower is not None:
            features = torch.relu(self.tower(features))  # (T, B, tower)
        if shared(features):
            return F.linear(features.squeeze(0), self.weight, self.bias)
        return self._own_heads(features)

    def _own_heads(self, features: Tensor) -> Tensor:
        """Apply the rows of task t to ``features[t]``: tasks of fewer outputs than the largest are padded."""
        n_tasks, _, width = features.shape
        if self._columns is None:
            logits = torch.bmm(features, self.weight.view(n_tasks, -1, width).transpose(1, 2))  # (T, B, C)
            return logits.transpose(0, 1).flatten(1) + self.bias
        rows, kept = (torch.tensor(index, device=features.device) for index in self._columns)
        weight = self.weight.index_select(0, rows).view(n_tasks, -1, width)  # (T, C, D)
        logits = torch.bmm(features, weight.transpose(1, 2))
        return logits.transpose(0, 1).flatten(1).index_select(1, kept) + self.bias


def output_tasks(tasks: TaskSet) -> list[int]:
    """Return the task number of every packed output column."""
    return [t for t, task in enumerate(tasks) for _ in range(task.n_outputs)]


def _padded_columns(sizes: Sequence[int]) -> tuple[list[int], list[int]] | None:
    """Return, for unequal sizes, the packed row behind each of T * max(sizes) slots and the slots to keep."""
    widest = max(sizes)
    if min(sizes) == widest:
        return None
    rows: list[int] = []
    kept: list[int] = []
    start = 0
    for t, size in enumerate(sizes):
        rows += [start + min(c, size - 1) for c in range(widest)]
        kept += [t * widest + c for c in range(size)]
        start += size
    return rows, kept
