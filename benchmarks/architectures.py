"""Every architecture on the same table: one network for each group, and one network whose units are the groups.

    python -m benchmarks.architectures [--data DIR] [--sets digits yeast] [--k 8] [--seeds 2] [--json FILE]

All have their default options, the same widths, learning rate and early stopping; nothing is tuned. Scores are means
over tasks and seeds, of honest answers and, in brackets, on test rows. digits needs no DIR.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks import Skipped, public
from taskgroup.cluster import group_tasks
from taskgroup.data import TaskTable, load_table
from taskgroup.experiment import retrain
from taskgroup.models import ARCHITECTURES
from taskgroup.training import profile

NAMES = [name for name in ARCHITECTURES if name not in ("shared-bottom", "single-task")]


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    if quick:
        raise Skipped("trains every architecture in every way; run it without --quick")
    yeast = load_table(public(data, "yeast")[0])
    return [
        {name: row[name] for name in ("set", "method", "valid", "test", "train_seconds", "params")}
        for table in (load_table("digits"), yeast)
        for row in run_set(table, 8, 2)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the public sets; digits needs none")
    parser.add_argument("--sets", nargs="+", default=["digits"])
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in given.sets:
        if name != "digits" and (given.data is None or not (given.data / f"{name}.npz").is_file()):
            print(f"{name} is skipped: it needs --data")
            continue
        table = load_table("digits" if name == "digits" else given.data / f"{name}.npz")
        rows += run_set(table, given.k, given.seeds)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def run_set(table: TaskTable, k: int, seeds: int) -> list[dict[str, Any]]:
    """Print and return the scores and the training seconds of every method."""
    table = table.select([task for task in table.tasks.names if task not in table.degenerate_tasks()])
    found = profile(table)
    grouping = group_tasks(found.maps, k=min(k, table.n_tasks // 2), n_splits=0)
    start = time.time()
    networks = {"tune_by": 1}
    result = retrain(
        table, grouping, learners="nets", arch=NAMES, arms=["all-in-one", "per-task", "grouped", "units"], seeds=seeds,
        options=dict.fromkeys(("nets", *NAMES), networks), methods=["*/all-in-one", "nets/*", "*/grouped", "*/units"],
    )  # fmt: skip
    rows = []
    print(f"{table.name}: {table.n_tasks} tasks in {grouping.n_groups} groups, {time.time() - start:.0f} s\n")
    print("| method | score | CPU s a seed | parameters |\n|---|---|---|---|")
    main_scores = result.scorecard.main
    for method in sorted(result.ledger["methods"], key=lambda m: -main_scores["honest"][m].by_seed.mean()):
        valid, test = (float(main_scores[part][method].by_seed.mean()) for part in ("honest", "test"))
        cost = result.ledger["methods"][method]
        rows.append({"set": table.name, "method": method, "valid": valid, "test": test, **cost})
        print(f"| {method} | {valid:.4f} ({test:.4f}) | {cost['train_seconds']:.1f} | {cost['params']:,} |", flush=True)
    return rows


if __name__ == "__main__":
    main()
