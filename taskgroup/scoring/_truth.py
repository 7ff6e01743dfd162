"""What each task truly gains: shrunken, with an interval, and called helped or hurt only where that is shown.

The gain seen on a task is its true gain plus noise, and noise is large where labels are rare. True gains are taken as
normal around their mean. How far they spread is not known either: a grid of spreads is averaged over, each weighted by
how well it explains what was seen (restricted likelihood; the share of the spread that is noise is uniform beforehand).
Tasks share samples and seeds, so part of their noise is common to all: it moves the mean and does not average out.

Many tasks are many chances to be wrong, which the shrinking answers: where gains are mostly noise, all are pulled in. A
task's doubt is twice the posterior probability that its gain has the other sign, and it is called where that is no
larger than alpha / 2. Half, because true gains may be exactly zero on many tasks, which no normal distribution says;
so the share of false calls stays below alpha there too (simulated: see benchmarks/coverage.py). q is the mean doubt of
the task and of all that are as sure: the share of false calls to expect of them.

References
----------
Daniels, Canadian Journal of Statistics 27 (1999), pages 567-578 (uniform shrinkage prior).
Stephens, Biostatistics 18 (2017), doi 10.1093/biostatistics/kxw041 (false sign rates); Storey, Annals of Statistics 31
(2003), pages 2013-2035 (q values as posterior probabilities).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr

from taskgroup.scoring._measured import Measured
from taskgroup.scoring._noise import task_noise
from taskgroup.scoring._seeds import SeedNoise

__all__ = ["TaskGains", "gains_of_tasks", "task_gains"]

Floats = NDArray[np.float64]
Call = Literal["helped", "hurt", "open"]

_GRID = 60  # spreads averaged over
_HALVINGS = 40  # of the range in which an end of an interval is sought


class TaskGains(NamedTuple):
    """True gains of T tasks; NaN where a task's score is undefined."""

    gain: Floats  # (T,) posterior mean
    low: Floats  # (T,) ends of the 95 % interval
    high: Floats
    doubt: Floats  # (T,) twice the posterior probability of the other sign
    q: Floats  # (T,) mean doubt of this task and all that are as sure

    def calls(self, alpha: float = 0.05) -> list[Call]:
        """Return for each task whether it is helped or hurt beyond doubt."""
        return [
            "open" if not doubt <= alpha / 2 else "helped" if gain > 0 else "hurt"
            for doubt, gain in zip(self.doubt, self.gain, strict=True)
        ]


def task_gains(
    difference: Measured,
    tasks: Sequence[str],
    *,
    question: str = "retrained",
    alpha: float = 0.05,
) -> list[dict[str, Any]]:
    """Return one row per task: what it gains, and whether it is helped or hurt.

    Parameters
    ----------
    difference : Measured
        Gains over a baseline, ``card.main["test"][method].minus(card.main["test"][baseline])``.
    tasks : sequence of str
        Names of the T tasks.
    question : str
        "retrained", with the luck of seeds, or "trained", of these trained models.
    alpha : float
        The share of calls that may be false.

    Returns
    -------
    list of dict
        {"task", "gain", "low", "high", "q", "call", "seen"}: the shrunken gain with its 95 % interval; "call" is
        "helped", "hurt" or "open"; "seen" is the gain as measured. None where a task's score is undefined.
    """
    found = gains_of_tasks(difference, question)
    seen = difference.by_task
    return [
        {"task": name, "gain": _or_none(found.gain[t]), "low": _or_none(found.low[t]), "high": _or_none(found.high[t]),
         "q": _or_none(found.q[t]), "call": call, "seen": _or_none(seen[t])}
        for t, (name, call) in enumerate(zip(tasks, found.calls(alpha), strict=True))
    ]  # fmt: skip


