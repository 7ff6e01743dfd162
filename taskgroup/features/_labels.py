"""The control that needs no training: association of the labels themselves.

For two binary tasks it is |phi|, for binary against regression |Pearson's r|, for two multiclass tasks Cramer's V, for
multiclass against regression the correlation ratio. All are one formula. With one column per binary or regression
target and one indicator column per class, association^2 = sum_ab cov_ab^2 / (s_a s_b) / (c - 1), where s is a column's
variance (its mean, for an indicator) and c the smaller number of classes (2 for a single column).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taskgroup.datamaps import DataMaps
from taskgroup.features._correlation import above_floor
from taskgroup.features._moments import PairMoments, over
from taskgroup.features._relation import N_BLOCKS, Relation, row_blocks
from taskgroup.features._views import labelled
from taskgroup.tasks import TaskSet

__all__ = ["LabelStatistics", "label_statistics"]


@dataclass(frozen=True, eq=False)
class LabelStatistics:
    """Block statistics of the label columns of T tasks.

    Parameters
    ----------
    moments : PairMoments
        Moments of the label columns.
    task_of : ndarray of int of shape (C,)
        The task of every column; several columns make one multiclass task.
    z : float
        Noise floor in standard errors.
    """

    moments: PairMoments
    task_of: NDArray[np.intp]
    z: float

    def relation(self, blocks: NDArray[np.intp]) -> Relation:
        """Return the relation over the samples of the given blocks."""
        covariance, variance = self.moments.covariance(blocks)
        width = np.bincount(self.task_of)  # columns per task
        indicator = (width > 1)[self.task_of]
        # An indicator's variance p (1 - p) gives its mean p back: p is the smaller root unless p > 1 / 2.
        count = np.maximum(over(self.moments.count, blocks), 1.0)
        mean = np.broadcast_to(over(self.moments.sums, blocks) / count, covariance.shape)
        scale = np.where(indicator[:, None], mean, variance)
        product = scale * scale.T
        share = np.divide(covariance**2, product, out=np.zeros_like(covariance), where=product > 1e-12)
        start = np.concatenate([[0], np.cumsum(width)[:-1]])
        total = np.add.reduceat(np.add.reduceat(share, start, 0), start, 1)
        classes = np.maximum(width, 2)
        strength = np.sqrt(np.clip(total / (np.minimum.outer(classes, classes) - 1), 0.0, 1.0))
        np.fill_diagonal(strength, 1.0)
        n_joint = self.moments.n_joint(blocks)[np.ix_(start, start)]
        similarity = above_floor(strength, n_joint, self.z)
        return Relation(similarity, strength, similarity, n_joint, strength * np.sqrt(n_joint))


def label_statistics(maps: DataMaps, z: float, n_blocks: int = N_BLOCKS) -> LabelStatistics:
    """Return the statistics of the targets of the maps, by blocks of samples; one block takes the least memory."""
    targets = labelled(maps, "labels")
    task_of = np.repeat(np.arange(maps.n_tasks), [task.n_outputs for task in maps.tasks])
    pieces = row_blocks(maps.n_samples, len(task_of))
    missing = any(np.isnan(targets[rows]).any() for _, rows in pieces)
    shift = _shift(maps.tasks, np.asarray(targets[pieces[0][1]]))
    moments = PairMoments(n_blocks, len(task_of), missing=missing, once=len(pieces) <= n_blocks)
    for block, rows in pieces:
        moments.add([block % n_blocks], _columns(maps.tasks, np.asarray(targets[rows], np.float32)) - shift)
    return LabelStatistics(moments, task_of, z)


def _columns(tasks: TaskSet, targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return label columns (n, C): the target itself, or one indicator per class; NaN where missing."""
    parts = []
    for t, task in enumerate(tasks):
        column = targets[:, t, None]
        if task.kind == "multiclass":
            column = np.where(np.isnan(column), np.nan, column == np.arange(task.n_outputs))
        parts.append(column)
    return np.concatenate(parts, 1).astype(np.float32)


def _shift(tasks: TaskSet, first: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what is taken off the columns of regression targets, which may lie far from 0."""
    count = np.maximum(np.count_nonzero(~np.isnan(first), axis=0), 1)
    mean = np.nansum(first, axis=0) / count
    off = [np.full(task.n_outputs, mean[t] if task.kind == "regression" else 0.0) for t, task in enumerate(tasks)]
    return np.concatenate(off).astype(np.float32)
