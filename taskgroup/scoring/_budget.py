"""Serving T tasks by few models: which to keep under a budget.

A *unit* is what can be served by itself: one group's model, one single-task network, a whole ensemble. Each unit serves
some tasks with some value and uses up budgets. The value of a set of units is the sum over tasks of the best value in
the set: monotone and submodular (facility location; Cornuejols, Fisher & Nemhauser, Management Science 1977), so greedy
addition is near the optimum. Every task must be served, so greedy starts from each method that serves them all, and
units that no task uses any more are dropped as it goes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose_units"]

Floats = NDArray[np.float64]


def choose_units(
    value: Floats, cost: Floats, limits: Floats, starts: Sequence[NDArray[np.intp]]
) -> NDArray[np.intp] | None:
    """Return the numbers of the units to keep, ascending; None when no start fits the budget.

    Parameters
    ----------
    value : ndarray of shape (n_units, T)
        What each unit is worth to each task; -inf where it cannot serve it.
    cost : ndarray of shape (n_units, n_resources)
        What keeping a unit uses up.
    limits : ndarray of shape (n_resources,)
        The most that may be used; infinity where there is no budget.
    starts : sequence of integer arrays
        Sets of units that serve every task.
    """
    best: NDArray[np.intp] | None = None
    for start in starts:
        kept = _used(value, np.asarray(start))
        if np.all(cost[kept].sum(0) <= limits * (1 + 1e-9)):
            kept = _grow(value, cost, limits, kept)
            if best is None or _worth(value, kept) > _worth(value, best) + 1e-12:
                best = kept
    return best


def _grow(value: Floats, cost: Floats, limits: Floats, kept: NDArray[np.intp]) -> NDArray[np.intp]:
    """Add a unit, or swap it for a kept one, by the largest gain per share of the budget, while the value grows."""
    while True:
        worth, spent = _worth(value, kept), cost[kept].sum(0)
        best, best_rate = kept, 0.0
        for dropped in (None, *kept):
            rest = kept if dropped is None else kept[kept != dropped]
            base = value[rest].max(0, initial=-np.inf)
            gain = np.maximum(value, base).sum(1) - worth
            extra = cost + (cost[rest].sum(0) - spent)
            fits = np.all(spent + extra <= limits * (1 + 1e-9), axis=1)
            rate = np.where(fits & (gain > 1e-12), gain / np.maximum((extra / limits).max(1), 1e-9), 0.0)
            if rate.max() > best_rate:
                best, best_rate = _used(value, np.append(rest, rate.argmax())), float(rate.max())
        if best_rate == 0.0:
            return kept
        kept = best


def _used(value: Floats, units: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the units that are the best of the set for some task, ascending; the first of equals is used."""
    units = np.unique(units)
    used: NDArray[np.intp] = units[np.unique(value[units].argmax(0))]
    return used


def _worth(value: Floats, units: NDArray[np.intp]) -> float:
    return float(value[units].max(0).sum())
