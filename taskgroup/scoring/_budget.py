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

_EPS = 1e-12  # a smaller gain is rounding
_SLACK = 1 + 1e-9  # so is a smaller excess over a budget


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
        if np.any(cost[kept].sum(0) > limits * _SLACK):
            continue
        for thrift in (1.0, 0.0):
            grown = _grow(value, cost, limits, kept, thrift)
            if best is None or _worth(value, grown) > _worth(value, best) + _EPS:
                best = grown
    return best


def _grow(value: Floats, cost: Floats, limits: Floats, kept: NDArray[np.intp], thrift: float) -> NDArray[np.intp]:
    """Add the best unit, or swap it for a kept one, while the value grows.

    The best is that of the largest gain (``thrift`` 0) or of the largest gain per share of the budgets (``thrift`` 1);
    neither rule alone is safe when costs differ (Khuller, Moss & Naor, Information Processing Letters 1999).
    """
    while True:
        worth, spent = _worth(value, kept), cost[kept].sum(0)
        best, best_rate = kept, 0.0
        for dropped in (None, *kept):
            rest = kept if dropped is None else kept[kept != dropped]
            base = value[rest].max(0, initial=-np.inf)
            gain = np.maximum(value, base).sum(1) - worth
            extra = cost + (cost[rest].sum(0) - spent)
            fits = np.all(spent + extra <= limits * _SLACK, axis=1)
            share = np.maximum((extra / limits).max(1), 1e-3)  # a swap may even save
            rate = np.where(fits & (gain > _EPS), gain / share**thrift, 0.0)
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
