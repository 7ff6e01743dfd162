"""Thresholds of trees in single precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["float32_below"]


def float32_below(split: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the largest float32 that is not above each threshold, which sends every float32 the same way.

    >>> float32_below(np.array([0.1])) <= 0.1
    array([ True])
    """
    with np.errstate(over="ignore"):  # beyond every float32 is infinity
        threshold = split.astype(np.float32)
    below: NDArray[np.float32] = np.where(threshold > split, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    return below.astype(np.float32)
