"""Multi-gate mixture of experts (Ma et al., KDD 2018), with one or several levels.

E experts are shared by all. A gate mixes them for each unit; with several levels, gates of the inner levels mix the
inputs of the next level's experts:

    f_u = sum_e softmax(W_u x + b_u)_e MLP_e(.)                                            (equations 5 to 7)

Every gate reads the raw input x (or the encoder's features), whatever its level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from taskgroup._validation import check_int
from taskgroup.grouping import Grouping
from taskgroup.models._base import MultiTaskModel, Units, check_levels
from taskgroup.models._heads import TaskHeads
from taskgroup.models._layers import BatchedLinear, BatchedMLP, fuse, level_widths, mixing_weights
from taskgroup.tasks import Task, TaskSet

__all__ = ["MMoE"]


class MMoE(MultiTaskModel):
    """Shared experts, mixed by a gate for each unit.

    Parameters
    ----------
    in_features : int
        Features that gates and first experts read.
    tasks : TaskSet or sequence of Task or str
        The T tasks.
    hidden : sequence of int or of sequences of int, default (128, 64)
        One entry a level: the width of its experts, or the widths of experts of several layers. ``((128, 64),)`` is
        the one-level model of the paper with experts of two layers.
    n_experts : int, default 8
        Experts of every level.
    tower : int, default 32
        Width of each task's own hidden layer; 0 for a linear head.
    dropout : float, default 0
        Dropout after each expert layer, in [0, 1).
    encoder : Module, optional
        Turns inputs into (B, in_features).
    units : {"task", "group"}, default "task"
        A gate for each task or for each group.
    grouping : Grouping, optional
        The groups, for ``units="group"``.

    Raises
    ------
    InvalidInputError
        When an argument breaks its rule.

    Examples
    --------
    >>> model = MMoE(5, ["a", "b", "c"], hidden=(8, 4), n_experts=2)
    >>> model.logits(torch.zeros(7, 5)).shape
    torch.Size([7, 3])
    >>> [tuple(weights.shape) for weights in model.fusion_weights(torch.zeros(7, 5))]
    [(2, 2), (3, 2)]
    """

    def __init__(
        self,
        in_features: int,
        tasks: TaskSet | Sequence[Task | str],
        *,
        hidden: Sequence[int | Sequence[int]] = (128, 64),
        n_experts: int = 8,
        tower: int = 32,
        dropout: float = 0.0,
        encoder: nn.Module | None = None,
        units: Units = "task",
        grouping: Grouping | None = None,
    ) -> None:
        levels = check_levels(hidden, dropout, tower)
        n_experts = check_int("n_experts", n_experts, low=1)
        options = {"hidden": levels, "n_experts": n_experts, "tower": tower, "dropout": dropout}
        super().__init__(in_features, tasks, encoder=encoder, units=units, grouping=grouping, options=options)
        self.experts = nn.ModuleList(
            BatchedMLP(n_experts, widths, dropout) for widths in level_widths(in_features, levels)
        )
        gates = [BatchedLinear(n_experts, in_features, n_experts) for _ in levels[1:]]
        self.gates = nn.ModuleList([*gates, BatchedLinear(self.n_units, in_features, n_experts, "unit")])
        self.heads = TaskHeads(self.tasks, levels[-1][-1], tower, self.unit_of_task)

    def body(self, features: Tensor) -> Tensor:
        """Return the mixture of every unit, (U, B, D'), of features (1, B, D)."""
        mixed = features
        for experts, gate in zip(self.experts, self.gates, strict=True):
            mixed = fuse(mixing_weights(gate(features)), experts(mixed))
        return mixed

    @torch.no_grad()
    def fusion_weights(self, x: Tensor) -> list[Tensor]:
        """Return the mean gates over samples of every level: (next experts, E), and (units, E) at the last one."""
        features = self.encode(x)
        return [mixing_weights(gate(features)).mean(1) for gate in self.gates]
