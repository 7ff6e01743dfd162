"""What the columns of the record hold: everything recorded is a share in [0, 1], kept in 16 bits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.datamaps import UNSEEN
from taskgroup.tasks import TaskSet

__all__ = ["Layout", "margin_of", "share_of_margin"]

_MARGIN_LIMIT = 32.0


@dataclass(frozen=True)
class Layout:
    """What the columns of the record hold.

    Column t < n_tasks: the probability given to the true label of task t. Then, for each multiclass task, whether
    its prediction was right (code 65534 or 0); a binary prediction is right where p > 0.5. Then, on demand, T margins
    in logits, clipped to [-32, 32].
    """

    tasks: TaskSet
    margin: bool = False
    custom: bool = False
    many: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        many = () if self.custom else tuple(i for i, task in enumerate(self.tasks) if task.kind == "multiclass")
        object.__setattr__(self, "many", many)

    @property
    def right(self) -> slice:
        """Columns that say whether the prediction of each multiclass task was right."""
        return slice(len(self.tasks), len(self.tasks) + len(self.many))

    @property
    def margins(self) -> slice:
        """Columns of the margins; empty when they are not recorded."""
        return slice(self.right.stop, self.right.stop + len(self.tasks) * self.margin)

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.margins.stop)


def share_of_margin(margin: NDArray[Any]) -> NDArray[Any]:
    """Return margins in logits, clipped to [-32, 32], as shares in [0, 1]."""
    share: NDArray[Any] = np.clip(margin / (2 * _MARGIN_LIMIT) + 0.5, 0.0, 1.0)
    return share


def margin_of(code: NDArray[Any]) -> NDArray[np.float32]:
    """Return the mean margin in logits of a mean code."""
    return ((code / (UNSEEN - 1) - 0.5) * (2 * _MARGIN_LIMIT)).astype(np.float32)
