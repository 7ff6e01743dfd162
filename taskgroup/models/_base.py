"""What every multi-task model is: an encoder, a body that makes features per unit, and packed heads.

A *unit* is what an architecture gives its own parts (experts, gates, columns): a task, or a group of tasks.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from taskgroup._validation import check_choice, check_int, check_matrix, check_real
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import Grouping, canonical_labels
from taskgroup.models._heads import TaskHeads, output_tasks
from taskgroup.tasks import Task, TaskSet

__all__ = ["MultiTaskModel", "Units", "check_hidden", "check_levels"]

Units = Literal["task", "group"]


_LONGEST = 1200  # characters of the usual text of a module


class MultiTaskModel(nn.Module, ABC):
    """Base class of the architectures.

    Parameters
    ----------
    in_features : int
        Features D that the body reads: columns of the input, or what `encoder` returns.
    tasks : TaskSet or sequence of Task or str
        The T tasks.
    encoder : Module, optional
        Turns inputs into (B, in_features); inputs are read as they are when left out.
    units : {"task", "group"}
        What has its own parts.
    grouping : Grouping, optional
        The groups; needed for ``units="group"``.
    options : mapping
        The other arguments of the subclass's constructor, by name.

    Attributes
    ----------
    tasks : TaskSet
    n_outputs : int
        Width of the packed logits: the sum of ``task.n_outputs``.
    unit_of_task : tuple of int
        The unit of every task.
    """

    heads: TaskHeads

    def __init__(
        self,
        in_features: int,
        tasks: TaskSet | Sequence[Task | str],
        *,
        encoder: nn.Module | None,
        units: Units,
        grouping: Grouping | None,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.in_features = check_int("in_features", in_features, low=1)
        self.tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
        self.encoder = encoder
        self.units: Units = check_choice("units", units, ("task", "group"))
        self.grouping = grouping
        self.unit_of_task = _unit_of_task(self.tasks, self.units, grouping)
        self.n_units = max(self.unit_of_task) + 1
        self.n_outputs = sum(task.n_outputs for task in self.tasks)
        self.options = dict(options)

    def __repr__(self) -> str:
        full = super().__repr__()
        if len(full) <= _LONGEST:
            return full
        params = sum(value.numel() for value in self.parameters())
        parts = ", ".join(f"{name}: {type(child).__name__}" for name, child in self.named_children())
        return f"{type(self).__name__}({len(self.tasks)} tasks, {params:,} parameters; {parts})"

    @abstractmethod
    def body(self, features: Tensor) -> Tensor:
        """Return the features that heads read, (U, B, D') or a shared (1, B, D').

        ``features`` is (1, B, D) when all units read one input, (U, B, D) when each reads its own.
        """

    def encode(self, x: Tensor) -> Tensor:
        """Return the features that the body reads of inputs (B, d): (1, B, D), one input for every unit."""
        features: Tensor = x if self.encoder is None else self.encoder(x)
        return features.unsqueeze(0)

    def logits(self, x: Tensor) -> Tensor:
        """Return packed logits (B, n_outputs), in task order, of inputs (B, d)."""
        packed: Tensor = self.heads(self.body(self.encode(x)))
        return packed

    def member_logits(self, x: Tensor) -> Tensor:
        """Return the packed logits of every member of an ensemble, (k, B, n_outputs); most models have one member.

        A training loss is the mean over the members of each one's own.
        """
        return self.logits(x).unsqueeze(0)

    def merged(self, members: Tensor) -> Tensor:
        """Return the packed logits (B, n_outputs) that an ensemble answers, of those of its members."""
        return members.squeeze(0)

    def logits_each(self, x: Tensor) -> Tensor:
        """Return packed logits (B, n_outputs) where every task reads a batch of its own, x[t] of (T, B, d).

        For tasks that share no samples; needs an encoder that all tasks share and ``units="task"``.
        """
        flat = x.flatten(0, 1)
        features = flat if self.encoder is None else self.encoder(flat)
        packed: Tensor = self.heads(self.body(features.view(len(self.tasks), -1, features.shape[-1])))
        return packed

    def penalty(self) -> Tensor:
        """Return what the architecture adds to the loss, a scalar: 0 for most."""
        return self.heads.bias.new_zeros(())

    def expect_steps(self, total: int) -> None:
        """Hear how many training steps are to come at most, for schedules inside the model: most have none."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return {task name: logits}: (B,) for binary and regression tasks, (B, C) for multiclass ones."""
        columns = torch.split(self.logits(x), [task.n_outputs for task in self.tasks], dim=1)
        return {
            task.name: column if task.kind == "multiclass" else column.squeeze(1)
            for task, column in zip(self.tasks, columns, strict=True)
        }

    @torch.no_grad()
    def set_output_bias(self, values: ArrayLike) -> None:
        """Start every output at a constant: log-odds of the label, log class shares, mean of a regression target.

        Parameters
        ----------
        values : array-like of shape (n_outputs,)
        """
        checked = check_matrix("values", values, (self.n_outputs,), np.float64)
        self.heads.bias.copy_(torch.from_numpy(checked))

    def for_tasks(self, names: Iterable[str]) -> Self:
        """Return a new model that holds only these tasks, in this order, with the weights copied (a warm start).

        Parts of units that keep no task are dropped; shared parts are copied whole. Outputs of the kept tasks are
        unchanged where the architecture keeps tasks apart, as heads on a shared bottom do.
        """
        tasks = self.tasks.select(names)
        old = [self.tasks.index_of(name) for name in tasks.names]
        grouping = self.grouping
        if grouping is not None:
            labels = [grouping.labels[grouping.tasks.index_of(name)] for name in tasks.names]
            grouping = Grouping.from_labels(tasks, labels)
        with torch.random.fork_rng(devices=[]):
            model = type(self)(
                self.in_features, tasks, encoder=copy.deepcopy(self.encoder), units=self.units, grouping=grouping,
                **self._options_for(old),
            )  # fmt: skip
        roles, kept = _roles(self), self._kept(old)
        state = {name: _cut(value, roles.get(name, ()), kept) for name, value in self.state_dict().items()}
        model.load_state_dict(state)
        first = next(self.parameters())
        return model.to(first.device, first.dtype).train(self.training)

    def _options_for(self, tasks: Sequence[int]) -> dict[str, Any]:
        """Return the constructor's other arguments for a model of some of the tasks."""
        return self.options

    def _kept(self, tasks: Sequence[int]) -> dict[str, list[int]]:
        """Return, for each role an axis may have, the old positions that a model of some tasks keeps."""
        units = list(dict.fromkeys(self.unit_of_task[t] for t in tasks))
        owners = output_tasks(self.tasks)
        return {
            "task": list(tasks),
            "output": [column for t in tasks for column, owner in enumerate(owners) if owner == t],
            "unit": units,
        }


