"""A heterogeneous mix of real tasks: does grouping pay, and do the groups themselves matter?

Five multi-label sets stand side by side: a row is a random row of each set, its features and labels joined. Tasks of
one set are akin, tasks of different sets share no input that matters. Training, validation and test rows are drawn from
disjoint rows of the sources.

    python -m benchmarks.mix --data DIR [--seeds 10] [--first 0] [--learners extra-trees ...] [--json FILE]

DIR holds yeast.npz, scene.npz, emotions.npz, birds.npz and tmc2007_500.npz (arrays X, Y and task_names; multi-label
sets of the Mulan collection). A seed draws rows, split and models anew. Groups are found without knowing how many there
are (`--k auto`), from Data Maps, labels and out-of-bag forests of the training and validation rows; "true groups" are
the five sources.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from benchmarks import Skipped, public
from taskgroup.cluster import group_tasks
from taskgroup.data import TaskTable
from taskgroup.experiment import retrain
from taskgroup.grouping import Grouping
from taskgroup.scoring import Scorecard, paired_tests
from taskgroup.tasks import Task
from taskgroup.training import FitSettings, profile

ARMS = ("all-in-one", "per-task", "grouped", "label-groups", "random-groups", "true groups")
SOURCES = ("yeast", "scene", "emotions", "birds", "tmc2007_500")
ROWS = {"train": 600, "valid": 200, "test": 1000}
POOLS = {"train": 0.5, "valid": 0.15, "test": 0.35}
PROFILE = {
    "hidden": (32, 16),
    "repeats": 2,
    "dropout": 0.3,
    "settings": FitSettings(batch_size=128, learning_rate=1e-3),
}
FEWEST = {"train": 12, "valid": 4, "test": 10}  # positives and negatives of a task that is kept


def mix_table(folder: Path, seed: int) -> TaskTable:
    """Return the table of one seed; ``family`` names each task's source."""
    rng = np.random.default_rng([20, seed])
    inputs, targets, tasks = [], [], []
    for source in SOURCES:
        with np.load(folder / f"{source}.npz", allow_pickle=False) as arrays:
            X, Y, names = arrays["X"], arrays["Y"], arrays["task_names"]
        bounds = np.cumsum([int(share * len(X)) for share in POOLS.values()])
        pools = np.split(rng.permutation(len(X)), bounds)[:3]
        rows = np.concatenate(
            [rng.choice(pool, n, replace=len(pool) < n) for pool, n in zip(pools, ROWS.values(), strict=True)]
        )
        inputs.append(X[rows].astype(np.float32))
        targets.append(Y[rows].astype(np.float32))
        tasks += [Task(f"{source}:{name}", family=source) for name in names]
    split = np.repeat([0, 1, 2], list(ROWS.values()))
    Y = np.concatenate(targets, 1)
    kept = [
        t
        for t in range(len(tasks))
        if all(
            min((Y[split == part, t] == 1).sum(), (Y[split == part, t] == 0).sum()) >= least
            for part, least in enumerate(FEWEST.values())
        )
    ]
    return TaskTable.from_arrays(
        np.concatenate(inputs, 1), Y[:, kept], [tasks[t] for t in kept], split, name=f"mix-{seed}"
    )


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    public(data, *SOURCES)
    assert data is not None
    if quick:
        raise Skipped("takes minutes for each draw of rows; run it without --quick")
    return rows_of([run_seed(data, seed, ["auto"], 1) for seed in range(3)])


def rows_of(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for every seed, and their mean; of every arm the learner that was best in hindsight."""
    found = []
    for one in kept:
        scores = one["scores"]
        best = {f"best {arm}": max((v for k, v in scores.items() if k.endswith(arm)), default=None) for arm in ARMS}
        found.append({"seed": str(one["seed"]), "tasks": one["n_tasks"], "groups": one["n_groups"], "ARI": one["ari"],
                      "plan": scores["plan"], **best, "s": one["seconds"]})  # fmt: skip
    if len(found) > 1:
        columns = [name for name in found[0] if name != "seed"]
        mean = {name: float(np.mean([row[name] for row in found])) for name in columns if found[0][name] is not None}
        found.append({"seed": "mean", **{name: mean.get(name) for name in columns}})
    return found


def run_seed(folder: Path, seed: int, learners: list[str], jobs: int) -> dict[str, Any]:
    """Return mean test scores of every method, of the plan and of forests in the true groups, for one seed."""
    start = time.time()
    table = mix_table(folder, seed)
    truth = Grouping.from_labels(table.tasks, [SOURCES.index(str(task.family)) for task in table.tasks])
    found = profile(table, random_state=seed, **PROFILE)
    grouping = group_tasks(found.maps, k="auto", table=table, random_state=seed)
    common = {"seeds": 1, "random_state": seed, "jobs": jobs}
    ours = retrain(table, grouping, learners=learners, **common)
    best = retrain(table, truth, methods=["extra-trees/grouped"], learners="extra-trees", **common)
    scores = {method: card_mean(ours.scorecard, method) for method in ours.scorecard.methods}
    scores["extra-trees/true groups"] = card_mean(best.scorecard, "extra-trees/grouped")
    return {
        "seed": seed, "n_tasks": table.n_tasks, "n_groups": grouping.n_groups,
        "ari": float(adjusted_rand_score(truth.labels, grouping.labels)), "scores": scores,
        "answer": str(ours.plan.answer), "seconds": time.time() - start,
    }  # fmt: skip


def card_mean(card: Scorecard, method: str) -> float:
    """Return the mean over tasks and seeds of a method's main metric on test data."""
    return float(card.main["test"][method].by_seed.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the multi-label sets")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--learners", nargs="+", default=["auto"])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path, help="a line is added for every seed")
    given = parser.parse_args()
    if given.data is None or not all((given.data / f"{source}.npz").is_file() for source in SOURCES):
        print(f"skipped: --data must be a folder with {', '.join(SOURCES)} as npz files")
        return
    rows = []
    for seed in range(given.first, given.first + given.seeds):
        rows.append(run_seed(given.data, seed, given.learners, given.jobs))
        if given.json:
            with given.json.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(rows[-1]) + "\n")
    report(rows)


def report(rows: list[dict[str, Any]]) -> None:
    """Print the table of some seeds."""
    units = {method: [row["scores"][method] for row in rows] for method in rows[0]["scores"]}
    tests = paired_tests(units, [("plan", method) for method in units if method != "plan"])
    by_name = {test["baseline"]: test for test in tests}
    print("| method | mean test AUC | plan - it | p (Holm) |\n|---|---|---|---|")
    for method, values in sorted(units.items(), key=lambda item: -float(np.mean(item[1]))):
        test = by_name.get(method)
        cells = ["", ""] if test is None else [f"{test['difference']:+.4f}", f"{test['p_holm']:.1e}"]
        print(f"| {method} | {np.mean(values):.4f} | " + " | ".join(cells) + " |")
    groups, ari = [row["n_groups"] for row in rows], np.mean([row["ari"] for row in rows])
    print(f"\n{len(rows)} seeds, {min(r['n_tasks'] for r in rows)} tasks or more, k = {groups}, mean ARI {ari:.2f}")


if __name__ == "__main__":
    main()
