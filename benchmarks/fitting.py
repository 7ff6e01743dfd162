"""Ways of fitting the same grouping, judged on validation data: where the defaults of `retrain` come from.

    python -m benchmarks.fitting [--data DIR] [--sets digits mix yeast] [--seeds 2] [--json FILE]

Scores are means over tasks and seeds on the validation rows of development seeds (from 100 on); cost is the training
operations of one seed, the all-in-one networks that groups start from included.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.mix import PROFILE, SOURCES, mix_table
from taskgroup.cluster import group_tasks
from taskgroup.data import TaskTable, load_table
from taskgroup.grouping import Grouping
from taskgroup.training import profile, retrain

WAYS: dict[str, dict[str, Any]] = {
    "from scratch": {"start": "scratch", "members": 1},
    "from scratch, 3 members": {"start": "scratch"},
    "warm": {"members": 1},
    "warm from the profile": {"start": "profile"},
    "warm, 3 members": {},
    "warm, 5 members": {"members": 5},
    "warm, 3 members, half as wide": {"hidden": (64, 32)},
    "warm, 3 members, twice as wide": {"hidden": (256, 128)},
    "warm, 3 members, first layer shared": {"shared_layers": 1},
    "soft, best group, 3 members": {"soft": "best"},
    "soft, by membership, 3 members": {"soft": "mean"},
}
CONTROLS = {"one all-in-one network": "mtl", "ensemble at the compute of warm, 3 members": "mtl-ensemble"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the public sets; digits needs none")
    parser.add_argument("--sets", nargs="+", default=["digits", "mix", "yeast"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name in given.sets:
        if name != "digits" and (given.data is None or not given.data.is_dir()):
            print(f"{name}: skipped, needs --data")
            continue
        found[name] = run_set(name, given.data, range(101, 101 + given.seeds))
    print("| way of fitting | " + " | ".join(f"{name} | GFLOP" for name in found) + " |")
    print("|---|" + "---|" * (2 * len(found)))
    for way in [*CONTROLS, *WAYS]:
        cells = []
        for rows in found.values():
            scores, flops = zip(*rows[way], strict=True)
            cells += [f"{sum(scores) / len(scores):.4f}", f"{sum(flops) / len(flops) / 1e9:.0f}"]
        print(f"| {way} | " + " | ".join(cells) + " |")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def run_set(name: str, folder: Path | None, seeds: range) -> dict[str, list[tuple[float, float]]]:
    """Return {way: (validation score, training operations) of every seed}."""
    rows: dict[str, list[tuple[float, float]]] = {way: [] for way in [*CONTROLS, *WAYS]}
    for seed in seeds:
        table, k = _table(name, folder, seed)
        found = profile(table, random_state=seed, **(PROFILE if name == "mix" else {}))
        warm = profile(table, random_state=seed)
        hard = group_tasks(found.maps, k=k, n_splits=0, random_state=seed)
        soft = group_tasks(found.maps, k=k, n_splits=0, random_state=seed, soft=True)
        for way, options in WAYS.items():
            grouping: Grouping = soft if "soft" in options else hard
            methods = ["mtl", "mtl-ensemble", "grouped"] if way == "warm, 3 members" else ["grouped"]
            common = {"profile": warm, "seeds": 1, "random_state": seed, "tune": 1}
            result = retrain(table, grouping, methods=methods, **common, **options)
            names = {way: "grouped"} | (CONTROLS if len(methods) > 1 else {})
            for row, method in names.items():
                score = float(result.scorecard.main["valid"][method].by_seed.mean())
                rows[row].append((score, result.ledger["methods"][method]["train_flops"]))
    return rows


def _table(name: str, folder: Path | None, seed: int) -> tuple[TaskTable, int]:
    """Return a set's table of a seed and a number of groups."""
    if name == "mix" and folder is not None:
        return mix_table(folder, seed), len(SOURCES)
    table = load_table("digits" if folder is None or name == "digits" else folder / f"{name}.npz")
    left_out = table.degenerate_tasks()
    table = table.select([task for task in table.tasks.names if task not in left_out])
    return table, max(2, min(8, table.n_tasks // 4))


if __name__ == "__main__":
    main()
