"""Gaussian mixture on the leading components of the task space."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from taskgroup._validation import check_int
from taskgroup.cluster._base import TaskClusterer

__all__ = ["MixtureGroups"]


class MixtureGroups(TaskClusterer):
    """Groups by a mixture of spherical Gaussians, each with its own width.

    Parameters
    ----------
    n_clusters : int
        Number of groups k.
    n_components : int, optional
        Leading coordinates to use; ``n_clusters`` when left out.
    n_init : int
        Number of k-means starts.
    random_state : int
        Seed of the starts.

    Attributes
    ----------
    membership_ : ndarray of shape (n_samples, k)
        Posterior probabilities, in the order of the canonical labels.

    Examples
    --------
    >>> MixtureGroups(2).fit([[0.0], [5.0], [0.1], [5.2]]).labels_
    array([0, 1, 0, 1])
    """

    def __init__(
        self, n_clusters: int = 8, *, n_components: int | None = None, n_init: int = 10, random_state: int = 0
    ) -> None:
        self.n_clusters = n_clusters
        self.n_components = n_components
        self.n_init = n_init
        self.random_state = random_state

    def _cluster(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
        if self.n_components is not None:
            check_int("n_components", self.n_components, 1)
        leading = points[:, : self.n_components or self.n_clusters]
        if len(points) == 1:
            self.membership_ = np.ones((1, 1))
            return np.zeros(1, np.int64)
        floor = 1e-3 * float(leading.var(0).sum()) / leading.shape[1] + 1e-9
        model = GaussianMixture(
            self.n_clusters, covariance_type="spherical", reg_covar=floor, n_init=self.n_init, max_iter=200,
            random_state=self.random_state,
        )  # fmt: skip
        with warnings.catch_warnings():
            # Coinciding tasks give fewer distinct points than groups: the mixture is then merely not unique.
            warnings.simplefilter("ignore", ConvergenceWarning)
            labels: NDArray[np.int64] = model.fit(leading).predict(leading)
        _, first = np.unique(labels, return_index=True)
        empty = np.setdiff1d(np.arange(self.n_clusters), labels)
        order = np.concatenate([np.unique(labels)[np.argsort(first)], empty])
        self.membership_ = model.predict_proba(leading)[:, order]
        return labels
