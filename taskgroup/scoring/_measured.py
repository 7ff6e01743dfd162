"""One method's main metric by seed and task, and which part of its spread is the seeds', the samples', the tasks'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._display import brief

__all__ = ["Measured", "replication"]

Floats = NDArray[np.float64]

_HALVES = 20  # random ways of halving the samples


@brief
@dataclass(frozen=True, eq=False)
class Measured:
    """The main metric of one method on one split.

    Methods that are put together have the same seeds, or one: a method of one seed is the same whatever the seed.

    Parameters
    ----------
    values : ndarray of float64 of shape (S, T)
        By seed and task; NaN where undefined. Higher is better.
    influence : ndarray of float32 of shape (S, T, n)
        Of the n samples on each value, see `_metrics`.
    seeds : tuple
        Names of the S seeds.
    size : ndarray of float64 of shape (T,)
        Labelled samples of each task; of a binary one the harmonic size n1 n0 / (n1 + n0) of its two classes.
    weights : ndarray of float64 of shape (T,), optional
        Of the tasks in the mean over tasks; equal when left out.
    bounds : ndarray of float64 of shape (2, T), optional
        The least and the largest value that each task's metric can have; without bounds when left out.
    parts : dict
        {method: (T,)}: how much of each method is in it, 1 for a method itself and -1 where it is taken off. From these
        `SeedNoise` knows whose seeds play a part.
    noise : SeedNoise, optional
        What all methods of the split tell of the luck of seeds; without it a quantity tells of its own.
    """

    values: Floats
    influence: NDArray[np.float32]
    seeds: tuple[int | str, ...]
    size: Floats
    weights: Floats | None = None
    bounds: Floats | None = None
    parts: Mapping[str, Floats] = field(default_factory=dict)
    noise: Any = None  # a SeedNoise, which is built from these

    @cached_property
    def defined(self) -> NDArray[np.bool_]:
        """Whether each task's metric is defined, shape (T,)."""
        return np.asarray(np.isfinite(self.values).all(axis=0))

    @cached_property
    def shares(self) -> Floats:
        """Share of each task in the mean, shape (T,): 0 where undefined, all NaN where no task counts."""
        weights = np.where(self.defined, 1.0 if self.weights is None else self.weights, 0.0)
        total = weights.sum()
        return np.asarray(weights / total) if total > 0 else np.full(len(weights), np.nan)

    @property
    def by_task(self) -> Floats:
        """Mean over the seeds, shape (T,)."""
        return np.asarray(self.values.mean(axis=0))

    @property
    def by_seed(self) -> Floats:
        """Weighted mean over the defined tasks, shape (S,)."""
        return np.asarray(np.where(self.shares == 0, 0.0, self.values) @ self.shares)

    @cached_property
    def by_sample(self) -> Floats:
        """Influence of each sample on each seed's mean over the defined tasks, shape (S, n)."""
        shares = self.shares.astype(np.float32)
        return np.array([shares @ of_seed for of_seed in self.influence], np.float64)

    @cached_property
    def task_rows(self) -> Floats:
        """What the samples do to each task, shape (2, T): the variance of the mean over seeds, and that between seeds.

        The second is the variance between seeds that comes from each of them erring on other samples; 0 with one seed.
        """
        mean = self.influence.mean(0)
        of_mean = np.einsum("tn,tn->t", mean, mean, dtype=np.float64)
        total = sum(np.einsum("tn,tn->t", part, part, dtype=np.float64) for part in self.influence)
        n_seeds = len(self.influence)
        between = np.maximum(total - n_seeds * of_mean, 0.0) / max(n_seeds - 1, 1)
        return np.stack([of_mean, np.where(between > 1e-9 * total, between, 0.0)])  # float32 knows no smaller share

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest value that the mean over tasks can have."""
        if self.bounds is None or np.isnan(self.shares).any():
            return -np.inf, np.inf
        counted = self.shares > 0
        low, high = self.bounds[:, counted] @ self.shares[counted]
        return float(low), float(high)

    @property
    def mean_size(self) -> float:
        """Samples that the mean over tasks rests on, were all tasks to err alike: the harmonic mean of their sizes."""
        counted = self.shares > 0
        inverse = float((self.shares[counted] / np.maximum(self.size[counted], 1e-9)).sum())
        return 1.0 / inverse if inverse else 0.0

    @property
    def is_difference(self) -> bool:
        """Whether something is taken off."""
        return any(bool((weights < 0).any()) for weights in self.parts.values())

    def minus(self, other: Measured | Floats) -> Measured:
        """Return the differences to another method, paired by seed, or to T fixed numbers."""
        if not isinstance(other, Measured):
            bounds = None if self.bounds is None else self.bounds - other
            return replace(self, values=self.values - other, bounds=bounds)
        longer = max(self, other, key=lambda m: len(m.seeds))
        parts = {name: np.array(weights) for name, weights in self.parts.items()}
        for name, weights in other.parts.items():
            parts[name] = parts.get(name, 0.0) - weights
        bounds = None if self.bounds is None or other.bounds is None else self.bounds - other.bounds[::-1]
        return Measured(
            self.values - other.values, self.influence - other.influence, longer.seeds, self.size, self.weights, bounds,
            {name: weights for name, weights in parts.items() if np.any(weights)},
            self.noise or other.noise,
        )  # fmt: skip

    def select(self, columns: NDArray[np.bool_]) -> Measured:
        """Return the same on some of the tasks, given as a mask of shape (T,)."""
        return Measured(
            self.values[:, columns], self.influence[:, columns], self.seeds, self.size[columns],
            None if self.weights is None else self.weights[columns],
            None if self.bounds is None else self.bounds[:, columns],
            {name: weights[columns] for name, weights in self.parts.items() if weights[columns].any()},
            self.noise,
        )  # fmt: skip

    @classmethod
    def mix(cls, methods: Mapping[str, Measured], choice: Sequence[str]) -> Measured:
        """Return what serving task t by the method ``choice[t]`` gives, seed by seed."""
        longest = max((methods[name] for name in dict.fromkeys(choice)), key=lambda m: len(m.seeds))
        values, influence = longest.values.copy(), longest.influence.copy()
        parts: dict[str, Floats] = {}
        for t, name in enumerate(choice):
            values[:, t] = methods[name].values[:, t]
            influence[:, t] = methods[name].influence[:, t]
            for part, weights in methods[name].parts.items():
                parts.setdefault(part, np.zeros(len(choice)))[t] = weights[t]
        return cls(
            values, influence, longest.seeds, longest.size, longest.weights, longest.bounds, parts, longest.noise
        )


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
