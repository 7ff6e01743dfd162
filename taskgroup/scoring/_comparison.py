"""Is one method better than another: intervals over test samples and seeds.

A gain may come from the luck of the test samples or from the luck of a seed, and the tasks share both: T tasks are not
T independent pieces of evidence. So the mean over tasks is taken first, and two sources of noise are put on it.

- Samples: rows are resampled with replacement, all tasks and methods together. The metrics are replaced by their
  first-order terms (see `_metrics`), so that B resamples of everything are one product of matrices.
- Seeds: with S paired seeds the mean difference moves by t(S - 1) * s / sqrt(S), as in Student's test, where s is the
  spread between seeds that the samples do not explain. Resampling three seeds with replacement would show far too
  little, for it keeps no account of how poorly three values tell their spread.

An interval holds the central 95 % of the sum of both, and p is twice the smaller share of the sums on either side of
zero. A difference of one seed has no second part: it then speaks of these trained models only.

References
----------
Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from taskgroup.scoring._measured import Measured, seed_variance
from taskgroup.scoring._tests import holm, student

__all__ = ["Comparison", "Interval", "Resampler"]

Floats = NDArray[np.float64]

_BLOCK = 1 << 21  # resampled row numbers held at a time
_KEPT = 1 << 26  # bytes of resamples kept for the next call


@dataclass(frozen=True)
class Interval:
    """A mean over tasks, its 95 % interval, and the two-sided p of zero; NaN where undefined."""

    mean: float
    low: float
    high: float
    p: float

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
            "p_seeds": self.p_seeds, "p_seeds_holm": self.p_seeds_holm,
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

    def intervals(self, measured: Sequence[Measured]) -> list[Interval]:
        """Return the interval of the mean over tasks of each of some quantities measured on the same samples."""
        if not measured:
            return []
        for_rows, for_seeds = np.random.SeedSequence(self.random_state).spawn(2)
        by_sample = [m.by_sample for m in measured]
        means = np.stack([b.mean(0) for b in by_sample], 1)  # (n, number of quantities)
        shifts = np.concatenate([(times - 1.0) @ means for times in self._times(len(means), for_rows)])
        quantiles = np.random.default_rng(for_seeds).uniform(size=self.n_resamples)
        intervals = []
        for m, influence, shift in zip(measured, by_sample, shifts.T, strict=True):
            spread = max(0.0, float(seed_variance(m.by_seed, influence))) ** 0.5
            luck = stats.t.ppf(quantiles, len(m.seeds) - 1) * spread if spread > 0 else 0.0
            intervals.append(_interval(float(m.by_seed.mean()), shift + luck))
        return intervals

    def compare(self, methods: Mapping[str, Measured], pairs: Iterable[tuple[str, str]]) -> list[Comparison]:
        """Return the comparison of each (method, baseline), Holm-corrected over all of them."""
        named = list(pairs)
        differences = [methods[method].minus(methods[baseline]) for method, baseline in named]
        intervals = self.intervals(differences)
        p_seeds = [student(d.by_seed) for d in differences]
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


def _interval(mean: float, shifts: Floats) -> Interval:
    if np.isnan(mean):
        return Interval(mean, mean, mean, mean)
    draws = mean + shifts
    low, high = np.quantile(draws, [0.025, 0.975])
    tail = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))
    return Interval(mean, float(low), float(high), min(1.0, float(2 * (1 + tail) / (1 + len(draws)))))
