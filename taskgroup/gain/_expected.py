"""What a linear model expects where a label is missing, so that trees of several tasks can be fitted to every row.

With most labels missing, a tree of many tasks sees few labels of each in a node, and the mean of a task in place of the
others teaches it that rows without a label are average: groups that are there then seem to lose. What is expected of a
row is no label, so the model must not have seen those that answers are judged by: it is fitted without a fold of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

__all__ = ["components", "expected"]

Floats = NDArray[np.float64]

_MOST = 128  # directions of the inputs that are looked at
_PENALTIES = np.array([1.0, 10.0, 100.0, 1000.0])


def components(X: NDArray[np.float32], random_state: int) -> Floats:
    """Return standardised inputs (n, d), or scores on their leading directions where there are more than 128.

    A missing input is taken as the mean of its column.
    """
    wide = X.shape[1] > _MOST
    A: NDArray[Any] = X.astype(np.float32 if wide else np.float64)
    missing = np.isnan(A)
    count = np.maximum((~missing).sum(0), 1)
    A[missing] = 0.0
    A -= A.sum(0, dtype=np.float64) / count
    A[missing] = 0.0
    spread = np.sqrt(np.square(A).sum(0, dtype=np.float64) / count)
    A /= np.where(spread > 1e-12, spread, np.inf)
    if not wide:
        return np.asarray(A)
    U, s, _ = randomized_svd(A, _MOST, random_state=random_state)
    return np.asarray(U * s, np.float64)


def expected(A: Floats, Z: Floats, rows: NDArray[np.intp]) -> Floats:
    """Return what ridge regression on the labels of some rows expects of every row, (n, C).

    The penalty of a column is that of least generalised cross-validation (Golub, Heath and Wahba, Technometrics 21,
    1979). What is expected lies within the labels that were seen; without a label it is 0.

    Parameters
    ----------
    A : ndarray of float64 of shape (n, d)
        Inputs, see :func:`components`.
    Z : ndarray of float64 of shape (n, C)
        Label columns of mean about 0, NaN where missing.
    rows : ndarray of intp
        The rows whose labels may be used.
    """
    found = np.zeros(Z.shape)
    for c in range(Z.shape[1]):
        own = rows[~np.isnan(Z[rows, c])]
        if len(own) < 3:
            continue
        mean, y = Z[own, c].mean(), Z[own, c] - Z[own, c].mean()
        center = A[own].mean(0)
        B = A[own] - center
        s, V = np.linalg.eigh(B.T @ B)
        s = np.maximum(s, 0.0)
        q = V.T @ (B.T @ y)
        w = q / (s + _PENALTIES[:, None])  # (penalties, d)
        left = y @ y - 2 * w @ q + np.square(w) @ s
        freedom = 1 + (s / (s + _PENALTIES[:, None])).sum(1)
        best = int(np.argmin(left / np.square(np.maximum(len(own) - freedom, 1e-3))))
        low, high = Z[own, c].min(), Z[own, c].max()
        found[:, c] = np.clip(mean + (A - center) @ (V @ w[best]), low, high)
    return found
