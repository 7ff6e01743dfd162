"""How many groups: candidates by the eigengap of the squared correlations, confirmed by stability over half-samples.

Of the matrix of r^2 less its expectation under chance, 1 / n, with an empty diagonal, every group of tasks makes one
eigenvalue above the noise, which alone reaches 2 sqrt(2 T) / n (Wigner's semicircle). A number of groups is believed
when two disjoint halves of the samples give the same groups (adjusted Rand index).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from taskgroup.cluster._methods import Method, partitions
from taskgroup.features import Relation, TaskFeatures

__all__ = ["choose_k", "restrict", "stability"]

_N_CANDIDATES = 8
_SPLIT = 0.5  # agreement that any split must exceed to be preferred to one group, which always agrees with itself


def choose_k(
    features: TaskFeatures, tasks: NDArray[np.intp], method: Method, *, max_k: int, n_splits: int, random_state: int
) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of groups of the given tasks, 0 for none, and the table of candidates.

    Of the candidates, those with the largest eigengaps, the most stable wins; of equally stable ones that with the
    larger eigengap. One group wins when no split reproduces.
    """
    if len(tasks) < 2:
        return len(tasks), []
    gap = _eigengap(restrict(features.relation, tasks))[:max_k]
    by_gap = np.argsort(-gap, kind="stable")[:_N_CANDIDATES]
    candidates = [1, *(int(k) + 1 for k in by_gap if k > 0 and gap[k] > 0)]
    scores = stability(features, tasks, method, candidates, n_splits=n_splits, random_state=random_state)
    rows = [
        {"k": k, "stability": score, "eigengap": float(gap[k - 1])} for k, score in zip(candidates, scores, strict=True)
    ]
    best = max(rows, key=lambda row: round(row["stability"], 3) if row["k"] > 1 else _SPLIT)
    return int(best["k"]), sorted(rows, key=lambda row: row["k"])


def stability(
    features: TaskFeatures,
    tasks: NDArray[np.intp],
    method: Method,
    ks: Sequence[int],
    *,
    n_splits: int,
    random_state: int,
) -> list[float]:
    """Return, for every k, the mean adjusted Rand index between the groups of two halves of the samples."""
    agreement = np.zeros((n_splits, len(ks)))
    for split, halves in enumerate(features.halves(n_splits, random_state)):
        first, second = (
            partitions(method, restrict(half, tasks), ks, n_init=0, random_state=random_state) for half in halves
        )
        agreement[split] = [adjusted_rand_score(a, b) for a, b in zip(first, second, strict=True)]
    return [float(score) for score in agreement.mean(0)]


def restrict(relation: Relation, tasks: NDArray[np.intp]) -> Relation:
    """Return the relation among some of the tasks."""
    block = np.ix_(tasks, tasks)
    return replace(
        relation,
        similarity=relation.similarity[block],
        strength=relation.strength[block],
        gram=relation.gram[block],
        n_joint=relation.n_joint[block],
        evidence=None if relation.evidence is None else relation.evidence[block],
        correlation=None if relation.correlation is None else relation.correlation[block],
    )


def _eigengap(relation: Relation) -> NDArray[np.float64]:
    """Return sqrt(l_k) - sqrt(l_(k+1)), in units of correlation, for k = 1 .. T - 1; noise counts as its upper edge."""
    n_tasks = len(relation.strength)
    squared, edge = relation.strength**2, 0.0
    if relation.evidence is not None:
        n_joint = np.maximum(relation.n_joint, 1.0)
        squared -= 1.0 / n_joint
        edge = 2.0 * np.sqrt(2.0 * n_tasks) / float(np.median(n_joint))
    np.fill_diagonal(squared, 0.0)
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(squared)[::-1], edge))
    gap: NDArray[np.float64] = roots[:-1] - roots[1:]
    return gap
