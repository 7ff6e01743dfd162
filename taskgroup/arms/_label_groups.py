"""The arm "label-groups": as many groups as ours, found from the labels alone, without any training.

Where ours is one group for all, these are tried all the same: forests in small groups of tasks make a blend better even
where one model is as good as any split.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from taskgroup.arms._base import Arm, Question
from taskgroup.cluster import group_tasks
from taskgroup.data import TaskTable
from taskgroup.datamaps import DataMaps
from taskgroup.exceptions import OverlapWarning
from taskgroup.features import task_features
from taskgroup.grouping import Grouping

__all__ = ["label_grouping", "label_groups"]


def label_groups(question: Question) -> Arm | None:
    """Return the arm; where ours is one group, as many groups as the root of the number of tasks, if four or more."""
    n_tasks = len(question.table.tasks)
    n_groups = question.grouping.n_groups if question.grouping.n_groups > 1 else math.isqrt(n_tasks)
    if not 1 < n_groups < n_tasks:
        return None
    grouping = label_grouping(question.table, n_groups, question.random_state)
    return Arm("label-groups", "split", "a model per group, groups by correlation of the labels", (grouping,))


def label_grouping(table: TaskTable, n_groups: int, random_state: int = 0) -> Grouping:
    """Return as many groups as `n_groups` by the association of the labels of the training rows."""
    targets = table.targets("train")
    unknown = np.full_like(targets, np.nan)
    maps = DataMaps(table.tasks, unknown, unknown, (~np.isnan(targets)).astype(np.uint16), targets=targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverlapWarning)
        features = task_features(maps, "labels")
    return group_tasks(features, k=n_groups, n_splits=0, random_state=random_state)
