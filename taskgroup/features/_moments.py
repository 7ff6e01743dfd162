"""Pairwise-complete first and second moments of task columns, accumulated per slot (a block of samples)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairMoments", "over"]


class PairMoments:
    """Moments of every pair of columns over the rows in which neither is missing, per slot.

    For columns i, j and a 0/1 mask M of observed values (masked Gram matrices):
    count n = M'M, products p = X'X, sums s = X'M, squares q = (X*X)'M, where s[i, j] sums column i over the rows
    shared with j. Without missing values the last three do not depend on j and are kept as single columns. Products are
    float32 GEMMs over small pieces, accumulated in float64.

    Parameters
    ----------
    n_slots, n_columns : int
        Shape of the accumulators.
    missing : bool
        Whether values may be NaN.
    once : bool
        Whether every slot is added to once at most; it then holds the float32 products as they come, in half the
        memory, which thousands of columns need.
    """

    def __init__(self, n_slots: int, n_columns: int, *, missing: bool, once: bool = False) -> None:
        self.missing = missing
        width, one = (n_columns, n_columns) if missing else (1, 1)
        dtype = np.float32 if once else np.float64
        self.count = np.zeros((n_slots, n_columns if missing else one, width), dtype)
        self.sums = np.zeros((n_slots, n_columns, width), dtype)
        self.squares = np.zeros((n_slots, n_columns, width), dtype)
        self.products = np.zeros((n_slots, n_columns, n_columns), dtype)

    def add(self, slots: Sequence[int], rows: NDArray[np.float32]) -> None:
        """Add a piece (n, n_columns) of rows, NaN where missing, to each of the given slots."""
        if self.missing:
            seen = ~np.isnan(rows)
            rows = np.where(seen, rows, np.float32(0))
            mask = seen.astype(np.float32)
            products = rows.T @ rows
            count, sums, squares = mask.T @ mask, rows.T @ mask, (rows * rows).T @ mask
        else:
            products = rows.T @ rows
            count = np.full((1, 1), len(rows), np.float32)
            sums, squares = (np.ones(len(rows), np.float32) @ rows)[:, None], np.diag(products)[:, None]
        for slot in slots:
            self.count[slot] += count
            self.sums[slot] += sums
            self.squares[slot] += squares
            self.products[slot] += products

    def n_joint(self, slots: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the number of rows shared by every pair of columns, shape (n_columns, n_columns)."""
        return np.ascontiguousarray(np.broadcast_to(over(self.count, slots), self.products.shape[1:]))

    def covariance(self, slots: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return cov[i, j] and var[i, j], the variance of i over the rows shared with j, both (C, C)."""
        count = np.maximum(over(self.count, slots), 1.0)
        mean = over(self.sums, slots) / count
        covariance: NDArray[np.float64] = over(self.products, slots) / count - mean * mean.T
        variance = np.maximum(over(self.squares, slots) / count - mean * mean, 0.0)
        return (covariance + covariance.T) / 2, np.broadcast_to(variance, covariance.shape)

    def correlation(self, slots: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return pairwise-complete correlations, 0 where a column is constant, 1 on the diagonal."""
        covariance, variance = self.covariance(slots)
        scale: NDArray[Any] = np.sqrt(variance * variance.T)
        usable = (scale > 1e-12) & (self.n_joint(slots) >= 3)
        r: NDArray[np.float64] = np.divide(covariance, scale, out=np.zeros_like(covariance), where=usable)
        np.clip(r, -1.0, 1.0, out=r)
        np.fill_diagonal(r, 1.0)
        return r

    def squared_distances(self, slots: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the sum of (x_i - x_j)^2 over the rows shared by every pair of columns."""
        squares = np.broadcast_to(over(self.squares, slots), self.products.shape[1:])
        distances: NDArray[np.float64] = squares + squares.T - 2.0 * over(self.products, slots)
        return distances


def over(moment: NDArray[np.floating], slots: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the sum of a moment over slots, in float64 and without a copy of the slots."""
    total = np.zeros(moment.shape[1:])
    for slot in slots:
        total += moment[slot]
    return total
