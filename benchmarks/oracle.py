"""The best grouping by exhaustive search, and how near others come to it without looking.

    python -m benchmarks oracle --data DIR
    python -m benchmarks.oracle --data DIR --json FILE

Six to eight tasks of one real set: every subset of them gets a forest of 100 extremely randomised trees on the training
and validation rows, so every partition's score is known: the mean over tasks of the test AUC of the forest of a task's
group. The best partition in hindsight, by the test rows themselves, is no method but a bound. Beside it: one forest for
all, a forest per task, our groups by measured gain, groups by the correlation of labels, by pairwise gains (each pair's
gain on validation rows, as pairwise methods have it), and the mean over all partitions. All but ours and the bound are
given the number of groups that ours found; pairs and labels take the partition of largest mean affinity within groups.
``share`` is the way from the mean of all partitions to the bound that ours went. The second command adds a line to a
file for each set and seed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.metrics import roc_auc_score

from benchmarks import public
from benchmarks.mix import SOURCES, mix_table
from taskgroup.cluster import group_tasks
from taskgroup.data import TaskTable, load_table
from taskgroup.training import profile

SETS = (("yeast", 7), ("emotions", 6), ("scene", 6), ("mixed", 8))
Partition = tuple[tuple[int, ...], ...]


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    public(data, *SOURCES)
    assert data is not None
    return [run(*case, data) for case in cases(quick)]


def rows_of(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a file of ``--json``, those of one set together."""
    return sorted(kept, key=lambda row: ([name for name, _ in SETS].index(row["set"]), row["seed"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets")
    parser.add_argument("--json", type=Path, required=True, help="a line is added for every set and seed")
    given = parser.parse_args()
    for case in cases(quick=False):
        with given.json.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(run(*case, given.data)) + "\n")


def cases(quick: bool) -> list[tuple[str, int, int]]:
    """Return (set, tasks, seed), the first seed of every set first."""
    sets = SETS[1:2] if quick else SETS
    return [(*one, seed) for seed in range(1 if quick else 3) for one in sets]


def run(name: str, n_tasks: int, seed: int, data: Path) -> dict[str, Any]:
    table = mixed(data, seed) if name == "mixed" else alone(data / f"{name}.npz", n_tasks, seed)
    parts = [table.rows(part) for part in ("train", "valid", "test")]
    fitted = np.concatenate(parts[:2])
    test = {group: scores(table, group, fitted, parts[2]) for group in subsets(table.n_tasks)}
    valid = {group: scores(table, group, parts[0], parts[1]) for group in subsets(table.n_tasks) if len(group) < 3}
    partitions = list(all_partitions(table.n_tasks))
    value = {p: float(np.mean([test[group][t] for group in p for t in group])) for p in partitions}
    grouping = group_tasks(profile(table, random_state=seed).maps, k="gain", table=table, random_state=seed)
    ours: Partition = tuple(sorted(tuple(map(int, np.flatnonzero(grouping.labels == g))) for g in set(grouping.labels)))
    same_k = [p for p in partitions if len(p) == len(ours)]
    labels = np.abs(np.corrcoef(table.Y[fitted].T))
    gains = np.array([
        [valid[tuple(sorted((s, t)))][t] - valid[t,][t] if s != t else 0.0 for t in range(table.n_tasks)]
        for s in range(table.n_tasks)
    ])  # fmt: skip
    best, mean = max(value.values()), float(np.mean(list(value.values())))
    return {
        "set": name, "seed": seed, "tasks": table.n_tasks, "partitions": len(partitions), "groups": len(ours),
        "bound": best, "ours": value[ours], "all in one": value[tuple(range(table.n_tasks)),],
        "per task": value[tuple((t,) for t in range(table.n_tasks))],
        "by labels": value[max(same_k, key=lambda p: affinity(p, labels))],
        "by pairs": value[max(same_k, key=lambda p: affinity(p, gains + gains.T))],
        "mean of all": mean, "share": (value[ours] - mean) / (best - mean),
    }  # fmt: skip


def alone(path: Path, n_tasks: int, seed: int) -> TaskTable:
    """Return the first tasks of a set, its rows dealt by a seed."""
    table = load_table(path)
    names = table.tasks.names[:n_tasks]
    table = table.select(list(names))
    return TaskTable.from_arrays(table.X, table.Y, table.tasks, None, random_state=seed, name=path.stem)


def mixed(data: Path, seed: int) -> TaskTable:
    """Return the two most balanced tasks of each of four sets that stand side by side: tasks of unlike inputs."""
    table = mix_table(data, seed)
    rare = np.minimum(np.nanmean(table.Y, 0), 1 - np.nanmean(table.Y, 0))
    names = []
    for source in SOURCES[:4]:
        of_source = [t for t, task in enumerate(table.tasks) if task.family == source]
        names += [table.tasks[t].name for t in sorted(of_source, key=lambda t: -rare[t])[:2]]
    return table.select(names)


def scores(table: TaskTable, group: tuple[int, ...], fit: np.ndarray, judge: np.ndarray) -> dict[int, float]:
    """Return the AUC of every task of a group on some rows, of a forest of the group fitted on others."""
    Y = table.Y[:, list(group)]
    forest = ExtraTreesRegressor(100, min_samples_leaf=2, max_features="sqrt", random_state=0)
    answers = forest.fit(table.X[fit], Y[fit] if len(group) > 1 else Y[fit, 0]).predict(table.X[judge])
    answers = answers.reshape(len(judge), -1)
    return {t: float(roc_auc_score(Y[judge, j], answers[:, j])) for j, t in enumerate(group)}


def subsets(n: int) -> Iterator[tuple[int, ...]]:
    for bits in range(1, 1 << n):
        yield tuple(t for t in range(n) if bits >> t & 1)


def all_partitions(n: int) -> Iterator[Partition]:
    """Yield every partition of 0 .. n - 1, groups in order of their first members."""

    def grow(groups: list[list[int]], t: int) -> Iterator[Partition]:
        if t == n:
            yield tuple(tuple(group) for group in groups)
            return
        for group in groups:
            group.append(t)
            yield from grow(groups, t + 1)
            group.pop()
        yield from grow([*groups, [t]], t + 1)

    yield from grow([], 0)


def affinity(partition: Partition, matrix: np.ndarray) -> float:
    """Return the mean over tasks of the mean affinity to the other members of their groups; 0 alone."""
    found = [
        float(np.mean([matrix[s, t] for s in group if s != t])) if len(group) > 1 else 0.0
        for group in partition for t in group
    ]  # fmt: skip
    return float(np.mean(found))


if __name__ == "__main__":
    main()
