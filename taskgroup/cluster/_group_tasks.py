"""From Data Maps or task features to a grouping, in one call."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from taskgroup._validation import check_choice, check_int
from taskgroup.cluster._methods import METHODS, Method, fuzzy_membership, partitions
from taskgroup.cluster._select import choose_k, isolated_tasks, restrict, stability
from taskgroup.cluster._sizes import check_sizes, fill_groups, resize
from taskgroup.cluster._soft import mixture_membership
from taskgroup.datamaps import DataMaps
from taskgroup.features import Kind, Relation, TaskFeatures, task_features
from taskgroup.grouping import Grouping

__all__ = ["group_tasks"]


def group_tasks(
    maps_or_features: DataMaps | TaskFeatures,
    *,
    k: int | Literal["auto"] = 8,
    method: Method = "spectral",
    kind: Kind = "abs-corr",
    soft: bool = False,
    min_size: int = 1,
    max_size: int | None = None,
    max_groups: int | None = None,
    n_splits: int = 10,
    random_state: int = 0,
) -> Grouping:
    """Return the grouping of T tasks into k groups.

    Parameters
    ----------
    maps_or_features : DataMaps or TaskFeatures
        Maps are turned into features of the given ``kind`` first.
    k : int or "auto"
        Exactly so many groups; "auto" lets the data decide, where 1 ("do not split") and groups of one task
        ("leave this task alone") are legal answers.
    method : {"spectral", "ward", "kmeans", "fuzzy", "gmm", "average", "louvain"}
        The clustering method.
    kind : str
        The kind of features, see :func:`taskgroup.features.task_features`.
    soft : bool
        Whether tasks may belong to several groups: as a mixture of the groups' similarity profiles, or as fuzzy c-means
        says when that is the method.
    min_size, max_size : int, optional
        Least and largest number of tasks in a group.
    max_groups : int, optional
        Most groups that k="auto" may choose, tasks that are left alone included.
    n_splits : int
        Number of half-sample splits behind the stability; 0 leaves it unmeasured, and needs a fixed k.
    random_state : int
        Seed of random starts and half-samples.

    Raises
    ------
    InvalidInputError
        When k is not between 1 and T, or the limits on sizes cannot be met.

    Examples
    --------
    >>> import numpy as np
    >>> from taskgroup.datamaps import DataMaps, encode_probability
    >>> from taskgroup.tasks import TaskSet
    >>> concept = np.random.default_rng(0).uniform(size=(4, 600, 2))
    >>> maps = DataMaps.from_history(TaskSet(list("abcd")), encode_probability(concept[..., [0, 1, 0, 1]]))
    >>> group_tasks(maps, k=2).groups
    (('a', 'c'), ('b', 'd'))
    """
    features = maps_or_features
    if isinstance(features, DataMaps):
        features = task_features(features, kind)
    check_choice("method", method, METHODS)
    n_tasks = len(features.tasks)
    check_int("n_splits", n_splits, 1 if k == "auto" else 0)
    check_int("random_state", random_state, 0)
    if max_groups is not None:
        check_int("max_groups", max_groups, 1)
    if k != "auto":
        check_int("k", k, 1, n_tasks, high_name="n_tasks")
    check_sizes(n_tasks, None if k == "auto" else k, min_size, max_size, max_groups)

    isolated = isolated_tasks(features.relation)
    selection: list[dict[str, Any]] = []
    if k == "auto":
        labels, selection = _automatic(
            features, isolated, method, min_size, max_size, max_groups, n_splits, random_state
        )
    else:
        labels = _fixed(features.relation, isolated, method, k, random_state)
    labels = resize(labels, features.relation.strength, min_size, max_size)
    n_groups = int(labels.max()) + 1

    score = None
    if n_splits:
        score = _stability(features, isolated, method, labels, n_splits, random_state)
    info = {
        **features.info,
        "method": method,
        "k": k,
        "n_splits": n_splits,
        "random_state": random_state,
        "message": _message(n_tasks, n_groups, isolated, score),
    }
    membership = np.eye(n_groups)[labels]
    if soft and n_groups > 1:
        membership = _soften(features.relation, labels, isolated, method, random_state)
    names = tuple(np.array(features.names, object)[isolated])
    return Grouping(features.tasks, membership, isolated=names, stability=score, selection=selection, info=info)


def _fixed(
    relation: Relation, isolated: NDArray[np.bool_], method: Method, k: int, random_state: int
) -> NDArray[np.int64]:
    """Return labels of exactly k groups of the related tasks; an isolated task joins the group nearest to it.

    When fewer than k tasks are related, isolated ones make up the number by standing alone.
    """
    related = np.flatnonzero(~isolated)
    if len(related) < k:
        related = np.arange(len(isolated))
    found = partitions(method, restrict(relation, related), [k], n_init=100, random_state=random_state)[0]
    return _join(fill_groups(found, k), related, relation.strength)


def _automatic(
    features: TaskFeatures,
    isolated: NDArray[np.bool_],
    method: Method,
    min_size: int,
    max_size: int | None,
    max_groups: int | None,
    n_splits: int,
    random_state: int,
) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
    """Return labels with an automatic number of groups, every isolated task on its own, and the table of candidates."""
    n_tasks = len(isolated)
    related, alone = np.flatnonzero(~isolated), np.flatnonzero(isolated)
    most = n_tasks // min_size if max_groups is None else min(max_groups, n_tasks // min_size)
    least = 1 if max_size is None else -(-n_tasks // max_size)
    if not len(related):
        keep_apart = min_size == 1 and n_tasks <= most
        return (np.arange(n_tasks) if keep_apart else np.arange(n_tasks) % max(least, 1)), []
    k, table = choose_k(
        features, related, method, max_k=min(most, len(related)), n_splits=n_splits, random_state=random_state
    )
    k = min(max(k, least), len(related))
    found = partitions(method, restrict(features.relation, related), [k], n_init=100, random_state=random_state)[0]
    found = fill_groups(found, k)
    if min_size == 1 and k + len(alone) <= most:
        labels = np.empty(n_tasks, np.int64)
        labels[related], labels[alone] = found, k + np.arange(len(alone))
        return labels, table
    return _join(found, related, features.relation.strength), table


def _join(found: NDArray[np.int64], placed: NDArray[np.intp], strength: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return labels of all tasks: the placed ones as found, every other in the group of largest mean strength."""
    member = np.zeros((len(strength), int(found.max()) + 1))
    member[placed, found] = 1.0
    labels: NDArray[np.int64] = (strength @ member / member.sum(0)).argmax(1)
    labels[placed] = found
    return labels


