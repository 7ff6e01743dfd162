"""Growing forests of many targets: splits are chosen on random combinations of them.

A split costs as much as it has targets. Beyond a hundred or so, the squared errors of a few random combinations tell as
much (Joly et al., ECML 2014, arXiv 1404.3581); here every fifth of the trees has combinations of its own. What leaves
hold are the targets themselves. Measured, 100 trees, mean test AUC and seconds, all targets against 32 combinations:
600 planted tasks .857 in 6.9 s and .857 in .8 s; 160 on wide sparse features .737 in 18 s and .750 in 7 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["draws_of", "grow", "leaf_means", "out_of_bag"]

_MOST = 128  # targets that trees are grown on as they are
_COMBINATIONS = 32
_PARTS = 5

Floats = NDArray[np.float64]


def grow(
    make: Callable[[int, int], Any],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    weight: NDArray[np.float32] | None,
    n_trees: int,
    seed: int,
) -> list[Any]:
    """Return forests of scikit-learn whose trees, together, are the forest.

    Parameters
    ----------
    make : callable
        Returns a forest for a number of trees and a seed.
    x : ndarray of float32 of shape (n, d)
        Inputs; column after column in memory is fastest.
    y : ndarray of float32 of shape (n, C)
        Targets. With more than 128 of them, the forests' own predictions are of combinations of them.
    weight : ndarray of float32 of shape (n,), optional
        Weights of the rows.
    n_trees, seed : int
        Of all forests together.
    """
    if y.shape[1] <= _MOST:
        return [make(n_trees, seed % 2**32).fit(x, y[:, 0] if y.shape[1] == 1 else y, weight)]
    rng = np.random.default_rng(seed)
    centred = y - y.mean(0)
    forests = []
    for part in np.array_split(np.arange(n_trees), min(_PARTS, n_trees)):
        combined = centred @ rng.normal(size=(y.shape[1], _COMBINATIONS)).astype(np.float32)
        forests.append(make(len(part), int(rng.integers(2**32))).fit(x, combined, weight))
    return forests


def draws_of(forests: list[Any], n_rows: int) -> NDArray[np.int64] | None:
    """Return how often each tree drew each row, (trees, n); None where trees see every row once."""
    if not forests[0].bootstrap:
        return None
    return np.stack([np.bincount(rows, minlength=n_rows) for forest in forests for rows in forest.estimators_samples_])


def leaf_means(
    ends: NDArray[np.integer[Any]], leaf: NDArray[np.integer[Any]], weight: Floats, targets: Floats, n_nodes: int
) -> Floats:
    """Return the mean target (m, C) in the leaves where rows end, of the fitted rows (n,) and their weights there."""
    within = sparse.csr_array((weight, (leaf.astype(np.int64), np.arange(len(leaf)))), (n_nodes, len(leaf)))
    wanted = within[ends]
    means: Floats = (wanted @ targets) / wanted.sum(1)[:, None]
    return means


def out_of_bag(forests: list[Any], x: NDArray[np.float32], y: NDArray[np.float32]) -> Floats:
    """Return the mean (n, C) of the trees that did not draw a row; the mean of all rows where every tree drew it."""
    draws = draws_of(forests, len(x))
    assert draws is not None
    targets = y.astype(np.float64)
    total, count = np.zeros(targets.shape), np.zeros((len(x), 1))
    trees = (tree.tree_ for forest in forests for tree in forest.estimators_)
    for tree, drawn in zip(trees, draws, strict=True):
        leaf, out = tree.apply(x), np.flatnonzero(drawn == 0)
        total[out] += leaf_means(leaf[out], leaf, drawn.astype(np.float64), targets, tree.node_count)
        count[out] += 1
    return np.where(count > 0, total / np.maximum(count, 1), targets.mean(0))
