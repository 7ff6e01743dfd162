"""Fuzzy c-means (Bezdek 1981), in the log domain.

Membership of point i in group g with fuzziness m > 1 (equation 5 of STG-MTL, arXiv 2307.03374):
w_ig proportional to d_ig^(-2 / (m - 1)), that is log w_ig = -log d_ig^2 / (m - 1), normalised after taking off the
largest, so that no m > 1 and no point on a centre gives NaN.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning

from taskgroup._validation import check_real
from taskgroup.cluster._base import TaskClusterer
from taskgroup.cluster._kmeans import KMeansGroups
from taskgroup.exceptions import InvalidInputError

__all__ = ["FuzzyCMeans", "memberships", "solve_fuzziness"]


class FuzzyCMeans(TaskClusterer):
    """Soft groups: every point belongs to every group to a degree.

    Parameters
    ----------
    n_clusters : int
        Number of groups k.
    m : float
        Fuzziness, above 1; close to 1 is hard.
    perplexity : float, optional
        Mean effective number of groups per point, in (1, k). When given, ``m`` is solved for: a fixed m means anything
        from hard to uniform, depending on the dimension.
    n_components : int, optional
        Leading coordinates to use. In many dimensions all distances are alike and memberships collapse to 1 / k.
    max_iter : int
        Most alternations of memberships and centres.
    tol : float
        Largest change of a membership at which they stop.
    random_state : int
        Seed of the k-means starts.

    Attributes
    ----------
    membership_ : ndarray of shape (n_samples, k)
        Rows sum to 1; columns in the order of the canonical labels.
    cluster_centers_ : ndarray of shape (k, n_features used)
        Centres.
    m_ : float
        Fuzziness used.
    n_iter_ : int
        Alternations done.

    Examples
    --------
    >>> FuzzyCMeans(2, m=1.5).fit([[0.0], [1.0], [0.5], [0.01], [0.99]]).membership_.round(2)
    array([[1. , 0. ],
           [0. , 1. ],
           [0.5, 0.5],
           [1. , 0. ],
           [0. , 1. ]])
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        m: float = 1.5,
        perplexity: float | None = None,
        n_components: int | None = None,
        max_iter: int = 300,
        tol: float = 1e-6,
        random_state: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.m = m
        self.perplexity = perplexity
        self.n_components = n_components
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def _cluster(self, points: NDArray[np.float64]) -> NDArray[Any]:
        if check_real("m", self.m) <= 1:
            raise InvalidInputError(f"`m` must be above 1; got {self.m}.")
        points = points[:, : self.n_components]
        start = KMeansGroups(self.n_clusters, n_init=20, random_state=self.random_state).fit(points)
        centres, w, self.m_ = start.cluster_centers_, np.zeros((len(points), 0)), float(self.m)
        for iteration in range(1, self.max_iter + 1):
            self.n_iter_ = iteration
            squared = cdist(points, centres, "sqeuclidean")
            if self.perplexity is not None:
                self.m_ = solve_fuzziness(squared, self.perplexity)
            last, w = w, memberships(squared, self.m_)
            if last.shape == w.shape and np.abs(w - last).max() <= self.tol:
                break
            weight = w**self.m_
            centres = (weight.T @ points) / np.maximum(weight.sum(0), 1e-300)[:, None]
        else:
            warnings.warn(
                f"fuzzy c-means did not settle in {self.max_iter} iterations; raise `max_iter` or `tol`.",
                ConvergenceWarning,
                stacklevel=3,
            )
        labels: NDArray[np.int64] = w.argmax(1)
        first = [int(np.argmax(labels == g)) if (labels == g).any() else len(labels) for g in range(w.shape[1])]
        order = np.argsort(first, kind="stable")
        self.membership_, self.cluster_centers_ = w[:, order], centres[order]
        return labels


def memberships(squared: NDArray[np.float64], m: float) -> NDArray[np.float64]:
    """Return memberships (n, k) from squared distances (n, k); a point on a centre belongs to it alone."""
    floor = np.finfo(np.float64).tiny
    w: NDArray[np.float64] = softmax(-np.log(np.maximum(squared, floor)) / (m - 1.0), axis=1)
    return w


def solve_fuzziness(squared: NDArray[np.float64], perplexity: float) -> float:
    """Return the fuzziness m at which exp(mean entropy of the memberships) is ``perplexity``, by bisection.

    Raises
    ------
    InvalidInputError
        When ``perplexity`` is not between 1 and k.
    """
    k = squared.shape[1]
    if not 1.0 < check_real("perplexity", perplexity) < k:
        raise InvalidInputError(f"`perplexity` must be above 1 and below n_clusters={k}; got {perplexity}.")
    low, high = np.log(1e-6), np.log(1e6)  # of m - 1; entropy rises with it
    for _ in range(60):
        middle = (low + high) / 2
        w = memberships(squared, 1.0 + float(np.exp(middle)))
        entropy = -(w * np.log(np.maximum(w, 1e-300))).sum(1).mean()
        low, high = (low, middle) if entropy > np.log(perplexity) else (middle, high)
    return 1.0 + float(np.exp((low + high) / 2))
