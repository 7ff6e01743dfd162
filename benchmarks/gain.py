"""Groups by measured gain: what ExtraTrees is worth in them, and was that foretold?

    python -m benchmarks.gain --data DIR [--sets mix yeast ...] [--seeds 0-9] [--alone] [--json FILE]

DIR holds the sets of `benchmarks.mix`, and NAME.npz for every other set; digits needs none. A seed draws the rows of
the mix, or deals the rows of another set to training, validation and test anew. In each grouping a forest of 300
extremely randomised trees (2 rows or more in a leaf, square root of the features) is fitted to each group on training
and validation rows; the table has its mean test AUC. ``--alone`` adds one forest per task, which takes longest. What
`find_groups` expects to gain against one model for all stands beside what was gained. The margin was settled on mix
seeds 100 to 103, yeast and emotions.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from benchmarks import public
from benchmarks.mix import PROFILE, SOURCES, mix_table
from taskgroup.cluster import group_tasks
from taskgroup.data import TaskTable, load_table
from taskgroup.features import task_features
from taskgroup.training import profile

SETS = ("mix", "yeast", "emotions", "scene", "sider", "digits")
COLUMNS = ("ours", "all-in-one", "alone", "known groups", "by stability", "labels", "random")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the public sets")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--seeds", default="0-2", help="first-last")
    parser.add_argument("--alone", action="store_true", help="also one forest per task")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    first, last = (int(part) for part in given.seeds.split("-"))
    rows: list[dict[str, Any]] = []
    print("| set | k | ARI | " + " | ".join(COLUMNS) + " | expected | gained | proposer | fits | CPU s |")
    print("|---" * (len(COLUMNS) + 8) + "|", flush=True)
    for name in given.sets:
        needed = SOURCES if name == "mix" else () if name == "digits" else (name,)
        if needed and (given.data is None or not all((given.data / f"{one}.npz").is_file() for one in needed)):
            print(f"| {name} | skipped: needs --data with {', '.join(needed)} as npz files |", flush=True)
            continue
        for seed in range(first, last + 1):
            rows.append(run(name, seed, given.data, given.alone, given.jobs))
            print(line(rows[-1]), flush=True)
            if given.json:
                given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if len(rows) > 2:
        print("\n" + ", ".join(f"{name}: {value:.3g}" for name, value in foretold(rows).items()))


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    public(data, *SOURCES, *(name for name in SETS if name not in ("mix", "digits")))
    sets, seeds = (("emotions",), range(1)) if quick else (SETS, range(3))
    return rows_of([run(name, seed, data, True, 1) for name in sets for seed in seeds])


def rows_of(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for every table, and how well gains were foretold."""
    found = [
        {"set": row["set"], "groups": row["k"], "ARI": row["ari"],
         **{column: row["scores"].get(column) for column in COLUMNS}, "expected gain": row["expected"]["gain"],
         "low": row["expected"]["low"], "high": row["expected"]["high"],
         "gained": row["scores"]["ours"] - row["scores"]["all-in-one"], "CPU s": row["seconds"]}
        for row in kept
    ]  # fmt: skip
    return [*found, *([foretold(kept)] if len(kept) > 2 else [])]


