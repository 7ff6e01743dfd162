"""How much memory reading may take: a share of what the machine has free, or what ``TASKGROUP_MEMORY_LIMIT`` says.

Sizes are checked against it before arrays are made, by what files say of themselves.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import psutil

from taskgroup.exceptions import InvalidInputError

__all__ = ["VARIABLE", "check_memory", "memory_limit"]

VARIABLE = "TASKGROUP_MEMORY_LIMIT"
"""Environment variable with the limit, such as ``4GB``; ``none`` for no limit."""

_SHARE = 0.8
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def memory_limit() -> int | None:
    """Return the bytes that reading may take, None without a limit.

    Raises
    ------
    InvalidInputError
        When the environment variable is no size.
    """
    said = os.environ.get(VARIABLE, "").strip().upper()
    if said == "NONE":
        return None
    if said:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?", said)
        if not found:
            raise InvalidInputError(f"{VARIABLE} must be a size such as 4GB, or none; got {said!r}.")
        return int(float(found[1]) * _UNITS[found[2]])
    return int(_SHARE * _free())


def check_memory(what: str, n_bytes: float) -> None:
    """Raise when something would take more memory than it may.

    >>> check_memory("t.npz: array 'X'", 8)
    """
    limit = memory_limit()
    if limit is not None and n_bytes > limit:
        raise InvalidInputError(
            f"{what} would take {n_bytes / 1e6:,.0f} MB of memory, and {limit / 1e6:,.0f} MB may be used. Make it "
            f"smaller, or set {VARIABLE}, such as {VARIABLE}={n_bytes / 1e9 + 1:.0f}GB, if the machine has it."
        )


def _free() -> int:
    """Return the bytes that are free on the machine, and in the container where there is one."""
    free = int(psutil.virtual_memory().available)
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            folder = Path("/sys/fs/cgroup")
            free = min(free, int((folder / most).read_text()) - int((folder / used).read_text()))
    return max(free, 0)
