"""A run directory with every artefact, made from planted groups in a second, without training."""

import csv
from pathlib import Path

import numpy as np

from taskgroup._artifact import write_arrays, write_json
from taskgroup.datamaps import DataMaps, encode_probability
from taskgroup.grouping import Grouping
from taskgroup.tasks import TaskSet

STEPS = ("profile", "cluster", "retrain")
ALONE, TOGETHER, OURS = "nets/per-task", "nets/all-in-one", "nets/grouped"
METHODS = {  # method: mean gain over a network per task
    ALONE: 0.0, "linear/per-task": -0.05, TOGETHER: 0.004, "wide-nets/all-in-one": 0.006,
    "nets/random-groups": 0.008, "nets/label-groups": 0.013, OURS: 0.02, "plan": 0.021,
}  # fmt: skip
MAIN = {"binary": "auc", "multiclass": "accuracy", "regression": "r2"}


def write_synthetic_run(path, tasks=12, n_samples=300, n_groups=4, upto="retrain", seed=0, n_seeds=3, soft=False):
    """Write the artefacts of the steps up to `upto` and return the path; `tasks` is a number, names or Task objects."""
    path, rng = Path(path), np.random.default_rng(seed)
    names = [f"task_{t:02d}" for t in range(tasks)] if isinstance(tasks, int) else tasks
    task_set = TaskSet(names)
    labels = rng.permutation(np.r_[np.arange(n_groups), rng.integers(n_groups, size=len(task_set))][: len(task_set)])
    steps = STEPS[: STEPS.index(upto) + 1]
    _profile(path, task_set, labels, n_samples, rng, steps)
    if "cluster" in steps:
        grouping = _cluster(path, task_set, labels, rng, soft)
    if "retrain" in steps:
        _retrain(path, task_set, grouping, rng, n_seeds)
    return path


def synthetic_maps(tasks, labels, n_samples, rng, n_epochs=8):
    """Return data maps whose confidences correlate within groups; some labels are missing, some samples hard."""
    n_tasks = len(tasks)
    shared = rng.normal(size=(n_samples, labels.max() + 1))
    skill = 0.8 * shared[:, labels] + 0.6 * rng.normal(size=(n_samples, n_tasks)) + rng.uniform(0.2, 1.6, n_tasks)
    pace = rng.uniform(0.4, 1.5, n_tasks)
    missing = rng.random((n_samples, n_tasks)) < 0.1
    history = np.empty((n_epochs, n_samples, n_tasks), np.uint16)
    for epoch in range(n_epochs):
        logit = skill * pace * np.log1p(epoch + 0.3) * 1.1 + 0.7 * rng.normal(size=skill.shape)
        history[epoch] = encode_probability(np.where(missing, np.nan, 1 / (1 + np.exp(-logit))))
    return DataMaps.from_history(
        tasks,
        history,
        right=history[:, :, [task.kind == "multiclass" for task in tasks]],
        targets=np.where(missing, np.nan, rng.integers(0, 2, skill.shape)).astype(np.float32),
        sample_ids=np.arange(n_samples) * 2,
        info={"mode": "history", "n_epochs": n_epochs},
    )


