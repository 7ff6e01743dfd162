"""One trunk for all tasks, a head each (Caruana, Machine Learning 28, 1997)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from taskgroup.grouping import Grouping
from taskgroup.models._base import MultiTaskModel, Units, check_hidden
from taskgroup.models._heads import TaskHeads
from taskgroup.models._layers import MLP
from taskgroup.tasks import Task, TaskSet

__all__ = ["SharedBottom"]


class SharedBottom(MultiTaskModel):
    """Heads of all tasks on one shared trunk.

    Parameters
    ----------
    in_features : int
        Features that the trunk reads.
    tasks : TaskSet or sequence of Task or str
        The T tasks.
    hidden : sequence of int, default (128, 64)
        Widths of the trunk's layers; empty puts the heads on the encoder's output.
    dropout : float, default 0
        Dropout after each hidden layer, in [0, 1).
    tower : int, default 0
        Width of each task's own hidden layer; 0 for a linear head.
    encoder : Module, optional
        Turns inputs into (B, in_features).
    units, grouping
        Accepted like in every architecture; a shared trunk has nothing that belongs to units.

    Raises
    ------
    InvalidInputError
        When an argument breaks its rule.

    Examples
    --------
    >>> import torch
    >>> model = SharedBottom(5, ["a", "b"], hidden=(8,))
    >>> model.logits(torch.zeros(3, 5)).shape
    torch.Size([3, 2])
    >>> sum(p.numel() for p in model.parameters())  # 5 x 8 + 8 and 2 x (8 + 1)
    66
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
        super().__init__(in_features, tasks, encoder=encoder, units=units, grouping=grouping, options=options)
        self.trunk = MLP((in_features, *hidden), dropout)
        self.heads = TaskHeads(self.tasks, self.trunk.out_features, tower)

    def body(self, features: Tensor) -> Tensor:
        """Return the trunk's features of (1, B, D), or of each task's own input (T, B, D)."""
        hidden: Tensor = self.trunk(features)
        return hidden
