"""Units in which 32-bit numbers tell the values of a column apart.

Tables and models hold features in 32 bits. A column such as 1e8 + a small signal would lose the signal there, and one
with a spread of 1e-12 is constant to a tree of scikit-learn. Such columns stay in 64 bits while they are read, and
models see them less an origin and divided by a size, in 32 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._display import brief

__all__ = ["Units", "narrow", "needs_64_bits"]

_SAMPLE = 2048  # rows that are looked at
_MERGED = 0.1  # share of the different values of a column that 32 bits may make equal
_SMALL = 1e-5  # trees of scikit-learn take values for equal that are nearer than 1e-7
_LARGE = 1e30

_NO_NUMBERS: NDArray[np.float64] = np.empty(0)
_NO_COLUMNS: NDArray[np.intp] = np.empty(0, np.intp)


@brief
@dataclass(frozen=True, eq=False)
class Units:
    """Origin and size of the columns that need them; the others are as they came.

    Parameters
    ----------
    columns : ndarray of int of shape (m,)
        Column numbers.
    origin, size : ndarray of float64 of shape (m,)
        What is seen of a value x is ``(x - origin) / size``. The size is a power of two.
    """

    columns: NDArray[np.intp] = field(default_factory=lambda: _NO_COLUMNS)
    origin: NDArray[np.float64] = field(default_factory=lambda: _NO_NUMBERS)
    size: NDArray[np.float64] = field(default_factory=lambda: _NO_NUMBERS)

    @classmethod
    def fit(cls, X: NDArray[Any], numeric: NDArray[np.bool_]) -> Units:
        """Return the units of training rows ``X`` (n, d), NaN where missing, of columns that hold numbers."""
        found = [(j, *unit) for j in np.flatnonzero(numeric) if (unit := _unit(X[:, j])) is not None]
        columns, origin, size = zip(*found, strict=True) if found else ((), (), ())
        return cls(np.array(columns, np.intp), np.array(origin, np.float64), np.array(size, np.float64))

    def seen(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Return rows (n, d) in these units, in 32 bits."""
        with np.errstate(over="ignore"):  # columns that overflow are written again
            rows = np.asarray(X, np.float32)
        if not len(self.columns):
            return rows
        rows = rows.copy() if rows is X else rows
        own = (X[:, self.columns].astype(np.float64) - self.origin) / self.size
        rows[:, self.columns] = np.clip(own, -_LARGE, _LARGE)
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the units as a JSON-able dictionary."""
        return {"columns": self.columns, "origin": self.origin, "size": self.size}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Units:
        """Return the units that :meth:`to_dict` wrote."""
        return cls(
            np.asarray(document["columns"], np.intp),
            np.asarray(document["origin"], np.float64),
            np.asarray(document["size"], np.float64),
        )


def narrow(X: NDArray[Any], *, copy: bool = False) -> NDArray[Any]:
    """Return rows (n, d) in float32, or in float64 where a column would lose too much."""
    short = X.dtype.kind == "f" and X.dtype.itemsize <= 4
    wide = not short and any(needs_64_bits(X[:, j]) for j in range(X.shape[1]))
    return X.astype(np.float64 if wide else np.float32, copy=copy)


def needs_64_bits(column: NDArray[Any]) -> bool:
    """Return whether 32 bits would make more than a tenth of the different values of a column (n,) equal to others."""
    there = _sample(column)
    with np.errstate(over="ignore"):
        short = there.astype(np.float32)
    if not len(there) or (short == there).all():
        return False
    n_values = 1 + np.count_nonzero(there[1:] != there[:-1])
    return bool(1 + np.count_nonzero(short[1:] != short[:-1]) < (1 - _MERGED) * n_values)


def _unit(column: NDArray[Any]) -> tuple[float, float] | None:
    """Return origin and size of a column, None when it needs none."""
    there = _sample(column)
    if not len(there):
        return None
    large = np.abs(there[[0, -1]]).max() > _LARGE
    low, middle, high = there[[len(there) // 4, len(there) // 2, -1 - len(there) // 4]]
    spread = (high - low) or min(there[-1] - there[0], np.finfo(np.float64).max)
    if spread <= 64 * np.finfo(np.float64).eps * np.abs(middle):  # constant, but for rounding
        return (0.0, float(2.0 ** np.floor(np.log2(np.abs(middle))))) if large else None
    if spread >= _SMALL and not large and not needs_64_bits(column):
        return None
    return float(middle), float(2.0 ** np.round(np.log2(spread)))


def _sample(column: NDArray[Any]) -> NDArray[np.float64]:
    """Return values of a column that are there, sorted: of some rows, and others where those are all the same."""
    some = column[:: max(1, len(column) // _SAMPLE)].astype(np.float64)
    some = np.sort(some[~np.isnan(some)])
    if len(some) < len(column) and (not len(some) or some[0] == some[-1]):
        others = column[column != (some[0] if len(some) else np.nan)].astype(np.float64)
        others = others[~np.isnan(others)]
        some = np.sort(np.concatenate([some, others[:: max(1, len(others) // _SAMPLE)]]))
    return some