def foretold(kept: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how what was gained against one model for all agrees with what was expected."""
    expected = np.array([[row["expected"][name] for name in ("gain", "low", "high")] for row in kept])
    got = np.array([row["scores"]["ours"] - row["scores"]["all-in-one"] for row in kept])
    return {
        "tables": len(kept), "rank correlation": float(spearmanr(expected[:, 0], got).statistic),
        "gained less expected, mean": float((got - expected[:, 0]).mean()),
        "share inside the interval": float(((expected[:, 1] <= got) & (got <= expected[:, 2])).mean()),
    }  # fmt: skip


def run(name: str, seed: int, folder: Path | None, alone: bool, jobs: int) -> dict[str, Any]:
    """Return the test scores of one table in several groupings, and what was expected."""
    table = table_of(name, seed, folder)
    maps = profile(table, random_state=seed, **(PROFILE if name == "mix" else {})).maps
    start = time.process_time()
    grouping = group_tasks(maps, k="gain", table=table, random_state=seed, jobs=jobs)
    seconds = time.process_time() - start
    k, n_tasks = grouping.n_groups, table.n_tasks
    families = [task.family for task in table.tasks]
    known = len(set(families)) > 1
    partitions = {
        "ours": grouping.labels,
        "all-in-one": np.zeros(n_tasks, int),
        "by stability": group_tasks(maps, k="stability", random_state=seed).labels,
        "labels": group_tasks(task_features(maps, "labels"), k=k, n_splits=0, random_state=seed).labels,
        "random": np.random.default_rng(seed).permutation(grouping.labels),
    }
    if alone:
        partitions["alone"] = np.arange(n_tasks)
    if known:
        partitions["known groups"] = np.unique(np.array(families, str), return_inverse=True)[1]
    fitted: dict[tuple[int, ...], np.ndarray] = {}
    gain = grouping.info["gain"]
    return {
        "set": f"{name} {seed}", "k": k, "ari": adjusted_rand_score(families, grouping.labels) if known else None,
        "scores": {key: mean_auc(table, labels, fitted) for key, labels in partitions.items()},
        "expected": gain["expected"]["all-in-one"], "alone": gain["expected"]["alone"], "proposer": gain["proposer"],
        "fits": gain["fits"], "seconds": seconds,
    }  # fmt: skip


def table_of(name: str, seed: int, folder: Path | None) -> TaskTable:
    """Return the table of one seed, without the tasks that nothing can be learned from."""
    if name == "mix":
        assert folder is not None
        return mix_table(folder, seed)
    table = load_table("digits" if name == "digits" or folder is None else folder / f"{name}.npz")
    table = replace(table, split=table.split[np.random.default_rng(seed).permutation(table.n_samples)])
    left_out = table.degenerate_tasks()
    return table.select([task for task in table.tasks.names if task not in left_out])


def mean_auc(table: TaskTable, labels: np.ndarray, fitted: dict[tuple[int, ...], np.ndarray]) -> float:
    """Return the mean test AUC of a forest per group; what is in ``fitted`` is not fitted again."""
    auc = np.full(table.n_tasks, np.nan)
    rows, test = np.flatnonzero(table.split < 2), table.rows("test")
    for group in np.unique(labels):
        members = np.flatnonzero(labels == group)
        key = tuple(members.tolist())
        if key not in fitted:
            Y = table.Y[rows][:, members].astype(np.float64)
            Y = np.where(np.isnan(Y), np.nanmean(Y, 0), Y)
            forest = ExtraTreesRegressor(300, min_samples_leaf=2, max_features="sqrt", random_state=0)
            forest.fit(table.X[rows], Y if len(members) > 1 else Y[:, 0])
            answers = forest.predict(table.X[test]).reshape(len(test), -1)
            fitted[key] = np.array([_auc(table.Y[test, t], answers[:, j]) for j, t in enumerate(members)])
        auc[members] = fitted[key]
    return float(np.nanmean(auc))


def _auc(y: np.ndarray, answer: np.ndarray) -> float:
    seen = ~np.isnan(y)
    return float(roc_auc_score(y[seen], answer[seen])) if 0 < y[seen].sum() < seen.sum() else np.nan


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    scores, expected = row["scores"], row["expected"]
    cells = [row["set"], row["k"], "" if row["ari"] is None else f"{row['ari']:.2f}"]
    cells += [f"{scores[column]:.4f}" if column in scores else "" for column in COLUMNS]
    cells += [f"{expected['gain']:+.3f} ({expected['low']:+.3f} to {expected['high']:+.3f})"]
    cells += [f"{scores['ours'] - scores['all-in-one']:+.4f}", row["proposer"], row["fits"], f"{row['seconds']:.0f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
