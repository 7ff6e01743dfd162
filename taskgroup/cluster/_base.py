"""What the clusterers share: the scikit-learn contract and canonical labels."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import validate_data

from taskgroup._validation import check_choice, check_int
from taskgroup.exceptions import InvalidInputError
from taskgroup.features import from_distances
from taskgroup.grouping import canonical_labels

__all__ = ["Affinity", "AffinityClusterer", "TaskClusterer"]

Affinity = Literal["rbf", "precomputed"]


class TaskClusterer(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the clusterers: ``fit`` checks, a subclass's ``_cluster`` labels, labels become canonical.

    Attributes
    ----------
    labels_ : ndarray of int64 of shape (n_samples,)
        Group 0 holds the first sample, group 1 the first sample that is not in group 0, and so on.
    """

    n_clusters: Any

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Cluster the rows of ``X`` (n_samples, n_features); ``y`` is ignored."""
        points: NDArray[np.float64] = validate_data(self, X, dtype=np.float64)
        if self.n_clusters is not None:
            check_int("n_clusters", self.n_clusters, 1, len(points), high_name="n_samples")
        self.labels_ = canonical_labels(self._cluster(points))
        return self

    def _cluster(self, points: NDArray[np.float64]) -> NDArray[Any]:
        raise NotImplementedError


class AffinityClusterer(TaskClusterer):
    """Base of the clusterers of a graph: ``X`` is an affinity matrix, or points that a Gaussian kernel turns into one.

    Parameters of every subclass
    ----------------------------
    affinity : {"rbf", "precomputed"}
        With "precomputed", ``X`` is a symmetric, non-negative (n_samples, n_samples) matrix.
    """

    affinity: Affinity

    def _cluster(self, points: NDArray[np.float64]) -> NDArray[Any]:
        check_choice("affinity", self.affinity, ("rbf", "precomputed"))
        if self.affinity == "rbf":
            norms = np.einsum("ij,ij->i", points, points)
            squared = norms[:, None] + norms - 2.0 * points @ points.T
            return self._cluster_graph(from_distances(squared, np.ones_like(squared)).similarity)
        if points.shape[0] != points.shape[1] or (points < 0).any() or not np.allclose(points, points.T):
            raise InvalidInputError(
                "with affinity='precomputed', `X` must be a symmetric, non-negative matrix; "
                f"got shape {points.shape}, smallest value {points.min():.3g}."
            )
        return self._cluster_graph((points + points.T) / 2)

    def _cluster_graph(self, affinity: NDArray[np.float64]) -> NDArray[Any]:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.affinity == "precomputed"
        return tags
