"""Metrics of how T binary tasks rank n samples, and the influence of each sample on them.

Samples have masses: their weights, 0 where a sample is not of the class. Counts are sums of masses.

The AUC's influence are the structural components of DeLong, DeLong & Clarke-Pearson (Biometrics 1988, equations 3-5).
That of average precision is its derivative in the weights of the samples. With weights w the metric is
AP = sum_i w_i h_i / m_i / sum_i w_i over the positive samples i, where h_i is the weight of the positive samples that
score no lower than i, and m_i that of all samples that do. So, with P positives,

    dAP/dw_k = [k positive] (h_k / m_k - AP) / P + sum over positives i scoring no higher than k of
               w_i ([k positive] / m_i - h_i / m_i^2) / P,

and the influence of sample k is w_k times that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["RankCounts", "auc", "average_precision", "rank_counts"]

Floats = NDArray[np.float64]


class RankCounts(NamedTuple):
    """For each sample of each task: how much of a class scores strictly below it, or no higher than it; (T, n)."""

    positives_below: Floats
    positives_through: Floats
    negatives_below: Floats
    negatives_through: Floats
    order: NDArray[np.intp]  # samples of each task by score, the lowest first
    after: NDArray[np.intp]  # for each place of that order, where the samples of the same score end

    def total_through(self, values: Floats) -> Floats:
        """Return, for each sample, the sum of values over the samples that score no higher than it, (T, n)."""
        total = np.zeros((len(values), values.shape[1] + 1))
        np.cumsum(np.take_along_axis(values, self.order, 1), axis=1, out=total[:, 1:])
        return _by_sample(total, self.after, self.order)


def rank_counts(positive: Floats, negative: Floats, scores: Floats) -> RankCounts:
    """Count, by one sort per task; unlabelled samples belong to neither class and count nowhere."""
    n = scores.shape[1]
    order = scores.argsort(axis=1)
    ranked = np.take_along_axis(scores, order, 1)
    new = np.ones(scores.shape, bool)  # a tie starts here
    new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    index = np.broadcast_to(np.arange(n), scores.shape)
    first = np.maximum.accumulate(np.where(new, index, 0), axis=1)
    last = np.ones(scores.shape, bool)
    last[:, :-1] = new[:, 1:]
    after = np.minimum.accumulate(np.where(last, index + 1, n)[:, ::-1], axis=1)[:, ::-1]

    def below_and_through(member: Floats) -> tuple[Floats, Floats]:
        total = np.zeros((len(scores), n + 1))
        np.cumsum(np.take_along_axis(member, order, 1), axis=1, out=total[:, 1:])
        return _by_sample(total, first, order), _by_sample(total, after, order)

    return RankCounts(*below_and_through(positive), *below_and_through(negative), order, after)


def auc(positive: Floats, negative: Floats, counts: RankCounts) -> tuple[Floats, Floats]:
    """Return the area under the ROC curve (T,) and the influence of the samples on it (T, n)."""
    n_positive, n_negative = positive.sum(1)[:, None], negative.sum(1)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        # the share of the other class that each sample is ranked rightly against, ties one half
        beaten = (counts.negatives_below + counts.negatives_through) / (2 * n_negative)
        beating = 1.0 - (counts.positives_below + counts.positives_through) / (2 * n_positive)
        value = (positive * beaten).sum(1, keepdims=True) / n_positive
        influence = positive * (beaten - value) / n_positive + negative * (beating - value) / n_negative
    return value[:, 0], influence


def average_precision(positive: Floats, negative: Floats, counts: RankCounts, *, deep: bool) -> tuple[Floats, Floats]:
    """Return the average precision (T,) and, if `deep`, the influence of the samples on it (T, n), else zeros."""
    n_positive, n_negative = positive.sum(1)[:, None], negative.sum(1)[:, None]
    hits = n_positive - counts.positives_below
    chosen = hits + n_negative - counts.negatives_below  # no lower than this score
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = hits / chosen
        value = np.where(positive > 0, positive * precision, 0.0).sum(1, keepdims=True) / n_positive
        if not deep:
            return value[:, 0], np.zeros(positive.shape)
        diluted = counts.total_through(np.where(positive > 0, positive * precision / chosen, 0.0))
        helped = counts.total_through(np.where(positive > 0, positive / chosen, 0.0))
        gained = np.where(positive > 0, positive * (precision - value + helped), 0.0)
        influence = (gained - (positive + negative) * diluted) / n_positive
    return value[:, 0], influence


def _by_sample(total: Floats, position: NDArray[np.intp], order: NDArray[np.intp]) -> Floats:
    """Return the totals at the given places of the order, put back in the order of the samples."""
    values = np.empty(order.shape)
    np.put_along_axis(values, order, np.take_along_axis(total, position, 1), 1)
    return values
