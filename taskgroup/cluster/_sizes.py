"""Groups of a given number and of limited sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import identity, kron, vstack

from taskgroup._validation import check_int
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import canonical_labels

__all__ = ["check_sizes", "fill_groups", "resize"]


def check_sizes(
    n_tasks: int, k: int | None, min_size: int, max_size: int | None, max_groups: int | None
) -> tuple[int, int]:
    """Return the least and the largest number of groups within the limits; raise when no grouping meets them."""
    check_int("min_size", min_size, 1, n_tasks, high_name="n_tasks")
    if max_size is not None:
        check_int("max_size", max_size, min_size)
    if max_groups is not None:
        check_int("max_groups", max_groups, 1)
    most = n_tasks // min_size if max_groups is None else min(max_groups, n_tasks // min_size)
    least = 1 if max_size is None else -(-n_tasks // max_size)
    if least > most or (k is not None and not least <= k <= most):
        raise InvalidInputError(
            f"{n_tasks} tasks in groups of {min_size} to {max_size or n_tasks} tasks need between {least} and {most} "
            f"groups; got k={'auto' if k is None else k}, max_groups={max_groups}. Relax one of the limits."
        )
    return least, most


def fill_groups(labels: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return labels with exactly k groups: while one is missing, the last task of the largest group leaves it."""
    labels = canonical_labels(labels)
    for new in range(int(labels.max()) + 1, k):
        largest = int(np.bincount(labels).argmax())
        labels[np.flatnonzero(labels == largest)[-1]] = new
    return labels


def resize(
    labels: NDArray[np.int64], strength: NDArray[np.float64], min_size: int, max_size: int | None
) -> NDArray[np.int64]:
    """Return labels of the same number of groups, each of ``min_size`` to ``max_size`` tasks.

    The assignment step of constrained k-means (Bradley, Bennett and Demiriz, MSR-TR-2000-65): tasks are sent to groups
    so that the total of their mean strengths to the groups is largest, a transportation problem whose linear programme
    has a whole solution; repeated with the new groups until it holds. A grouping within the limits is left as it is.
    """
    n_tasks, n_groups = len(labels), int(labels.max()) + 1
    high = n_tasks if max_size is None else max_size
    for _ in range(10):
        sizes = np.bincount(labels, minlength=n_groups)
        if sizes.min() >= min_size and sizes.max() <= high:
            break
        member = np.eye(n_groups)[labels]
        gain = (strength @ member / sizes).ravel()  # (T * k,)
        once: Any = kron(identity(n_tasks), np.ones((1, n_groups)), format="csr")
        size: Any = kron(np.ones((1, n_tasks)), identity(n_groups), format="csr")
        limits: Any = vstack([size, -size])
        found = linprog(
            -gain,
            A_eq=once,
            b_eq=np.ones(n_tasks),
            A_ub=limits,
            b_ub=np.concatenate([np.full(n_groups, high), np.full(n_groups, -min_size)]),
            bounds=(0, 1),
            method="highs-ds",
        )
        labels = np.asarray(found.x).reshape(n_tasks, n_groups).argmax(1)
    return labels