def gains_of_tasks(difference: Measured, question: str = "retrained", seeds: SeedNoise | None = None) -> TaskGains:
    """Return the posterior of every task's true gain."""
    noise = task_noise(difference, seeds, question)
    counted = ~np.isnan(noise.variance)
    result = TaskGains(*np.full((5, len(counted)), np.nan))
    if not counted.any():
        return result
    seen = difference.by_task[counted]
    freedom = noise.freedom[counted]
    variance = noise.variance[counted] * np.square(stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975))
    shared = _shared(difference, variance, question, seeds)
    own = np.maximum(variance - shared, 0.05 * variance)
    centre, spread, weight = _posterior(seen, own, shared)
    ends = [_quantile(centre, spread, weight, p) for p in (0.025, 0.975)]
    gain = centre @ weight
    with np.errstate(invalid="ignore", divide="ignore"):
        below = ndtr(np.where(spread > 0, -centre / spread, -np.inf * np.sign(centre))) @ weight
    doubt = np.where(gain == 0, 1.0, np.minimum(1.0, 2 * np.minimum(below, 1 - below)))
    order = np.argsort(doubt)
    q = np.empty(len(doubt))
    q[order] = np.cumsum(doubt[order]) / np.arange(1, len(doubt) + 1)
    low, high = ends
    if difference.bounds is not None:
        least, most = difference.bounds[:, counted]
        low, high = np.maximum(low, least), np.minimum(high, most)
    for column, values in zip(result, (gain, low, high, doubt, q), strict=True):
        column[counted] = values
    return result


def _shared(difference: Measured, variance: Floats, question: str, seeds: SeedNoise | None) -> float:
    """Return the variance of the noise that all tasks have in common: the mean covariance of two tasks."""
    n_tasks, n = len(variance), difference.influence.shape[2]
    if n_tasks < 2:
        return 0.0
    weights = np.where(difference.defined & (difference.size > 0), 1.0, 0.0)
    even = replace(difference, weights=weights)
    rows = float(np.square(even.by_sample.mean(0)).sum()) * n / max(n - 1, 1)
    luck = (seeds or difference.noise or SeedNoise()).of_mean(even, question)
    of_mean = rows + luck.variance * float(stats.t.ppf(0.975, luck.freedom) / stats.norm.ppf(0.975)) ** 2
    return float(np.clip((n_tasks * of_mean - variance.mean()) / (n_tasks - 1), 0.0, variance.mean()))


def _posterior(seen: Floats, own: Floats, shared: float) -> tuple[Floats, Floats, Floats]:
    """Return centres and standard deviations (T, grid) of each true gain under each spread, and its weight (grid,)."""
    n_tasks = len(seen)
    if n_tasks == 1 or not own.any():
        return seen[:, None], np.sqrt(own + shared)[:, None], np.ones(1)
    noisy = (np.arange(_GRID) + 0.5) / _GRID  # share of noise in the spread of what is seen
    between = own.mean() * (1 - noisy) / noisy
    precision = 1.0 / np.maximum(own[:, None] + between, np.finfo(float).tiny)
    total = precision.sum(0)
    mean = (precision * seen[:, None]).sum(0) / total
    fit = -0.5 * (
        (precision * np.square(seen[:, None] - mean)).sum(0) - np.log(precision).sum(0) + np.log(total)
    )  # fmt: skip
    weight = np.exp(fit - fit.max())
    kept = between * precision  # of the distance to the mean
    centre = mean + kept * (seen[:, None] - mean)
    spread = np.sqrt(kept * own[:, None] + np.square(1 - kept) / total + shared)
    return centre, spread, weight / weight.sum()


def _quantile(centre: Floats, spread: Floats, weight: Floats, p: float) -> Floats:
    """Return the quantile of each task's mixture of normals, by halving."""
    reach = 9 * spread.max(1) + np.finfo(float).tiny
    low, high = centre.min(1) - reach, centre.max(1) + reach
    scale = np.maximum(spread, np.finfo(float).tiny)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = ndtr((middle[:, None] - centre) / scale) @ weight > p
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.asarray((low + high) / 2)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
