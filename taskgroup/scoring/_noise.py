"""How uncertain each task's difference between two methods is, and how much of it to believe."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from taskgroup.scoring._comparison import bounded
from taskgroup.scoring._measured import Measured
from taskgroup.scoring._seeds import SeedNoise, moderated

__all__ = ["TaskNoise", "believed", "noise_variance", "task_intervals", "task_noise"]

Floats = NDArray[np.float64]

_PRIOR_FREEDOM = 10.0  # of a variance over samples, from the tasks that it is moderated by


class TaskNoise(NamedTuple):
    """The noise of each task's mean over seeds."""

    samples: Floats  # (T,) variance by the draw of the samples, NaN where undefined
    seeds: Floats  # (T,) variance by the luck of the seeds
    freedom: Floats  # (T,) degrees of freedom that their sum is known with
    unseen: tuple[str, ...]  # methods whose luck of the seed is not known

    @property
    def variance(self) -> Floats:
        """Of both, shape (T,)."""
        return self.samples + self.seeds


def task_noise(difference: Measured, seeds: SeedNoise | None = None, question: str = "retrained") -> TaskNoise:
    """Return the noise of each task's difference.

    - Samples: the sum of squared influences, moderated towards what tasks of the same size have on average.
    - Seeds: see :class:`SeedNoise`; nothing when the question is of these trained models.
    """
    n_samples = difference.influence.shape[2]
    counted = difference.defined & (difference.size > 0)
    samples, freedom = np.full((2, len(counted)), np.nan)
    spread = (seeds or difference.noise or SeedNoise()).of_tasks(difference, question)
    of_seeds = np.where(counted, spread.variance, np.nan)
    if counted.any():
        size = difference.size[counted]
        own = difference.task_rows[0, counted] * n_samples / max(n_samples - 1, 1)
        samples[counted] = moderated(own, size)
        total = samples[counted] + of_seeds[counted]
        unsure = (
            np.square(samples[counted]) / (size + _PRIOR_FREEDOM * (len(size) > 1))
            + np.square(of_seeds[counted]) / spread.freedom
        )
        freedom[counted] = np.divide(np.square(total), unsure, out=np.full(len(size), np.inf), where=unsure > 0)
    return TaskNoise(samples, of_seeds, np.maximum(freedom, 1.0), spread.unseen)


def task_intervals(measured: Measured, question: str = "retrained") -> Floats:
    """Return the ends of each task's own 95 % interval, shape (2, T); NaN where undefined.

    They stay within the bounds of the metric. A value at a bound has Wilson's interval at least: a perfect AUC of four
    positive samples is no proof that it is perfect.
    """
    noise = task_noise(measured, question=question)
    reach = stats.t.ppf(0.975, noise.freedom) * np.sqrt(noise.variance)
    ends = measured.by_task + np.stack([-reach, reach])
    if measured.bounds is None:
        return np.asarray(ends)
    low, high = measured.bounds
    if measured.is_difference:
        return np.asarray(np.clip(ends, low, high))
    for t in np.flatnonzero(~np.isnan(reach)):
        own = np.array([-reach[t], reach[t]])
        ends[:, t] = bounded(float(measured.by_task[t]), own, float(low[t]), float(high[t]), float(measured.size[t]))
    return np.asarray(ends)


def noise_variance(difference: Measured, seeds: SeedNoise | None = None, question: str = "retrained") -> Floats:
    """Return the variance of the mean over seeds of each task's difference, shape (T,); NaN where undefined."""
    return task_noise(difference, seeds, question).variance


def believed(
    difference: Measured, seeds: SeedNoise | None = None, question: str = "retrained"
) -> tuple[Floats, Floats]:
    """Return the empirical-Bayes estimate of each task's true difference, and its standard deviation, both (T,).

    The true differences are taken as normal around their mean with variance tau2, each seen through its own noise; tau2
    is the excess of the spread of the differences over their mean noise (DerSimonian & Laird, Controlled Clinical
    Trials 1986). Where that excess is no larger than chance makes it once in twenty times, tau2 is zero: every task is
    believed to have the mean difference, and so one method serves them all. A task whose difference is undefined has
    the mean too; the mean of none is 0. The standard deviation is that of a task's difference around the mean, given
    what was seen of it; it leaves out what is not known of the mean itself.
    """
    gains, noise = difference.by_task, noise_variance(difference, seeds, question)
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
