"""Is one method better than another: intervals over test samples and seeds, paired tests, replication.

A gain may come from the luck of the test samples or from the luck of a seed, and the tasks share both: T tasks are not
T independent pieces of evidence. So the mean over tasks is taken first, and two sources of noise are put on it.

- Samples: rows are resampled with replacement, all tasks and methods together. The metrics are replaced by their
  first-order terms (see `_metrics`), so that B resamples of everything are one product of matrices.
- Seeds: with S paired seeds the mean difference moves by t(S - 1) * s / sqrt(S), as in Student's test. Resampling three
  seeds with replacement would show far too little, for it keeps no account of how poorly three values tell their
  spread.

An interval holds the central 95 % of the sum of both, and p is twice the smaller share of the sums on either side of
zero. A difference of one seed has no second part: it then speaks of these trained models only.

References
----------
Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; Holm, Scandinavian Journal of Statistics 6
(1979).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from taskgroup.exceptions import InvalidInputError

__all__ = ["Comparison", "Interval", "Measured", "Resampler", "holm", "paired_tests", "replication"]

Floats = NDArray[np.float64]

_BLOCK = 1 << 21  # resampled row numbers held at a time
_KEPT = 1 << 26  # bytes of resamples kept for the next call


@dataclass(frozen=True, eq=False)
class Measured:
    """The main metric of one method on one split.

    Methods that are put together have the same seeds, or one: a method of one seed is the same whatever the seed.

    Parameters
    ----------
    values : ndarray of float64 of shape (S, T)
        By seed and task; NaN where undefined.
    influence : ndarray of float32 of shape (T, n)
        Of the n samples on each task's value, averaged over the seeds.
    seeds : tuple
        Names of the S seeds.
    size : ndarray of float64 of shape (T,)
        Labelled samples of each task; of a binary one the harmonic size n1 n0 / (n1 + n0) of its two classes.
    """

    values: Floats
    influence: NDArray[np.float32]
    seeds: tuple[int | str, ...]
    size: Floats

    @property
    def defined(self) -> NDArray[np.bool_]:
        """Whether each task's metric is defined, shape (T,)."""
        return np.asarray(np.isfinite(self.values).all(axis=0))

    @property
    def by_task(self) -> Floats:
        """Mean over the seeds, shape (T,)."""
        return np.asarray(self.values.mean(axis=0))

    @property
    def by_seed(self) -> Floats:
        """Mean over the defined tasks, shape (S,)."""
        return _mean(self.values[:, self.defined], 1)

    @property
    def by_sample(self) -> Floats:
        """Influence of each sample on the mean over tasks, shape (n,)."""
        return _mean(self.influence[self.defined], 0)

    def minus(self, other: Measured | Floats) -> Measured:
        """Return the differences to another method, paired by seed, or to T fixed numbers."""
        if not isinstance(other, Measured):
            return Measured(self.values - other, self.influence, self.seeds, self.size)
        longer = max(self, other, key=lambda m: len(m.seeds))
        return Measured(self.values - other.values, self.influence - other.influence, longer.seeds, self.size)

    @classmethod
    def mix(cls, methods: Mapping[str, Measured], choice: Sequence[str]) -> Measured:
        """Return what serving task t by the method ``choice[t]`` gives, seed by seed."""
        longest = max((methods[name] for name in dict.fromkeys(choice)), key=lambda m: len(m.seeds))
        values, influence = longest.values.copy(), longest.influence.copy()
        for t, name in enumerate(choice):
            values[:, t] = methods[name].values[:, t]
            influence[t] = methods[name].influence[t]
        return cls(values, influence, longest.seeds, longest.size)


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
        by_sample = np.stack([m.by_sample for m in measured], 1)  # (n, number of quantities)
        shifts = np.concatenate([(times - 1.0) @ by_sample for times in self._times(len(by_sample), for_rows)])
        quantiles = np.random.default_rng(for_seeds).uniform(size=self.n_resamples)
        return [
            _interval(m.by_seed, shift + _seed_shifts(m.by_seed, quantiles))
            for m, shift in zip(measured, shifts.T, strict=True)
        ]

    def compare(self, methods: Mapping[str, Measured], pairs: Iterable[tuple[str, str]]) -> list[Comparison]:
        """Return the comparison of each (method, baseline), Holm-corrected over all of them."""
        named = list(pairs)
        differences = [methods[method].minus(methods[baseline]) for method, baseline in named]
        intervals = self.intervals(differences)
        p_seeds = [_student(d.by_seed) for d in differences]
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


