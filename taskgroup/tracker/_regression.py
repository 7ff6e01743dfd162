"""Probabilities for regression tasks, an extension of ours: p = exp(-r^2 / 2 s^2), residual r, frozen scale s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._validation import check_known, check_real
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import TaskSet

__all__ = ["closeness", "given_scales", "robust_scale"]


def closeness(residuals: NDArray[np.float32], scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p of residuals (n, T) under scales (T,), NaN where either is."""
    p: NDArray[np.float64] = np.exp(-0.5 * np.square(residuals / scales))
    return p


def robust_scale(residuals: NDArray[np.float32]) -> float:
    """Return 1.4826 median |r|; when that is 0 the root mean square, then 1; NaN when there are no residuals."""
    values = np.abs(residuals[~np.isnan(residuals)].astype(np.float64))
    if not len(values):
        return float("nan")
    return float(1.4826 * np.median(values)) or float(np.sqrt(np.mean(values**2))) or 1.0


def given_scales(tasks: TaskSet, scales: Mapping[str, Any] | None) -> NDArray[np.float64]:
    """Return the scales (T,) that a user gave, NaN for the other tasks."""
    out = np.full(len(tasks), np.nan)
    for name, value in (scales or {}).items():
        check_known("task", name, tasks.names)
        if tasks[tasks.index_of(name)].kind != "regression" or check_real(f"scales[{name!r}]", value, 0.0) == 0.0:
            raise InvalidInputError(
                f"`scales` must be positive numbers for regression tasks; got {value!r} for {name!r}."
            )
        out[tasks.index_of(name)] = value
    return out
