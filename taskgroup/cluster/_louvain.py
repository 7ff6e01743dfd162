"""Communities of the affinity graph by modularity (Blondel et al., 2008), which finds the number of groups itself."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from taskgroup._validation import check_real
from taskgroup.cluster._base import Affinity, AffinityClusterer

__all__ = ["LouvainGroups"]


class LouvainGroups(AffinityClusterer):
    """Groups of largest modularity, from Louvain's heuristic.

    Parameters
    ----------
    n_clusters : int, optional
        When given, the resolution is raised until there are at least so many communities, and those of largest mean
        affinity are merged until there are exactly so many. When left out, modularity decides.
    affinity : {"rbf", "precomputed"}
        Whether ``X`` holds points or an affinity matrix.
    resolution : float
        Above 1 favours small groups.
    random_state : int
        Seed of the order in which nodes are visited.

    Examples
    --------
    >>> import numpy as np
    >>> A = np.kron(np.eye(2), np.ones((3, 3)))
    >>> LouvainGroups(affinity="precomputed").fit(A).labels_
    array([0, 0, 0, 1, 1, 1])
    """

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        affinity: Affinity = "rbf",
        resolution: float = 1.0,
        random_state: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.affinity: Affinity = affinity
        self.resolution = resolution
        self.random_state = random_state

    def _cluster_graph(self, affinity: NDArray[np.float64]) -> NDArray[np.int64]:
        graph = nx.from_numpy_array(np.where(np.eye(len(affinity), dtype=bool), 0.0, affinity))
        resolution = check_real("resolution", self.resolution, 0.0)
        labels = self._communities(graph, resolution)
        if self.n_clusters is None:
            return labels
        for _ in range(20):
            if labels.max() + 1 >= self.n_clusters:
                break
            resolution *= 1.5
            labels = self._communities(graph, resolution)
        else:
            labels = np.arange(len(affinity))
        return merge_to(labels, affinity, self.n_clusters)

    def _communities(self, graph: Any, resolution: float) -> NDArray[np.int64]:
        labels = np.zeros(len(graph), np.int64)
        found = nx.community.louvain_communities(graph, resolution=resolution, seed=self.random_state)
        for g, members in enumerate(found):
            labels[list(members)] = g
        return labels


def merge_to(labels: NDArray[np.int64], affinity: NDArray[np.float64], n_groups: int) -> NDArray[np.int64]:
    """Return labels with the groups of largest mean affinity merged, pair by pair, until ``n_groups`` are left."""
    labels = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    while labels.max() + 1 > n_groups:
        onehot = np.eye(labels.max() + 1)[labels]
        sizes = onehot.sum(0)
        mean = onehot.T @ affinity @ onehot / np.outer(sizes, sizes)
        np.fill_diagonal(mean, -1.0)
        one, other = np.unravel_index(int(mean.argmax()), mean.shape)
        labels = np.unique(np.where(labels == other, one, labels), return_inverse=True)[1].astype(np.int64)
    return labels
