"""Layers that hold the weights of many small networks and run them in one call.

A tensor of features is (U, B, D): U units (tasks, groups or experts), B samples, D features. U = 1 stands for one input
that every unit reads. Parameters say which of their axes count tasks, units, experts or outputs, so that a model can be
cut down to some of its tasks (:meth:`taskgroup.models.MultiTaskModel.for_tasks`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "MLP",
    "BatchedLinear",
    "BatchedMLP",
    "Pick",
    "Roles",
    "batched_linear",
    "fuse",
    "level_widths",
    "mixing_weights",
    "pick",
    "shared",
    "take",
]

Roles = dict[str, tuple[str | None, ...]]
"""Parameter name -> what each axis counts ("task", "output", "unit", ...); None for an axis that is never cut."""


class BatchedLinear(nn.Module):
    """``n`` linear maps as one weight of shape (n, out, in), initialised as :class:`torch.nn.Linear` is.

    Parameters
    ----------
    n : int
        Number of maps.
    in_features, out_features : int
        Sizes of each map.
    role : str, optional
        What the first axis counts.
    out_role : str, optional
        What the output axis counts.

    Examples
    --------
    >>> BatchedLinear(3, 5, 2)(torch.zeros(1, 7, 5)).shape
    torch.Size([3, 7, 2])
    """

    def __init__(
        self, n: int, in_features: int, out_features: int, role: str | None = None, out_role: str | None = None
    ) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(max(in_features, 1))
        self.weight = nn.Parameter(torch.empty(n, out_features, in_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n, out_features).uniform_(-bound, bound))
        self.roles: Roles = {"weight": (role, out_role, None), "bias": (role, out_role)}

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        """Return map n of unit n's features: (n, B, in), or (1, B, in) for all, to (n, B, out)."""
        return batched_linear(x, self.weight, self.bias, relu)


def batched_linear(x: Tensor, weight: Tensor, bias: Tensor, relu: bool = False) -> Tensor:
    """Return features (n, B, in), or (1, B, in) for all, through maps (n, out, in) with biases: (n, B, out)."""
    n, out_features, _ = weight.shape
    if shared(x):
        flat = F.linear(x.squeeze(0), weight.flatten(0, 1), bias.flatten())  # (B, n * out)
        return (flat.relu_() if relu else flat).view(-1, n, out_features).transpose(0, 1)
    own = torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
    return own.relu_() if relu else own


class BatchedMLP(nn.Module):
    """``n`` networks Linear - ReLU - Dropout - Linear - ReLU ..., of equal widths, side by side.

    Parameters
    ----------
    n : int
        Number of networks.
    widths : sequence of int
        Input size and the width of every layer.
    dropout : float
        Probability of zeroing a hidden value, in [0, 1).
    role : str, optional
        What the networks stand for.
    """

    def __init__(self, n: int, widths: Sequence[int], dropout: float = 0.0, role: str | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BatchedLinear(n, i, o, role) for i, o in itertools.pairwise(widths))
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Return the last hidden layer of every network: (n or 1, B, in) to (n, B, out)."""
        for layer in self.layers:
            x = F.dropout(layer(x, relu=True), self.dropout, self.training)
        return x


class MLP(nn.Sequential):
    """Linear - ReLU - Dropout layers of the given widths; no width but the input's means the identity.

    Parameters
    ----------
    widths : sequence of int
        Input size and the width of every layer.
    dropout : float
        Probability of zeroing a hidden value, in [0, 1).
    """

    def __init__(self, widths: Sequence[int], dropout: float = 0.0) -> None:
        layers: list[nn.Module] = []
        for i, o in itertools.pairwise(widths):
            layers += [nn.Linear(i, o), nn.ReLU()] + ([nn.Dropout(dropout)] if dropout else [])
        super().__init__(*layers)
        self.out_features = widths[-1]


def shared(x: Tensor) -> bool:
    """Whether the features (U, B, D) are one input for every unit."""
    return x.shape[0] == 1


Pick = slice | Sequence[int] | None


def pick(index: Sequence[int], size: int) -> Pick:
    """Return an index of units in its cheapest form: None for all ``size`` in order, a slice for the first few."""
    if list(index) != list(range(len(index))):
        return tuple(index)
    return None if len(index) == size else slice(len(index))


def take(x: Tensor, index: Pick) -> Tensor:
    """Return the picked units of features (U, B, D); one shared input stays as it is.

    An index is a plain sequence, not a buffer: buffers would be stacked when models are batched with vmap.
    """
    return x if shared(x) else rows(x, index)


def rows(x: Tensor, index: Pick) -> Tensor:
    """Return the picked rows of ``x``, the first axis."""
    if index is None:
        return x
    return x[index] if isinstance(index, slice) else x.index_select(0, torch.tensor(index, device=x.device))


def mixing_weights(gates: Tensor) -> Tensor:
    """Return the softmax over the last axis of gates (S, B, E), taken in their order in memory, which saves a copy."""
    if gates.stride(0) < gates.stride(1):
        return torch.softmax(gates.transpose(0, 1), -1).transpose(0, 1)
    return torch.softmax(gates, -1)


def fuse(weights: Tensor, experts: Tensor, start: Tensor | None = None) -> Tensor:
    """Return sums of experts (E, B, D) weighted per sample by (S, B, E), shape (S, B, D), added to ``start``."""
    weights, experts = weights.transpose(0, 1), experts.transpose(0, 1)
    if start is None:
        return torch.bmm(weights, experts).transpose(0, 1)
    return torch.baddbmm(start.transpose(0, 1), weights, experts).transpose(0, 1)


def row_major_gradient(x: Tensor) -> Tensor:
    """Return ``x`` itself; its gradient will be laid out row by row.

    The gradient of transposed features has its last axis apart in memory, and batched products then fall back to one
    product and one copy a sample.
    """
    same: Tensor = _RowMajorGradient.apply(x)  # type: ignore[no-untyped-call]
    return same


class _RowMajorGradient(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous()


def level_widths(in_features: int, levels: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return the input size and layer widths of every level: each one reads the last width of the one before."""
    inputs = [in_features, *(level[-1] for level in levels[:-1])]
    return [(size, *level) for size, level in zip(inputs, levels, strict=True)]