def check_hidden(hidden: Sequence[int], dropout: float, tower: int) -> tuple[int, ...]:
    """Return the hidden widths after checking them, the dropout and the width of towers."""
    widths = tuple(check_int("hidden", width, low=1) for width in hidden)
    if check_real("dropout", dropout, low=0.0, high=1.0) == 1.0:
        raise InvalidInputError("`dropout` must be below 1; got 1, which zeroes every hidden value.")
    check_int("tower", tower, low=0)
    return widths


def check_levels(hidden: Sequence[int | Sequence[int]], dropout: float, tower: int) -> tuple[tuple[int, ...], ...]:
    """Return the layer widths of every level after checking them; a number stands for one layer."""
    levels = tuple(check_hidden([level] if isinstance(level, int) else level, dropout, tower) for level in hidden)
    if not levels or not all(levels):
        raise InvalidInputError(f"`hidden` must hold a width for each of one or more levels; got {hidden!r}.")
    return levels


def _unit_of_task(tasks: TaskSet, units: Units, grouping: Grouping | None) -> tuple[int, ...]:
    if units == "task":
        return tuple(range(len(tasks)))
    if grouping is None:
        raise InvalidInputError('`units="group"` needs a `grouping`; got none. Cluster the tasks first.')
    positions = [grouping.tasks.index_of(name) for name in tasks.names]
    return tuple(int(label) for label in canonical_labels(grouping.labels[positions]))


def _roles(model: nn.Module) -> dict[str, tuple[str | None, ...]]:
    """Return what the axes of every parameter count, by full parameter name."""
    return {
        f"{prefix}.{name}" if prefix else name: axes
        for prefix, module in model.named_modules()
        for name, axes in getattr(module, "roles", {}).items()
    }


def _cut(value: Tensor, axes: Sequence[str | None], kept: Mapping[str, Sequence[int]]) -> Tensor:
    for axis, role in enumerate(axes):
        if role is not None:
            value = value.index_select(axis, torch.tensor(kept[role], device=value.device))
    return value
