"""Counted floating-point operations and parameters of a network."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from taskgroup.training._device import device_of

__all__ = ["Flops", "count_flops", "n_parameters"]


class Flops(NamedTuple):
    """Floating-point operations of matrix products and convolutions for one sample (a multiply-add counts 2)."""

    forward: int
    backward: int


def n_parameters(model: nn.Module) -> int:
    """Return the number of parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, n_features: int) -> Flops:
    """Return the operations of ``model.logits`` for one sample, counted while it runs on two rows of zeros.

    Examples
    --------
    >>> from taskgroup.models import SharedBottom
    >>> count_flops(SharedBottom(5, ["a"], hidden=(8,)), 5)  # 2 x (5 x 8 + 8) forward
    Flops(forward=96, backward=112)
    """
    shapes = tuple((tuple(p.shape), p.requires_grad) for p in model.parameters())
    key = (type(model).__qualname__, repr(model), shapes, n_features)
    if key not in _counted:
        _counted[key] = _count(model, torch.zeros(2, n_features, device=device_of(model)))
    return _counted[key]


_counted: dict[tuple[object, ...], Flops] = {}
"""Counts of models of the same layers and shapes, which take milliseconds each."""


def _count(model: nn.Module, x: torch.Tensor) -> Flops:
    training = model.training
    model.eval()
    with FlopCounterMode(display=False) as counter:
        loss = model.logits(x).sum()  # type: ignore[operator]
    forward = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        loss.backward()
    for parameter in model.parameters():
        parameter.grad = None
    model.train(training)
    return Flops(forward // 2, counter.get_total_flops() // 2)
