"""Layers of K components: maps whose weights are merged for each unit before they meet the input, or any modules."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taskgroup.exceptions import InvalidInputError
from taskgroup.models._layers import batched_linear, shared

__all__ = ["RoutedConv", "RoutedLinear", "RoutedModules"]


class RoutedLinear(nn.Module):
    """K linear maps; unit u applies relu of their mixture."""

    def __init__(self, n_components: int, in_features: int, out_features: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.empty(n_components, out_features, in_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_components, out_features).uniform_(-bound, bound))
        self.out_features = out_features

    def forward(self, x: Tensor, mix: Tensor) -> Tensor:
        """Return (U, B, out) of features (U, B, in), or (1, B, in) for all, and mixing weights (U, K)."""
        n_components, out_features, in_features = self.weight.shape
        weight = (mix @ self.weight.view(n_components, -1)).view(-1, out_features, in_features)  # (U, out, in)
        return batched_linear(x, weight, mix @ self.bias, relu=True)


class RoutedConv(nn.Module):
    """K convolutions of size 3x3; unit u applies relu of the normalised mixture, all units in one grouped convolution.

    Parameters
    ----------
    n_components : int
        K.
    in_shape : (channels, height, width)
        Shape of the maps.
    out_channels, stride : int
        Of every component.
    """

    def __init__(self, n_components: int, in_shape: tuple[int, int, int], out_channels: int, stride: int) -> None:
        super().__init__()
        channels, height, width = in_shape
        bound = 1.0 / math.sqrt(channels * 9)
        self.weight = nn.Parameter(torch.empty(n_components, out_channels, channels, 3, 3).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_components, out_channels).uniform_(-bound, bound))
        self.scale = nn.Parameter(torch.ones(out_channels))
        self.shift = nn.Parameter(torch.zeros(out_channels))
        self.stride = stride
        self.norm_groups = math.gcd(out_channels, 4)
        self.out_shape = (out_channels, -(-height // stride), -(-width // stride))
        self.out_features = math.prod(self.out_shape)

    def forward(self, x: Tensor, mix: Tensor) -> Tensor:
        """Return (U, B, channels, h, w) of maps (U, B, ...), or (1, B, ...) for all, and mixing weights (U, K)."""
        n_units, n_samples = len(mix), x.shape[1]
        weight = (mix @ self.weight.flatten(1)).view(-1, *self.weight.shape[2:])  # (U * out, in, 3, 3)
        maps = x.transpose(0, 1).flatten(1, 2)  # (B, U * in, H, W)
        groups = 1 if shared(x) else n_units
        maps = F.conv2d(maps, weight, (mix @ self.bias).flatten(), self.stride, padding=1, groups=groups)
        maps = F.group_norm(
            maps, self.norm_groups * n_units, self.scale.repeat(n_units), self.shift.repeat(n_units)
        ).relu_()
        return maps.view(n_samples, n_units, *self.out_shape).transpose(0, 1)


class RoutedModules(nn.Module):
    """K modules; unit u uses the mixture of their outputs, so each runs on the inputs of every unit.

    Parameters
    ----------
    components : sequence of Module
        They take (N, ...) and return outputs of one shape.
    in_shape : sequence of int
        Shape of one sample.

    Raises
    ------
    InvalidInputError
        When output shapes differ.
    """

    def __init__(self, components: Sequence[nn.Module], in_shape: Sequence[int]) -> None:
        super().__init__()
        self.components = nn.ModuleList(components)
        shapes = [_shape_of(component, in_shape) for component in components]
        odd = next((shape for shape in shapes if shape != shapes[0]), None)
        if odd is not None:
            raise InvalidInputError(
                f"`components` of a layer must have equal output shapes for inputs {tuple(in_shape)}; got {shapes[0]} "
                f"and {odd}."
            )
        self.out_shape = shapes[0]
        self.out_features = math.prod(self.out_shape)

    def forward(self, x: Tensor, mix: Tensor) -> Tensor:
        """Return (U, B, *out_shape) of inputs (U, B, ...), or (1, B, ...) for all, and mixing weights (U, K)."""
        flat = x.flatten(0, 1)
        outputs = torch.stack([component(flat) for component in self.components]).view(
            len(self.components), *x.shape[:2], -1
        )
        mixed = (
            torch.einsum("uk,kbd->ubd", mix, outputs[:, 0]) if shared(x) else torch.einsum("uk,kubd->ubd", mix, outputs)
        )
        return mixed.reshape(len(mix), x.shape[1], *self.out_shape)


@torch.no_grad()
def _shape_of(component: nn.Module, in_shape: Sequence[int]) -> tuple[int, ...]:
    training = component.training
    shape = component.eval()(torch.zeros(2, *in_shape)).shape[1:]
    component.train(training)
    return tuple(shape)
