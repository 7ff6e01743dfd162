"""From Data Maps or task features to a grouping, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from taskgroup._validation import check_choice, check_int, check_type
from taskgroup.cluster._by_gain import group_by_gain
from taskgroup.cluster._methods import METHODS, Method, fuzzy_membership, partitions
from taskgroup.cluster._select import choose_k, restrict, stability
from taskgroup.cluster._sizes import check_sizes, fill_groups, resize
from taskgroup.cluster._soft import mixture_membership
from taskgroup.data import TaskTable
from taskgroup.datamaps import DataMaps
from taskgroup.features import (
    LEVEL,
    Kind,
    Relation,
    TaskFeatures,
    group_p_values,
    task_features,
    unrelated_tasks,
)
from taskgroup.gain import MARGIN, Judge
from taskgroup.grouping import Grouping

__all__ = ["group_tasks"]

_MAKE_MAPS = "Record maps with `profile(table).maps` or with a DataMapTracker."
_N_INIT = 20  # random starts, beside the deterministic one


def group_tasks(
    maps_or_features: DataMaps | TaskFeatures,
    *,
    k: int | Literal["auto", "gain", "stability"] = "auto",
    table: TaskTable | None = None,
    judge: Judge | None = None,
    similarities: Mapping[str, ArrayLike] | None = None,
    margin: float = MARGIN,
    method: Method = "spectral",
    kind: Kind = "abs-corr",
    soft: bool = False,
    min_size: int = 1,
    max_size: int | None = None,
    max_groups: int | None = None,
    n_splits: int = 10,
    random_state: int = 0,
    jobs: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Grouping:
    """Return the grouping of T tasks into k groups.

    Parameters
    ----------
    maps_or_features : DataMaps or TaskFeatures
        Maps are turned into features of the given ``kind`` first.
    k : int, "gain", "stability" or "auto"
        Exactly so many groups, or how the data decide, where 1 ("do not split") and groups of one task are legal
        answers. "gain": trees of tasks propose, and what a judge measures on rows it was not fitted to disposes, see
        :func:`taskgroup.gain.find_groups`. "stability": the groups that half of the samples reproduce. "auto": by gain
        where there is a table or a judge, else by stability.
    table : TaskTable, optional
        The data of the tasks, for the judge: forests on its training and validation rows, each scored on rows that it
        was not fitted to.
    judge : Judge, optional
        Another judge than that forest.
    similarities : mapping of str to array-like of shape (T, T), optional
        Further proposals for k="gain", beside Data Maps, labels and what single-task models answer.
    margin : float
        Standard deviations of its paired difference that a cut must gain with k="gain".
    method : {"spectral", "ward", "kmeans", "fuzzy", "gmm", "average", "louvain"}
        The clustering method; average linkage proposes with k="gain", whatever it says.
    kind : str
        The kind of features, see :func:`taskgroup.features.task_features`.
    soft : bool
        Whether tasks may belong to several groups: as a mixture of the groups' similarity profiles, or as fuzzy c-means
        says when that is the method.
    min_size, max_size : int, optional
        Least and largest number of tasks in a group.
    max_groups : int, optional
        Most groups that the data may choose, tasks that are left alone included.
    n_splits : int
        Number of half-sample splits behind the stability; 0 leaves it unmeasured, and needs a fixed k.
    random_state : int
        Seed of random starts, half-samples and the judge.
    jobs : int
        Threads of the judge's fits; the result does not depend on them.
    progress : callable, optional
        Called with ("cluster", sets measured, sets expected) by k="gain".

    Raises
    ------
    InvalidInputError
        When k is not between 1 and T, the limits on sizes cannot be met, or k="gain" has nothing to measure on.

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
    check_type("maps_or_features", maps_or_features, (DataMaps, TaskFeatures), _MAKE_MAPS)
    if table is not None:
        check_type("table", table, TaskTable, "Make one with `taskgroup.load_table`.")
    features = maps_or_features
    if isinstance(features, DataMaps):
        features = task_features(features, kind)
    check_choice("method", method, METHODS)
    n_tasks = len(features.tasks)
    if k == "auto" and (table is not None or judge is not None):
        k = "gain"
    check_int("n_splits", n_splits, 1 if k in ("auto", "stability") else 0)
    check_int("random_state", random_state, 0)
    if isinstance(k, str):
        check_choice("k", k, ("auto", "gain", "stability"))
    else:
        check_int("k", k, 1, n_tasks, high_name="n_tasks")
    least, most = check_sizes(n_tasks, None if isinstance(k, str) else k, min_size, max_size, max_groups)
    if k == "gain":
        return group_by_gain(
            features, table, judge, similarities or {}, margin=margin, soft=soft, min_size=min_size, max_size=max_size,
            max_groups=max_groups, random_state=random_state, jobs=jobs, progress=progress,
        )  # fmt: skip

    # One thread: matrices are small, and sums in one order are the same sums everywhere.
    with threadpool_limits(1):
        return _group(features, k, method, soft, min_size, max_size, (least, most), n_splits, random_state)


