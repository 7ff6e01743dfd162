"""What the engines know of a model while it is being fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from taskgroup.models import MultiTaskModel

__all__ = ["Job", "Observer"]


class Observer(Protocol):
    """Somebody who watches a training, such as the recorder of Data Maps."""

    def on_batch(self, model: int, rows: Tensor, outputs: Tensor) -> None:
        """Hear of the training-mode packed outputs (B, n_outputs) of some rows, before the step they lead to."""

    def on_epoch_end(self, epoch: int, valid_loss: Sequence[float]) -> None:
        """Hear that an epoch, counted from 1, is over, and of the validation loss of every model."""


@dataclass(eq=False)
class Job:
    """One model to fit: its tasks as columns of the table, their loss weights, its progress.

    Parameters
    ----------
    index : int
        Position among the models of the call.
    model : MultiTaskModel
        Trained in place.
    columns : Tensor of shape (K,)
        The model's tasks among those of the table.
    weights : Tensor of shape (K,)
        Loss weights, summing to 1.
    seed : int
        Of batch order and dropout.
    """

    index: int
    model: MultiTaskModel
    columns: Tensor
    weights: Tensor
    seed: int
    valid_loss: list[float] = field(default_factory=list)
    best_epoch: int = 0
    finished: bool = False
    diverged: bool = False
    seconds: float = 0.0

    def record(self, loss: float, patience: int | None) -> bool:
        """Note the validation loss of an epoch and return whether it is the best so far; stop where it is none."""
        best = self.valid_loss[self.best_epoch] if self.valid_loss else math.inf
        self.valid_loss.append(loss)
        if loss < best:
            self.best_epoch = self.epoch
            return True
        self.diverged = not math.isfinite(loss)
        self.finished = self.diverged or (patience is not None and self.epoch - self.best_epoch >= patience)
        return False

    def start_again(self) -> None:
        """Forget the training but for its best weights."""
        self.valid_loss, self.best_epoch, self.finished, self.diverged = [], 0, False, False

    @property
    def epoch(self) -> int:
        """Number of epochs trained."""
        return len(self.valid_loss) - 1
