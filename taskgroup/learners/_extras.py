"""Libraries that are only there when somebody has installed them."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.exceptions import MissingDependencyError

__all__ = ["as_bytes", "from_bytes", "missing", "optional"]


def missing(module: str) -> str | None:
    """Return what to do when a module is not installed, or None when it is.

    >>> missing("numpy")
    """
    name = module.partition(".")[0]
    if importlib.util.find_spec(name) is None:
        return f"needs {name}; install it with the extra [{name}]"
    return None


def optional(module: str, what: str) -> Any:
    """Return an optional module.

    Raises
    ------
    MissingDependencyError
        When it is not installed; the message names `what` needs it, and the extra.
    """
    if (reason := missing(module)) is not None:
        raise MissingDependencyError(f"{what} {reason}.")
    return importlib.import_module(module)


def from_bytes(content: bytes) -> NDArray[np.uint8]:
    """Return a file's content as an array."""
    return np.frombuffer(content, np.uint8).copy()


def as_bytes(array: NDArray[np.uint8]) -> bytes:
    """Return the content that :func:`from_bytes` was given."""
    return np.asarray(array, np.uint8).tobytes()
