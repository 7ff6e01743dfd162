"""Losses of many tasks at once, one value per sample and task, and their masked means.

Binary tasks have the cross-entropy of a logit, multiclass tasks that of a softmax, regression tasks half the squared
error of the standardised target.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from taskgroup.tasks import TaskSet

__all__ = ["column_losses", "sample_losses", "task_means"]


def sample_losses(tasks: TaskSet, outputs: Tensor, y: Tensor) -> Tensor:
    """Return the loss of every sample and task, shape (B, T).

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    outputs : Tensor of shape (B, n_outputs)
        Packed outputs in task order.
    y : Tensor of shape (B, T)
        0/1, class codes, or standardised values; what stands at missing labels does not matter.

    Examples
    --------
    >>> sample_losses(TaskSet(["a"]), torch.zeros(1, 1), torch.ones(1, 1))
    tensor([[0.6931]])
    """
    kinds = {task.kind for task in tasks}
    if kinds == {"binary"}:
        return F.binary_cross_entropy_with_logits(outputs, y, reduction="none")
    regression = np.array([task.kind == "regression" for task in tasks])
    if "multiclass" not in kinds:
        return column_losses(outputs, y, regression)
    pieces = torch.split(outputs, [task.n_outputs for task in tasks], dim=1)
    return torch.stack(
        [
            F.cross_entropy(piece, y[:, t].long(), reduction="none")
            if tasks[t].kind == "multiclass"
            else column_losses(piece, y[:, t : t + 1], regression[t : t + 1])[:, 0]
            for t, piece in enumerate(pieces)
        ],
        dim=1,
    )


def column_losses(outputs: Tensor, y: Tensor, regression: NDArray[np.bool_]) -> Tensor:
    """Return the loss of every element of outputs whose columns are logits, or values where ``regression`` is true."""
    if not regression.any():
        return F.binary_cross_entropy_with_logits(outputs, y, reduction="none")
    squares = (outputs - y).square() * 0.5
    if regression.all():
        return squares
    return torch.where(
        torch.as_tensor(regression, device=outputs.device),
        squares,
        F.binary_cross_entropy_with_logits(outputs, y, reduction="none"),
    )


def task_means(losses: Tensor, seen: Tensor) -> Tensor:
    """Return the mean loss of every task over its labelled samples, (..., B, T) to (..., T); 0 without a label."""
    return (losses * seen).sum(-2) / seen.sum(-2).clamp_min(1.0)
