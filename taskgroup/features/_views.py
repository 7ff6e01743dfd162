"""Views: what is correlated, as rows of one float32 value per task, made on the fly from the maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.datamaps import DataMaps
from taskgroup.exceptions import InvalidInputError
from taskgroup.features._relation import row_blocks

__all__ = ["Rows", "View", "class_codes", "confidence", "residual", "variability"]

Rows = Callable[[NDArray[np.intp]], NDArray[np.float32]]
"""From sample indices (n,) to values (n, T), NaN where missing."""

View = Callable[[DataMaps], Rows]

_N_BINS = 10  # a regression target stands for its decile


def confidence(maps: DataMaps) -> Rows:
    """Return the confidence in the true label."""
    return lambda rows: np.asarray(maps.confidence[rows], np.float32)


def variability(maps: DataMaps) -> Rows:
    """Return the standard deviation of that confidence over epochs."""
    return lambda rows: np.asarray(maps.variability[rows], np.float32)


def residual(maps: DataMaps) -> Rows:
    """Return the confidence less its mean over the samples of the same task and class.

    What is left is difficulty within a class: class frequency, and labels that merely coincide, drop out.
    """
    codes_of = class_codes(maps, "class-residual")
    n_tasks = maps.n_tasks
    columns = np.arange(n_tasks)
    size = 1 + max(int(codes_of(rows).max()) for _, rows in row_blocks(maps.n_samples, n_tasks))
    total, count = np.zeros((2, n_tasks * size))
    for _, rows in row_blocks(maps.n_samples, n_tasks):
        values, codes = np.asarray(maps.confidence[rows], np.float32), codes_of(rows)
        cells = (columns * size + codes)[seen := (codes >= 0) & ~np.isnan(values)]
        total += np.bincount(cells, values[seen], minlength=len(total))
        count += np.bincount(cells, minlength=len(count))
    means = (total / np.maximum(count, 1)).astype(np.float32).reshape(n_tasks, size)

    def rows_of(rows: NDArray[np.intp]) -> NDArray[np.float32]:
        codes = codes_of(rows)
        values = np.asarray(maps.confidence[rows], np.float32) - means[columns, codes]
        values[codes < 0] = np.nan
        return values

    return rows_of


def class_codes(maps: DataMaps, need: str) -> Callable[[NDArray[np.intp]], NDArray[np.int64]]:
    """Return a function from sample indices to class codes (n, T), -1 where the label is missing.

    A regression target is coded by its decile among the task's labelled samples.

    Raises
    ------
    InvalidInputError
        When the maps hold no targets, which ``need`` needs.
    """
    targets = labelled(maps, need)
    edges: dict[int, NDArray[Any]] = {}
    for t, task in enumerate(maps.tasks):
        if task.kind == "regression":
            column = np.asarray(targets[:, t], np.float64)
            seen = column[~np.isnan(column)]
            edges[t] = np.quantile(seen, np.arange(1, _N_BINS) / _N_BINS) if len(seen) else np.zeros(0)

    def codes_of(rows: NDArray[np.intp]) -> NDArray[np.int64]:
        values = np.asarray(targets[rows], np.float32)
        missing = np.isnan(values)
        codes = np.where(missing, 0, values).astype(np.int64)
        for t, cuts in edges.items():
            codes[:, t] = np.searchsorted(cuts, values[:, t], side="right")
        codes[missing] = -1
        return codes

    return codes_of


def labelled(maps: DataMaps, need: str) -> NDArray[np.float32]:
    """Return the targets (N, T) of the maps, or raise when they were not kept."""
    if maps.targets is None:
        raise InvalidInputError(
            f"{need!r} needs `maps.targets`; these maps hold none. Record the targets with the maps."
        )
    return maps.targets
