"""Rows that a learner keeps back from its own fitting, to stop by or to choose a strength by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from taskgroup.data import stratified_split
from taskgroup.learners._examples import Examples

__all__ = ["kept_back"]


def kept_back(
    examples: Examples, rows: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to fit and the rows kept back, a share of them with the same shares of every label.

    All learners that are given the same rows and seed keep the same rows back, so that a model that starts from
    another one has not been fitted on the rows that it stops by.
    """
    if len(rows) < 2:
        return rows, rows
    part = stratified_split(examples.Y[rows], examples.tasks, (1 - share, share), seed)
    if not (part == 1).any() or not (part == 0).any():
        part[:1], part[1:] = 1, 0
    return rows[part == 0], rows[part == 1]
