"""How uncertain each task's difference between two methods is, and how much of it to believe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from taskgroup.scoring._comparison import Measured

__all__ = ["believed", "noise_variance"]

Floats = NDArray[np.float64]

_PRIOR_SIZE = (
    10.0  # a task's own variance counts as much as the others' when it has this many samples of its rarer class
)


def noise_variance(difference: Measured) -> Floats:
    """Return the variance of the mean over seeds of each task's difference, shape (T,); NaN where undefined.

    - Samples: the sum of squared influences. The few positives of a rare task tell their own spread badly (two of them,
      both ranked first, seem to have none), so it is moderated towards what tasks of the same size have on average, in
      the manner of Smyth (2004, doi 10.2202/1544-6115.1027).
    - Seeds: the variance between seeds over S, as one ratio to the samples' variance for all tasks, since a task's own
      two or three seeds say little. With one seed it is zero.

    Both hold a share of the interaction of samples and seeds, so the sum errs to the safe side.
    """
    n_samples, n_seeds = difference.influence.shape[1], len(difference.seeds)
    defined = difference.defined & (difference.size > 0)
    variance = np.full(len(defined), np.nan)
    if not defined.any():
        return variance
    size = difference.size[defined]
    own = np.square(difference.influence[defined], dtype=np.float64).sum(1) * n_samples / max(n_samples - 1, 1)
    typical = (own * size).sum() / len(size) / size
    samples = (size * own + _PRIOR_SIZE * typical) / (size + _PRIOR_SIZE)
    seeds = difference.values[:, defined].var(0, ddof=1) / n_seeds if n_seeds > 1 else np.zeros(len(size))
    ratio = seeds.sum() / samples.sum() if samples.sum() > 0 else 0.0
    variance[defined] = samples * (1.0 + ratio)
    return variance


def believed(difference: Measured) -> Floats:
    """Return the empirical-Bayes estimate of each task's true difference, shape (T,).

    The true differences are taken as normal around their mean with variance tau2, each seen through its own noise. tau2
    is the moment estimate max(0, mean((d - mean)^2 - noise)): when the differences spread no wider than their noise,
    all tasks get the mean, and one method serves them all (Efron & Morris, JASA 1975). So does a task whose difference
    is undefined; the mean of none is 0.
    """
    gains, noise = difference.by_task, noise_variance(difference)
    defined = ~np.isnan(noise)
    n_tasks = int(defined.sum())
    if n_tasks == 0:
        return np.zeros(len(gains))
    mean = gains[defined].mean()
    spread = ((gains[defined] - mean) ** 2).sum() / max(n_tasks - 1, 1)
    tau2 = max(0.0, spread - noise[defined].mean())
    estimate = np.full(len(gains), mean)
    if tau2 > 0:
        estimate[defined] += tau2 / (tau2 + noise[defined]) * (gains[defined] - mean)
    return estimate
