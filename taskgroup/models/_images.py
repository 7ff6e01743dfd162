"""Encoders of images: a small convolutional network and ResNet-18 for small images.

Both normalise by groups (GroupNorm), not by batches: a batch statistic would tie the models of a stacked training, and
tasks with missing labels, to each other.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from taskgroup.exceptions import InvalidInputError

__all__ = ["CNNEncoder", "ResNet18Encoder"]

_NORM_GROUPS = 8


class CNNEncoder(nn.Module):
    """Three 3x3 convolutions of 32, 64 and 128 maps, strides 1, 2, 2, averaged to 2x2 cells: 512 features.

    Parameters
    ----------
    input_shape : (channels, height, width)
        Shape of one image, at least 4x4; made for 28x28 to 64x64.

    Examples
    --------
    >>> CNNEncoder((1, 28, 28))(torch.zeros(2, 784)).shape
    torch.Size([2, 512])
    """

    out_features = 512

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.input_shape = _check_shape(input_shape)
        self.layers = nn.Sequential(
            *_convolution(self.input_shape[0], 32, 1), nn.ReLU(),
            *_convolution(32, 64, 2), nn.ReLU(),
            *_convolution(64, 128, 2), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, 512) of images stored flat, (B, channels * height * width)."""
        features: Tensor = self.layers(x.view(len(x), *self.input_shape))
        return features


class ResNet18Encoder(nn.Module):
    """ResNet-18 (He et al., CVPR 2016, arXiv 1512.03385) with the 3x3 stem for small images: 512 features.

    Parameters
    ----------
    input_shape : (channels, height, width)
        Shape of one image, at least 4x4.

    Notes
    -----
    GroupNorm in place of BatchNorm.
    """

    out_features = 512

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.input_shape = _check_shape(input_shape)
        widths = (64, 64, 128, 256, 512)
        stages = [
            block
            for stage, (i, o) in enumerate(itertools.pairwise(widths))
            for block in (_ResidualBlock(i, o, 2 if stage else 1), _ResidualBlock(o, o, 1))
        ]
        self.layers = nn.Sequential(
            *_convolution(self.input_shape[0], 64, 1), nn.ReLU(), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, 512) of images stored flat, (B, channels * height * width)."""
        features: Tensor = self.layers(x.view(len(x), *self.input_shape))
        return features


class _ResidualBlock(nn.Module):
    """relu(shortcut(x) + two convolutions of x)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *_convolution(in_channels, out_channels, stride), nn.ReLU(), *_convolution(out_channels, out_channels, 1)
        )
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Sequential(*([] if same else _convolution(in_channels, out_channels, stride, size=1)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.shortcut(x) + self.branch(x))


def _convolution(in_channels: int, out_channels: int, stride: int, size: int = 3) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=False)
    return [convolution, nn.GroupNorm(_NORM_GROUPS, out_channels)]


def _check_shape(input_shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(input_shape) != 3 or min(input_shape[1:]) < 4:
        raise InvalidInputError(
            f"image encoders need an `input_shape` of (channels, height, width) of at least 4x4; got {input_shape}. "
            'Store images as (n, channels, height, width), or use `encoder="mlp"`.'
        )
    return tuple(input_shape)
