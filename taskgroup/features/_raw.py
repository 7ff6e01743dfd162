"""STG-MTL's task vectors (arXiv 2307.03374, section 3.2), by their Gram matrix.

At each chosen epoch e the running confidence and variability over epochs 0 .. e are a snapshot; a task's vector is the
raw concatenation over snapshots, samples and {confidence, variability}. Its Gram matrix is a sum of parts, one per
(snapshot, channel), each streamed over samples from the 16-bit history.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taskgroup._validation import check_int, check_real
from taskgroup.datamaps import DataMaps, decode_probability
from taskgroup.exceptions import InvalidInputError
from taskgroup.features._moments import PairMoments
from taskgroup.features._relation import N_BLOCKS, Relation, from_distances, row_blocks

__all__ = ["RawStatistics", "raw_statistics"]


@dataclass(frozen=True, eq=False)
class RawStatistics:
    """Block statistics of the raw task vectors.

    Parameters
    ----------
    moments : PairMoments
        Slots 0 .. N_BLOCKS - 1 are blocks of samples over all snapshots and channels; the slots after them are all
        samples per (snapshot, channel): confidence and variability of the first snapshot, of the second, ...
    n_dimensions : ndarray of int of shape (n_slots,)
        Number of dimensions of every slot, missing ones included.
    """

    moments: PairMoments
    n_dimensions: NDArray[np.int64]

    def relation(self, blocks: NDArray[np.intp]) -> Relation:
        """Return the relation over the given slots.

        Squared distances over the dimensions that two tasks share are scaled up to all dimensions.
        """
        shared = self.moments.n_joint(blocks)
        total = float(self.n_dimensions[blocks].sum())
        squared = self.moments.squared_distances(blocks) * (total / np.maximum(shared, 1.0))
        return from_distances(squared, shared / (len(self.n_dimensions) - N_BLOCKS))

    def part(self, snapshot: int, channel: int) -> Relation:
        """Return the relation by one snapshot of the confidence (channel 0) or variability (channel 1)."""
        return self.relation(np.array([N_BLOCKS + 2 * snapshot + channel]))


def raw_statistics(
    maps: DataMaps, snapshots: Sequence[int] | None = None, variability_weight: float = 1.0
) -> RawStatistics:
    """Return the block statistics of cumulative snapshots.

    Parameters
    ----------
    maps : DataMaps
        With a history; without one the only snapshot is the whole training.
    snapshots : sequence of int, optional
        Epochs at which a snapshot is taken, each in 0 .. n_epochs - 1; all when left out.
    variability_weight : float
        What variabilities are multiplied with; 1 is STG-MTL's. They carry about 2 % of the variance.
    """
    weight = np.float32(check_real("variability_weight", variability_weight, 0.0))
    n_epochs = 1 if maps.history is None else len(maps.history)
    chosen = _check_snapshots(snapshots, n_epochs)
    missing = bool((np.asarray(maps.count) < n_epochs).any()) or bool(np.isnan(maps.variability).any())
    n_slots = N_BLOCKS + 2 * len(chosen)
    moments = PairMoments(n_slots, maps.n_tasks, missing=missing)
    n_dimensions = np.zeros(n_slots, np.int64)
    share = np.full(maps.n_tasks, 1 / maps.n_tasks, np.float32)
    for block, rows in row_blocks(maps.n_samples, maps.n_tasks):
        for part, values in enumerate(_channels(maps, rows, chosen, weight, missing)):
            # Distances do not change when every task is moved alike; small numbers keep float32 exact.
            values -= ((np.nan_to_num(values) if missing else values) @ share)[:, None]
            slots = [block, N_BLOCKS + part]
            moments.add(slots, values)
            n_dimensions[slots] += len(values)
    return RawStatistics(moments, n_dimensions)


def _check_snapshots(snapshots: Sequence[int] | None, n_epochs: int) -> list[int]:
    if snapshots is None:
        return list(range(n_epochs))
    chosen = [check_int("snapshots", e, 0, n_epochs - 1, high_name="n_epochs - 1") for e in snapshots]
    if not chosen or sorted(set(chosen)) != chosen:
        raise InvalidInputError(f"`snapshots` must be increasing epochs, at least one; got {list(snapshots)}.")
    return chosen


def _channels(
    maps: DataMaps, rows: NDArray[np.intp], snapshots: Sequence[int], weight: np.float32, missing: bool
) -> Iterator[NDArray[np.float32]]:
    """Yield running confidence and weighted variability (n, T) at every snapshot, by Welford's recurrence."""
    if maps.history is None:
        yield np.array(maps.confidence[rows], np.float32)
        yield np.array(maps.variability[rows], np.float32) * weight
        return
    shape = (len(rows), maps.n_tasks)
    mean, squares = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    count = np.zeros(shape if missing else (1, 1), np.float32)
    one = np.float32(1)
    for epoch in range(snapshots[-1] + 1):
        p = decode_probability(maps.history[epoch, rows], np.float32)
        seen = ~np.isnan(p) if missing else one
        count += seen
        delta = _zeros_for_nan(p - mean, missing)
        mean += delta * (one / np.maximum(count, one))
        squares += delta * _zeros_for_nan(p - mean, missing)
        if epoch in snapshots:
            centre, spread = mean.copy(), np.sqrt(squares / np.maximum(count - np.float32(maps.ddof), one))
            if missing:
                centre[count == 0] = spread[count == 0] = np.nan
            yield centre
            yield spread * weight


def _zeros_for_nan(values: NDArray[np.float32], missing: bool) -> NDArray[np.float32]:
    return np.nan_to_num(values, copy=False) if missing else values
