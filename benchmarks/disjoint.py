"""Tasks that share no labelled rows: one field, school or region a task. What serves them, and is the plan right?

    python -m benchmarks.disjoint --data DIR [--sets landmine species schools] [--seeds 0-2] [--json FILE]

landmine: DIR/landmine.npz, 29 fields, every row labelled for one of them. species: DIR/disdat_nz.npz, its 52 species
dealt to four regions at random, 6,000 rows dealt to the regions, labels of other regions' species hidden. schools: 60
generated schools of 15 to 40 pupils (needs no data), regression; what a pupil scores depends on inputs alike in all
schools, a little on the school, mostly on chance. Rows are dealt to training, validation and test anew for every seed.
"right" is where the plan's choice between one model for all, one per task and groups is the best of these on test rows,
or within .005 of it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import public
from taskgroup.cluster import group_tasks
from taskgroup.data import TaskTable, load_table
from taskgroup.experiment import retrain
from taskgroup.tasks import Task
from taskgroup.training import profile

SETS = ("landmine", "species", "schools")
_NEAR = 0.005


def table_of(name: str, folder: Path | None, seed: int) -> TaskTable | None:
    """Return a table with its rows dealt by a seed; None when its file is not there."""
    if name == "schools":
        return schools(seed)
    path = None if folder is None else folder / f"{'disdat_nz' if name == 'species' else name}.npz"
    if path is None or not path.is_file():
        return None
    table = load_table(path)
    X, Y = table.X, table.Y
    if name == "species":
        X, Y = regions(X, Y, seed)
        often = np.flatnonzero((Y == 1).sum(0) >= 20)  # so that every part holds some of every species
        return TaskTable.from_arrays(
            X, Y[:, often], [table.tasks[t] for t in often], None, random_state=seed, name=name
        )
    return TaskTable.from_arrays(X, Y, table.tasks, None, random_state=seed, name=name)


def regions(X: Any, Y: Any, seed: int, n_regions: int = 4, n_rows: int = 6000) -> tuple[Any, Any]:
    """Return rows of a set with every label hidden but those of the species of the row's region."""
    rng = np.random.default_rng([31, seed])
    rows = rng.choice(len(X), n_rows, replace=False)
    of_row, of_species = rng.integers(n_regions, size=n_rows), rng.permutation(Y.shape[1]) % n_regions
    return X[rows], np.where(of_row[:, None] == of_species, Y[rows], np.nan)


def schools(seed: int, n_schools: int = 60, n_features: int = 8) -> TaskTable:
    """Return a table of one regression task a school."""
    rng = np.random.default_rng([32, seed])
    sizes = rng.integers(15, 41, n_schools)
    school = np.repeat(np.arange(n_schools), sizes)
    X = rng.normal(size=(len(school), n_features))
    slope, own = rng.normal(size=n_features) * 0.4, rng.normal(size=n_schools) * 0.4
    Y = np.full((len(school), n_schools), np.nan)
    Y[np.arange(len(school)), school] = 50 + 10 * (X @ slope + own[school] + rng.normal(size=len(school)) * 1.5)
    tasks = [Task(f"school{s}", kind="regression") for s in range(n_schools)]
    return TaskTable.from_arrays(X, Y, tasks, None, random_state=seed, name="schools")


def run(name: str, folder: Path | None, seed: int, jobs: int) -> dict[str, Any] | None:
    """Return what each kind of arm and the plan reach on test rows, for one seed."""
    start = time.perf_counter()
    table = table_of(name, folder, seed)
    if table is None:
        return None
    grouping = group_tasks(profile(table).maps, k="auto", table=table)
    result = retrain(table, grouping, jobs=jobs)
    card = result.scorecard
    test, honest = ({m: float(v.by_seed.mean()) for m, v in card.main[part].items()} for part in ("test", "honest"))
    of_arm: dict[str, str] = {}  # the best learner of every kind of arm, chosen on honest rows
    for kind, arms in (("all", ("all-in-one",)), ("alone", ("per-task",)), ("groups", ("grouped", "label-groups"))):
        names = [m for m in result.ledger["methods"] if m.split("/")[1] in arms]
        if names:
            of_arm[kind] = max(names, key=lambda m: honest[m])
    said = max(of_arm, key=lambda kind: honest[of_arm[kind]])
    best = max(test[m] for m in of_arm.values())
    return {
        "set": name, "seed": seed, "k": grouping.n_groups, "plan": test["plan"], "of_arm": of_arm, "said": said,
        "test": {kind: test[m] for kind, m in of_arm.items()}, "right": test[of_arm[said]] >= best - _NEAR,
        "answer": str(result.plan.answer), "failed": result.ledger["failed"], "all_test": test,
        "chance": float(np.nanmean(card.chance["test"])), "seconds": time.perf_counter() - start,
    }  # fmt: skip


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    names, seeds = (("schools",), 1) if quick else (SETS, 2)
    public(data, *(() if quick else ("landmine", "disdat_nz")))
    return rows_of([row for name in names for seed in range(seeds) if (row := run(name, data, seed, 1)) is not None])


def rows_of(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for every set and seed."""
    return [
        {
            "set": row["set"], "seed": row["seed"], "groups": row["k"], "one for all": row["test"].get("all"),
            "per task": row["test"].get("alone"), "in groups": row["test"].get("groups"), "plan": row["plan"],
            "honest rows say": row["said"], "right": "yes" if row["right"] else "no", "guessing": row["chance"],
        }
        for row in kept
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the public sets; schools needs none")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--seeds", default="0-2", help="first-last")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path, help="a line is added for every row")
    given = parser.parse_args()
    first, last = (int(part) for part in given.seeds.split("-"))
    print("| set | seed | k | one for all | per task | groups | plan | said | right | guessing | s |")
    print("|---" * 11 + "|", flush=True)
    for name in given.sets:
        for seed in range(first, last + 1):
            row = run(name, given.data, seed, given.jobs)
            if row is None:
                print(f"| {name} | skipped: needs --data with its npz file |" + " |" * 9, flush=True)
                break
            cells = [f"{row['test'][kind]:.4f}" if kind in row["test"] else "" for kind in ("all", "alone", "groups")]
            print(
                f"| {name} | {seed} | {row['k']} | {' | '.join(cells)} | {row['plan']:.4f} | {row['said']} | "
                f"{'yes' if row['right'] else 'no'} | {row['chance']:.3f} | {row['seconds']:.0f} |", flush=True,
            )  # fmt: skip
            if given.json:
                with given.json.open("a", encoding="utf-8") as handle:
                    handle.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