def _soften(
    relation: Relation, labels: NDArray[np.int64], isolated: NDArray[np.bool_], method: Method, random_state: int
) -> NDArray[np.float64]:
    """Return soft memberships; a task that stands alone in its group stays there and draws no other."""
    n_groups = int(labels.max()) + 1
    alone = isolated & (np.bincount(labels)[labels] == 1)
    membership = np.eye(n_groups)[labels]
    shared, columns = np.flatnonzero(~alone), np.unique(labels[~alone])
    if len(columns) > 1:
        part = restrict(relation, shared)
        if method == "fuzzy":
            rows = fuzzy_membership(part, len(columns), random_state)
        else:
            rows = mixture_membership(part.similarity, np.searchsorted(columns, labels[shared]))
        rows[isolated[shared]] = 1.0 / len(columns)
        membership[np.ix_(shared, columns)] = rows
    return membership


def _stability(
    features: TaskFeatures,
    isolated: NDArray[np.bool_],
    method: Method,
    labels: NDArray[np.int64],
    n_splits: int,
    random_state: int,
) -> float | None:
    """Return the half-sample stability of the groups of related tasks; None when no task is related to another."""
    related = np.flatnonzero(~isolated)
    if not len(related):
        return None
    n_groups = len(np.unique(labels[related]))
    return stability(features, related, method, [n_groups], n_splits=n_splits, random_state=random_state)[0]


def _message(n_tasks: int, n_groups: int, isolated: NDArray[np.bool_], score: float | None) -> str:
    """Return the result in words."""
    alone = int(isolated.sum())
    if alone == n_tasks:
        return f"No task is related to any other above the noise: nothing speaks for training the {n_tasks} together."
    if n_groups == 1:
        return f"The {n_tasks} tasks form one group: do not split them."
    words = f"{n_tasks} tasks in {n_groups} groups"
    if score is not None:
        words += f", which half of the samples reproduce with an adjusted Rand index of {score:.2f}"
    if alone:
        words += f"; {alone} {'task is' if alone == 1 else 'tasks are'} related to no other above the noise"
    return words + "."