def _profile(path, tasks, labels, n_samples, rng, steps):
    synthetic_maps(tasks, labels, n_samples, rng).save(path / "datamaps.safetensors")
    run = {
        "command": ["taskgroup", "run", "table.csv", "--seed", "0"],
        "versions": {"python": "3.11.2", "taskgroup-mtl": "0.1.0", "torch": "2.13.0", "numpy": "2.4.0"},
        "seed": 0,
        "inputs": {"settings": {"source": "/data/table.csv"}, "sha256": "ab" * 32},
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:05:11+00:00",
        "status": "done",
        "steps": {step: {"status": "done", "seconds": 3.5, "settings": {"seed": 0, "k": None}} for step in steps},
    }
    write_json(path / "run.json", "run", run)
    write_json(
        path / "tasks.json",
        "tasks",
        {
            "name": "table",
            "tasks": tasks.to_list(),
            "left_out": {"constant": "one class only (0) in the training rows"},
            "n_features": 32,
            "missing_labels": 0.1,
            "n_rows": {"train": n_samples, "valid": n_samples // 3, "test": n_samples // 3},
        },
    )


def _cluster(path, tasks, labels, rng, soft):
    centres = rng.normal(size=(labels.max() + 1, 6))
    vectors = centres[labels] + 0.5 * rng.normal(size=(len(tasks), 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = np.maximum(np.abs(vectors @ vectors.T) - 0.2, 0)
    np.fill_diagonal(similarity, 1)
    write_arrays(path / "similarity.safetensors", "similarity", {"similarity": similarity.astype(np.float32)})
    best = int(labels.max()) + 1
    selection = [
        {"k": k, "stability": 0.9 - 0.06 * abs(k - best), "eigengap": 0.5 / (1 + abs(k - best))}
        for k in range(max(best - 4, 1), best + 4)
    ]
    grouping = Grouping.from_labels(tasks, labels, stability=0.9, selection=selection, isolated=[tasks.names[-1]])
    if soft:
        membership = grouping.membership + 0.15 * rng.random(grouping.membership.shape)
        membership /= membership.sum(1, keepdims=True)
        grouping = Grouping(tasks, membership, stability=0.9, selection=selection)
    grouping.save(path / "grouping.json")
    cluster = {
        "feature_kind": "abs-corr", "method": "spectral", "n_groups": grouping.n_groups, "stability": 0.9,
        "selection": selection, "overlap": {"min": 0.72, "median": 0.81},
        "prevalence_eta2": 0.5, "prevalence_eta2_chance": 0.4, "isolated": list(grouping.isolated), "message": "",
    }  # fmt: skip
    write_json(path / "cluster.json", "cluster", cluster)
    return grouping


def _retrain(path, tasks, grouping, rng, n_seeds):
    n_tasks, base = len(tasks), rng.uniform(0.7, 0.95, len(tasks))
    gain = {m: g + abs(g) * 1.2 * rng.normal(size=n_tasks) for m, g in METHODS.items()}
    value = {}
    with open(path / "scores.csv", "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["task", "method", "seed", "split", "metric", "value", "n", "n_positive"])
        for split in ("honest", "test"):
            for method in METHODS:
                for seed in range(n_seeds):
                    scores = np.minimum(base + gain[method] + 0.006 * rng.normal(size=n_tasks), 0.999)
                    value[method, seed, split] = scores
                    for t, task in enumerate(tasks):
                        undefined = t == 1 and split == "test" and n_tasks > 5
                        writer.writerow(
                            [task.name, method, seed, split, MAIN[task.kind], "" if undefined else f"{scores[t]:.6f}",
                             400, 9 if t == 2 else 60]
                        )  # fmt: skip
                        if task.kind == "binary":
                            writer.writerow(
                                [task.name, method, seed, split, "log_loss", f"{1 - scores[t]:.6f}", 400, 60]
                            )
    mean = {(m, s): np.mean([value[m, i, s] for i in range(n_seeds)], 0) for m in METHODS for s in ("honest", "test")}
    _scores(path, tasks, mean, rng)
    _plan(path, tasks, mean, grouping)


def _scores(path, tasks, mean, rng):
    centre = {m: float(mean[m, "test"].mean()) for m in METHODS}
    methods = {
        m: {
            "main": {"mean": centre[m], "ci95": [centre[m] - 0.006, centre[m] + 0.006]},
            "auc": {"mean": centre[m], "ci95": [centre[m] - 0.006, centre[m] + 0.006]},
            "params": int(rng.integers(20_000, 900_000)),
            "bytes": int(rng.integers(80_000, 3_600_000)),
            "train_seconds": float(rng.uniform(1, 30)),
            "train_flops": float(rng.uniform(1e10, 1e12)),
            "inference_flops_per_task": float(rng.uniform(1e3, 1e5)),
            "n_models": 4,
        }
        for m in METHODS
    }
    methods["plan"] = {**methods[OURS], "bytes": sum(methods[m]["bytes"] for m in (OURS, ALONE)), "n_models": 31}
    summary = [
        {"method": m, "mean": centre[m], "ci95": [centre[m] - 0.006, centre[m] + 0.006],
         "better": None if m == ALONE else 0.5, "worse": None if m == ALONE else 0.08,
         "worst_task": None if m == ALONE else tasks.names[0], "worst_difference": None if m == ALONE else -0.01,
         "delta_m": None if m == ALONE else 100 * (centre[m] - centre[ALONE]),
         "p_holm": None if m == ALONE else 0.01, "vs": None if m == ALONE else ALONE}
        for m in sorted(METHODS, key=lambda m: -centre[m])
    ]  # fmt: skip
    pairs = [(m, ALONE) for m in METHODS if m != ALONE] + [(OURS, m) for m in METHODS if m not in (ALONE, OURS)]
    comparisons = [
        {"method": m, "baseline": b, "difference": d, "ci95": [d - 0.008, d + 0.008], "p": 0.01,
         "p_holm": 0.04 if abs(d) > 0.008 else 0.6}
        for m, b, d in ((m, b, centre[m] - centre[b]) for m, b in pairs)
    ]  # fmt: skip
    document = {
        "split": "test", "baseline": ALONE, "methods": methods,
        "main_metric": {task.name: MAIN[task.kind] for task in tasks}, "summary": summary, "comparisons": comparisons,
        "replication": {OURS: {"correlation": 0.71, "cosine": 0.8, "n_tasks": len(tasks)}},
    }  # fmt: skip
    write_json(path / "scores.json", "scores", document)


def _over(mean, t, method, n_tasks):
    if t == 1 and n_tasks > 5:  # undefined in scores.csv as well
        return {"gain": None, "low": None, "high": None, "q": None, "call": "open"}
    gain = float(mean["plan", "test"][t] - mean[method, "test"][t])
    return {"gain": gain, "low": gain - 0.01, "high": gain + 0.012, "q": 0.2, "call": "open"}


def _plan(path, tasks, mean, grouping):
    common = {OURS: 0.75, "linear/per-task": 0.25}
    rows = {
        task.name: {
            "weights": {OURS: 1.0} if t == 0 else common,
            "honest": float(mean["plan", "honest"][t]),
            "test": float(mean["plan", "test"][t]),
            "together_test": float(mean[TOGETHER, "test"][t]),
            "alone_test": float(mean[ALONE, "test"][t]),
            **{f"over_{key}": _over(mean, t, m, len(tasks)) for key, m in (("alone", ALONE), ("together", TOGETHER))},
        }
        for t, task in enumerate(tasks)
    }
    over = {"together": TOGETHER, "alone": ALONE, "ungrouped": "plan without groups", "single": OURS}
    cheaper = {
        "plan": "linear/per-task", "models": 12, "bytes": 60_000, "test": 0.8, "loss": -0.05,
        "ci95": [-0.06, -0.04],
    }  # fmt: skip
    answer = {
        "headline": f"Serve all {len(tasks)} tasks with a blend of 75% nets, a model per group; 25% linear.",
        "decision": "blend",
        "grouping": "worth it",
        "lines": [
            "Against one model per task (nets/per-task) it gains +0.021 [+0.012, +0.028] in mean test AUC.",
            "Grouping is worth it: +0.012 [+0.006, +0.018] over the best plan without groups.",
        ],
        "cheaper": [cheaper],
        "open": [{"question": "Is the plan better than nets?", "mean": 0.01, "ci95": [-0.01, 0.03], "needs": None}],
    }
    plan = {
        "rule": "best",
        "common": common,
        "tasks": rows,
        "answer": answer,
        "test": {
            "mean": 0.85,
            "ci95": [0.84, 0.86],
            "reliability": [{"stated": p / 10, "came_true": (p / 10) ** 1.2, "n": 40} for p in range(1, 10)],
        },
        "gains": {
            key: {"method": name, "mean": 0.019, "ci95": [0.011, 0.027], "p": 0.001} for key, name in over.items()
        },
        "n_models": 31,
        "isolated": list(grouping.isolated),
    }
    write_json(path / "plan.json", "plan", plan)
