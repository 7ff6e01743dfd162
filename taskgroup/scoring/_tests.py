"""Paired tests over independent repetitions, corrected for their number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from taskgroup.exceptions import InvalidInputError

__all__ = ["holm", "paired_tests", "student"]

Floats = NDArray[np.float64]


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
        rows.append((method, baseline, d.mean(), [d.mean() - reach, d.mean() + reach], student(d), len(d)))
    corrected = holm([row[4] for row in rows])
    return [
        {"method": m, "baseline": b, "difference": float(d), "ci95": [float(c) for c in ci], "p": p,
         "p_holm": float(adjusted), "n_units": n}
        for (m, b, d, ci, p, n), adjusted in zip(rows, corrected, strict=True)
    ]  # fmt: skip


def holm(p: ArrayLike) -> Floats:
    """Return Holm's step-down adjusted p values, in [0, 1]; NaN stays NaN and does not count as a test.

    References
    ----------
    Holm, Scandinavian Journal of Statistics 6 (1979), pages 65-70.

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


def student(differences: Floats) -> float:
    """Return the two-sided p of a zero mean; NaN with fewer than two values, 1 when all are zero."""
    n = len(differences)
    if n < 2 or np.isnan(differences).any():
        return float("nan")
    mean, error = differences.mean(), differences.std(ddof=1) / np.sqrt(n)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean / error), n - 1))
