"""Weighted means of several kinds of features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taskgroup.features._relation import BlockStatistics, Relation

__all__ = ["CombinedStatistics"]


@dataclass(frozen=True, eq=False)
class CombinedStatistics:
    """Block statistics whose relation is the weighted mean of others.

    Gram matrices are scaled to equal traces first, so that no kind outweighs another by its units.

    Parameters
    ----------
    members : sequence of BlockStatistics
        Statistics over the same blocks.
    weights : sequence of float
        Positive weights that sum to 1.
    """

    members: tuple[BlockStatistics, ...]
    weights: tuple[float, ...]

    def relation(self, blocks: NDArray[np.intp]) -> Relation:
        """Return the relation over the samples of the given blocks."""
        each = [member.relation(blocks) for member in self.members]

        def mean(get: Callable[[Relation], NDArray[np.float64]]) -> NDArray[np.float64]:
            total: NDArray[np.float64] = np.add.reduce([w * get(r) for w, r in zip(self.weights, each, strict=True)])
            return total

        evidence = [r.evidence for r in each if r.evidence is not None]
        return Relation(
            similarity=mean(lambda r: r.similarity),
            strength=mean(lambda r: r.strength),
            gram=mean(lambda r: r.gram / (np.trace(r.gram) / len(r.gram) or 1.0)),
            n_joint=np.minimum.reduce([r.n_joint for r in each]),
            # A pair is related when any kind says so.
            evidence=np.maximum.reduce(evidence) if len(evidence) == len(each) else None,
        )
