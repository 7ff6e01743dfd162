"""Batches of binary tasks that are checked but not yet encoded.

A training step leaves nothing of the tracker in the processor's caches, so that every call pays for fetching it again.
Encoding and storing some hundred rows at a time pays once for several batches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pending"]

_VALUES = 1 << 17  # values held at most, unless one batch alone is larger: half a megabyte


class Pending:
    """Rows and values (n, T) that wait; the values are those of :func:`~taskgroup.tracker._encode.signed_logits`."""

    def __init__(self, n_tasks: int) -> None:
        self._n = 0
        self._rows = np.empty(max(1, _VALUES // n_tasks), np.int64)
        self._values = np.empty((len(self._rows), n_tasks), np.float32)

    def __len__(self) -> int:
        return self._n

    def fits(self, n: int) -> bool:
        """Return whether ``n`` more rows fit; always when none wait."""
        return not self._n or self._n + n <= len(self._rows)

    def room(self, n: int) -> NDArray[np.float32]:
        """Return the place (n, T) for the values of the next ``n`` rows."""
        if n > len(self._rows):
            self._rows, self._values = np.empty(n, np.int64), np.empty((n, self._values.shape[1]), np.float32)
        return self._values[self._n : self._n + n]

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Count the rows in whose values have been put in their place."""
        self._rows[self._n : self._n + len(rows)] = rows
        self._n += len(rows)

    def drain(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return what waits, to be used before anything new comes, and wait for nothing."""
        n, self._n = self._n, 0
        return self._rows[:n], self._values[:n]
