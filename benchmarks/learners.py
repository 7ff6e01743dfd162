"""Every learner with every arm, the plan, and what people would use instead, on real sets.

    python -m benchmarks.learners --data DIR [--sets ...] [--split-seeds 0 1 2] [--parts ours ...|speed] [--json FILE]

Test AUC, mean over the tasks. "ET", "RF" (300 trees, all tasks at once) and "HGB" (boosting per task) call scikit-learn
directly; "rival" is a blend of thirty lines without networks and groups (`_rival.py`); the rest is `retrain` with its
defaults on the groups of `--k auto`. Rows are dealt anew for every split seed. Results are added to the JSON file as
they come, and what is there is not run again; without `--parts` the table of all that is there is printed.

The part "speed" (not run unless asked for) times our learners against the same loop of scikit-learn on one thread: fit
on training rows and answers for test rows, same trees or penalties, five turns each, interleaved; the medians' ratio of
CPU time, with the mean test AUC of both beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from benchmarks import public
from benchmarks._rival import direct, mean_auc, rival
from taskgroup.cluster import group_tasks
from taskgroup.data import TaskTable, load_table
from taskgroup.experiment import retrain
from taskgroup.learners import Examples, Learner, Order, make_learner
from taskgroup.training import profile

SETS = ("emotions", "birds", "yeast", "sider", "scene", "digits", "tox21", "disdat_nz", "news20", "tmc2007_500")
PARTS = ("direct", "rival", "ours")
SIMPLE = ("ET", "RF", "HGB", "lr0.003", "lr0.03", "lr0.3", "linear/per-task")


def table_of(name: str, folder: Path | None, split_seed: int) -> TaskTable | None:
    """Return a set with its rows dealt by a seed; None when it is not there."""
    if name == "digits":
        return load_table("digits", random_state=split_seed)
    path = None if folder is None else folder / f"{name}.npz"
    if path is None or not path.is_file():
        return None
    table = load_table(path)
    return TaskTable.from_arrays(table.X, table.Y, table.tasks, None, random_state=split_seed, name=name)


def ours(table: TaskTable, jobs: int) -> dict[str, Any]:
    """Return test AUCs of every method of an experiment with the defaults, honest ones, and costs."""
    found = profile(table)
    grouping = group_tasks(found.maps, k="auto", table=table)
    result = retrain(table, grouping, jobs=jobs)
    main = result.scorecard.main
    return {
        "test": {name: float(measured.by_seed.mean()) for name, measured in main["test"].items()},
        "honest": {name: float(measured.by_seed.mean()) for name, measured in main["honest"].items()},
        "n_groups": grouping.n_groups,
        "answer": str(result.plan.answer),
        "gains": {key: dict(row) for key, row in result.plan.gains.items()},
        "open": [dict(row) for row in result.plan.answer.open],
        "weights": dict(result.plan.common),
        "seconds": {name: cost["train_seconds"] for name, cost in result.ledger["methods"].items()},
        "left_out": result.ledger["left_out"],
        "failed": result.ledger["failed"],
    }


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    names = ("emotions",) if quick else ("emotions", "birds", "yeast", "sider", "scene", "digits")
    public(data, *(name for name in names if name != "digits"))
    kept = []
    for name in names:
        table = table_of(name, data, 0)
        assert table is not None
        for part, scores in (("direct", direct(table)), ("rival", rival(table)), ("ours", ours(table, 1))):
            kept.append({"set": name, "split_seed": 0, "part": part, "scores": scores})
    return rows_of(kept)


def rows_of(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for every set and split seed of which all parts were kept."""
    runs: dict[tuple[str, int], dict[str, Any]] = {}
    for row in kept:
        runs.setdefault((row["set"], row["split_seed"]), {})[row["part"]] = row["scores"]
    found = []
    for (name, seed), parts in runs.items():
        if set(PARTS) - set(parts):
            continue
        own = parts["ours"]
        scores = {**parts["direct"], **parts["rival"], **own["test"]}
        simple = max(SIMPLE, key=lambda method: scores.get(method, 0.0))
        found.append({
            "set": name, "split seed": seed, "groups": own["n_groups"], "plan": scores["plan"],
            "rival blend": scores["rival"], "best single model, in hindsight": scores[simple], "which": simple,
            "best of ours, in hindsight": max(value for method, value in own["test"].items() if "/" in method),
            "CPU s": sum(own["seconds"].values()),
        })  # fmt: skip
    return found


