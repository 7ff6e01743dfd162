"""Progressive layered extraction (Tang et al., RecSys 2020).

Each unit has m own experts, and there are s shared ones. At level l

    f_u      = softmax(W_u f_u + b_u)^T [own experts of u, shared experts]          every unit      (equations 5 to 7)
    f_shared = softmax(W f_shared + b)^T [experts of every unit, shared experts]    every level but the last     (8)

The gate of the shared unit sees ALL experts of its level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from taskgroup._validation import check_int
from taskgroup.grouping import Grouping
from taskgroup.models._base import MultiTaskModel, Units, check_levels
from taskgroup.models._heads import TaskHeads
from taskgroup.models._layers import BatchedLinear, BatchedMLP, fuse, level_widths, mixing_weights, pick, shared, take
from taskgroup.tasks import Task, TaskSet

__all__ = ["PLE"]


class PLE(MultiTaskModel):
    """Own and shared experts at every level, kept apart.

    Parameters
    ----------
    in_features : int
        Features that the first level reads.
    tasks : TaskSet or sequence of Task or str
        The T tasks.
    hidden : sequence of int or of sequences of int, default (128, 64)
        One entry a level: the width of its experts, or the widths of experts of several layers.
    n_experts : int, default 1
        Own experts of every unit.
    n_shared : int, default 1
        Shared experts; with 0 no unit hears of another.
    tower : int, default 32
        Width of each task's own hidden layer; 0 for a linear head.
    dropout : float, default 0
        Dropout after each expert layer, in [0, 1).
    encoder : Module, optional
        Turns inputs into (B, in_features).
    units : {"task", "group"}, default "task"
        Own experts for each task or for each group.
    grouping : Grouping, optional
        The groups, for ``units="group"``.

    Raises
    ------
    InvalidInputError
        When an argument breaks its rule.

    Examples
    --------
    >>> model = PLE(5, ["a", "b", "c"], hidden=(8, 4))
    >>> model.logits(torch.zeros(7, 5)).shape
    torch.Size([7, 3])
    >>> [tuple(weights.shape) for weights in model.fusion_weights(torch.zeros(7, 5))]  # own and shared expert
    [(3, 2), (3, 2)]
    """

    def __init__(
        self,
        in_features: int,
        tasks: TaskSet | Sequence[Task | str],
        *,
        hidden: Sequence[int | Sequence[int]] = (128, 64),
        n_experts: int = 1,
        n_shared: int = 1,
        tower: int = 32,
        dropout: float = 0.0,
        encoder: nn.Module | None = None,
        units: Units = "task",
        grouping: Grouping | None = None,
    ) -> None:
        levels = check_levels(hidden, dropout, tower)
        check_int("n_experts", n_experts, low=1)
        check_int("n_shared", n_shared, low=0)
        options = {"hidden": levels, "n_experts": n_experts, "n_shared": n_shared, "tower": tower, "dropout": dropout}
        super().__init__(in_features, tasks, encoder=encoder, units=units, grouping=grouping, options=options)
        self.n_experts = n_experts
        self.n_shared = n_shared
        widths = level_widths(in_features, levels)
        self.levels = nn.ModuleList(
            _Level(self.n_units, n_experts, n_shared, width, dropout, last=width is widths[-1]) for width in widths
        )
        self.heads = TaskHeads(self.tasks, levels[-1][-1], tower, self.unit_of_task)

    def body(self, features: Tensor) -> Tensor:
        """Return the features of every unit, (U, B, D'), of (1, B, D) or one input per unit, shared unit last."""
        for level in self.levels:
            features, _ = level(features)
        return features

    @torch.no_grad()
    def fusion_weights(self, x: Tensor) -> list[Tensor]:
        """Return the mean gates over samples of every level: (units, own experts then shared ones)."""
        features, means = self.encode(x), []
        for level in self.levels:
            features, weights = level(features)
            means.append(weights.mean(1))
        return means

    def _kept(self, tasks: Sequence[int]) -> dict[str, list[int]]:
        kept = super()._kept(tasks)
        own = [u * self.n_experts + e for u in kept["unit"] for e in range(self.n_experts)]
        everyone = [self.n_units * self.n_experts + e for e in range(self.n_shared)]
        return kept | {"expert": own + everyone}


class _Level(nn.Module):
    """One level: the experts of all units, then the shared ones, and the gates."""

    def __init__(
        self, n_units: int, n_experts: int, n_shared: int, widths: Sequence[int], dropout: float, last: bool
    ) -> None:
        super().__init__()
        self.n_units, self.n_own = n_units, n_units * n_experts
        n_all = self.n_own + n_shared
        self.owners = pick([u for u in range(n_units) for _ in range(n_experts)] + [n_units] * n_shared, n_units + 1)
        self.experts = BatchedMLP(n_all, widths, dropout, role="expert")
        self.gates = BatchedLinear(n_units, widths[0], n_experts + n_shared, "unit")
        self.shared_gate = BatchedLinear(1, widths[0], n_all, None, "expert") if n_shared and not last else None

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixtures, of the shared unit too but at the last level, and the units' gates (U, B, m + s)."""
        experts = self.experts(take(features, self.owners))  # (E, B, D')
        gates = mixing_weights(self.gates(features if shared(features) else features[: self.n_units]))
        own, everyone = experts[: self.n_own], experts[self.n_own :]
        own = own.view(self.n_units, -1, *own.shape[1:])  # (U, m, B, D')
        own_gates, shared_gates = gates[..., : own.shape[1]], gates[..., own.shape[1] :]
        mixed = (own_gates.transpose(1, 2).unsqueeze(-1) * own).sum(1)
        if len(everyone):
            mixed = mixed + fuse(shared_gates, everyone)
        if self.shared_gate is None:
            return mixed, gates
        gate_of_shared = torch.softmax(self.shared_gate(features[-1:]), -1)
        return torch.cat([mixed, fuse(gate_of_shared, experts)]), gates
