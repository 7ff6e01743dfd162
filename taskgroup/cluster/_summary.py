"""What a grouping rests on, as one JSON-able document."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.datamaps import DataMaps
from taskgroup.features import TaskFeatures
from taskgroup.grouping import Grouping

__all__ = ["cluster_summary", "prevalence_eta2"]


def cluster_summary(maps: DataMaps, features: TaskFeatures, grouping: Grouping) -> dict[str, Any]:
    """Return the document that ``cluster.json`` holds.

    ``prevalence_eta2`` is the share of the variance of log prevalence that lies between groups, in [0, 1]; by chance it
    is ``prevalence_eta2_chance``. Far above that, the grouping may be class frequency in disguise. ``gain`` is what the
    groups were measured to be worth, None when they were not chosen by that.
    """
    pairs = features.overlap[np.triu_indices(len(features.tasks), 1)]
    chance = (grouping.n_groups - 1) / (grouping.n_tasks - 1) if grouping.n_tasks > 1 else None
    return {
        "feature_kind": features.kind,
        "method": grouping.info.get("method"),
        "n_groups": grouping.n_groups,
        "stability": grouping.stability,
        "selection": grouping.selection,
        "overlap": {
            "min": float(pairs.min()) if len(pairs) else None,
            "median": float(np.median(pairs)) if len(pairs) else None,
        },
        "prevalence_eta2": prevalence_eta2(maps, grouping.labels),
        "prevalence_eta2_chance": chance,
        "isolated": grouping.isolated,
        "gain": grouping.info.get("gain"),
        "message": grouping.info.get("message"),
    }


def prevalence_eta2(maps: DataMaps, labels: NDArray[np.int64]) -> float | None:
    """Return eta squared of log prevalence between groups of binary tasks; None without targets or two such tasks."""
    binary = np.array([task.kind == "binary" for task in maps.tasks])
    if maps.targets is None or binary.sum() < 2:
        return None
    targets = np.asarray(maps.targets[:, binary])
    seen = ~np.isnan(targets)
    count = np.count_nonzero(seen, axis=0)
    positive = np.where(seen, targets, 0).sum(0)
    value = np.log((positive + 0.5) / (count + 1.0))  # a task without positives keeps a finite value
    group = labels[binary]
    total = float(((value - value.mean()) ** 2).sum())
    if total <= 1e-12:
        return None
    means = np.bincount(group, value) / np.maximum(np.bincount(group), 1)
    return float(((means[group] - value.mean()) ** 2).sum()) / total
