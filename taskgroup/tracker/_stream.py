"""The record as running sums: constant memory, whatever the number of epochs.

The sums of codes and of squared codes are integers, held exactly (a float64 is exact up to 2^53), so a stream gives the
statistics of a history to the last bit. Welford's update (Technometrics 4(3), 1962) costs as much and rounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.datamaps import HALF, UNSEEN, DataMaps
from taskgroup.exceptions import InvalidInputError
from taskgroup.tracker._epoch import Sightings
from taskgroup.tracker._kernel import fold
from taskgroup.tracker._layout import Layout, margin_of

__all__ = ["BitCounter", "Stream"]

Bits = NDArray[np.uint8]

_BLOCK = 1 << 15  # values folded at a time: they stay in the cache
_MOST_EPOCHS = 65535


class Stream:
    """Running sums of the finished epochs, and one epoch's codes that are reused.

    Parameters
    ----------
    layout : Layout
        What the columns hold.
    n_samples : int
        Number of rows N.
    """

    def __init__(self, layout: Layout, n_samples: int) -> None:
        self.layout = layout
        self.n_epochs = 0
        self._codes = np.empty((n_samples, layout.width), np.uint16)
        n_values = n_samples * layout.width
        self.total = np.zeros(n_values, np.uint32)
        self.squares = np.zeros(n_values, np.float64)
        self.count = BitCounter(n_values)
        self.right = BitCounter(n_values)
        self.lost = BitCounter(n_values)
        self.last = np.zeros(-(-n_values // 8), np.uint8)

    def open(self) -> NDArray[np.uint16]:
        """Return the array (N, width) that the next epoch is to be written into."""
        return self._codes

    def close(self, repeats: Sightings, info: dict[str, Any], targets: NDArray[Any] | None) -> None:
        """Fold the opened epoch into the sums."""
        if self.n_epochs == _MOST_EPOCHS:
            raise InvalidInputError(f"a stream holds at most {_MOST_EPOCHS} epochs.")
        codes = self._codes.reshape(-1)
        seen, right = np.empty_like(self.last), np.empty_like(self.last)
        for start in range(0, len(codes), _BLOCK):
            block = codes[start : start + _BLOCK]
            here = block != UNSEEN
            bits = slice(start // 8, -(-(start + len(block)) // 8))
            seen[bits] = np.packbits(here)
            right[bits] = np.packbits(block > HALF)
            fold(block, self.total[start : start + _BLOCK], self.squares[start : start + _BLOCK])
        right &= seen
        self.count.add(seen)
        self.right.add(right)
        seen ^= right  # seen and wrong
        lost = self.last & seen
        self.lost.add(lost)
        self.last ^= lost
        self.last |= right
        self.n_epochs += 1

    def maps(self, **fields: Any) -> DataMaps:
        """Return the Data Maps of the finished epochs; ``fields`` are passed on."""
        layout, shape, n_tasks = self.layout, self._codes.shape, len(self.layout.tasks)
        count, right, lost = (counter.values().reshape(shape) for counter in (self.count, self.right, self.lost))
        total, squares = self.total.reshape(shape), self.squares.reshape(shape)
        if layout.margin:
            with np.errstate(invalid="ignore"):
                fields["margin"] = margin_of(total[:, layout.margins] / count[:, layout.margins])
        predicts = any(task.kind != "regression" for task in layout.tasks)
        blind = [task.kind == "multiclass" and layout.custom for task in layout.tasks]

        def sums(rows: slice) -> dict[str, Any]:
            part: dict[str, Any] = {"count": count, "total": total, "squares": squares}
            part = {name: value[rows, :n_tasks] for name, value in part.items()}
            for name, value in (("right", right), ("lost", lost)):
                part[name] = value[rows, :n_tasks].astype(np.float64) if predicts else None
                if predicts:
                    part[name][:, layout.many] = value[rows, layout.right]
                    part[name][:, blind] = np.nan
            return part

        return DataMaps.from_sums(layout.tasks, shape[0], sums, **fields)

    def state(self) -> dict[str, Any]:
        """Return copies of the sums."""
        counters = {name: np.stack(getattr(self, name).planes) for name in ("count", "right", "lost")}
        arrays = {name: getattr(self, name).copy() for name in ("total", "squares", "last")}
        return {"n_epochs": self.n_epochs, **counters, **arrays}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` gave."""
        self.n_epochs = int(state["n_epochs"])
        for name in ("count", "right", "lost"):
            getattr(self, name).planes = [plane.copy() for plane in state[name]]
        self.total, self.squares, self.last = (state[name].copy() for name in ("total", "squares", "last"))


class BitCounter:
    """Counts how often each of n bits was set, in about log2(count) bits each.

    Plane j holds bit j of every count; adding a bit vector is binary addition with carry on whole planes.

    Examples
    --------
    >>> counter = BitCounter(3)
    >>> for _ in range(3):
    ...     counter.add(np.packbits([True, False, True]))
    >>> counter.values()
    array([3, 0, 3], dtype=uint16)
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self.planes: list[Bits] = [np.zeros(-(-n // 8), np.uint8)]

    def add(self, bits: Bits) -> None:
        """Add one to every count whose bit is set; ``bits`` is packed as :func:`numpy.packbits` does."""
        carry = bits
        for plane in self.planes:
            carry, added = plane & carry, carry
            plane ^= added
        if carry.any():
            self.planes.append(carry)

    def values(self) -> NDArray[np.uint16]:
        """Return the n counts."""
        out = np.zeros(self._n, np.uint16)
        for j, plane in enumerate(self.planes):
            out |= np.unpackbits(plane, count=self._n).astype(np.uint16) << j
        return out