def speed(table: TaskTable, turns: int = 5) -> dict[str, Any]:
    """Return, of some learners, CPU seconds of ours and of plain scikit-learn, medians of turns, and their AUCs."""
    examples = Examples.from_table(table)
    rows, test = table.rows("train"), table.rows("test")
    x, x_test = (np.ascontiguousarray(examples.inputs.scaled[part]) for part in (rows, test))
    names, Y, inputs = table.tasks.names, table.Y[rows], examples.inputs.take(test)
    together, alone = [Order(tuple(names), 0)], [Order((name,), 0) for name in names]

    def ours(learner: Learner, orders: list[Order]) -> Any:
        fitted = learner.fit_many(examples, rows, orders, seed=0)
        return np.concatenate([model.outputs(inputs) for model in fitted], 1)

    def trees(kind: Any, alone: bool) -> Any:
        filled = np.where(np.isnan(Y), np.nanmean(Y, axis=0), Y)
        model = kind(100, min_samples_leaf=2, max_features="sqrt", random_state=0)
        if not alone:
            return model.fit(x, filled).predict(x_test)
        seen = ~np.isnan(Y)
        return np.stack([model.fit(x[s], y[s]).predict(x_test) for y, s in zip(Y.T, seen.T, strict=True)], 1)

    def regressions() -> Any:
        seen = ~np.isnan(Y)
        return np.stack(
            [
                LogisticRegression(C=0.03, max_iter=200, tol=1e-3).fit(x[s], y[s]).decision_function(x_test)
                for y, s in zip(Y.T, seen.T, strict=True)
            ], 1,
        )  # fmt: skip

    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "extra-trees/all-in-one": (
            lambda: ours(make_learner("extra-trees", trees=100), together), lambda: trees(ExtraTreesRegressor, False)
        ),
        "random-forest/all-in-one": (
            lambda: ours(make_learner("random-forest", trees=100), together),
            lambda: trees(RandomForestRegressor, False),
        ),
        "extra-trees/per-task": (
            lambda: ours(make_learner("extra-trees", trees=100), alone), lambda: trees(ExtraTreesRegressor, True)
        ),
        "linear/per-task": (lambda: ours(make_learner("linear"), alone), regressions),
    }  # fmt: skip
    found: dict[str, Any] = {}
    with threadpool_limits(1):
        for name, pair in pairs.items():
            seconds: list[list[float]] = [[], []]
            answers: list[Any] = [None, None]
            for _ in range(turns):
                for side, call in enumerate(pair):
                    start = time.process_time()
                    answers[side] = call()
                    seconds[side].append(time.process_time() - start)
            own, plain = (float(np.median(part)) for part in seconds)
            aucs = [mean_auc(table.targets("test"), answer) for answer in answers]
            found[name] = {"ours": own, "plain": plain, "ratio": own / plain, "aucs": aucs}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the public sets; digits needs none")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--split-seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--parts", nargs="*", default=PARTS, choices=[*PARTS, "speed"])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where results are kept")
    given = parser.parse_args()
    rows = _kept(given.json)
    done = {(row["set"], row["split_seed"], row["part"]) for row in rows}
    for split_seed, name in ((seed, name) for seed in given.split_seeds for name in given.sets):
        table = table_of(name, given.data, split_seed)
        if table is None:
            print(f"skipped: {name} needs --data with {name}.npz")
            continue
        for part in (part for part in given.parts if (name, split_seed, part) not in done):
            start = time.perf_counter()
            scores = ours(table, given.jobs) if part == "ours" else CALLS[part](table)
            wall = time.perf_counter() - start
            rows.append({"set": name, "split_seed": split_seed, "part": part, "scores": scores, "wall": wall})
            if given.json:
                with given.json.open("a", encoding="utf-8") as handle:
                    handle.write(json.dumps(rows[-1]) + "\n")
    report(rows)


