"""Batch order and dropout of a model, from its seed alone."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["Batch", "batches", "step_seed"]

Batch = Tensor
"""Row numbers of one step, int64."""


def batches(
    seed: int, epoch: int, n_samples: int, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[Batch]:
    """Yield the row numbers of every step of an epoch: a permutation cut into batches, the same on every device."""
    generator = torch.Generator().manual_seed(step_seed(seed, epoch, -1))
    yield from torch.split(torch.randperm(n_samples, generator=generator).to(device), batch_size)


def step_seed(seed: int, epoch: int, step: int) -> int:
    """Return the seed of the dropout masks of one step; ``step=-1`` is that of the epoch's order."""
    mixed = (seed * 0x9E3779B97F4A7C15 + epoch * 0xC2B2AE3D27D4EB4F + (step + 1) * 0x165667B19E3779F9) & (2**64 - 1)
    mixed = ((mixed ^ (mixed >> 31)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    return (mixed ^ (mixed >> 29)) & (2**63 - 1)