def holm(p: ArrayLike) -> Floats:
    """Return Holm's step-down adjusted p values, in [0, 1]; NaN stays NaN and does not count as a test.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p, np.float64)
    adjusted = np.full(raw.shape, np.nan)
    order = raw.argsort()[: np.count_nonzero(~np.isnan(raw))]
    steps = raw[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def paired_tests(units: Mapping[str, ArrayLike], pairs: Iterable[tuple[str, str]]) -> list[dict[str, object]]:
    """Return Student's paired test of each (method, baseline) over units, Holm-corrected over all of them.

    A unit is one independent repetition of the whole experiment: a seed on its own split. Tasks are not units, since
    they share samples and seeds; average over them first.

    Parameters
    ----------
    units : dict of str to array-like of shape (n_units,)
        Mean score of each method in each unit, units in the same order.
    pairs : iterable of (str, str)
        Which methods to compare.

    Returns
    -------
    list of dict
        {"method", "baseline", "difference", "ci95", "p", "p_holm", "n_units"}.

    Raises
    ------
    InvalidInputError
        When two methods have unequal numbers of units.

    Examples
    --------
    >>> row, = paired_tests({"a": [0.74, 0.76, 0.75, 0.77], "b": [0.71, 0.72, 0.73, 0.72]}, [("a", "b")])
    >>> round(row["difference"], 3), row["p"] < 0.05
    (0.035, True)
    """
    rows = []
    for method, baseline in pairs:
        a, b = np.asarray(units[method], np.float64), np.asarray(units[baseline], np.float64)
        if a.shape != b.shape or a.ndim != 1:
            raise InvalidInputError(
                f"methods {method!r} and {baseline!r} must have one score per unit; got shapes {a.shape} and {b.shape}."
            )
        d = a - b
        reach = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d)) if len(d) > 1 else np.nan
        rows.append((method, baseline, d.mean(), [d.mean() - reach, d.mean() + reach], _student(d), len(d)))
    corrected = holm([row[4] for row in rows])
    return [
        {"method": m, "baseline": b, "difference": float(d), "ci95": [float(c) for c in ci], "p": p,
         "p_holm": float(adjusted), "n_units": n}
        for (m, b, d, ci, p, n), adjusted in zip(rows, corrected, strict=True)
    ]  # fmt: skip


def replication(valid: Measured, test: Measured) -> dict[str, float | int | None]:
    """Return how well the gains per task of one half of the seeds foretell those of the other half.

    The halves are measured on different samples too, one on validation and one on test data: seeds alone would not do,
    for models of any seed share the luck of the samples that judge them. The mean over S ways of halving S seeds is
    taken.

    Parameters
    ----------
    valid, test : Measured
        Differences to a baseline on either split, with the same seeds.

    Returns
    -------
    dict
        "correlation" over tasks, in [-1, 1]; "cosine", the same without centring, so that a gain equal on all tasks
        replicates too; "n_tasks". Both are None with fewer than two seeds or three tasks.
    """
    shared = valid.defined & test.defined
    n_seeds, n_tasks = len(valid.seeds), int(shared.sum())
    if n_seeds < 2 or n_tasks < 3:
        return {"correlation": None, "cosine": None, "n_tasks": n_tasks}
    on_valid, on_test = valid.values[:, shared], test.values[:, shared]
    correlations, cosines = [], []
    for first in range(n_seeds):
        half = (np.arange(n_seeds) - first) % n_seeds < n_seeds // 2
        for a, b in ((half, ~half), (~half, half)):
            gains, again = on_valid[a].mean(0), on_test[b].mean(0)
            correlations.append(_cosine(gains - gains.mean(), again - again.mean()))
            cosines.append(_cosine(gains, again))
    return {"correlation": float(np.mean(correlations)), "cosine": float(np.mean(cosines)), "n_tasks": n_tasks}


def _resamples(n: int, n_resamples: int, stream: np.random.SeedSequence) -> Iterator[NDArray[np.uint8]]:
    """Yield blocks (b, n) of how often each of n rows is drawn when n rows are drawn with replacement."""
    generator = np.random.default_rng(stream)
    step = max(1, _BLOCK // n)
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        rows = generator.integers(0, n, (size, n), dtype=np.int32) + np.arange(size, dtype=np.int32)[:, None] * n
        yield np.bincount(rows.ravel(), minlength=size * n).reshape(size, n).astype(np.uint8)


def _seed_shifts(by_seed: Floats, quantiles: Floats) -> Floats | float:
    """Return t(S - 1) draws, at the given quantiles, scaled by the standard error over S seeds."""
    n_seeds = len(by_seed)
    if n_seeds < 2:
        return 0.0
    shifts: Floats = stats.t.ppf(quantiles, n_seeds - 1) * (by_seed.std(ddof=1) / np.sqrt(n_seeds))
    return shifts


def _interval(by_seed: Floats, shifts: Floats) -> Interval:
    mean = float(by_seed.mean())
    if np.isnan(mean):
        return Interval(mean, mean, mean, mean)
    draws = mean + shifts
    low, high = np.quantile(draws, [0.025, 0.975])
    tail = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))
    return Interval(mean, float(low), float(high), min(1.0, float(2 * (1 + tail) / (1 + len(draws)))))


def _student(differences: Floats) -> float:
    """Return the two-sided p of a zero mean; NaN with fewer than two values, 1 when all are zero."""
    n = len(differences)
    if n < 2 or np.isnan(differences).any():
        return float("nan")
    mean, error = differences.mean(), differences.std(ddof=1) / np.sqrt(n)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean / error), n - 1))


def _cosine(a: Floats, b: Floats) -> float:
    """Return the cosine of two vectors, 0 when one of them is zero."""
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm > 0 else 0.0


def _mean(values: NDArray[np.floating], axis: int) -> Floats:
    """Return the float64 mean along an axis, NaN when it is empty."""
    with np.errstate(invalid="ignore"):
        total: Floats = values.sum(axis, dtype=np.float64) / values.shape[axis]
    return total
