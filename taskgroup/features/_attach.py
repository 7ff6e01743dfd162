"""Where a task that comes later belongs: train its head on the frozen trunk, record its map, look for its group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._display import brief
from taskgroup.datamaps import DataMaps
from taskgroup.exceptions import InvalidInputError
from taskgroup.features._evidence import LEVEL, group_p_values
from taskgroup.features._task_features import Kind, task_features
from taskgroup.grouping import Grouping
from taskgroup.tasks import TaskSet

__all__ = ["Attachment", "attach"]


@brief
@dataclass(frozen=True)
class Attachment:
    """Where one new task belongs.

    Parameters
    ----------
    task : str
        Name of the new task.
    group : int or None
        The group of largest affinity; None when the task is tied to no group beyond chance.
    affinity : tuple of float, in [0, 1]
        Mean strength of its relation to the members of every group, without isolated ones.
    margin : float
        Largest affinity less the second largest.
    p_value : float
        Chance of a tie as strong as the strongest, corrected for the number of groups.
    """

    task: str
    group: int | None
    affinity: tuple[float, ...]
    margin: float
    p_value: float

    @property
    def message(self) -> str:
        """The result in words."""
        if self.group is None:
            return f"{self.task}: none of these groups; leave it alone."
        return f"{self.task}: group {self.group}, by a margin of {self.margin:.2f} in mean strength."


def attach(
    grouping: Grouping, new: DataMaps, maps: DataMaps | None = None, *, kind: Kind = "abs-corr"
) -> tuple[Attachment, ...]:
    """Return where every task of ``new`` that is not in the grouping belongs.

    Parameters
    ----------
    grouping : Grouping
        The grouping of the known tasks.
    new : DataMaps
        Maps of the new tasks; of the known ones too when ``maps`` is left out.
    maps : DataMaps, optional
        Maps of the known tasks. Samples are matched by their ids.
    kind : str
        The kind of features to compare by.

    Raises
    ------
    InvalidInputError
        When a known task has no map, there is no new task, or no sample is in both maps.
    """
    joined = new if maps is None else _join(maps, new)
    known = [name for name in grouping.tasks.names if name in joined.tasks.names]
    if len(known) < grouping.n_tasks:
        absent = next(name for name in grouping.tasks.names if name not in known)
        raise InvalidInputError(f"no map of the grouped task {absent!r}; give the maps of the known tasks as `maps`.")
    fresh = [name for name in new.tasks.names if name not in known]
    if not fresh:
        raise InvalidInputError("`new` must hold a task that is not in the grouping yet; got none.")
    relation = task_features(joined.select(known + fresh), kind).relation
    # A task that is related to no other says nothing about the group it was put in, unless it is alone there.
    related = np.array([name not in grouping.isolated for name in grouping.tasks.names])
    weight = np.where(related[:, None], grouping.membership, 0.0)
    weight = np.where(weight.sum(0) > 0, weight, grouping.membership)
    weight /= np.maximum(weight.sum(0), 1e-12)
    affinity = relation.strength[grouping.n_tasks :, : grouping.n_tasks] @ weight
    labels = np.concatenate([grouping.labels, np.full(len(fresh), -1)])
    found, code = np.unique(grouping.labels, return_inverse=True)  # groups that some task prefers
    labels[: grouping.n_tasks] = code
    p_values = np.minimum(group_p_values(relation, labels)[grouping.n_tasks :].min(1) * len(found), 1.0)
    return tuple(_attachment(name, row, float(p)) for name, row, p in zip(fresh, affinity, p_values, strict=True))


def _attachment(name: str, affinity: NDArray[np.float64], p_value: float) -> Attachment:
    best = int(affinity.argmax())
    margin = float(affinity[best] - np.delete(affinity, best).max(initial=0.0))
    group = best if p_value < LEVEL else None
    return Attachment(name, group, tuple(float(a) for a in affinity), margin, p_value)


def _join(maps: DataMaps, new: DataMaps) -> DataMaps:
    """Return the maps of both, over the samples in both; of a task in both, the map in ``maps``."""
    fresh = [name for name in new.tasks.names if name not in maps.tasks.names]
    if not fresh:
        return maps
    added = new.select(fresh)
    known, other = (m.sample_ids if m.sample_ids is not None else np.arange(m.n_samples) for m in (maps, added))
    common, left, right = np.intersect1d(known, other, return_indices=True)
    if not len(common):
        raise InvalidInputError("the maps must share samples; no sample id of `new` is in `maps`.")
    arrays: dict[str, Any] = {}
    for name in ("confidence", "variability", "count", "targets"):
        one, two = getattr(maps, name), getattr(added, name)
        arrays[name] = None if one is None or two is None else np.concatenate([one[left], two[right]], 1)
    tasks = TaskSet([*maps.tasks, *added.tasks])
    return DataMaps(tasks, sample_ids=common, ddof=maps.ddof, **arrays)