CALLS = {"direct": direct, "rival": rival, "speed": speed}


def _kept(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def report(rows: list[dict[str, Any]]) -> None:
    """Print the mean over the split seeds of every method, a column a set."""
    sets = [name for name in SETS if any(row["set"] == name for row in rows)]
    values: dict[str, dict[str, list[float]]] = {}
    timed = [row for row in rows if row["part"] == "speed"]
    if timed:
        print("| set | learner | ours, CPU s | plain, CPU s | ratio | AUC, ours | AUC, plain |\n" + "|---" * 7 + "|")
        for row in timed:
            for name, one in row["scores"].items():
                aucs = " | ".join(f"{auc:.4f}" for auc in one["aucs"])
                times = f"{one['ours']:.2f} | {one['plain']:.2f} | {one['ratio']:.2f}"
                print(f"| {row['set']} | {name} | {times} | {aucs} |")
    rows = [row for row in rows if row["part"] != "speed"]
    if not rows:
        return
    for row in rows:
        scores = row["scores"]["test"] if row["part"] == "ours" else row["scores"]
        for method, value in scores.items():
            values.setdefault(method, {}).setdefault(row["set"], []).append(value)
    print("| method | " + " | ".join(sets) + " |\n|---|" + "---|" * len(sets))
    for method, by_set in sorted(values.items(), key=lambda item: -_mean(item[1])):
        cells = [f"{np.mean(by_set[name]):.4f}" if name in by_set else "" for name in sets]
        print(f"| {method} | " + " | ".join(cells) + " |")
    print("\n| set | seeds | plan - rival | plan - best single in hindsight | plan - best of ours in hindsight |")
    print("|---|---|---|---|---|")
    gaps = []
    for name in sets:
        plan = values.get("plan", {}).get(name)
        if plan is None or name not in values.get("rival", {}):
            continue
        own = [m for m in values if "/" in m and "random" not in m and name in values[m]]
        best = max(np.mean(values[m][name]) for m in SIMPLE if m in values and name in values[m])
        best_own = max(np.mean(values[m][name]) for m in own)
        gaps.append([np.mean(plan) - x for x in (np.mean(values["rival"][name]), best, best_own)])
        print(f"| {name} | {len(plan)} | " + " | ".join(f"{gap:+.4f}" for gap in gaps[-1]) + " |")
    if gaps:
        print("| mean | | " + " | ".join(f"{gap:+.4f}" for gap in np.mean(gaps, axis=0)) + " |")
    decided(rows)


def decided(rows: list[dict[str, Any]]) -> None:
    """Print how often a question of the answer is decided, and how often the other splits of a set agree."""
    signs: dict[tuple[str, str], list[tuple[int, float]]] = {}  # (question, set) -> (call, mean gain) of every split
    for row in rows:
        for question, gain in row["scores"].get("gains", {}).items() if row["part"] == "ours" else ():
            low, high = gain["ci95"]
            signs.setdefault((question, row["set"]), []).append((int(low > 0) - int(high < 0), gain["mean"]))
    print("\n| plan against | answers | decided | agreed to by the mean of the other splits |\n|---|---|---|---|")
    for question in dict.fromkeys(question for question, _ in signs):
        some = [splits for (asked, _), splits in signs.items() if asked == question]
        calls = [call for splits in some for call, _ in splits]
        agreed, asked = 0, 0
        for splits in some:
            for s, (call, _) in enumerate(splits):
                others = [gain for o, (_, gain) in enumerate(splits) if o != s]
                if call and others:
                    asked += 1
                    agreed += int(np.sign(np.mean(others)) == call)
        print(f"| {question} | {len(calls)} | {sum(map(abs, calls))} | {agreed} of {asked} |")


def _mean(by_set: dict[str, list[float]]) -> float:
    return float(np.mean([np.mean(found) for found in by_set.values()]))


if __name__ == "__main__":
    main()
