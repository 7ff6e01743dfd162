"""What fitting and serving cost: parameters, counted floating-point operations, seconds, examples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["Cost", "Flops", "count_flops", "n_parameters"]


class Flops(NamedTuple):
    """Floating-point operations of matrix products and convolutions for one sample (a multiply-add counts 2)."""

    forward: int
    backward: int


@dataclass(frozen=True)
class Cost:
    """What one or several fittings cost.

    Parameters
    ----------
    n_models : int
        Networks (or linear models) that must be kept to answer.
    params : int
        Their parameters.
    train_flops : int
        Operations of training and of the passes over the validation rows, counted.
    train_seconds : float
        CPU time of training.
    train_examples : int
        Rows seen in training, once per pass and model.
    inference_flops : int
        Operations to answer all tasks for one sample.
    """

    n_models: int = 0
    params: int = 0
    train_flops: int = 0
    train_seconds: float = 0.0
    train_examples: int = 0
    inference_flops: int = 0

    def __add__(self, other: Cost) -> Cost:
        mine, theirs = asdict(self), asdict(other)
        return Cost(**{name: mine[name] + theirs[name] for name in mine})

    def over(self, count: int) -> Cost:
        """Return the cost divided by a number of repetitions; whole numbers are rounded."""
        whole = {name: round(value / count) for name, value in asdict(self).items() if name != "train_seconds"}
        return Cost(**whole, train_seconds=self.train_seconds / count)

    @classmethod
    def total(cls, costs: Iterable[Cost]) -> Cost:
        """Return the sum of several costs."""
        total = cls()
        for cost in costs:
            total = total + cost
        return total

    def to_dict(self) -> dict[str, Any]:
        """Return the cost as a JSON-able dictionary."""
        return asdict(self)


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
        _counted[key] = _count(model, torch.zeros(2, n_features))
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
