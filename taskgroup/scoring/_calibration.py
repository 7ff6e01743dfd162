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
from scipy.special import expit

from taskgroup.tasks import TaskSet

__all__ = ["calibration_error", "reliability"]

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


def reliability(
    tasks: TaskSet, Y: NDArray[np.float32], packed: NDArray[np.floating], weights: NDArray[np.floating] | None = None
) -> list[dict[str, float]]:
    """Return bins of equal numbers of all answers of binary tasks, by stated probability.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    Y : ndarray of float32 of shape (n, T)
        Targets, NaN where missing.
    packed : ndarray of shape (n, n_outputs)
        Packed outputs.
    weights : ndarray of shape (n, T), optional
        How much each label counts; 1 when left out.

    Returns
    -------
    list of dict
        {"stated": mean probability, "came_true": share of positives, "n": answers}, the lowest first: at most 15 bins
        of ten answers or more, empty without binary tasks.

    Examples
    --------
    >>> import numpy as np
    >>> reliability(TaskSet(["a"]), np.array([[0], [1]] * 5, np.float32), np.zeros((10, 1)))
    [{'stated': 0.5, 'came_true': 0.5, 'n': 10}]
    """
    binary = [t for t, task in enumerate(tasks) if task.kind == "binary"]
    starts = tasks.first_outputs
    labels, logits = Y[:, binary], packed[:, [starts[t] for t in binary]]
    seen = ~np.isnan(labels)
    order = np.argsort(logits[seen], kind="stable")
    stated, happened = expit(logits[seen][order].astype(np.float64)), (labels[seen] == 1)[order]
    mass = np.ones(len(order)) if weights is None else weights[:, binary][seen][order].astype(np.float64)
    found = []
    for rows in np.array_split(np.arange(len(order)), int(np.clip(len(order) // _PER_BIN, 1, _BINS))):
        if len(rows) and mass[rows].sum() > 0:
            means = [float(np.average(values[rows], weights=mass[rows])) for values in (stated, happened)]
            found.append({"stated": means[0], "came_true": means[1], "n": len(rows)})
    return found
