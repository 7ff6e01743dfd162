"""Training images moved a little, so that a network does not learn where they were drawn."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["moved"]


_SHIFT = 1 / 7  # of the strength: the usual .25 shifts by up to 1/28 of a side, a pixel of 28
_BEND = 1 / 4  # of the strength: the usual .25 bends by up to 1/16 of a side
_POINTS = 4  # a side that are pulled


def moved(x: Tensor, input_shape: tuple[int, ...], strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Return images (B, channels * height * width), each moved and bent by random maps of its own.

    Parameters
    ----------
    x : Tensor of shape (B, channels * height * width)
        Images stored flat.
    input_shape : (channels, height, width)
        Of one image.
    strength : float
        The matrix is the identity plus uniform values of up to this size, which turn, shear and scale; the image is
        shifted by up to 1/7 of it, as a share of its sides. Sixteen points are pulled by up to 1/4 of it, what lies
        between them smoothly along. What comes in is the median of the image's own border.
    generator : torch.Generator, optional
        Where the draws come from; the global generator when left out.
    """
    images = x.view(len(x), *input_shape)
    border = torch.cat([images[:, :, [0, -1]].flatten(2), images[:, :, :, [0, -1]].flatten(2)], 2)
    background = border.median(2).values[:, :, None, None]
    draw = 2.0 * torch.rand(len(x), 2, 3, generator=generator) - 1.0
    draw *= strength
    draw[:, :, 2] *= 2.0 * _SHIFT  # sides of an image are two units long
    grid = F.affine_grid(draw + torch.eye(2, 3), list(images.shape), align_corners=False)
    pulls = 2.0 * torch.rand(len(x), 2, _POINTS, _POINTS, generator=generator) - 1.0
    bends = F.interpolate(pulls, input_shape[1:], mode="bicubic", align_corners=True)
    grid += 2.0 * _BEND * strength * bends.permute(0, 2, 3, 1)
    return (F.grid_sample(images - background, grid.to(x.device), align_corners=False) + background).flatten(1)
