"""Proposers: what makes two tasks alike, as a similarity (T, T) from which a tree follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from taskgroup.data import TaskTable
from taskgroup.datamaps import DataMaps
from taskgroup.features._labels import label_statistics

__all__ = ["answer_similarity", "importance_similarity", "label_similarity"]

Floats = NDArray[np.float64]


def label_similarity(table: TaskTable) -> Floats:
    """Return how strongly the labels of two tasks go together on the training and validation rows, in [0, 1]."""
    Y = np.concatenate([table.targets("train"), table.targets("valid")])
    blank = np.zeros(Y.shape, np.float32)
    seen = (~np.isnan(Y)).astype(np.uint16)
    maps = DataMaps(table.tasks, blank, blank, seen, targets=Y)
    return label_statistics(maps, 2.0, n_blocks=1).relation(np.arange(1)).strength


def answer_similarity(answers: Sequence[NDArray[np.floating]]) -> Floats:
    """Return how much alike models of single tasks answer on the same rows, labelled or not, in [0, 1].

    A cross map: tasks that share no labelled row are compared by what is believed of one on the rows of the other. For
    tasks of one output it is the absolute correlation, in general the root of the RV coefficient (Robert and
    Escoufier, Applied Statistics 25, 1976).

    Parameters
    ----------
    answers : sequence of ndarray of shape (n, C_t)
        Outputs of each task's own model.
    """
    width = [answer.shape[1] for answer in answers]
    A = np.concatenate(answers, 1).astype(np.float64)
    A -= A.mean(0)
    spread = A.std(0)
    A /= np.where(spread > 1e-9, spread, np.inf)
    start = np.concatenate([[0], np.cumsum(width)[:-1]])
    squares = np.square(A.T @ A / len(A))
    total = np.add.reduceat(np.add.reduceat(squares, start, 0), start, 1)
    own = np.sqrt(np.diag(total))
    scale = np.outer(own, own)
    similarity: Floats = np.sqrt(np.divide(total, scale, out=np.zeros_like(total), where=scale > 0))
    np.fill_diagonal(similarity, 1.0)
    return np.clip((similarity + similarity.T) / 2, 0.0, 1.0)


def importance_similarity(importances: Floats) -> Floats:
    """Return the cosines of the importances (T, d) that single tasks give to the features, in [0, 1]."""
    norm = np.linalg.norm(importances, axis=1)
    unit = importances / np.where(norm > 0, norm, 1.0)[:, None]
    similarity: Floats = np.clip(unit @ unit.T, 0.0, 1.0)
    np.fill_diagonal(similarity, 1.0)
    return similarity
