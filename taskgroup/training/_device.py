"""Where networks are trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from taskgroup.exceptions import InvalidInputError

__all__ = ["device_of", "kept_random_state", "resolve_device", "seed_device"]


def resolve_device(name: str) -> str:
    """Return the device that a name means here: of "auto" the first of cuda, mps and cpu that there is.

    Raises
    ------
    InvalidInputError
        When the name is none, or this machine has no such device.

    Examples
    --------
    >>> resolve_device("cpu")
    'cpu'
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(kind for kind, found in there.items() if found)
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in there:
        raise InvalidInputError(f"`device` must be auto, cpu, cuda, cuda:N or mps; got {name!r}.")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not there[device.type] or (device.index or 0) >= count:
        found = [kind for kind, usable in there.items() if usable]
        raise InvalidInputError(f"`device` must be one that this machine has, {', '.join(found)}; got {name!r}.")
    return name


def device_of(module: torch.nn.Module) -> torch.device:
    """Return where a module's parameters are."""
    return next(module.parameters()).device


def seed_device(device: torch.device, seed: int) -> None:
    """Seed what draws on a device, and nothing else."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@contextmanager
def kept_random_state(device: torch.device) -> Iterator[None]:
    """Leave the state of the CPU's and the device's random numbers as it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        before = torch.mps.get_rng_state() if device.type == "mps" else None
        try:
            yield
        finally:
            if before is not None:
                torch.mps.set_rng_state(before)
