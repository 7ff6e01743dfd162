"""Encoders of images: a small convolutional network and ResNet-18 for small images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taskgroup.exceptions import InvalidInputError

__all__ = ["CNNEncoder", "ResNet18Encoder"]

_NORM_GROUPS = 8
_CELLS = 3  # maps are averaged to at most this many cells a side before they are flattened


class CNNEncoder(nn.Module):
    """3x3 convolutions, each with max-pooling, batch normalisation and ReLU; 864 features of a 28x28 image.

    Parameters
    ----------
    input_shape : (channels, height, width)
        Shape of one image, at least 4x4; made for 28x28 to 64x64.
    widths : sequence of int
        Maps of every convolution.
    dropout : float
        Dropout of the features, in [0, 1).

    Notes
    -----
    Maps are halved after every convolution but the last, as long as they are at least 4x4, and averaged to at most
    3x3 cells at the end. They are pooled before they are normalised, which leaves a quarter of them to normalise.

    Examples
    --------
    >>> CNNEncoder((1, 28, 28))(torch.zeros(2, 784)).shape
    torch.Size([2, 864])
    """

    def __init__(
        self, input_shape: tuple[int, ...], widths: Sequence[int] = (32, 64, 96, 96), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.input_shape = _check_shape(input_shape)
        channels, *size = self.input_shape
        layers: list[nn.Module] = []
        for number, width in enumerate(widths, 1):
            layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
            if number < len(widths) and min(size) >= 4:
                layers.append(nn.MaxPool2d(2))
                size = [side // 2 for side in size]
            layers += [_BatchNorm(width), nn.ReLU()]
            channels = width
        cells = [min(side, _CELLS) for side in size]
        if cells != size:
            layers.append(nn.AdaptiveAvgPool2d((cells[0], cells[1])))
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout))
        self.out_features = channels * cells[0] * cells[1]

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, out_features) of images stored flat, (B, channels * height * width)."""
        images = x.view(len(x), *self.input_shape).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.layers(images)
        return features


class _BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that takes its running statistics where a batch holds one value of a map."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x[:, 0].numel() == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


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
