"""Is a task related to another, or to a group, beyond chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from taskgroup.features._relation import Relation

__all__ = ["LEVEL", "group_p_values", "unrelated_tasks"]

LEVEL = 0.01
"""Chance of finding any relation in a set of unrelated tasks."""


def unrelated_tasks(relation: Relation) -> NDArray[np.bool_]:
    """Return which tasks (T,) have no correlation beyond chance with any other single task.

    Chance is the normal quantile at the two-sided level 0.01 divided by the number of pairs (Bonferroni). Kinds without
    such a law call nobody unrelated.
    """
    n_tasks = len(relation.similarity)
    if relation.evidence is None or n_tasks == 1:
        return np.zeros(n_tasks, bool)
    evidence = relation.evidence - np.diag(np.diag(relation.evidence))
    unrelated: NDArray[np.bool_] = evidence.max(1) < norm.isf(LEVEL / (n_tasks * (n_tasks - 1)))
    return unrelated


def group_p_values(relation: Relation, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how likely chance ties every task that strongly to every group, (T, k), in [0, 1].

    The sum of squared evidence over a group's members finds a task that is weakly tied to all of them. Under
    independence it is a weighted sum of chi-squares, the weights being the eigenvalues of the members' correlations,
    close to c chi2(f) with c = sum r^2 / m and f = m^2 / sum r^2 (Box, Annals of Mathematical Statistics 25, 1954,
    theorem 3.1). A task's p-values for its own group are not meaningful. Kinds without a law of chance give 0.

    Parameters
    ----------
    relation : Relation
        Relation of T tasks.
    labels : ndarray of int of shape (T,)
        Groups 0 .. k - 1, none empty; -1 for tasks that are in no group.
    """
    member = (labels[:, None] == np.arange(int(labels.max()) + 1)).astype(np.float64)  # (T, k)
    if relation.evidence is None:
        return np.zeros_like(member)
    size = member.sum(0)
    r = relation.strength if relation.correlation is None else relation.correlation
    squares = np.einsum("tg,tg->g", member, (r**2) @ member)
    p_values: NDArray[np.float64] = chi2.sf((relation.evidence**2) @ member * size / squares, size**2 / squares)
    return p_values
