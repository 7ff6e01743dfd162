"""One method's main metric by seed and task, and which part of its spread is the seeds', the samples', the tasks'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Measured", "replication", "seed_variance"]

Floats = NDArray[np.float64]

_HALVES = 20  # random ways of halving the samples


@dataclass(frozen=True, eq=False)
class Measured:
    """The main metric of one method on one split.

    Methods that are put together have the same seeds, or one: a method of one seed is the same whatever the seed.

    Parameters
    ----------
    values : ndarray of float64 of shape (S, T)
        By seed and task; NaN where undefined.
    influence : ndarray of float32 of shape (S, T, n)
        Of the n samples on each value, see `_metrics`.
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
        """Influence of each sample on each seed's mean over the defined tasks, shape (S, n)."""
        return _mean(self.influence[:, self.defined], 1)

    def minus(self, other: Measured | Floats) -> Measured:
        """Return the differences to another method, paired by seed, or to T fixed numbers."""
        if not isinstance(other, Measured):
            return Measured(self.values - other, self.influence, self.seeds, self.size)
        longer = max(self, other, key=lambda m: len(m.seeds))
        return Measured(self.values - other.values, self.influence - other.influence, longer.seeds, self.size)

    def select(self, columns: NDArray[np.bool_]) -> Measured:
        """Return the same on some of the tasks, given as a mask of shape (T,)."""
        return Measured(self.values[:, columns], self.influence[:, columns], self.seeds, self.size[columns])

    @classmethod
    def mix(cls, methods: Mapping[str, Measured], choice: Sequence[str]) -> Measured:
        """Return what serving task t by the method ``choice[t]`` gives, seed by seed."""
        longest = max((methods[name] for name in dict.fromkeys(choice)), key=lambda m: len(m.seeds))
        values, influence = longest.values.copy(), longest.influence.copy()
        for t, name in enumerate(choice):
            values[:, t] = methods[name].values[:, t]
            influence[:, t] = methods[name].influence[:, t]
        return cls(values, influence, longest.seeds, longest.size)


def seed_variance(values: Floats, influence: NDArray[np.floating]) -> Floats:
    """Return the variance that the luck of the seeds alone gives to the mean over S seeds of one or more quantities.

    It is the variance between seeds over S, less what the samples explain of it: on n samples the values would spread
    even if all seeds were alike, since each seed errs on other samples, and that spread is in the samples' part
    already.

    Parameters
    ----------
    values : ndarray of shape (S, ...)
        By seed.
    influence : ndarray of shape (S, ..., n)
        Of the samples on the values.

    Returns
    -------
    ndarray of shape (...)
        Without bias, hence negative at times, which means none; 0 with one seed.
    """
    n_seeds = len(values)
    if n_seeds < 2:
        return np.zeros(values.shape[1:])
    apart = np.square(influence - influence.mean(0, dtype=np.float64)).sum((0, -1)) / (n_seeds - 1)
    return np.asarray((values.var(0, ddof=1) - apart) / n_seeds)


def replication(difference: Measured, random_state: int = 0) -> dict[str, float | int | None]:
    """Return how well the gains per task of one half of the seeds foretell those of the other half.

    The halves are measured on different halves of the samples too: seeds alone would not do, for models of any seed
    share the luck of the samples that judge them. Nor would validation against test data, since models that stop early
    on validation data look better there than they are, each task by its own amount. Averaged over S ways of halving S
    seeds and some random ways of halving the samples; values on half of the samples are taken to first order.

    Parameters
    ----------
    difference : Measured
        Gains over a baseline.
    random_state : int
        Seed of the halves.

    Returns
    -------
    dict
        "correlation" over tasks, in [-1, 1]; "cosine", the same without centring, so that a gain equal on all tasks
        replicates too; "n_tasks". Both are None with fewer than two seeds, three tasks or two samples.
    """
    defined = difference.defined
    n_seeds, n_tasks, n_samples = len(difference.seeds), int(defined.sum()), difference.influence.shape[2]
    if n_seeds < 2 or n_tasks < 3 or n_samples < 2:
        return {"correlation": None, "cosine": None, "n_tasks": n_tasks}
    generator = np.random.default_rng(random_state)
    first = np.argsort(generator.random((n_samples, _HALVES)), axis=0) < n_samples // 2  # (n, ways)
    values = difference.values[:, defined, None]
    here, there = (
        values + difference.influence[:, defined] @ half * (n_samples / half.sum(0))
        for half in (first.astype(np.float64), (~first).astype(np.float64))
    )  # (S, T, ways)
    correlations, cosines = [], []
    for s in range(n_seeds):
        some = (np.arange(n_seeds) - s) % n_seeds < n_seeds // 2
        gains, again = here[some].mean(0), there[~some].mean(0)  # (T, ways)
        correlations.append(_cosine(gains - gains.mean(0), again - again.mean(0)))
        cosines.append(_cosine(gains, again))
    return {"correlation": float(np.mean(correlations)), "cosine": float(np.mean(cosines)), "n_tasks": n_tasks}


def _cosine(a: Floats, b: Floats) -> Floats:
    """Return the cosines of the columns of two matrices, 0 where a column is zero."""
    norm = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    return np.asarray(np.divide((a * b).sum(0), norm, out=np.zeros(len(norm)), where=norm > 0))


def _mean(values: NDArray[np.floating], axis: int) -> Floats:
    """Return the float64 mean along an axis, NaN when it is empty."""
    with np.errstate(invalid="ignore"):
        total: Floats = values.sum(axis, dtype=np.float64) / values.shape[axis]
    return total
