"""Networks that share nothing: one for each task, or one for each group of tasks, in one module.

With ``units="group"`` this is the plain grouped model: a trunk per group, the group's heads on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from taskgroup.grouping import Grouping
from taskgroup.models._base import MultiTaskModel, Units, check_hidden
from taskgroup.models._encoders import StackedEncoder
from taskgroup.models._heads import TaskHeads
from taskgroup.models._layers import BatchedMLP
from taskgroup.tasks import Task, TaskSet

__all__ = ["SingleTask"]


class SingleTask(MultiTaskModel):
    """A trunk of its own for each unit, all trunks run at once.

    Parameters
    ----------
    in_features : int
        Features that each trunk reads.
    tasks : TaskSet or sequence of Task or str
        The T tasks.
    hidden : sequence of int, default (128, 64)
        Widths of every trunk's layers.
    dropout : float, default 0
        Dropout after each hidden layer, in [0, 1).
    tower : int, default 0
        Width of each task's own hidden layer; 0 for a linear head.
    encoder : Module, optional
        Turns inputs into (B, in_features). Every unit gets a copy of its own, with fresh weights where the module's
        parts have ``reset_parameters``.
    units : {"task", "group"}, default "task"
        One trunk for each task or for each group.
    grouping : Grouping, optional
        The groups, for ``units="group"``.

    Raises
    ------
    InvalidInputError
        When an argument breaks its rule.

    Examples
    --------
    >>> import torch
    >>> model = SingleTask(5, ["a", "b"], hidden=(8,))
    >>> model.logits(torch.zeros(3, 5)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        in_features: int,
        tasks: TaskSet | Sequence[Task | str],
        *,
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.0,
        tower: int = 0,
        encoder: nn.Module | None = None,
        units: Units = "task",
        grouping: Grouping | None = None,
    ) -> None:
        options = {"hidden": check_hidden(hidden, dropout, tower), "dropout": dropout, "tower": tower}
        super().__init__(in_features, tasks, encoder=None, units=units, grouping=grouping, options=options)
        if encoder is not None:
            one = encoder.unstacked() if isinstance(encoder, StackedEncoder) else encoder
            self.encoder = StackedEncoder(one, self.n_units)
        self.trunks = BatchedMLP(self.n_units, (in_features, *hidden), dropout, role="unit")
        width = hidden[-1] if hidden else in_features
        self.heads = TaskHeads(self.tasks, width, tower, self.unit_of_task)

    def encode(self, x: Tensor) -> Tensor:
        """Return every unit's own features of inputs (B, d): (U, B, D), or (1, B, d) without an encoder."""
        features: Tensor = x.unsqueeze(0) if self.encoder is None else self.encoder(x)
        return features

    def body(self, features: Tensor) -> Tensor:
        """Return every trunk's features, (U, B, D')."""
        own: Tensor = self.trunks(features)
        return own
