"""How many groups: candidates by the eigengap, confirmed by the stability over half-samples.

The eigenvalues of the matrix of squared correlations fall off after the number of groups. A candidate is believed when
two disjoint halves of the samples give the same groups (adjusted Rand index).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import adjusted_rand_score

from taskgroup.cluster._methods import Method, partitions
from taskgroup.features import Relation, TaskFeatures

__all__ = ["choose_k", "isolated_tasks", "restrict", "stability"]

_LEVEL = 0.01
_STABLE = 0.8
_N_CANDIDATES = 5


def isolated_tasks(relation: Relation) -> NDArray[np.bool_]:
    """Return which tasks (T,) are related to no other.

    A task is isolated when none of its correlations is beyond what chance gives in 1 of 100 sets of unrelated tasks:
    the normal quantile at the level 0.01, two-sided, divided by the number of pairs (Bonferroni). Kinds without such a
    law isolate nobody.
    """
    n_tasks = len(relation.similarity)
    if relation.evidence is None or n_tasks == 1:
        return np.zeros(n_tasks, bool)
    evidence = relation.evidence - np.diag(np.diag(relation.evidence))
    isolated: NDArray[np.bool_] = evidence.max(1) < norm.isf(_LEVEL / (n_tasks * (n_tasks - 1)))
    return isolated


def choose_k(
    features: TaskFeatures, tasks: NDArray[np.intp], method: Method, *, max_k: int, n_splits: int, random_state: int
) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of groups of the given tasks, and the table of candidates.

    Among the candidates whose groups are stable the one with the largest eigengap wins; when none is, the most stable.
    """
    relation = restrict(features.relation, tasks)
    gap = _eigengap(relation)[:max_k]
    if not len(gap):
        return 1, [{"k": 1, "stability": 1.0, "eigengap": None}]
    candidates = np.sort(np.argsort(-gap, kind="stable")[:_N_CANDIDATES]) + 1
    scores = stability(features, tasks, method, list(candidates), n_splits=n_splits, random_state=random_state)
    rows = [
        {"k": int(k), "stability": score, "eigengap": float(gap[k - 1])}
        for k, score in zip(candidates, scores, strict=True)
    ]
    stable = [row for row in rows if row["stability"] >= _STABLE]
    best = max(stable, key=lambda row: row["eigengap"]) if stable else max(rows, key=lambda row: row["stability"])
    return int(best["k"]), rows


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
    evidence = None if relation.evidence is None else relation.evidence[block]
    return replace(
        relation,
        similarity=relation.similarity[block],
        strength=relation.strength[block],
        gram=relation.gram[block],
        n_joint=relation.n_joint[block],
        evidence=evidence,
        correlation=None if relation.correlation is None else relation.correlation[block],
    )


def _eigengap(relation: Relation) -> NDArray[np.float64]:
    """Return log(l_k / l_(k+1)) for k = 1 .. T - 1 of the squared strengths, less their expectation under chance."""
    squared = relation.strength**2
    if relation.evidence is not None:
        squared = np.maximum(squared - 1.0 / np.maximum(relation.n_joint, 1.0), 0.0)
    np.fill_diagonal(squared, 1.0)
    values = np.maximum(np.linalg.eigvalsh(squared)[::-1], 1e-3)
    gap: NDArray[np.float64] = np.log(values[:-1] / values[1:])
    return gap
