"""Rows that occur more than once, exactly or nearly: across parts they turn memory into a score."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Repeats", "find_repeats"]

_NEAR = 1e-3  # root mean square difference of standardised features
_NEIGHBOURS = 3
_LOOK = 6  # columns of a first look
_WIDE = 20
_LARGE = 0.05  # a set of equal rows larger than this share of the table is no set of copies


class Repeats(NamedTuple):
    """Rows that are the same, or nearly."""

    sets: NDArray[np.intp]  # (n,) number of the set of a row; rows of one set hold (nearly) the same features
    n_exact: int  # rows that repeat an earlier row
    n_near: int  # rows beyond those that nearly repeat another one


def find_repeats(X: NDArray[Any]) -> Repeats:
    """Return sets of equal and nearly equal rows of features (n, d).

    Nearly equal rows are looked for among neighbours along a random direction, in tables with five or more columns of
    quantities; others would be alike by chance.
    """
    exact = _equal_rows(X)
    n_exact = len(X) - int(exact.max()) - 1
    many = _quantities(X)
    if not many.any() and X.shape[1] <= _WIDE:  # few values in few columns: rows are equal by chance
        return Repeats(np.arange(len(X), dtype=np.intp), n_exact, 0)
    pairs = _near_pairs(X, many)
    if not len(pairs):
        return Repeats(_without_large(exact), n_exact, 0)
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n_sets = int(exact.max()) + 1
    a, b = exact[pairs[:, 0]], exact[pairs[:, 1]]
    graph = coo_matrix((np.ones(len(a), bool), (a, b)), (n_sets, n_sets))
    n_joined, joined = connected_components(graph, directed=False)
    return Repeats(_without_large(joined[exact].astype(np.intp)), n_exact, n_sets - int(n_joined))


def _equal_rows(X: NDArray[Any]) -> NDArray[np.intp]:
    """Return the number of each row's set of equal rows; rows that differ in a few columns need no further look."""
    import pandas as pd

    few = np.unique(np.linspace(0, X.shape[1] - 1, _LOOK).astype(int))
    sets: NDArray[np.intp] = pd.factorize(_keys(X[:, few]))[0].astype(np.intp)
    again = np.flatnonzero(np.bincount(sets)[sets] > 1)
    if len(few) == X.shape[1] or not len(again):
        return sets
    sets[again] = len(X) + pd.factorize(_keys(X[again]))[0]
    renumbered: NDArray[np.intp] = pd.factorize(sets)[0].astype(np.intp)
    return renumbered


def _keys(X: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a 64-bit sum of products with odd random numbers for every row; equal rows have equal keys."""
    rng = np.random.default_rng(0)
    multipliers = rng.integers(1, 1 << 63, X.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    keys = np.empty(len(X), np.uint64)
    step = max(1, (1 << 18) // max(X.shape[1], 1))
    for start in range(0, len(X), step):
        block = X[start : start + step] + np.float32(0)  # -0 and 0 are the same number
        block[np.isnan(block)] = np.nan
        keys[start : start + step] = (block.view(f"u{X.itemsize}") * multipliers).sum(1, dtype=np.uint64)
    return keys


def _quantities(X: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which columns hold many different numbers, shape (d,)."""
    head = np.sort(X[:1000], axis=0)
    different = (np.diff(head, axis=0) > 0).sum(0) + 1
    return np.asarray(different > min(50, len(head) / 4))


def _near_pairs(X: NDArray[Any], many: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return pairs of different rows, (m, 2), whose features differ by less than a thousandth of their spread."""
    if many.sum() < 5 or len(X) < 3:
        return np.empty((0, 2), np.intp)
    columns = np.flatnonzero(many)
    sample = X[:: max(1, len(X) // 5000)][:, columns].astype(np.float64)
    with np.errstate(all="ignore"):
        n_there = np.maximum((~np.isnan(sample)).sum(0), 1)
        center = np.nansum(sample, 0) / n_there
        spread = np.sqrt(np.nansum((sample - center) ** 2, 0) / n_there)
    columns, center, spread = columns[spread > 0], center[spread > 0], spread[spread > 0]
    look = np.unique(np.linspace(0, len(columns) - 1, _LOOK).astype(int))
    shadow = np.nan_to_num((X[:, columns[look]] - center[look]) / spread[look], nan=0.0).astype(np.float32)
    direction = np.random.default_rng(1).normal(size=len(look)).astype(np.float32)
    order = np.argsort(shadow @ direction, kind="stable")
    first = shadow[order, 0]
    pairs = []
    for ahead in range(1, _NEIGHBOURS + 1):
        a, b = order[:-ahead], order[ahead:]
        close = np.abs(first[:-ahead] - first[ahead:]) < _NEAR * np.sqrt(len(columns))
        a, b = a[close], b[close]
        difference = np.nan_to_num((X[np.ix_(a, columns)] - X[np.ix_(b, columns)]) / spread, nan=0.0)
        near = np.sqrt((difference**2).mean(1)) < _NEAR
        pairs.append(np.stack([a[near], b[near]], 1))
    return np.concatenate(pairs)


def _without_large(sets: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the sets with every row of a very large one for itself: a small world holds no copies."""
    sizes = np.bincount(sets)
    large = sizes[sets] > max(10, _LARGE * len(sets))
    if not large.any():
        return sets
    alone = np.where(large, len(sizes) + np.arange(len(sets)), sets)
    return np.unique(alone, return_inverse=True)[1].astype(np.intp)
