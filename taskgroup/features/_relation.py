"""How T tasks relate to each other, and the statistics over blocks of samples from which it follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from taskgroup._display import brief

__all__ = ["N_BLOCKS", "BlockStatistics", "Relation", "from_distances", "row_blocks"]

N_BLOCKS = 10
"""Samples are dealt at random into this many blocks; half of them make a half-sample (126 distinct splits)."""


@brief
@dataclass(frozen=True, eq=False)
class Relation:
    """Pairwise relations of T tasks, every array symmetric of shape (T, T).

    Parameters
    ----------
    similarity : ndarray of float64, in [0, 1]
        What clustering uses: above the noise floor, 1 on the diagonal.
    strength : ndarray of float64, in [0, 1]
        The same before the noise floor was taken off.
    gram : ndarray of float64
        Inner products of the task vectors that Euclidean clusterers see.
    n_joint : ndarray of float64
        Number of samples labelled for both tasks.
    evidence : ndarray of float64, optional
        Strength in units of its standard error under independence; None where no such law is known.
    correlation : ndarray of float64, in [-1, 1], optional
        The signed correlation, for kinds that are one.
    """

    similarity: NDArray[np.float64]
    strength: NDArray[np.float64]
    gram: NDArray[np.float64]
    n_joint: NDArray[np.float64]
    evidence: NDArray[np.float64] | None = None
    correlation: NDArray[np.float64] | None = None


class BlockStatistics(Protocol):
    """Statistics that add up over blocks of samples."""

    def relation(self, blocks: NDArray[np.intp]) -> Relation:
        """Return the relation of the tasks over the samples of the given blocks."""


def row_blocks(n_samples: int, n_tasks: int) -> list[tuple[int, NDArray[np.intp]]]:
    """Return (block, sample indices) pairs that deal every sample to one of :data:`N_BLOCKS` blocks.

    Each stretch of neighbouring samples is dealt over all blocks, so sorted data do not unbalance them and a memory
    map is read once, in order. A piece is small enough to stay in cache.
    """
    rng = np.random.default_rng(0)
    piece = 256 if n_tasks <= 256 else 1024
    pairs: list[tuple[int, NDArray[np.intp]]] = []
    for start in range(0, n_samples, piece * N_BLOCKS):
        dealt = start + rng.permutation(min(piece * N_BLOCKS, n_samples - start))
        pairs += [(b, np.sort(rows)) for b, rows in enumerate(np.array_split(dealt, N_BLOCKS)) if len(rows)]
    return pairs


def from_distances(squared: NDArray[np.float64], n_joint: NDArray[np.float64]) -> Relation:
    """Return the relation of tasks with these squared Euclidean distances.

    The similarity is the Gaussian kernel whose width is the median distance; the Gram matrix is the doubly centred
    -squared / 2, which has the same distances.
    """
    n_tasks = len(squared)
    squared = np.maximum((squared + squared.T) / 2, 0.0)
    np.fill_diagonal(squared, 0.0)
    pairs: NDArray[Any] = squared[np.triu_indices(n_tasks, 1)]
    width = float(np.median(pairs)) if len(pairs) else 0.0
    similarity = np.exp(-squared / (width or 1.0))
    centred = squared - squared.mean(0)
    gram = -(centred - centred.mean(1)[:, None]) / 2
    return Relation(similarity, similarity, (gram + gram.T) / 2, n_joint)
