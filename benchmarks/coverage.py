"""How often intervals hold the truth, and how often a gain is claimed where there is none.

Scores are drawn, nothing is trained. The logit of a sample is q y + noise: noise of the sample's, which all methods
share, noise of a method's own, and of each seed of it. q moves with the method, with the task and with the seed, by
some for all tasks alike. How far seeds move q, against how much they disagree row by row, differs from method to
method, as it does between networks. True AUCs are known in closed form: of a method trained again and again, and of
the models that were drawn.

"Today" is the interval of the versions up to now: Student's t of the pair's own S differences.

    python -m benchmarks.coverage [--repeats 200] [--case NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm, t

from taskgroup.scoring import Measured, Resampler, SeedNoise
from taskgroup.scoring._ranking import auc, rank_counts
from taskgroup.scoring._truth import gains_of_tasks

PARTS = {  # noise of the seeds against that of a single network
    "linear/per-task": 0.0, "nets/per-task": 1.3, "nets/all-in-one": 1.0, "nets/wide": 0.7, "nets/ensemble": 0.5,
    "nets/random": 1.0, "nets/grouped": 1.0,
}  # fmt: skip
BASE = "nets/per-task"
SAMPLE, TASKWISE, OWN, SEED = 0.3, 0.8, 0.4, 0.4  # standard deviations of the noise of a logit
SEED_TASK = 0.06  # of q between seeds, of each task
TOGETHER = 1.0  # variance of the mean of q between seeds by what moves all tasks, against that of tasks one by one
RATIO = 0.35  # standard deviation between methods of the logarithm of how far seeds move q

NORMAL, UNIFORM = np.random.default_rng(0).normal(size=2000), np.random.default_rng(1).uniform(size=2000)

CASES: dict[str, dict[str, Any]] = {
    "homogeneous": {"n_tasks": 20, "n": 400},
    "homogeneous, all gain .020": {"n_tasks": 20, "n": 400, "gain": 0.06},
    "heterogeneous": {"n_tasks": 30, "n": 400, "spread": 0.08},
    "sparse labels": {"n_tasks": 40, "n": 500, "spread": 0.05, "missing": 0.8},
    "few rows": {"n_tasks": 10, "n": 80, "spread": 0.05},
    "many tasks": {"n_tasks": 120, "n": 200, "spread": 0.05},
    "one dominant task": {"n_tasks": 10, "n": 600, "missing": 0.7, "dominant": 0.3},
    "one task": {"n_tasks": 1, "n": 500},
    "two methods": {"n_tasks": 20, "n": 400, "methods": ("nets/per-task", "nets/grouped")},
    "seeds move all tasks": {"n_tasks": 20, "n": 400, "together": 8.0},
}


def simulate(
    rng: np.random.Generator,
    n_seeds: int,
    *,
    n_tasks: int,
    n: int,
    spread: float = 0.0,
    gain: float = 0.0,
    missing: float = 0.0,
    dominant: float = 0.0,
    together: float = TOGETHER,
    methods: tuple[str, ...] = tuple(PARTS),
) -> tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Labels, predictions by split, and the true AUC of every method and task: trained again, and these models."""
    true = {m: 0.6 + spread * rng.normal(size=n_tasks) for m in methods}
    true["nets/grouped"] += gain
    true["nets/grouped"][0] += dominant
    present = np.full(n_tasks, 1 - missing)
    present[0] = 1.0 if dominant else present[0]
    q, moves, again, here = {}, {}, {}, {}
    for m in methods:
        size = PARTS[m] * SEED_TASK * np.exp(RATIO * rng.normal())
        common = size * (together / n_tasks) ** 0.5
        seeds = n_seeds if PARTS[m] else 1
        moves[m] = size * rng.normal(size=(seeds, n_tasks)) + common * rng.normal(size=(seeds, 1))
        noise = 2 * (SAMPLE**2 + TASKWISE**2 + OWN**2 + (PARTS[m] * SEED) ** 2)
        every = noise + size**2 + common**2
        q[m] = true[m] * every**0.5  # so that methods are equal but for what is added
        again[m] = norm.cdf(true[m])
        here[m] = norm.cdf((q[m] + moves[m]) / np.sqrt(noise)).mean(0)
    labels, predictions = {}, {}
    for split in ("valid", "test"):
        y = (rng.random((n, n_tasks)) < 0.3).astype(np.float32)
        shared = SAMPLE * rng.normal(size=(n, 1)) + TASKWISE * rng.normal(size=y.shape)
        predictions[split] = {}
        for m in methods:
            own = shared + OWN * rng.normal(size=y.shape)
            predictions[split][m] = {
                s: (q[m] + move) * y + own + PARTS[m] * SEED * rng.normal(size=y.shape)
                for s, move in enumerate(moves[m])
            }
        y[rng.random(y.shape) > present] = np.nan
        labels[split] = y
    return labels, predictions, again, here


