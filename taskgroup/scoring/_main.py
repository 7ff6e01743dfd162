"""Which metric decides: its name, its bounds, and how to ask for another."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from taskgroup._validation import find_object
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import Kind

__all__ = ["DEFAULT_MAIN", "MAIN_METRICS", "MainMetric", "MetricChoice", "jackknife", "main_of_kinds", "value_of"]

Floats = NDArray[np.float64]
Function: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64]], float]
MetricChoice: TypeAlias = str | Function | Mapping[str, str | Function] | None
"""A name, a function (y_true, outputs) -> value where higher is better, the "module:name" of one, or one of these by
kind of task."""

_PARTS = 50  # groups of samples that a user's function is computed without
_WHOLE = 100  # up to this many samples each is left out by itself


@dataclass(frozen=True)
class MainMetric:
    """The metric that methods are compared by, for one kind of task.

    Parameters
    ----------
    name : str
        Its name in the scorecard.
    low, high : float
        Between these its values lie, after the sign.
    sign : float
        -1 where lower is better: main values are then negated, so that a gain is positive for every metric.
    function : callable, optional
        The user's.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    sign: float = 1.0
    function: Function | None = None


_BOUNDED = {name: MainMetric(name) for name in ("auc", "average_precision", "accuracy")}
_LOSSES = {name: MainMetric(name, low, 0.0, -1.0) for name, low in (("log_loss", -np.inf), ("brier", -2.0))}
MAIN_METRICS: dict[Kind, dict[str, MainMetric]] = {
    "binary": {**_BOUNDED, **_LOSSES},
    "multiclass": {"accuracy": _BOUNDED["accuracy"], **_LOSSES},
    "regression": {"r2": MainMetric("r2", -np.inf)},
}
"""Metrics that may decide, by kind of task; the first is the default."""

DEFAULT_MAIN: dict[Kind, MainMetric] = {kind: next(iter(known.values())) for kind, known in MAIN_METRICS.items()}


def main_of_kinds(choice: MetricChoice) -> dict[Kind, MainMetric]:
    """Return the main metric of every kind of task.

    A kind for which the metric asked for does not exist keeps its default: "average-precision" leaves R2 to regression.

    Raises
    ------
    InvalidInputError
        When no kind has a metric of that name.
    """
    if choice is None:
        return dict(DEFAULT_MAIN)
    if isinstance(choice, Mapping):
        kinds = get_args(Kind)
        for kind in choice:
            if kind not in kinds:
                raise InvalidInputError(f"`metric` must be given by kind of task, of {', '.join(kinds)}; got {kind!r}.")
        return {kind: _of_kind(choice[kind], kind) if kind in choice else DEFAULT_MAIN[kind] for kind in DEFAULT_MAIN}
    if isinstance(choice, str) and ":" in choice:
        return main_of_kinds(cast(Function, find_object("metric", choice)))
    if callable(choice):
        return {kind: _of_kind(choice, kind) for kind in DEFAULT_MAIN}
    name = choice.replace("-", "_")
    having = [kind for kind, known in MAIN_METRICS.items() if name in known]
    if not having:
        _refuse(choice, sorted({name for known in MAIN_METRICS.values() for name in known}))
    return {kind: MAIN_METRICS[kind][name] if kind in having else DEFAULT_MAIN[kind] for kind in DEFAULT_MAIN}


def jackknife(function: Function, y: Floats, outputs: Floats, mass: Floats | None = None) -> tuple[float, Floats]:
    """Return a user's metric on the labelled samples and, by leaving samples out, their influence, shape (n,).

    More than a hundred samples are left out in fifty groups, and a group's influence stands at its first sample: the
    spread of resampled values is right, what each sample does is not told. The groups depend on the number of samples
    alone, so that tasks, methods and seeds stay paired. Weights of labels are handed to functions that take
    `sample_weight`, as those of scikit-learn do.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 11 and section 11.7.
    """
    influence = np.zeros(len(y))
    labelled = ~np.isnan(y)
    value = value_of(function, y, outputs, mass)
    if np.isnan(value):
        return value, influence
    n_parts = len(y) if len(y) <= _WHOLE else _PARTS
    part = np.random.default_rng(0).permutation(len(y)) % n_parts
    first = np.array([np.flatnonzero(part == g)[0] for g in range(n_parts)])
    touched = np.unique(part[labelled])
    left = [labelled & (part != g) for g in touched]
    without = np.array(
        [value_of(function, y[rows], outputs[rows], None if mass is None else mass[rows]) for rows in left]
    )
    without[np.isnan(without)] = value
    influence[first[touched]] = (without.mean() - without) * (len(touched) - 1) / len(touched)
    return value, influence


def value_of(function: Function, y: NDArray[Any], outputs: NDArray[Any], mass: NDArray[Any] | None = None) -> float:
    """Return a user's metric of one task on its labelled samples, NaN where it is undefined.

    Outputs are (n,), or (n, C) of a multiclass task; those of one column are handed over as (n,).
    """
    labelled = ~np.isnan(y)
    own = outputs[labelled].astype(np.float64)
    own = own[:, 0] if own.ndim == 2 and own.shape[1] == 1 else own
    given = mass[labelled].astype(np.float64) if mass is not None and _takes_weights(function) else None
    return _call(function, y[labelled].astype(np.float64), own, given)


def _of_kind(choice: Any, kind: Kind) -> MainMetric:
    if callable(choice):
        return MainMetric(getattr(choice, "__name__", "metric"), -np.inf, np.inf, 1.0, choice)
    name = str(choice).replace("-", "_")
    if name not in MAIN_METRICS[kind]:
        _refuse(choice, list(MAIN_METRICS[kind]))
    return MAIN_METRICS[kind][name]


def _refuse(choice: object, known: list[str]) -> None:
    names = ", ".join(name.replace("_", "-") for name in known)
    raise InvalidInputError(f"`metric` must be one of {names}, or a function (y_true, outputs); got {choice!r}.")


def _takes_weights(function: Function) -> bool:
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except ValueError:  # functions written in C have no signature
        return False


def _call(function: Any, y: Floats, outputs: Floats, mass: Floats | None) -> float:
    """Return the value, NaN where the function says by a ValueError that it is undefined."""
    if not len(y):
        return float("nan")
    try:
        return float(function(y, outputs) if mass is None else function(y, outputs, sample_weight=mass))
    except ValueError:
        return float("nan")
