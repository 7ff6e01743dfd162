"""Soft membership with a meaning: the mixture of groups that a task's pattern of similarities is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

__all__ = ["mixture_membership"]


def mixture_membership(similarity: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return memberships (T, k), rows sum to 1, of a hard clustering's tasks.

    Task t's similarities to all other tasks are written as a non-negative combination of the groups' mean
    similarities (least squares, without t itself), and the coefficients are scaled to sum to 1. So a task that
    behaves like the rest of its group has membership near 1 in it, however similar the groups are among themselves;
    a task that is half one concept and half another is split; a task similar to nothing is spread evenly.

    Parameters
    ----------
    similarity : ndarray of shape (T, T)
        Symmetric, not negative.
    labels : ndarray of int of shape (T,)
        Groups 0 .. k - 1.

    Examples
    --------
    >>> S = np.kron(np.eye(2), np.full((3, 3), 0.8))
    >>> S = np.block([[S, np.full((6, 1), 0.4)], [np.full((1, 7), 0.4)]])  # the last task is half of each
    >>> mixture_membership(S, np.array([0, 0, 0, 1, 1, 1, 0]))[[0, 3, 6]].round(1)
    array([[1. , 0. ],
           [0. , 1. ],
           [0.5, 0.5]])
    """
    n_tasks = len(similarity)
    member = np.eye(int(labels.max()) + 1)[labels]  # (T, k)
    others = similarity * (1.0 - np.eye(n_tasks))
    sums = others @ member
    sizes = member.sum(0) - member  # members of each group other than the task itself
    membership = np.full_like(member, 1.0 / member.shape[1])
    for t in range(n_tasks):
        rest = np.arange(n_tasks) != t
        size = sizes[rest] - member[t]
        total = sums[rest] - others[rest, t, None] * member[t]
        # Mean similarity of task j to the members of group g other than j and t.
        profile = np.divide(total, size, out=np.zeros_like(total), where=size > 0)
        weight = nnls(profile, others[rest, t])[0] if n_tasks > 1 else np.zeros(1)
        if weight.sum() > 0:
            membership[t] = weight / weight.sum()
    return membership
