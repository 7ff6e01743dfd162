"""Groups by measured gain, from features and a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from taskgroup.cluster._sizes import resize
from taskgroup.data import TaskTable
from taskgroup.exceptions import InvalidInputError
from taskgroup.features import TaskFeatures, unrelated_tasks
from taskgroup.gain import ForestJudge, Judge, find_groups, label_similarity
from taskgroup.grouping import Grouping, canonical_labels

__all__ = ["group_by_gain"]


def group_by_gain(
    features: TaskFeatures,
    table: TaskTable | None,
    judge: Judge | None,
    similarities: Mapping[str, ArrayLike],
    *,
    margin: float,
    soft: bool,
    min_size: int,
    max_size: int | None,
    max_groups: int | None,
    random_state: int,
    jobs: int,
    progress: Callable[[str, int, int], None] | None,
) -> Grouping:
    """Return the grouping that :func:`taskgroup.gain.find_groups` finds; arguments as for :func:`group_tasks`."""
    proposals: dict[str, ArrayLike] = {f"data maps ({features.kind})": features.relation.strength}
    if table is not None:
        table = table.select(features.names)
        proposals["labels"] = label_similarity(table)
    if judge is None:
        if table is None:
            raise InvalidInputError(
                "k='gain' measures on data: give `table`, or a `judge`; k='stability' needs neither."
            )
        judge = ForestJudge(table, random_state=random_state)
    if judge.tasks.names != features.names:
        raise InvalidInputError("`judge` must judge the same tasks, in the same order, as the features hold.")
    found = find_groups(
        judge, {**proposals, **similarities}, margin=margin, soft=soft, max_size=max_size, max_groups=max_groups,
        jobs=jobs, progress=progress, random_state=random_state,
    )  # fmt: skip
    labels = np.empty(len(features.tasks), np.int64)
    for g, group in enumerate(found.groups):
        labels[list(group)] = g
    membership = found.membership
    resized = resize(canonical_labels(labels), features.relation.strength, min_size, max_size)
    if (resized != canonical_labels(labels)).any():
        membership = np.eye(int(resized.max()) + 1)[resized]
    alone = np.flatnonzero(np.bincount(resized)[resized] == 1)
    if not resized.any():
        alone = alone[:0]
    unrelated = [features.names[t] for t in np.flatnonzero(unrelated_tasks(features.relation))]
    return Grouping(
        features.tasks,
        membership,
        isolated=[features.names[t] for t in alone],
        info={
            **features.info,
            "method": "average",
            "k": "gain",
            "random_state": random_state,
            "gain": found.info,
            "unrelated": unrelated,
            "message": _message(len(features.tasks), membership.shape[1], len(alone), len(unrelated), found.info),
        },
    )


def _message(n_tasks: int, n_groups: int, n_alone: int, n_unrelated: int, gain: Mapping[str, Any]) -> str:
    """Return the result in words."""
    if n_tasks == 1:
        return "There is one task, and nothing to group."
    if n_groups == 1:
        words = f"The {n_tasks} tasks form one group: no split is measured to gain more than its noise"
    else:
        words = f"{n_tasks} tasks in {n_groups} groups by measured gain, proposed by {gain['proposer']}"
        if n_alone:
            words += f"; {n_alone} {'task is' if n_alone == 1 else 'tasks are'} measured to be better alone"
    if n_unrelated:
        words += f"; {n_unrelated} {'is' if n_unrelated == 1 else 'are'} related to no other above the noise"
    expected = gain["expected"]
    parts = [
        f"{_signed(row['low'])} to {_signed(row['high'])} expected against {what}"
        for name, what in (("all-in-one", "one model for all"), ("alone", "one model per task"))
        if (row := expected[name]) is not None and (name == "alone" or n_groups > 1)
    ]
    return words + "." + (f" grouping: {'; '.join(parts)}." if parts else "")


def _signed(value: float) -> str:
    """Return a score difference as +.04 or -.12."""
    text = f"{value:+.2f}"
    return text.replace("0.", ".") if abs(value) < 0.995 else text
