"""One epoch of codes, with repeat sightings of a sample averaged exactly.

A sample seen c times in an epoch is recorded as the mean of its c codes, rounded half up, computed from integer sums.
So the record depends neither on the order of the batches, nor on their size, nor on which process saw what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.datamaps import UNSEEN
from taskgroup.tracker import _kernel

__all__ = ["Epoch", "Sightings"]


@dataclass
class Sightings:
    """What some samples met in one epoch: sums and counts of their codes, each (R, width)."""

    rows: NDArray[np.int64]
    total: NDArray[np.uint64]
    count: NDArray[np.uint32]

    @classmethod
    def none(cls, width: int) -> Sightings:
        """Return an empty set."""
        return cls(np.empty(0, np.int64), np.empty((0, width), np.uint64), np.empty((0, width), np.uint32))

    @classmethod
    def single(cls, rows: NDArray[np.int64], codes: NDArray[np.uint16]) -> Sightings:
        """Return rows that were seen once, with these codes."""
        seen = codes != UNSEEN
        return cls(rows, np.where(seen, codes, 0).astype(np.uint64), seen.astype(np.uint32))

    @classmethod
    def several(cls, rows: NDArray[np.int64], codes: NDArray[np.uint16]) -> Sightings:
        """Return the sums of rows that may repeat."""
        if not len(rows):
            return cls.none(codes.shape[1])
        order = np.argsort(rows, kind="stable")
        unique, starts = np.unique(rows[order], return_index=True)
        each = cls.single(rows[order], codes[order])
        return cls(unique, np.add.reduceat(each.total, starts), np.add.reduceat(each.count, starts))

    def mean(self) -> NDArray[np.uint16]:
        """Return the mean codes, rounded half up; UNSEEN where nothing was observed."""
        count = self.count.astype(np.int64)
        mean = (2 * self.total.astype(np.int64) + count) // np.maximum(2 * count, 1)
        return np.where(count > 0, mean, UNSEEN).astype(np.uint16)


@dataclass
class Epoch:
    """The codes of one epoch, (N, width), filled in place.

    A row's first sighting is stored as it is. When the row comes again it moves to a side table of integer sums, and
    :meth:`close` writes the mean back. Rows that were not seen hold anything until then: read :attr:`seen_codes`.
    """

    codes: NDArray[np.uint16]
    n_batches: int = 0
    _place: NDArray[np.int32] = field(init=False)  # (N,) where in its batch the row was last seen, -1 for unseen
    _slot: NDArray[np.int32] | None = field(init=False, default=None)  # (N,) position in the side table, -1 for none
    _table: Sightings = field(init=False)
    _n_table: int = field(init=False, default=0)
    _addresses: tuple[int, int] = field(init=False)  # of _place and codes

    def __post_init__(self) -> None:
        self._place = np.full(len(self.codes), -1, np.int32)
        self._table = Sightings.none(self.codes.shape[1])
        self._addresses = _kernel.address(self._place), _kernel.address(self.codes)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy, whose arrays lie elsewhere."""
        vars(self).update(state)
        self._addresses = _kernel.address(self._place), _kernel.address(self.codes)

    @classmethod
    def reopen(cls, codes: NDArray[np.uint16], repeats: Sightings) -> Epoch:
        """Return a finished epoch opened again: its codes, and the sums of the rows that were seen more than once."""
        epoch = cls(codes)
        epoch._place[(codes != UNSEEN).any(1)] = 0
        epoch._store(repeats)
        return epoch

    def record(self, batch: Sequence[int], n: int) -> bool:
        """Record n samples of binary tasks if nothing is unusual; see :func:`taskgroup.tracker._kernel.record`.

        ``batch`` holds the addresses of row numbers, logits and labels.
        """
        return _kernel.record(batch, (n, self.codes.shape[1]), self._addresses, len(self.codes))

    def add(self, rows: NDArray[np.int64], codes: NDArray[np.uint16]) -> None:
        """Record codes (B, width) of rows (B,), which may repeat."""
        before = self._place[rows]
        places = np.arange(len(rows), dtype=np.int32)
        self._place[rows] = places
        if np.maximum.reduce(before) < 0 and (self._place[rows] == places).all():  # all new, all different
            self.codes[rows] = codes
            return
        first_at = np.unique(rows, return_index=True)[1]
        first = np.zeros(len(rows), bool)
        first[first_at] = before[first_at] < 0
        self.codes[rows[first]] = codes[first]
        self._sum(Sightings.several(rows[~first], codes[~first]))

    def merge(self, other: Sightings) -> None:
        """Add sightings made elsewhere, with unique rows."""
        new = self._place[other.rows] < 0
        self.codes[other.rows[new]] = UNSEEN
        self._place[other.rows] = 0
        once = new & (other.count <= 1).all(1)
        part = Sightings(other.rows[once], other.total[once], other.count[once])
        self.codes[part.rows] = part.mean()
        self._sum(Sightings(other.rows[~once], other.total[~once], other.count[~once]))

    def sightings(self) -> Sightings:
        """Return everything recorded so far."""
        repeats = self.repeats
        single = self._place >= 0
        single[repeats.rows] = False
        rows = np.flatnonzero(single)
        once = Sightings.single(rows, self.codes[rows])
        return Sightings(
            np.concatenate([once.rows, repeats.rows]),
            np.concatenate([once.total, repeats.total]),
            np.concatenate([once.count, repeats.count]),
        )

    @property
    def repeats(self) -> Sightings:
        """The side table: rows seen more than once."""
        table, n = self._table, self._n_table
        return Sightings(table.rows[:n], table.total[:n], table.count[:n])

    @property
    def seen_codes(self) -> NDArray[np.uint16]:
        """The codes, with UNSEEN now written into the rows that were not seen."""
        self.codes[self._place < 0] = UNSEEN
        return self.codes

    def close(self) -> Sightings:
        """Write the means of repeat sightings and the unseen rows into the codes; return the side table."""
        table, n = self._table, self._n_table
        repeats = Sightings(table.rows[:n].copy(), table.total[:n].copy(), table.count[:n].copy())
        self.seen_codes[repeats.rows] = repeats.mean()
        return repeats

    def _sum(self, new: Sightings) -> None:
        """Add sightings of unique rows to the side table; a row that enters brings along what the codes hold of it."""
        if not len(new.rows):
            return
        slot = self._slots()
        entering = new.rows[slot[new.rows] < 0]
        self._store(Sightings.single(entering, self.codes[entering]))
        at = slot[new.rows]
        self._table.count[at] += new.count
        self._table.total[at] += new.total

    def _store(self, new: Sightings) -> None:
        """Append rows to the side table, which doubles when it is full."""
        needed = self._n_table + len(new.rows)
        table = self._table
        if needed > len(table.rows):
            room = max(needed, min(2 * len(table.rows), len(self.codes)))
            self._table = Sightings(_grown(table.rows, room), _grown(table.total, room), _grown(table.count, room))
        for name in ("rows", "total", "count"):
            getattr(self._table, name)[self._n_table : needed] = getattr(new, name)
        self._slots()[new.rows] = np.arange(self._n_table, needed)
        self._n_table = needed

    def _slots(self) -> NDArray[np.int32]:
        if self._slot is None:
            self._slot = np.full(len(self.codes), -1, np.int32)
        return self._slot


def _grown(array: NDArray[Any], room: int) -> NDArray[Any]:
    out = np.empty((room, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out
