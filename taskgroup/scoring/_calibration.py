"""How far stated confidence is from what comes true: the expected calibration error of T tasks at once.

Samples are put into bins of equal weight by their confidence, for bins of equal width are mostly empty where labels
are rare. In each bin the mean confidence is compared with the share that came true; the error is the mean of the
absolute gaps, weighted by the samples of each bin.

References
----------
Nguyen & O'Connor (arXiv 1508.05154, section 4: adaptive bins); Nixon et al. (arXiv 1904.01685).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["calibration_error"]

Floats = NDArray[np.float64]

_BINS = 15
_DIGITS = 9  # of confidence; what differs less is equal
_PER_BIN = 10  # fewer samples in a bin would show an error where there is none


def calibration_error(
    came_true: NDArray[np.bool_],
    confidence: Floats,
    mass: Floats,
    order: NDArray[np.intp] | None = None,
) -> Floats:
    """Return the expected calibration error of each task, in [0, 1]; NaN where nothing is labelled.

    Parameters
    ----------
    came_true : ndarray of bool of shape (T, n)
        Whether the event happened.
    confidence : ndarray of shape (T, n)
        Its stated probability.
    mass : ndarray of shape (T, n)
        How much each sample counts; 0 where it has no label.
    order : ndarray of int of shape (T, n), optional
        Samples by confidence, where that is known already.

    Examples
    --------
    >>> import numpy as np
    >>> happened = np.array([[True, False] * 20])
    >>> calibration_error(happened, np.full((1, 40), 0.7), np.ones((1, 40))).round(3).tolist()
    [0.2]
    """
    n_tasks = len(confidence)
    size, n_labelled = mass.sum(1), (mass > 0).sum(1)
    order = confidence.argsort(axis=1) if order is None else order
    ranked = np.round(np.take_along_axis(confidence, order, 1), _DIGITS)
    gap = np.take_along_axis(mass * (confidence - came_true), order, 1)
    new = np.ones(ranked.shape, bool)  # equals are in one bin, that of the first, whatever their order
    new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    counts = np.take_along_axis(mass, order, 1)
    before = np.cumsum(counts, axis=1) - counts
    n_bins = np.clip(n_labelled // _PER_BIN, 1, _BINS)[:, None]
    share = np.maximum.accumulate(np.where(new, before, 0), axis=1) * n_bins / np.where(size > 0, size, 1.0)[:, None]
    place = np.minimum(np.floor(share + 1e-9).astype(np.intp), _BINS - 1) + _BINS * np.arange(n_tasks)[:, None]
    sums = np.bincount(place.ravel(), gap.ravel(), n_tasks * _BINS).reshape(n_tasks, -1)
    error: Floats = np.divide(np.abs(sums).sum(1), size, out=np.full(n_tasks, np.nan), where=size > 0)
    return error