def today(measured: Measured) -> tuple[float, float]:
    """The interval of the versions up to now: Student's t of these S seeds, beside the samples'."""
    mean, influence = float(measured.by_seed.mean()), measured.by_sample
    rows, n_seeds = float(np.square(influence.mean(0)).sum()), len(influence)
    apart = np.square(influence - influence.mean(0)).sum() / max(n_seeds - 1, 1)
    seeds = max(0.0, float(measured.by_seed.var(ddof=1) - apart) / n_seeds) if n_seeds > 1 else 0.0
    draws = NORMAL * rows**0.5
    if seeds > 0:
        draws = draws + t.ppf(UNIFORM, n_seeds - 1) * seeds**0.5
    low, high = mean + np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


Found = dict[str, list[float]]


def one(rng: np.random.Generator, n_seeds: int, case: dict[str, Any]) -> Found:
    """What one simulated table shows: for each quantity 1 or 0 (held, claimed), or a width."""
    labels, predictions, again, here = simulate(rng, n_seeds, **case)
    valid, methods = (_measure(labels[split], predictions[split]) for split in ("valid", "test"))
    resampler = Resampler(1000, int(rng.integers(1 << 30)))
    choice = _choice(valid)
    differences = {m: methods[m].minus(methods[BASE]) for m in methods if m != BASE}
    quantities = [("mean", measured) for measured in methods.values()]
    quantities += [("difference", measured) for measured in differences.values()]
    quantities.append(("plan", Measured.mix(methods, choice).minus(methods[BASE])))
    found: Found = defaultdict(list)
    for truth, question in ((again, "retrained"), (here, "trained")):
        planned = np.array([truth[m][i] for i, m in enumerate(choice)])
        true = [*truth.values(), *(truth[m] - truth[BASE] for m in differences), planned - truth[BASE]]
        intervals = resampler.intervals([measured for _, measured in quantities], question)
        for (name, measured), of_tasks, interval in zip(quantities, true, intervals, strict=True):
            value = float(of_tasks[measured.shares > 0].mean())
            found[f"{name}, {question}"].append(interval.low <= value <= interval.high)
            found[f"width {name}, {question}"].append(interval.high - interval.low)
            if name == "difference" and abs(value) < 1e-9:
                found[f"false gain, {question}"].append(interval.low > 0)
            if question == "retrained":
                low, high = today(measured)
                found[f"{name}, today"].append(low <= value <= high)
                found[f"width {name}, today"].append(high - low)
        for m, difference in differences.items():
            _tasks(found, difference, truth[m] - truth[BASE], question)
    return found


def _tasks(found: Found, difference: Measured, true: np.ndarray, question: str) -> None:
    gains = gains_of_tasks(difference, question)
    defined = ~np.isnan(gains.gain)
    found[f"task, {question}"].append(float(((gains.low <= true) & (true <= gains.high))[defined].mean()))
    found[f"width task, {question}"].append(float(np.median((gains.high - gains.low)[defined])))
    calls = np.array(gains.calls())
    wrong = ((calls == "helped") & (true <= 1e-9)) | ((calls == "hurt") & (true >= -1e-9))
    found[f"tasks called, {question}"].append(float((calls != "open").mean()))
    found[f"false calls, {question}"].append(float(wrong.sum() / max((calls != "open").sum(), 1)))


