"""Agglomerative clusterings: Ward's on points, average linkage on affinities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering

from taskgroup.cluster._base import Affinity, AffinityClusterer, TaskClusterer

__all__ = ["AverageLinkageGroups", "WardGroups"]


class WardGroups(TaskClusterer):
    """Groups by Ward's minimum-variance merging of points; deterministic.

    Parameters
    ----------
    n_clusters : int
        Number of groups k.

    Examples
    --------
    >>> WardGroups(2).fit([[0.0], [5.0], [0.1]]).labels_
    array([0, 1, 0])
    """

    def __init__(self, n_clusters: int = 8) -> None:
        self.n_clusters = n_clusters

    def _cluster(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
        if len(points) == 1:
            return np.zeros(1, np.int64)
        labels: NDArray[np.int64] = AgglomerativeClustering(self.n_clusters, linkage="ward").fit(points).labels_
        return labels


class AverageLinkageGroups(AffinityClusterer):
    """Groups by merging the pair of groups of largest mean affinity; deterministic.

    Parameters
    ----------
    n_clusters : int
        Number of groups k.
    affinity : {"rbf", "precomputed"}
        Whether ``X`` holds points or an affinity matrix.

    Examples
    --------
    >>> A = [[1, 0.8, 0.1], [0.8, 1, 0.2], [0.1, 0.2, 1]]
    >>> AverageLinkageGroups(2, affinity="precomputed").fit(A).labels_
    array([0, 0, 1])
    """

    def __init__(self, n_clusters: int = 8, *, affinity: Affinity = "rbf") -> None:
        self.n_clusters = n_clusters
        self.affinity: Affinity = affinity

    def _cluster_graph(self, affinity: NDArray[np.float64]) -> NDArray[np.int64]:
        if len(affinity) == 1:
            return np.zeros(1, np.int64)
        merge = AgglomerativeClustering(self.n_clusters, metric="precomputed", linkage="average")
        labels: NDArray[np.int64] = merge.fit(affinity.max() - affinity).labels_
        return labels
