"""A grouping of tasks: who belongs where, how surely, and the loss weights that follow from it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from taskgroup._artifact import artefact, content_hash, read_json, write_json
from taskgroup._display import clipped, html_table
from taskgroup._validation import check_int, check_matrix
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import TaskSet

__all__ = ["Grouping", "canonical_labels"]


@dataclass(frozen=True, eq=False)
class Grouping:
    """T tasks in k groups, hard or soft.

    Parameters
    ----------
    tasks : TaskSet
        The tasks, in order.
    membership : ndarray of float64 of shape (T, k)
        Rows are not negative and sum to 1; one-hot for a hard grouping. Column g is group g.
    isolated : sequence of str
        Names of tasks with no affinity to any other above the noise floor: best left alone.
    stability : float, optional
        Mean adjusted Rand index between groupings of half-samples, in [-1, 1]; None when it was not measured.
    selection : sequence of dict
        One row per candidate k: {"k", "stability", "eigengap", ...}, empty when k was given.
    info : dict
        JSON-able facts: method, feature kind, seed, hash of the maps.

    Attributes
    ----------
    labels : ndarray of int64 of shape (T,)
        The group of largest membership. Labels are canonical: group 0 holds the first task, group 1 the first
        task that is not in group 0, and so on.

    Examples
    --------
    >>> grouping = Grouping.from_labels(["a", "b", "c"], [4, 1, 4])
    >>> grouping.groups
    (('a', 'c'), ('b',))
    >>> grouping.loss_weights(0)
    {'a': 1.0, 'c': 1.0}
    """

    tasks: TaskSet
    membership: NDArray[np.float64]
    isolated: Sequence[str] = ()
    stability: float | None = None
    selection: Sequence[Mapping[str, Any]] = ()
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        membership = check_matrix("membership", self.membership, (len(self.tasks), None), np.float64)
        sums = membership.sum(1)
        if not np.all(membership >= 0) or not np.allclose(sums, 1.0, rtol=0, atol=1e-6):
            worst = int(np.argmax(np.abs(sums - 1.0)))
            raise InvalidInputError(
                "rows of `membership` must be non-negative and sum to 1; "
                f"got a sum of {sums[worst]:.6g} for task {self.tasks[worst].name!r}."
            )
        order = _canonical_order(membership)
        object.__setattr__(self, "membership", np.ascontiguousarray(membership[:, order]))
        object.__setattr__(self, "isolated", tuple(self.isolated))
        object.__setattr__(self, "selection", tuple(dict(row) for row in self.selection))

    @classmethod
    def from_labels(cls, tasks: TaskSet | Sequence[str], labels: ArrayLike, **fields: Any) -> Grouping:
        """Return the hard grouping of T integer labels, whatever their values."""
        task_set = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
        codes = canonical_labels(check_matrix("labels", labels, (len(task_set),)))
        return cls(task_set, np.eye(int(codes.max()) + 1)[codes], **fields)

    def __repr__(self) -> str:
        groups = "; ".join(clipped(names, 3) or "nobody" for names in self.groups[:6])
        more = f"; and {self.n_groups - 6} more" if self.n_groups > 6 else ""
        steady = "" if self.stability is None else f", stability {self.stability:.2f}"
        return f"Grouping({self.n_tasks:,} tasks in {self.n_groups:,} groups{steady}: {groups}{more})"

    def _repr_html_(self) -> str:
        rows = [(g, len(names), clipped(names, 20)) for g, names in enumerate(self.groups)]
        return html_table(("group", "tasks", "names"), rows, repr(self).partition(":")[0] + ")")

    def to_frame(self) -> Any:
        """Return a pandas DataFrame, a row a task: its group, its membership there, whether it is isolated."""
        import pandas as pd

        return pd.DataFrame(
            {
                "task": self.tasks.names,
                "group": self.labels,
                "membership": self.membership.max(1),
                "isolated": [name in set(self.isolated) for name in self.tasks.names],
            }
        )

    @property
    def labels(self) -> NDArray[np.int64]:
        """Group of largest membership of each task, shape (T,)."""
        labels: NDArray[np.int64] = self.membership.argmax(1)
        return labels

    @property
    def n_tasks(self) -> int:
        """Number of tasks T."""
        return len(self.tasks)

    @property
    def n_groups(self) -> int:
        """Number of groups k."""
        return int(self.membership.shape[1])

    @property
    def soft(self) -> bool:
        """Whether some task belongs to more than one group."""
        return bool(np.any((self.membership > 0) & (self.membership < 1)))

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Names of the tasks of every group, by largest membership."""
        names, labels = self.tasks.names, self.labels
        return tuple(tuple(names[t] for t in np.flatnonzero(labels == g)) for g in range(self.n_groups))

    def loss_weights(self, group: int) -> dict[str, float]:
        """Return {task name: weight of its loss in the model of ``group``}, without the zeros.

        A hard grouping gives 1 to the group's tasks. A soft one gives column ``group`` of the membership matrix,
        which is STG-MTL's rule (arXiv 2307.03374, section 3.3).
        """
        check_int("group", group, low=0, high=self.n_groups - 1, high_name="n_groups - 1")
        column = self.membership[:, group]
        return {name: float(w) for name, w in zip(self.tasks.names, column, strict=True) if w > 0}

    def harden(self) -> Grouping:
        """Return the hard grouping that sends every task to its group of largest membership."""
        return Grouping.from_labels(
            self.tasks, self.labels, isolated=self.isolated, stability=self.stability,
            selection=self.selection, info=self.info,
        )  # fmt: skip

    def content_hash(self) -> str:
        """Return a hash of the tasks and the membership matrix, by value."""
        return content_hash(self.tasks.to_list(), self.membership)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the grouping as JSON, atomically; the same grouping gives the same bytes."""
        write_json(
            path,
            "grouping",
            {
                "n_groups": self.n_groups,
                "soft": self.soft,
                "groups": self.groups,
                "isolated": self.isolated,
                "stability": self.stability,
                "selection": self.selection,
                "info": dict(self.info),
                "tasks": self.tasks.to_list(),
                "membership": self.membership,
            },
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Grouping:
        """Return the grouping saved at ``path``.

        Raises
        ------
        ArtifactError
            When the file is missing, damaged, or of another format or version.
        """
        document = read_json(path, "grouping")
        with artefact(path):
            return cls(
                TaskSet.from_list(document["tasks"]),
                np.asarray(document["membership"], dtype=np.float64),
                isolated=document["isolated"],
                stability=document["stability"],
                selection=document["selection"],
                info=document["info"],
            )


def canonical_labels(labels: ArrayLike) -> NDArray[np.int64]:
    """Return labels renumbered 0, 1, ... in order of first appearance.

    >>> canonical_labels([7, 2, 7, 0])
    array([0, 1, 0, 2])
    """
    _, first, inverse = np.unique(np.asarray(labels), return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _canonical_order(membership: NDArray[np.float64]) -> list[int]:
    """Return columns in order of first appearance as a task's largest; of equals the earliest in the order counts.

    So the order of an ordered matrix is its own, ties or not. Columns that no task prefers come last.
    """
    order: dict[int, None] = {}
    for row in membership:
        largest = np.flatnonzero(row == row.max()).tolist()
        if order.keys().isdisjoint(largest):
            order[largest[0]] = None
    return [*order, *(g for g in range(membership.shape[1]) if g not in order)]
