"""Controls: groups found from the labels alone, and a network as large as all group networks together."""

from __future__ import annotations

import itertools
import warnings

import numpy as np

from taskgroup.cluster import group_tasks
from taskgroup.data import TaskTable
from taskgroup.datamaps import DataMaps
from taskgroup.exceptions import OverlapWarning
from taskgroup.features import task_features
from taskgroup.grouping import Grouping

__all__ = ["label_grouping", "n_weights", "wide_hidden"]


def label_grouping(table: TaskTable, n_groups: int, random_state: int = 0) -> Grouping:
    """Return as many groups as `n_groups` by the association of the labels of the training rows."""
    targets = table.targets("train")
    unknown = np.full_like(targets, np.nan)
    maps = DataMaps(table.tasks, unknown, unknown, (~np.isnan(targets)).astype(np.uint16), targets=targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverlapWarning)
        features = task_features(maps, "labels")
    return group_tasks(features, k=n_groups, n_splits=0, random_state=random_state)


def wide_hidden(in_features: int, hidden: tuple[int, ...], n_outputs: int, n_parameters: int) -> tuple[int, ...]:
    """Return `hidden` scaled up until one network with all outputs has at least `n_parameters`, never scaled down.

    Examples
    --------
    >>> wide_hidden(10, (8, 4), 5, n_parameters=1_000)
    (33, 17)
    >>> n_weights(10, (33, 17), 5)
    1031
    """
    return next(
        scaled
        for scaled in (tuple(-(-h * width // hidden[0]) for h in hidden) for width in itertools.count(hidden[0]))
        if n_weights(in_features, scaled, n_outputs) >= n_parameters
    )


def n_weights(in_features: int, hidden: tuple[int, ...], n_outputs: int) -> int:
    """Return the parameters of a chain of linear layers with biases."""
    return sum((i + 1) * o for i, o in itertools.pairwise((in_features, *hidden, n_outputs)))
