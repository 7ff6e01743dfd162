"""Correlation kinds: tasks are alike when the same samples are easy, or hard, or ambiguous, for both.

r_ij is the correlation, over jointly labelled samples, of what a *view* of the Data Maps says about each sample. Under
independence it has standard error 1 / sqrt(n_ij); the similarity is what exceeds a noise floor of ``z`` such errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from taskgroup.datamaps import DataMaps
from taskgroup.features._moments import PairMoments
from taskgroup.features._relation import N_BLOCKS, Relation, row_blocks
from taskgroup.features._views import View

__all__ = ["CorrelationStatistics", "above_floor", "collect"]


@dataclass(frozen=True, eq=False)
class CorrelationStatistics:
    """Block statistics whose relation is the absolute or the positive part of a correlation.

    Parameters
    ----------
    moments : PairMoments
        Moments of one column per task.
    sign : {"absolute", "positive"}
        Mutually exclusive tasks repel each other, so only the absolute value finds them related.
    z : float
        Noise floor in standard errors.
    """

    moments: PairMoments
    sign: Literal["absolute", "positive"]
    z: float

    def relation(self, blocks: NDArray[np.intp]) -> Relation:
        """Return the relation over the samples of the given blocks."""
        r = self.moments.correlation(blocks)
        n_joint = self.moments.n_joint(blocks)
        strength = np.abs(r) if self.sign == "absolute" else np.maximum(r, 0.0)
        similarity = above_floor(strength, n_joint, self.z)
        return Relation(similarity, strength, similarity, n_joint, strength * np.sqrt(n_joint), r)


def above_floor(strength: NDArray[np.float64], n_joint: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    """Return max(strength - z / sqrt(n), 0) with a diagonal of 1; below 500 samples nothing is taken off.

    With few samples a floor of two standard errors would remove real similarities as well: there, chance is left to
    the test that finds isolated tasks.
    """
    floor = np.where(n_joint >= 500, z / np.sqrt(np.maximum(n_joint, 1.0)), 0.0)
    similarity: NDArray[np.float64] = np.maximum(strength - floor, 0.0)
    np.fill_diagonal(similarity, 1.0)
    return similarity


def collect(maps: DataMaps, view: View) -> PairMoments:
    """Return the moments of a view of the maps, streamed in pieces."""
    rows_of = view(maps)
    pieces = row_blocks(maps.n_samples, maps.n_tasks)
    missing = any(np.isnan(rows_of(rows)).any() for _, rows in pieces)
    first = rows_of(pieces[0][1])
    # Moments about a value near the mean lose no digits to cancellation.
    shift = np.nansum(first, axis=0) / np.maximum(np.count_nonzero(~np.isnan(first), axis=0), 1)
    moments = PairMoments(N_BLOCKS, maps.n_tasks, missing=missing, once=len(pieces) <= N_BLOCKS)
    for block, rows in pieces:
        moments.add([block], rows_of(rows) - shift.astype(np.float32))
    return moments
