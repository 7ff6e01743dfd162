"""AdaTT: adaptive task-to-task fusion (Li et al., KDD 2023, arXiv 2304.04959).

U units (tasks or groups), optionally one shared unit more; unit u has m_u native experts; E experts in all. At level l

    E_e = MLP_e(f_u)                            for every expert e of unit u; at level 1 every f_u is the input
    G_u = softmax(W_u f_u + b_u)                over all E experts                                        (equation 4)
    f_u <- (pad(v_u) + G_u)^T E                 v_u: weights of u's native experts, added after the softmax (5, 6)

The shared unit fuses at every level but the last, where it only supplies experts. Without it this is AdaTT-sp.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from taskgroup._validation import check_int
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import Grouping
from taskgroup.models._base import MultiTaskModel, Units, check_levels
from taskgroup.models._heads import TaskHeads
from taskgroup.models._layers import BatchedLinear, BatchedMLP, Roles, fuse, level_widths, mixing_weights, pick, take
from taskgroup.tasks import Task, TaskSet

__all__ = ["AdaTT"]


class AdaTT(MultiTaskModel):
    """Fusion units for tasks or for groups of tasks.

    Parameters
    ----------
    in_features : int
        Features that the first level reads.
    tasks : TaskSet or sequence of Task or str
        The T tasks.
    hidden : sequence of int or of sequences of int, default (128, 64)
        One entry a level: the width of its experts, or the widths of experts of several layers.
    n_experts : int or sequence of int, default 1
        Native experts of every unit, or of each one.
    n_shared : int, default 0
        Experts of the shared unit; 0 is AdaTT-sp, more is the general AdaTT.
    own_gates : bool, default False
        With ``units="group"``: at the last level every task fuses by a gate of its own instead of its group's.
    tower : int, default 32
        Width of each task's own hidden layer; 0 for a linear head.
    dropout : float, default 0
        Dropout after each expert layer, in [0, 1).
    encoder : Module, optional
        Turns inputs into (B, in_features).
    units : {"task", "group"}, default "task"
        A fusion unit for each task, at a cost quadratic in T, or for each of k groups, at a cost quadratic in k.
    grouping : Grouping, optional
        The groups, for ``units="group"``.

    Raises
    ------
    InvalidInputError
        When an argument breaks its rule.

    Notes
    -----
    v_u is the constant 1 when every unit has one expert, as in the paper; else it starts at 1 / m_u. A uniform start
    in (-1 / sqrt(m), 1 / sqrt(m)) is negative half of the time and did worse. Group units are ours.

    Examples
    --------
    >>> model = AdaTT(5, ["a", "b", "c"], hidden=(8, 4), n_shared=1)
    >>> model.logits(torch.zeros(7, 5)).shape
    torch.Size([7, 3])
    >>> [tuple(weights.shape) for weights in model.fusion_weights(torch.zeros(7, 5))]  # 3 tasks and the shared unit
    [(4, 4), (3, 4)]
    """

    def __init__(
        self,
        in_features: int,
        tasks: TaskSet | Sequence[Task | str],
        *,
        hidden: Sequence[int | Sequence[int]] = (128, 64),
        n_experts: int | Sequence[int] = 1,
        n_shared: int = 0,
        own_gates: bool = False,
        tower: int = 32,
        dropout: float = 0.0,
        encoder: nn.Module | None = None,
        units: Units = "task",
        grouping: Grouping | None = None,
    ) -> None:
        levels = check_levels(hidden, dropout, tower)
        options = {"hidden": levels, "n_experts": n_experts, "n_shared": check_int("n_shared", n_shared, low=0),
                   "own_gates": own_gates, "tower": tower, "dropout": dropout}  # fmt: skip
        super().__init__(in_features, tasks, encoder=encoder, units=units, grouping=grouping, options=options)
        self.n_experts = _expert_counts(n_experts, self.n_units)
        self.n_shared = n_shared
        self.own_gates = own_gates
        counts = self.n_experts + ((n_shared,) if n_shared else ())
        last = self.unit_of_task if own_gates else tuple(range(self.n_units))
        listeners = [tuple(range(len(counts)))] * (len(levels) - 1) + [last]
        self.levels = nn.ModuleList(
            _FusionLevel(width, counts, readers, dropout, last=readers is last)
            for width, readers in zip(level_widths(in_features, levels), listeners, strict=True)
        )
        self.heads = TaskHeads(self.tasks, levels[-1][-1], tower, None if own_gates else self.unit_of_task)

    def body(self, features: Tensor) -> Tensor:
        """Return the fused features of every unit, (U, B, D'), of (1, B, D) or one input per unit, shared unit last."""
        for level in self.levels:
            features = level(features)
        return features

    @torch.no_grad()
    def fusion_weights(self, x: Tensor) -> list[Tensor]:
        """Return how much every unit takes from every expert at each level: mean of G + pad(v) over samples.

        One (units, E) matrix a level, experts in unit order, the shared unit's last; it is figure 3 of the paper.
        """
        features, means = self.encode(x), []
        for level in cast("Iterable[_FusionLevel]", self.levels):
            means.append((level.gate(features) + level.padded_native()).mean(1))
            features = level(features)
        return means

    def _options_for(self, tasks: Sequence[int]) -> dict[str, Any]:
        units = dict.fromkeys(self.unit_of_task[t] for t in tasks)
        return {**self.options, "n_experts": [self.n_experts[u] for u in units]}

    def _kept(self, tasks: Sequence[int]) -> dict[str, list[int]]:
        kept = super()._kept(tasks)
        counts = self.n_experts + ((self.n_shared,) if self.n_shared else ())
        experts = _ranges(counts)
        native = _ranges([self.n_experts[u] for u in self.unit_of_task]) if self.own_gates else experts
        listeners = list(tasks) if self.own_gates else kept["unit"]
        readers = kept["unit"] + ([self.n_units] if self.n_shared else [])
        return kept | {
            "reader": readers,
            "listener": listeners,
            "expert": [e for u in readers for e in experts[u]],
            "native": [e for u in listeners for e in native[u]],
        }


class _FusionLevel(nn.Module):
    """One level: the experts of all units, and the listeners that fuse them.

    Parameters
    ----------
    widths : sequence of int
        Input size and layer widths of the experts.
    counts : sequence of int
        Experts of every unit.
    listeners : sequence of int
        The unit whose features each gate reads, and whose experts are native to it.
    """

    def __init__(
        self, widths: Sequence[int], counts: Sequence[int], listeners: Sequence[int], dropout: float, last: bool
    ) -> None:
        super().__init__()
        experts = _ranges(counts)
        n_experts = sum(counts)
        self.owners = pick([u for u, count in enumerate(counts) for _ in range(count)], len(counts))
        self.listeners = pick(listeners, len(counts))
        self.experts = BatchedMLP(n_experts, widths, dropout, role="expert")
        self.gates = BatchedLinear(len(listeners), widths[0], n_experts, "listener" if last else "reader", "expert")
        self.slots = [s * n_experts + e for s, u in enumerate(listeners) for e in experts[u]]
        start = torch.tensor([1.0 / counts[u] for u in listeners for _ in range(counts[u])])
        self.native = nn.Parameter(start) if max(counts) > 1 else None
        self.roles: Roles = {"native": ("native" if last else "expert",)}

    def forward(self, features: Tensor) -> Tensor:
        """Return the fused features (listeners, B, D') of (U, B, D) or (1, B, D)."""
        experts = self.experts(take(features, self.owners))
        gates = self.gate(features)
        if self.native is None and gates.shape[-1] > experts.shape[-1]:  # v = 1: add own experts whole, not by weight
            return fuse(gates, experts, start=take(experts, self.listeners))
        return fuse(gates + self.padded_native(), experts)

    def gate(self, features: Tensor) -> Tensor:
        """Return G of every listener, (listeners, B, E)."""
        return mixing_weights(self.gates(take(features, self.listeners)))

    def padded_native(self) -> Tensor:
        """Return pad(v) of every listener, (listeners, 1, E)."""
        weight = self.gates.weight
        slots = torch.tensor(self.slots, device=weight.device)
        native = weight.new_ones(len(self.slots)) if self.native is None else self.native
        return weight.new_zeros(weight.shape[:2].numel()).scatter(0, slots, native).view(-1, 1, weight.shape[1])


def _expert_counts(n_experts: int | Sequence[int], n_units: int) -> tuple[int, ...]:
    if isinstance(n_experts, int):
        return (check_int("n_experts", n_experts, low=1),) * n_units
    counts = tuple(check_int("n_experts", count, low=1) for count in n_experts)
    if len(counts) != n_units:
        raise InvalidInputError(
            f"`n_experts` must be one number or one for each of the {n_units} units; got {len(counts)} numbers."
        )
    return counts


def _ranges(counts: Sequence[int]) -> list[range]:
    """Return the positions of every unit's experts."""
    starts = [sum(counts[:u]) for u in range(len(counts))]
    return [range(start, start + count) for start, count in zip(starts, counts, strict=True)]
