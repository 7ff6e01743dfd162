"""Cross-stitch networks (Misra et al., CVPR 2016, arXiv 1604.03539).

Every unit has a column of layers. After each level the columns are mixed by a learned matrix that depends on no input:

    x_u <- sum_v S_uv relu(W_v x_v + b_v)                                                            (equation 1)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from taskgroup._validation import check_real
from taskgroup.grouping import Grouping
from taskgroup.models._base import MultiTaskModel, Units, check_levels
from taskgroup.models._heads import TaskHeads
from taskgroup.models._layers import BatchedMLP, Roles, level_widths
from taskgroup.tasks import Task, TaskSet

__all__ = ["CrossStitch"]


class CrossStitch(MultiTaskModel):
    """A column of layers for each unit, stitched after every level.

    Parameters
    ----------
    in_features : int
        Features that the first level reads.
    tasks : TaskSet or sequence of Task or str
        The T tasks.
    hidden : sequence of int or of sequences of int, default (128, 64)
        One entry a level: its width, or the widths of several layers before the stitch.
    keep : float, default 0.9
        Starting weight of a unit's own column; the rest is shared evenly by the others.
    tower : int, default 32
        Width of each task's own hidden layer; 0 for a linear head.
    dropout : float, default 0
        Dropout after each hidden layer, in [0, 1).
    encoder : Module, optional
        Turns inputs into (B, in_features).
    units : {"task", "group"}, default "task"
        A column for each task or for each group.
    grouping : Grouping, optional
        The groups, for ``units="group"``.

    Raises
    ------
    InvalidInputError
        When an argument breaks its rule.

    Notes
    -----
    One number a pair of units and level, not one a channel. ``keep=0.9`` with three units is the paper's .9 and .05.

    Examples
    --------
    >>> CrossStitch(5, ["a", "b"], hidden=(8, 4)).logits(torch.zeros(7, 5)).shape
    torch.Size([7, 2])
    """

    def __init__(
        self,
        in_features: int,
        tasks: TaskSet | Sequence[Task | str],
        *,
        hidden: Sequence[int | Sequence[int]] = (128, 64),
        keep: float = 0.9,
        tower: int = 32,
        dropout: float = 0.0,
        encoder: nn.Module | None = None,
        units: Units = "task",
        grouping: Grouping | None = None,
    ) -> None:
        levels = check_levels(hidden, dropout, tower)
        options = {"hidden": levels, "keep": check_real("keep", keep, 0.0, 1.0), "tower": tower, "dropout": dropout}
        super().__init__(in_features, tasks, encoder=encoder, units=units, grouping=grouping, options=options)
        self.columns = nn.ModuleList(
            BatchedMLP(self.n_units, widths, dropout, role="unit") for widths in level_widths(in_features, levels)
        )
        self.stitches = nn.ParameterList(_near_identity(self.n_units, keep) for _ in levels)
        self.roles: Roles = {f"stitches.{level}": ("unit", "unit") for level in range(len(levels))}
        self.heads = TaskHeads(self.tasks, levels[-1][-1], tower, self.unit_of_task)

    def body(self, features: Tensor) -> Tensor:
        """Return the features of every unit, (U, B, D'), of (1, B, D) or one input per unit."""
        for column, stitch in zip(self.columns, self.stitches, strict=True):
            own = column(features)
            features = torch.matmul(stitch, own.flatten(1)).view(own.shape)
        return features

    @torch.no_grad()
    def fusion_weights(self) -> list[Tensor]:
        """Return the stitch of every level, (units, units): row u says what unit u takes from each column."""
        return [stitch.detach().clone() for stitch in self.stitches]


def _near_identity(n_units: int, keep: float) -> nn.Parameter:
    if n_units == 1:
        return nn.Parameter(torch.ones(1, 1))
    rest = (1.0 - keep) / (n_units - 1)
    return nn.Parameter(torch.full((n_units, n_units), rest).fill_diagonal_(keep))
