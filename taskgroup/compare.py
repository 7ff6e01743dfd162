"""Runs side by side: their answers, groups, scores on the tasks that they share, costs and versions."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from taskgroup._artifact import read_json
from taskgroup._display import cell, html_page, html_table
from taskgroup.exceptions import InvalidInputError
from taskgroup.report import Run, read_run

__all__ = ["RunComparison", "compare_runs"]

PLAN = "plan"


@dataclass(frozen=True, eq=False)
class RunComparison:
    """Runs side by side. Made by :func:`compare_runs`.

    Parameters
    ----------
    runs : tuple of dict
        Of every run "run", "data", "sha256", "n_tasks", "n_groups", "seed", "finished", "headline", "grouping" (what
        the answer says of it), "score" and "ci95" of the plan on its own tasks, "n_models", "MB" and "cpu_seconds" of
        the methods that the plan serves, "fit_seconds" of all methods, "seconds" of all steps, "versions".
    shared : tuple of str
        Tasks that all runs have, of one kind and with one main metric.
    scores : tuple of dict
        Of every shared task "task", "metric", and under "by_run" the plan's test score in every run.
    methods : tuple of dict
        Of every method that some runs have, "method" and under "by_run" its mean test score on the shared tasks.
    agreement : tuple of dict
        Of every pair of runs "runs", "n_tasks", and the adjusted Rand index "ari" of their groups on shared tasks.
    notes : tuple of str
        What keeps scores from being comparable.
    """

    runs: tuple[dict[str, Any], ...]
    shared: tuple[str, ...]
    scores: tuple[dict[str, Any], ...]
    methods: tuple[dict[str, Any], ...]
    agreement: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the runs."""
        return tuple(run["run"] for run in self.runs)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as a JSON-able dictionary."""
        return {name: list(getattr(self, name)) for name in self.__dataclass_fields__}

    def to_frame(self) -> Any:
        """Return a pandas DataFrame of the shared tasks' scores, a row a task and a column a run."""
        import pandas as pd

        rows = {row["task"]: row["by_run"] for row in self.scores}
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(self.names)).rename_axis("task")

    def tables(self) -> list[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]]:
        """Return (title, columns, rows) of every table, columns in the order of their importance."""
        facts = ("score", "ci95", "n_groups", "n_models", "cpu_seconds", "MB", "fit_seconds", "n_tasks", "seed")
        heads = ("run", "plan", "95 % interval", "groups", "models", "CPU s", "MB", "CPU s of all", "tasks", "seed")
        found = [
            ("Plans, each on its own tasks", heads, [(r["run"], *(r[name] for name in facts)) for r in self.runs]),
            (
                f"Methods: mean test score on the {len(self.shared)} shared tasks",
                ("method", *self.names),
                [(row["method"], *row["by_run"].values()) for row in self.methods],
            ),
            (
                "Plans on the shared tasks, the largest difference first",
                ("task", *self.names, "metric"),
                [(row["task"], *row["by_run"].values(), row["metric"]) for row in self.scores],
            ),
            (
                "Agreement of groups (adjusted Rand index; 1 is the same groups, 0 chance)",
                ("runs", "ARI", "shared tasks"),
                [(" and ".join(row["runs"]), row["ari"], row["n_tasks"]) for row in self.agreement],
            ),
            (
                "Versions that differ",
                ("of", *self.names),
                [(name, *(run["versions"].get(name) for run in self.runs)) for name in self._different_versions()],
            ),
        ]
        return [(title, columns, rows) for title, columns, rows in found if rows]

    def to_html(self) -> str:
        """Return a page that needs nothing else."""
        answers = "".join(
            f"<h2>{escape(r['run'])}</h2><p>{escape(r['headline'] or 'no plan yet')}</p>" for r in self.runs
        )
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        tables = [html_table(columns, rows, title, most=2000) for title, columns, rows in self.tables()]
        return html_page(" and ".join(self.names), [answers, f"<ul>{notes}</ul>" if notes else "", *tables])

    def _repr_html_(self) -> str:
        return "\n".join(html_table(columns, rows, title) for title, columns, rows in self.tables())

    def __repr__(self) -> str:
        plans = "; ".join(f"{run['run']}: {cell(run['score'])}" for run in self.runs[:8])
        return f"RunComparison({len(self.runs)} runs, {len(self.shared)} shared tasks; {plans})"

    def _different_versions(self) -> list[str]:
        names = dict.fromkeys(name for run in self.runs for name in run["versions"])
        return [name for name in names if len({run["versions"].get(name) for run in self.runs}) > 1]


