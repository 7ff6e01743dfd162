"""STG-MTL's own pipeline (arXiv 2307.03374) as one configuration, against ours, with the same networks and controls.

    python -m benchmarks stg_mtl [--data DIR]
    python -m benchmarks.stg_mtl --data DIR --json FILE

Theirs: raw Data Maps, fuzzy c-means with m = 1.07, a network per group in which losses are weighted by membership, and
logits averaged by membership. It is told the number of groups: 5 on 25 tasks of the bundled digits, 4 on two tasks of
each of four sets side by side (with --data), where the true groups are known. Ours: `group_tasks` with its defaults,
which finds the number itself. Both are profiled by the same training, and every network is a shared bottom of the same
width and settings, five folds. Mean test AUC; ARI against the true groups; CPU seconds of grouping and of all networks.
The second command adds a line to a file for each set and seed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import adjusted_rand_score

from benchmarks import public
from benchmarks.mix import SOURCES, card_mean
from benchmarks.oracle import mixed
from taskgroup.cluster import FuzzyCMeans, group_tasks
from taskgroup.data import load_table
from taskgroup.datamaps import DataMaps
from taskgroup.experiment import retrain
from taskgroup.features import task_features
from taskgroup.grouping import Grouping
from taskgroup.training import profile

M = 1.07
ARMS = {"all-in-one": "one model for all", "per-task": "a model per task", "random-groups": "random groups as theirs"}


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    return rows_of([run(*case, data) for case in cases(data, quick)])


def rows_of(kept: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the rows of a file of ``--json``."""
    return [row for one in kept for row in one]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the sets that stand side by side")
    parser.add_argument("--json", type=Path, required=True, help="a line is added for every set and seed")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for case in cases(given.data, quick=False):
        with given.json.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(run(*case, given.data)) + "\n")


def cases(data: Path | None, quick: bool) -> list[tuple[str, int, int]]:
    """Return (set, number of groups that theirs is told, seed), the first seed of every set first."""
    if quick or data is None:
        return [("digits", 5, seed) for seed in range(1 if quick else 3)]
    public(data, *SOURCES)
    return [(name, k, seed) for seed in range(3) for name, k in (("digits", 5), ("mixed", 4))]


def run(name: str, k: int, seed: int, data: Path | None) -> list[dict[str, Any]]:
    """Return a row for each way of dealing with the tasks of a set."""
    table = mixed(data, seed) if data and name == "mixed" else load_table("digits", targets=["digit_*", "attr_*"])
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
        controls = ARMS if who == "STG-MTL" else {"all-in-one": ARMS["all-in-one"]}  # where networks of groups start
        names = {"grouped": who, **controls}
        start = time.process_time()
        card = retrain(table, grouping, learners="nets", arms=list(names), answers="mean", random_state=seed).scorecard
        took["training of " + who] = time.process_time() - start
        scores |= {name: card_mean(card, f"nets/{arm}") for arm, name in names.items()}
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


if __name__ == "__main__":
    main()
