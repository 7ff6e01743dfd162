"""Sets whose tasks are much alike: does the plan stay with the best single method, and does the verdict hold back?

    python -m benchmarks.homogeneous --data DIR [--sets digits yeast ...] [--seeds 5] [--jobs 1] [--json FILE]

DIR holds NAME.npz for each set but the bundled digits. Each set is profiled, grouped and retrained with every method.
The plan should reach the best single method within .003 and beat single-task networks; where random groups do as well
as ours, the verdict must not claim a gain for grouping. `digits --shuffle` has its labels shuffled: nothing to learn.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from taskgroup.cluster import group_tasks
from taskgroup.data import TaskTable, load_table
from taskgroup.training import profile, retrain

SETS = ("digits", "yeast", "scene", "sider", "disdat_nz", "tox21", "news20")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the public sets; digits needs none")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--split-seed", type=int, help="deal the rows to training, validation and test anew")
    parser.add_argument("--tune", type=int, default=3, help="candidates of the tuning budget")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--shuffle", action="store_true", help="shuffle the rows of the labels")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    print("| set | tasks | groups | best single method | plan | stl | grouped | random-groups | decision | s |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in given.sets:
        path = None if given.data is None else given.data / f"{name}.npz"
        if name != "digits" and (path is None or not path.is_file()):
            print(f"| {name} | skipped: needs --data with {name}.npz |", flush=True)
            continue
        table = load_table("digits" if name == "digits" else path)
        if given.split_seed is not None:
            order = np.random.default_rng(given.split_seed).permutation(table.n_samples)
            table = replace(table, split=table.split[order])
        if given.shuffle:
            table = replace(table, Y=table.Y[np.random.default_rng(0).permutation(table.n_samples)])
        rows.append(run_set(name, table, given.seeds, given.jobs, given.tune))
        print(line(rows[-1]), flush=True)
        if given.json:
            given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def run_set(name: str, table: TaskTable, seeds: int, jobs: int, tune: int) -> dict[str, Any]:
    """Return the test scores of every method and of the plan."""
    start = time.time()
    left_out = table.degenerate_tasks()
    table = table.select([task for task in table.tasks.names if task not in left_out])
    found = profile(table)
    grouping = group_tasks(found.maps, k="auto")
    result = retrain(table, grouping, profile=found, seeds=seeds, jobs=jobs, tune=tune)
    scores = {method: float(measured.by_seed.mean()) for method, measured in result.scorecard.main["test"].items()}
    return {
        "set": name, "n_tasks": table.n_tasks, "n_groups": grouping.n_groups, "scores": scores,
        "plan": float(result.plan.test["mean"]), "decision": result.plan.decision, "verdict": result.plan.verdict,
        "seconds": time.time() - start,
        "train_flops": {method: cost["train_flops"] for method, cost in result.ledger["methods"].items()},
    }  # fmt: skip


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    best = max(row["scores"], key=row["scores"].get)
    chosen = ("stl", "grouped", "random-groups")
    cells = [row["set"], row["n_tasks"], row["n_groups"], f"{best} {row['scores'][best]:.4f}", f"{row['plan']:.4f}"]
    cells += [f"{row['scores'][m]:.4f}" if m in row["scores"] else "" for m in chosen]
    return "| " + " | ".join(map(str, [*cells, row["decision"], round(row["seconds"])])) + " |"


if __name__ == "__main__":
    main()