def _measure(y: np.ndarray, predictions: dict[str, Any]) -> dict[str, Measured]:
    """What :func:`taskgroup.scoring.score` measures, of AUCs only, for speed."""
    positive, negative = y.T == 1, y.T == 0
    n, n_positive = (positive | negative).sum(1), positive.sum(1)
    both = (n_positive > 0) & (n_positive < n)
    methods: dict[str, Measured] = {}
    noise = SeedNoise(methods)
    for name, by_seed in predictions.items():
        found = [auc(positive, negative, rank_counts(positive, negative, z.T)) for z in by_seed.values()]
        values = np.array([np.where(both, value, np.nan) for value, _ in found])
        influence = np.array([np.where(both[:, None], part, 0.0) for _, part in found], np.float32)
        size = n_positive * (n - n_positive) / np.maximum(n, 1)
        bounds, parts = np.tile([[0.0], [1.0]], len(n)), {name: np.ones(len(n))}
        methods[name] = Measured(values, influence, tuple(by_seed), size, None, bounds, parts, noise)
    return methods


def _choice(valid: dict[str, Measured]) -> list[str]:
    """The method of the best validation score of each task, but only a third as far from its mean over tasks."""
    names = list(valid)
    by_task = np.array([np.nan_to_num(valid[m].by_task) for m in names])
    mean = by_task.mean(1, keepdims=True)
    return [names[i] for i in (mean + (by_task - mean) / 3).argmax(0)]


def study(case: dict[str, Any], n_seeds: int, repeats: int) -> dict[str, float]:
    """Shares and median widths over simulated tables."""
    all_of: Found = defaultdict(list)
    for stream in np.random.SeedSequence(n_seeds).spawn(repeats):
        for name, values in one(np.random.default_rng(stream), n_seeds, case).items():
            all_of[name] += values
    return {
        name: float(np.median(values) if name.startswith("width") else np.mean(values))
        for name, values in all_of.items()
    }


COLUMNS = (
    "mean, retrained", "difference, retrained", "difference, trained", "difference, today", "plan, retrained",
    "plan, trained", "task, retrained", "task, trained", "false gain, retrained", "false calls, retrained",
    "tasks called, retrained", "width difference, retrained", "width difference, trained", "width difference, today",
)  # fmt: skip


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    cases, seeds = (list(CASES)[:2], (3,)) if quick else (list(CASES), (2, 3, 5))
    return rows_of({name: {n: study(CASES[name], n, 20 if quick else 200) for n in seeds} for name in cases})


def rows_of(kept: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for every case and number of seeds."""
    return [
        {"case": name, "seeds": int(n), **{column: figures.get(column) for column in COLUMNS}}
        for name, by_seeds in kept.items()
        for n, figures in by_seeds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--case", nargs="*", choices=list(CASES), default=list(CASES), help="some cases only")
    parser.add_argument("--seeds", type=int, nargs="*", default=[2, 3, 5])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    print("| case | seeds | " + " | ".join(COLUMNS) + " |\n|---|---" + "|---" * len(COLUMNS) + "|")
    results: dict[str, Any] = {}
    for name in arguments.case:
        for n_seeds in arguments.seeds:
            figures = study(CASES[name], n_seeds, arguments.repeats)
            results.setdefault(name, {})[n_seeds] = figures
            cells = [
                "-" if column not in figures
                else f"{figures[column]:.4f}" if column.startswith("width") else f"{figures[column]:.1%}"
                for column in COLUMNS
            ]  # fmt: skip
            print(f"| {name} | {n_seeds} | " + " | ".join(cells) + " |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