def _group(
    features: TaskFeatures,
    k: int | Literal["auto", "gain", "stability"],
    method: Method,
    soft: bool,
    min_size: int,
    max_size: int | None,
    limits: tuple[int, int],
    n_splits: int,
    random_state: int,
) -> Grouping:
    """Return the grouping, arguments checked; ``limits`` are the least and the largest number of groups."""
    relation = features.relation
    n_tasks = len(features.tasks)
    core = np.flatnonzero(~unrelated_tasks(relation))
    if isinstance(k, str):
        n_core, selection = choose_k(
            features, core, method, max_k=limits[1], n_splits=n_splits, random_state=random_state
        )
        score = next((row["stability"] for row in selection if row["k"] == n_core), None)
        isolated = _isolated(relation, core, n_core, method, random_state)
        labels = _automatic(relation, isolated, n_core, limits, min_size, method, random_state)
    else:
        n_core, selection, score = min(k, len(core)), [], None
        if n_splits and n_core:
            score = stability(features, core, method, [n_core], n_splits=n_splits, random_state=random_state)[0]
        isolated = _isolated(relation, core, n_core, method, random_state)
        labels = _together(relation, isolated, k, method, random_state)
    labels = resize(labels, relation.strength, min_size, max_size)

    n_groups = int(labels.max()) + 1
    membership = np.eye(n_groups)[labels]
    if soft and n_groups > 1:
        membership = _soften(relation, labels, isolated, method, random_state)
    return Grouping(
        features.tasks,
        membership,
        isolated=[name for name, alone in zip(features.names, isolated, strict=True) if alone],
        stability=score,
        selection=selection,
        info={
            **features.info,
            "method": method,
            "k": k,
            "n_splits": n_splits,
            "random_state": random_state,
            "message": _message(n_tasks, n_groups, int(isolated.sum()), score),
        },
    )


def _labels(
    relation: Relation, tasks: NDArray[np.intp], k: int, method: Method, random_state: int
) -> NDArray[np.int64]:
    """Return labels of exactly k groups of some of the tasks."""
    found = partitions(method, restrict(relation, tasks), [k], n_init=_N_INIT, random_state=random_state)[0]
    return fill_groups(found, k)


def _isolated(
    relation: Relation, core: NDArray[np.intp], n_core: int, method: Method, random_state: int
) -> NDArray[np.bool_]:
    """Return which tasks (T,) are tied neither to another task nor to a group of the tasks that are."""
    isolated = np.ones(len(relation.strength), bool)
    isolated[core] = False
    if 0 < len(core) < len(isolated):
        labels = np.full(len(isolated), -1)
        labels[core] = _labels(relation, core, n_core, method, random_state)
        isolated &= group_p_values(relation, labels).min(1) >= LEVEL / (len(isolated) * n_core)
    return isolated


def _automatic(
    relation: Relation,
    isolated: NDArray[np.bool_],
    k: int,
    n_groups: tuple[int, int],
    min_size: int,
    method: Method,
    random_state: int,
) -> NDArray[np.int64]:
    """Return labels with k groups of related tasks and every isolated task on its own, as far as the limits allow."""
    least, most = n_groups
    kept, alone = np.flatnonzero(~isolated), np.flatnonzero(isolated)
    k = min(max(k, least), len(kept))
    if min_size == 1 and k + len(alone) <= most:
        labels = np.empty(len(isolated), np.int64)
        if k:
            labels[kept] = _labels(relation, kept, k, method, random_state)
        labels[alone] = k + np.arange(len(alone))
        return labels
    if not len(kept):  # nothing speaks for one partition rather than another
        return np.arange(len(isolated)) % least
    return _together(relation, isolated, max(k, least), method, random_state)


def _together(
    relation: Relation, isolated: NDArray[np.bool_], k: int, method: Method, random_state: int
) -> NDArray[np.int64]:
    """Return labels of exactly k groups of all tasks.

    Regularised spectral clustering places isolated tasks by what little they share, better than any rule tried after
    the fact. The other methods would make groups of them: there an isolated task joins the group of largest mean
    strength, unless fewer than 2 k tasks are related: there isolated ones make up the number, and no akin ones part.
    """
    kept = np.flatnonzero(~isolated)
    if method == "spectral" or len(kept) < 2 * k:
        return _labels(relation, np.arange(len(isolated)), k, method, random_state)
    found = _labels(relation, kept, k, method, random_state)
    member = np.zeros((len(isolated), k))
    member[kept, found] = 1.0
    labels: NDArray[np.int64] = (relation.strength @ member / member.sum(0)).argmax(1)
    labels[kept] = found
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


def _message(n_tasks: int, n_groups: int, n_isolated: int, score: float | None) -> str:
    """Return the result in words."""
    if n_isolated == n_tasks:
        return f"No task is related to any other above the noise: nothing speaks for training the {n_tasks} together."
    if n_groups == 1:
        return f"The {n_tasks} tasks form one group: do not split them."
    words = f"{n_tasks} tasks in {n_groups} groups"
    if score is not None:
        words += f", which half of the samples reproduce with an adjusted Rand index of {score:.2f}"
    if n_isolated:
        words += f"; {n_isolated} {'task is' if n_isolated == 1 else 'tasks are'} related to no other above the noise"
    return words + "."
