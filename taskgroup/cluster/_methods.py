"""The clustering methods by name, each applied to what it needs of a relation: affinities or points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from taskgroup.cluster._base import TaskClusterer
from taskgroup.cluster._fuzzy import FuzzyCMeans
from taskgroup.cluster._kmeans import KMeansGroups
from taskgroup.cluster._linkage import AverageLinkageGroups, WardGroups
from taskgroup.cluster._louvain import LouvainGroups
from taskgroup.cluster._mixture import MixtureGroups
from taskgroup.cluster._spectral import cut, spectral_embedding
from taskgroup.features import Relation, embed

__all__ = ["METHODS", "Method", "fuzzy_membership", "partitions"]

Method = Literal["spectral", "ward", "kmeans", "fuzzy", "gmm", "average", "louvain"]
METHODS: tuple[Method, ...] = ("spectral", "ward", "kmeans", "fuzzy", "gmm", "average", "louvain")


def partitions(
    method: Method, relation: Relation, ks: Sequence[int], *, n_init: int, random_state: int
) -> list[NDArray[np.int64]]:
    """Return the labels (T,) of the clustering into k groups for every k of ``ks``."""
    if method == "spectral":
        vectors = spectral_embedding(relation.similarity, max(ks))
        return [cut(vectors, k, n_init, random_state) for k in ks]
    data = relation.similarity if method in ("average", "louvain") else embed(relation.gram)
    return [_clusterer(method, k, n_init, random_state).fit(data).labels_ for k in ks]


def fuzzy_membership(relation: Relation, k: int, random_state: int) -> NDArray[np.float64]:
    """Return the memberships (T, k) of fuzzy c-means."""
    points = embed(relation.gram)
    membership: NDArray[np.float64] = FuzzyCMeans(k, n_components=k, random_state=random_state).fit(points).membership_
    return membership


def _clusterer(method: Method, k: int, n_init: int, random_state: int) -> TaskClusterer:
    if method == "ward":
        return WardGroups(k)
    if method == "kmeans":
        return KMeansGroups(k, n_init=max(n_init, 1), random_state=random_state)
    if method == "fuzzy":
        return FuzzyCMeans(k, n_components=k, random_state=random_state)
    if method == "gmm":
        return MixtureGroups(k, n_init=max(n_init // 10, 1), random_state=random_state)
    if method == "average":
        return AverageLinkageGroups(k, affinity="precomputed")
    return LouvainGroups(k, affinity="precomputed", random_state=random_state)
