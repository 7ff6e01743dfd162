"""Is one method better than another: intervals over test samples and seeds.

A gain may come from the luck of the test samples or from the luck of a seed, and the tasks share both: T tasks are not
T independent pieces of evidence. So the mean over tasks is taken first, and two sources of noise are put on it.

- Samples: rows are resampled with replacement, all tasks and methods together. The metrics are replaced by their
  first-order terms (see `_metrics`), so that B resamples of everything are one product of matrices.
- Seeds: what they add beyond the samples has the variance of `_seeds`, pooled over tasks and methods, with its degrees
  of freedom. It is left out when the question is of these trained models.

An interval holds the central 95 % of the sum of both, and p is twice the smaller share of the sums on either side of
zero. It stays within what the metric can be: that of a mean is made on the logit of its range (the logarithm of the
distance to a bound where there is only one), that of a difference is cut there. Samples that are all ranked right tell
no spread: a mean at a bound has Wilson's interval for so many samples, and so has a difference that no sample moves.

References
----------
Wilson, Journal of the American Statistical Association 22 (1927), pages 209-212.
Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from taskgroup.scoring._measured import Measured
from taskgroup.scoring._seeds import SeedNoise, check_question
from taskgroup.scoring._tests import holm, student

__all__ = ["Comparison", "Interval", "Resampler", "blind_reach", "bounded"]

Floats = NDArray[np.float64]

_BLOCK = 1 << 21  # resampled row numbers held at a time
_KEPT = 1 << 26  # bytes of resamples kept for the next call
_Z = 1.959964


@dataclass(frozen=True)
class Interval:
    """A mean over tasks, its 95 % interval, and the two-sided p of zero; NaN where undefined.

    Parameters
    ----------
    mean, low, high : float
        The mean and the ends of the interval.
    p : float
        Of zero.
    question : str
        "retrained": what would these methods give, trained again; "trained": what do these trained models give.
    unseen : tuple of str
        Methods of one seed of which nothing tells what another would give: the interval leaves their luck out.
    """

    mean: float
    low: float
    high: float
    p: float
    question: str = "retrained"
    unseen: tuple[str, ...] = ()

    @property
    def ci95(self) -> list[float]:
        """The interval as [low, high]."""
        return [self.low, self.high]

    @property
    def standard_error(self) -> float:
        """That of a normal distribution with this interval."""
        return (self.high - self.low) / (2 * 1.959964)


@dataclass(frozen=True)
class Comparison:
    """Mean over tasks of method - baseline, on one split.

    Parameters
    ----------
    difference : Interval
        Over samples and seeds.
    p_holm : float
        Its p, Holm-corrected over the comparisons made together.
    p_seeds : float
        Student's paired test with the seed as the unit, on these test samples; NaN with fewer than two seeds.
    p_seeds_holm : float
        The same, Holm-corrected.
    """

    method: str
    baseline: str
    difference: Interval
    p_holm: float
    p_seeds: float
    p_seeds_holm: float

    def to_dict(self) -> dict[str, object]:
        """Return the row of scores.json."""
        return {
            "method": self.method, "baseline": self.baseline, "difference": self.difference.mean,
            "ci95": self.difference.ci95, "p": self.difference.p, "p_holm": self.p_holm,
            "p_seeds": self.p_seeds, "p_seeds_holm": self.p_seeds_holm, "question": self.difference.question,
            "unseen": list(self.difference.unseen),
        }  # fmt: skip


class Resampler:
    """Intervals of means over tasks, from one set of resamples that all calls share.

    Parameters
    ----------
    n_resamples : int
        Number B of resamples.
    random_state : int
        The same number gives the same intervals.
    """

    def __init__(self, n_resamples: int = 4000, random_state: int = 0) -> None:
        self.n_resamples, self.random_state = n_resamples, random_state
        self._kept: dict[int, list[NDArray[np.uint8]]] = {}

    def intervals(
        self, measured: Iterable[Measured], question: str = "retrained", seeds: SeedNoise | None = None
    ) -> list[Interval]:
        """Return the interval of the mean over tasks of each of some quantities measured on the same samples.

        Parameters
        ----------
        measured : iterable of Measured
            The quantities. They are gone through once and not kept, so that a generator holds one in memory at a time.
        question : str
            "retrained", with the luck of seeds, or "trained", without it.
        seeds : SeedNoise, optional
            What is known of that luck; what the quantities carry when left out.
        """
        check_question(question)
        means, spreads, by_seed, limits, differences, sizes = [], [], [], [], [], []
        for m in measured:
            means.append(m.by_sample.mean(0))
            spreads.append((seeds or m.noise or SeedNoise()).of_mean(m, question))
            by_seed.append(float(m.by_seed.mean()))
            limits.append(m.limits)
            differences.append(m.is_difference)
            sizes.append(m.mean_size)
        if not means:
            return []
        for_rows, for_seeds = np.random.SeedSequence(self.random_state).spawn(2)
        columns = np.stack(means, 1)  # (n, number of quantities)
        shifts = np.concatenate([(times - 1.0) @ columns for times in self._times(len(columns), for_rows)])
        luck = np.random.default_rng(for_seeds)
        normal, chance, again = luck.normal(size=self.n_resamples), *luck.uniform(size=(2, self.n_resamples))
        intervals = []
        quantities = zip(by_seed, shifts.T, spreads, limits, differences, sizes, strict=True)
        for mean, shift, spread, ends, difference, size in quantities:
            draws = shift + normal * np.sqrt(spread.draws(chance, again))
            if difference and mean and not draws.any() and np.isfinite(ends).all():
                draws = normal * blind_reach(size, ends[1] - ends[0]) / 2**0.5 / _Z  # of two methods, each half as wide
            intervals.append(_interval(mean, draws, ends, size, difference, question, spread.unseen))
        return intervals

    def compare(
        self, methods: Mapping[str, Measured], pairs: Iterable[tuple[str, str]], question: str = "retrained"
    ) -> list[Comparison]:
        """Return the comparison of each (method, baseline), Holm-corrected over all of them."""
        named = list(pairs)
        p_seeds: list[float] = []

        def differences() -> Iterator[Measured]:
            for method, baseline in named:
                difference = methods[method].minus(methods[baseline])
                p_seeds.append(student(difference.by_seed))
                yield difference

        intervals = self.intervals(differences(), question)
        corrected = zip(holm([i.p for i in intervals]), holm(p_seeds), strict=True)
        return [
            Comparison(*pair, interval, float(p_holm), p, float(p_seeds_holm))
            for pair, interval, p, (p_holm, p_seeds_holm) in zip(named, intervals, p_seeds, corrected, strict=True)
        ]

    def _times(self, n: int, stream: np.random.SeedSequence) -> Iterable[NDArray[np.uint8]]:
        """Return blocks of :func:`_resamples`, kept between calls where they are small."""
        if n not in self._kept:
            blocks = _resamples(n, self.n_resamples, stream)
            if n * self.n_resamples > _KEPT:
                return blocks
            self._kept[n] = list(blocks)
        return self._kept[n]


def _resamples(n: int, n_resamples: int, stream: np.random.SeedSequence) -> Iterator[NDArray[np.uint8]]:
    """Yield blocks (b, n) of how often each of n rows is drawn when n rows are drawn with replacement."""
    generator = np.random.default_rng(stream)
    step = max(1, _BLOCK // n)
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        rows = generator.integers(0, n, (size, n), dtype=np.int32) + np.arange(size, dtype=np.int32)[:, None] * n
        yield np.bincount(rows.ravel(), minlength=size * n).reshape(size, n).astype(np.uint8)


def _interval(
    mean: float,
    shifts: Floats,
    limits: tuple[float, float],
    size: float,
    difference: bool,
    question: str,
    unseen: tuple[str, ...],
) -> Interval:
    if np.isnan(mean):
        return Interval(mean, mean, mean, mean, question, unseen)
    draws = mean + shifts
    ends = np.quantile(shifts, [0.025, 0.975])
    low, high = np.clip(mean + ends, *limits) if difference else bounded(mean, ends, *limits, size)
    tail = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))
    p = min(1.0, float(2 * (1 + tail) / (1 + len(draws))))
    return Interval(mean, float(low), float(high), p, question, unseen)


def bounded(mean: float, ends: Floats, low: float, high: float, size: float = np.inf) -> Floats:
    """Return the ends of an interval, given as distances from its mean, such that they stay within bounds.

    A mean that is at one of two bounds, as `size` samples have it, is not certain: see :func:`blind_reach`.

    Examples
    --------
    >>> import numpy as np
    >>> bounded(0.97, np.array([-0.05, 0.05]), 0.0, 1.0).round(3).tolist()
    [0.853, 0.994]
    >>> bounded(1.0, np.array([0.0, 0.0]), 0.0, 1.0, size=20).round(3).tolist()
    [0.839, 1.0]
    """
    width = high - low
    if np.isfinite(width) and min(mean - low, high - mean) <= 1e-9 * width:
        reach = blind_reach(size, width)
        return np.asarray(np.clip(mean + np.array([min(ends[0], -reach), max(ends[1], reach)]), low, high))
    if not low < mean < high:
        return np.asarray(np.clip(mean + ends, low, high))
    if np.isfinite(width):
        place = (mean - low) / width
        slope = place * (1 - place) * width
        return np.asarray(low + width * expit(logit(place) + ends / slope))
    if np.isfinite(high):
        return np.asarray(high - (high - mean) * np.exp(-ends / (high - mean)))
    if np.isfinite(low):
        return np.asarray(low + (mean - low) * np.exp(ends / (mean - low)))
    return np.asarray(mean + ends)


def blind_reach(size: float, width: float) -> float:
    """Return how far Wilson's 95 % interval reaches from a share of 0 or 1 of `size` samples, of a range of a width."""
    return width * _Z**2 / (size + _Z**2)
