"""How uncertain each task's difference between two methods is, and how much of it to believe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from taskgroup.scoring._measured import Measured, seed_variance

__all__ = ["believed", "noise_variance"]

Floats = NDArray[np.float64]

_PRIOR_SIZE = 10.0  # size of a task whose own variance counts as much as the others'


def noise_variance(difference: Measured) -> Floats:
    """Return the variance of the mean over seeds of each task's difference, shape (T,); NaN where undefined.

    - Samples: the sum of squared influences. The few positives of a rare task tell their own spread badly (two of them,
      both ranked first, seem to have none), so it is moderated towards what tasks of the same size have on average, in
      the manner of Smyth (2004, doi 10.2202/1544-6115.1027).
    - Seeds: the variance between seeds over S, as one ratio to the samples' variance for all tasks, since a task's own
      two or three seeds say little. With one seed it is zero.
    """
    n_samples = difference.influence.shape[2]
    defined = difference.defined & (difference.size > 0)
    variance = np.full(len(defined), np.nan)
    if not defined.any():
        return variance
    size = difference.size[defined]
    influence = difference.influence[:, defined]
    own = np.square(influence.mean(0, dtype=np.float64)).sum(1) * n_samples / max(n_samples - 1, 1)
    typical = (own * size).sum() / len(size) / size
    samples = (size * own + _PRIOR_SIZE * typical) / (size + _PRIOR_SIZE)
    seeds = max(0.0, float(seed_variance(difference.values[:, defined], influence).sum()))
    share = samples / samples.sum() if samples.any() else 1.0 / len(size)
    variance[defined] = samples + seeds * share
    return variance


def believed(difference: Measured) -> tuple[Floats, Floats]:
    """Return the empirical-Bayes estimate of each task's true difference, and its standard deviation, both (T,).

    The true differences are taken as normal around their mean with variance tau2, each seen through its own noise; tau2
    is the excess of the spread of the differences over their mean noise (DerSimonian & Laird, Controlled Clinical
    Trials 1986). Where that excess is no larger than chance makes it once in twenty times, tau2 is zero: every task is
    believed to have the mean difference, and so one method serves them all. A task whose difference is undefined has
    the mean too; the mean of none is 0. The standard deviation is that of a task's difference around the mean, given
    what was seen of it; it leaves out what is not known of the mean itself.
    """
    gains, noise = difference.by_task, noise_variance(difference)
    defined = ~np.isnan(noise)
    n_tasks = int(defined.sum())
    deviation = np.zeros(len(gains))
    if n_tasks == 0:
        return np.zeros(len(gains)), deviation
    mean = gains[defined].mean()
    estimate = np.full(len(gains), mean)
    if n_tasks == 1 or not noise[defined].any():
        return estimate, deviation
    spread = ((gains[defined] - mean) ** 2).sum() / (n_tasks - 1)
    typical = noise[defined].mean()
    freedom = max(1.0, noise[defined].sum() ** 2 / np.square(noise[defined]).sum() - 1)
    if spread > typical * stats.chi2.ppf(0.95, freedom) / freedom:
        tau2 = spread - typical
        share = tau2 / (tau2 + noise[defined])
        estimate[defined] += share * (gains[defined] - mean)
        deviation[:] = tau2**0.5
        deviation[defined] = (share * noise[defined]) ** 0.5
    return estimate, deviation
