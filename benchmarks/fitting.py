"""Ways of fitting a grouping: where its networks start, how many members, what they share, hard or soft.

    python -m benchmarks.fitting --data DIR [--sets mix yeast scene] [--seeds 2] [--json FILE]

DIR holds the sets of benchmarks.mix and benchmarks.homogeneous. The table has the mean validation score of `grouped`,
on which defaults are chosen, and in brackets its test score. The mix is that of a seed that no other table uses.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.mix import SOURCES, mix_table
from taskgroup.cluster import group_tasks
from taskgroup.data import TaskTable, load_table
from taskgroup.training import profile, retrain

DEVELOPMENT_SEED = 100  # of the mix
K = 5
HARD: dict[str, dict[str, Any]] = {
    "from 3 members (default)": {},
    "from 1 member": {"members": 1},
    "from 5 members": {"members": 5},
    "from the profile model": {"start": "profile"},
    "from scratch, 3 members": {"start": "scratch"},
    "from scratch, 1 member": {"start": "scratch", "members": 1},
    "from 3 members, first layer shared": {"shared_layers": 1},
    "from 3 members, half as wide": {"hidden": (64, 32)},
    "from 3 members, twice as wide": {"hidden": (256, 128)},
}
SOFT: dict[str, dict[str, Any]] = {
    "soft groups, the best answers": {"soft": "best"},
    "soft groups, all answer by membership": {"soft": "mean"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the public sets; digits needs none")
    parser.add_argument("--sets", nargs="+", default=["mix", "yeast", "scene"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results: dict[str, dict[str, tuple[float, float]]] = {}
    for name in given.sets:
        if name != "digits" and not _present(given.data, name):
            print(f"{name} is skipped: it needs --data")
            continue
        results[name] = run_set(_load(given.data, name), given.seeds)
        if given.json:
            given.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    if results:
        print(_table(results))


def run_set(table: TaskTable, seeds: int) -> dict[str, tuple[float, float]]:
    """Return validation and test score of every way of fitting."""
    table = table.select([task for task in table.tasks.names if task not in table.degenerate_tasks()])
    found = profile(table)
    scores = {}
    for soft, ways in ((False, HARD), (True, SOFT)):
        grouping = group_tasks(found.maps, k=min(K, table.n_tasks // 2), n_splits=0, soft=soft)
        for way, options in ways.items():
            given = {"profile": found, "seeds": seeds, "tune": 1, **options}
            card = retrain(table, grouping, methods=["grouped"], **given).scorecard
            valid, test = (float(card.main[part]["grouped"].by_seed.mean()) for part in ("valid", "test"))
            scores[way] = (valid, test)
            print(f"{table.name}: {way}: {valid:.4f} ({test:.4f})", flush=True)
    return scores


def _present(folder: Path | None, name: str) -> bool:
    return folder is not None and all((folder / f"{s}.npz").is_file() for s in (SOURCES if name == "mix" else [name]))


def _load(folder: Path | None, name: str) -> TaskTable:
    if name == "digits" or folder is None:
        return load_table("digits")
    return mix_table(folder, DEVELOPMENT_SEED) if name == "mix" else load_table(folder / f"{name}.npz")


def _table(results: dict[str, dict[str, tuple[float, float]]]) -> str:
    rows = ["| way | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for way in (*HARD, *SOFT):
        cells = [f"{scores[way][0]:.4f} ({scores[way][1]:.4f})" for scores in results.values()]
        rows.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
