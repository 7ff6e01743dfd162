"""For tasks that share no samples: the shape of each task's cloud of (confidence, variability) points.

Tasks are as far apart as the sliced 2-Wasserstein distance between their clouds (Rabin et al., SSVM 2011; Kolouri et
al., arXiv 1511.03198, equation 9): along each of a few directions, the L2 distance of the quantile functions.
Concatenated quantiles are thus an exact Euclidean embedding of it, whatever the order or identity of the samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taskgroup.datamaps import DataMaps
from taskgroup.features._relation import N_BLOCKS, Relation, from_distances

__all__ = ["DistributionStatistics", "distribution_statistics"]

_LEVELS = (np.arange(32) + 0.5) / 32
# Variability is doubled, so that both axes have length 1; the angles 0, 45, 90 and 135 degrees.
_DIRECTIONS = np.array([[1.0, 0.0], [0.5**0.5, 0.5**0.5], [0.0, 1.0], [-(0.5**0.5), 0.5**0.5]])


@dataclass(frozen=True, eq=False)
class DistributionStatistics:
    """Quantiles of every task in every block of samples.

    Parameters
    ----------
    quantiles : ndarray of shape (n_blocks, T, n_directions * n_levels)
        Zeros where a task has no sample in a block.
    count : ndarray of shape (n_blocks, T)
        Number of samples behind them. Quantiles of several blocks are averaged with these weights, which is the
        Wasserstein barycentre of the blocks' distributions along each direction.
    n_joint : ndarray of shape (n_blocks, T, T)
        Number of samples seen by both tasks; reported, not used.
    """

    quantiles: NDArray[np.float64]
    count: NDArray[np.float64]
    n_joint: NDArray[np.float64]

    def relation(self, blocks: NDArray[np.intp]) -> Relation:
        """Return the relation over the samples of the given blocks."""
        weight = self.count[blocks][..., None]
        points = (self.quantiles[blocks] * weight).sum(0) / np.maximum(weight.sum(0), 1.0)
        difference = points[:, None] - points[None]  # (T, T, D)
        return from_distances((difference**2).mean(2), self.n_joint[blocks].sum(0))


def distribution_statistics(maps: DataMaps) -> DistributionStatistics:
    """Return the quantile statistics of the maps, one task at a time."""
    n_tasks = maps.n_tasks
    quantiles = np.zeros((N_BLOCKS, n_tasks, len(_DIRECTIONS) * len(_LEVELS)))
    count = np.zeros((N_BLOCKS, n_tasks))
    for t in range(n_tasks):
        cloud = np.stack([maps.confidence[:, t], 2.0 * maps.variability[:, t]], 1)
        cloud = cloud[~np.isnan(cloud).any(1)] @ _DIRECTIONS.T
        # A task's own samples are dealt over the blocks, so that no block of a sparse task is empty by chance.
        order = np.random.default_rng(0).permutation(len(cloud))
        for block, rows in enumerate(np.array_split(order, N_BLOCKS)):
            count[block, t] = len(rows)
            if len(rows):
                quantiles[block, t] = np.quantile(cloud[rows], _LEVELS, axis=0).T.ravel()
    seen = (np.asarray(maps.count) > 0).astype(np.float32)
    joint = (seen.T @ seen).astype(np.float64)
    return DistributionStatistics(quantiles, count, np.broadcast_to(joint / N_BLOCKS, (N_BLOCKS, *joint.shape)))
