"""Batches on another device that wait there, so that no training step waits for them.

Reading a tensor of an accelerator on the CPU waits until everything that was asked of it is done. So batches are copied
on the device, which does not wait, and moved in one piece when the epoch ends, or when they have become many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

__all__ = ["Held", "elsewhere", "to_cpu"]

_BYTES = 1 << 26  # held at most: 64 MiB


class Held:
    """Arguments of ``update`` that wait on a device, in the order in which they came."""

    def __init__(self) -> None:
        self._batches: list[tuple[Any, ...]] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._batches)

    def keep(self, *batch: Any) -> bool:
        """Keep copies of a batch; return whether as many are held as may be."""
        kept = tuple(_mapped(part, lambda tensor: tensor.detach().clone()) for part in batch)
        self._batches.append(kept)
        self._bytes += sum(tensor.nbytes for part in kept for tensor in _tensors(part))
        return self._bytes > _BYTES

    def drain(self) -> list[tuple[Any, ...]]:
        """Return what was held, on the CPU, and hold nothing."""
        batches, self._batches, self._bytes = self._batches, [], 0
        moved = iter(to_cpu([tensor for batch in batches for part in batch for tensor in _tensors(part)]))
        return [tuple(_mapped(part, lambda _: next(moved)) for part in batch) for batch in batches]


def elsewhere(*values: Any) -> bool:
    """Return whether a tensor among nested values is not on the CPU."""
    return any(tensor.device.type != "cpu" for value in values for tensor in _tensors(value))


def to_cpu(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return tensors on the CPU, after one transfer for every device and type that there is among them.

    >>> to_cpu([torch.zeros(2), torch.ones(1, 2, dtype=torch.int64)])
    [tensor([0., 0.]), tensor([[1, 1]])]
    """
    alike: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for i, tensor in enumerate(tensors):
        alike.setdefault((tensor.device, tensor.dtype), []).append(i)
    moved = list(tensors)
    for members in alike.values():
        flat = torch.cat([tensors[i].reshape(-1) for i in members]).cpu()
        for i, part in zip(members, torch.split(flat, [tensors[i].numel() for i in members]), strict=True):
            moved[i] = part.view(tensors[i].shape)
    return moved


def _mapped(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return nested values with their tensors changed, in order."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(item, torch.Tensor) for item in value):
        return [_mapped(item, change) for item in value]
    return value


def _tensors(value: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    _mapped(value, lambda tensor: found.append(tensor) or tensor)  # type: ignore[func-returns-value]
    return found