def compare_runs(run_dirs: Sequence[str | os.PathLike[str]]) -> RunComparison:
    """Return two or more run directories side by side.

    Parameters
    ----------
    run_dirs : sequence of path
        Run directories; steps that were not run are left out.

    Raises
    ------
    InvalidInputError
        When fewer than two different directories are given.
    ArtifactError
        When a directory holds no run, or an artefact is damaged or of another version.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from taskgroup import Grouping, TaskTable, retrain
    >>> X = np.random.default_rng(0).normal(size=(90, 3))
    >>> table = TaskTable.from_arrays(X, X > 0, ["a", "b", "c"])
    >>> grouping = Grouping.from_labels(table.tasks, [0, 0, 1])
    >>> run = tempfile.TemporaryDirectory()
    >>> _ = retrain(table, grouping, learners="linear", folds=2, out=run.name)
    >>> other = tempfile.TemporaryDirectory()
    >>> _ = retrain(table, grouping, learners="extra-trees", arms=["all-in-one"], folds=2, out=other.name)
    >>> found = compare_runs([run.name, other.name])
    >>> found.shared, sorted(row["method"] for row in found.methods), found.agreement[0]["ari"]
    (('a', 'b', 'c'), ['extra-trees/all-in-one', 'linear/per-task', 'plan'], 1.0)
    >>> run.cleanup(), other.cleanup()
    (None, None)
    """
    paths = [Path(path) for path in run_dirs]
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise InvalidInputError(f"two or more different runs are compared; got {', '.join(map(str, paths)) or 'none'}.")
    runs = dict(zip(_names(paths), map(read_run, paths), strict=True))
    shared = _shared(runs)
    facts = tuple(_facts(name, run) for name, run in runs.items())
    return RunComparison(
        facts, tuple(shared), tuple(_task_rows(runs, shared)), tuple(_method_rows(runs, shared)),
        tuple(_agreement(runs)), tuple(_notes(facts, shared)),
    )  # fmt: skip


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell them apart."""
    parts = [path.resolve().parts for path in paths]
    for back in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-back:]) for own in parts]
        if len(set(names)) == len(names):
            break
    return names


def _facts(name: str, run: Run) -> dict[str, Any]:
    about, plan = run.run or {}, run.plan or {}
    answer = plan.get("answer") or {}
    used = {method for row in (plan.get("tasks") or {}).values() for method in row["weights"]}
    methods = read_json(run.path / "ledger.json", "ledger")["methods"] if (run.path / "ledger.json").exists() else {}
    steps = (about.get("steps") or {}).values()
    return {
        "run": name, "data": run.source, "sha256": (about.get("inputs") or {}).get("sha256"),
        "n_tasks": None if run.task_set is None else len(run.task_set),
        "n_groups": None if run.grouping is None else run.grouping.n_groups,
        "seed": about.get("seed"), "finished": about.get("finished"),
        "headline": answer.get("headline"), "grouping": answer.get("grouping"),
        "score": (plan.get("test") or {}).get("mean"), "ci95": (plan.get("test") or {}).get("ci95"),
        "n_models": plan.get("n_models"), "MB": _sum(methods, used, "bytes", 1e-6),
        "cpu_seconds": _sum(methods, used, "train_seconds"), "fit_seconds": _sum(methods, methods, "train_seconds"),
        "seconds": sum(step.get("seconds") or 0.0 for step in steps), "versions": about.get("versions") or {},
    }  # fmt: skip


def _sum(methods: dict[str, Any], names: Any, what: str, factor: float = 1.0) -> float | None:
    found = [float(methods[name][what]) for name in names if name in methods]
    return factor * sum(found) if found else None


def _shared(runs: dict[str, Run]) -> list[str]:
    """Return the tasks that every run has, of one kind and with one main metric, in the order of the first run."""
    kinds = [
        {
            task.name: (task.kind, (run.scores or {}).get("main_metric", {}).get(task.name))
            for task in run.task_set or ()
        }
        for run in runs.values()
    ]
    return [name for name, kind in kinds[0].items() if all(own.get(name) == kind for own in kinds)]


def _task_rows(runs: dict[str, Run], shared: Sequence[str]) -> list[dict[str, Any]]:
    """Return the plan's test score of every shared task, by run; the largest difference first."""
    if not all(run.values for run in runs.values()):
        return []
    plans = {name: _means(run, lambda task, method: task if method == PLAN else None) for name, run in runs.items()}
    metric = (next(iter(runs.values())).scores or {}).get("main_metric", {})
    rows = [
        {"task": task, "metric": metric.get(task), "by_run": {name: plan.get(task) for name, plan in plans.items()}}
        for task in shared
    ]
    return sorted(rows, key=lambda row: -_spread(row["by_run"].values()))


def _means(run: Run, key: Callable[[str, str], str | None]) -> dict[str, float]:
    """Return {key: mean of the main metric on test rows}, over tasks, methods and seeds of one key."""
    found: dict[str, list[float]] = {}
    for (task, method, _, split), value in (run.values or {}).items():
        name = key(task, method)
        if split == "test" and name is not None and np.isfinite(value):
            found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _method_rows(runs: dict[str, Run], shared: Sequence[str]) -> list[dict[str, Any]]:
    """Return the mean test score on the shared tasks of every method, by run; the best first."""
    wanted = set(shared)
    means = {name: _means(run, lambda task, m: m if task in wanted else None) for name, run in runs.items()}
    names = dict.fromkeys(method for own in means.values() for method in own)
    rows = [{"method": method, "by_run": {run: own.get(method) for run, own in means.items()}} for method in names]
    return sorted(rows, key=lambda row: -max(value for value in row["by_run"].values() if value is not None))


def _agreement(runs: dict[str, Run]) -> list[dict[str, Any]]:
    rows, names = [], [name for name, run in runs.items() if run.grouping is not None]
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            a, b = (_labels(runs[name]) for name in (first, second))
            both = [task for task in a if task in b]
            if len(both) > 1:
                ari = adjusted_rand_score([a[task] for task in both], [b[task] for task in both])
                rows.append({"runs": [first, second], "n_tasks": len(both), "ari": float(ari)})
    return rows


def _labels(run: Run) -> dict[str, int]:
    grouping = run.grouping
    return {} if grouping is None else dict(zip(grouping.tasks.names, grouping.labels.tolist(), strict=True))


def _spread(values: Any) -> float:
    known = [value for value in values if value is not None]
    return max(known) - min(known) if known else -1.0


def _notes(facts: Sequence[dict[str, Any]], shared: Sequence[str]) -> list[str]:
    notes = []
    if len({run["sha256"] for run in facts}) > 1:
        notes.append("The runs were made from different data or different parts: scores are on different test rows.")
    if not shared:
        notes.append("No task is in all runs, so that there is nothing to compare scores on.")
    notes += [f"{run['run']} has no plan: retrain it." for run in facts if run["headline"] is None]
    return notes
