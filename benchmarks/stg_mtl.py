"""STG-MTL's own pipeline (arXiv 2307.03374) as one configuration, against ours, with the same networks and controls.

    python -m benchmarks stg_mtl [--data DIR]

Theirs: raw Data Maps, fuzzy c-means with m = 1.07, a network per group in which losses are weighted by membership, and
logits averaged by membership. It is told the number of groups: 5 on 25 tasks of the bundled digits, 4 on two tasks of
each of four sets side by side (with --data), where the true groups are known. Ours: `group_tasks` with its defaults,
which finds the number itself. Both are profiled by the same training, and every network is a shared bottom of the same
width and settings, five folds. Mean test AUC; ARI against the true groups; CPU seconds of grouping and of all networks.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sklearn.metrics import adjusted_rand_score

from benchmarks import public
from benchmarks.mix import SOURCES, card_mean
from benchmarks.oracle import mixed
from taskgroup.cluster import FuzzyCMeans, group_tasks
from taskgroup.data import TaskTable, load_table
from taskgroup.datamaps import DataMaps
from taskgroup.experiment import retrain
from taskgroup.features import task_features
from taskgroup.grouping import Grouping
from taskgroup.training import profile

M = 1.07
ARMS = {"all-in-one": "one model for all", "per-task": "a model per task", "random-groups": "random groups as theirs"}


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    seeds = range(1 if quick else 3)
    found = [row for seed in seeds for row in run("digits", load_digits(), 5, seed)]
    if data is not None and not quick:
        public(data, *SOURCES)
        found += [row for seed in seeds for row in run("mixed", mixed(data, seed), 4, seed)]
    return found


def load_digits() -> TaskTable:
    return load_table("digits", targets=["digit_*", "attr_*"])


def run(name: str, table: TaskTable, k: int, seed: int) -> list[dict[str, Any]]:
    """Return a row for each way of dealing with the tasks of a set."""
    maps = profile(table, random_state=seed).maps
    start = time.process_time()
    theirs = stg_mtl(maps, k, seed)
    between = time.process_time()
    ours = group_tasks(maps, table=table, random_state=seed)
    took = {"STG-MTL": between - start, "ours": time.process_time() - between}
    scores: dict[str, float] = {}
    groups = {"STG-MTL": theirs, "ours": ours}
    for who, grouping in groups.items():
        if grouping.n_groups == 1:
            scores[who] = scores[ARMS["all-in-one"]]
            continue
        arms = ["grouped", *(ARMS if who == "STG-MTL" else ())]
        start = time.process_time()
        card = retrain(table, grouping, learners="nets", arms=arms, answers="mean", random_state=seed).scorecard
        took["training of " + who] = time.process_time() - start
        scores |= {
            name: card_mean(card, f"nets/{arm}") for arm, name in {"grouped": who, **ARMS}.items() if arm in arms
        }
    families = [task.family for task in table.tasks]
    agreement = {
        who: float(adjusted_rand_score(families, one.labels)) for who, one in groups.items() if name == "mixed"
    }
    return [
        {
            "set": name,
            "seed": seed,
            "method": method,
            "test AUC": score,
            "groups": groups[method].n_groups if method in groups else None,
            "ARI": agreement.get(method),
            "CPU s, grouping": took.get(method),
            "CPU s, networks and controls": took.get(f"training of {method}"),
        }
        for method, score in scores.items()
    ]


def stg_mtl(maps: DataMaps, k: int, seed: int) -> Grouping:
    """Return the soft groups of fuzzy c-means on raw Data Maps."""
    features = task_features(maps, kind="raw")
    found = FuzzyCMeans(n_clusters=k, m=M, random_state=seed).fit(features.embedding)
    return Grouping(maps.tasks, found.membership_)
