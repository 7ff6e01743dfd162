"""One task of a run: why it is in its group, what serves it, what that gained, and which of its labels are doubtful."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from taskgroup._display import cell, clipped, html_table
from taskgroup._validation import check_int, check_known
from taskgroup.exceptions import ArtifactError
from taskgroup.features import explain
from taskgroup.report import Run, SampleRow, read_run, sample_table
from taskgroup.scoring import describe

__all__ = ["TaskExplanation", "explain_task"]

_NEAR = 5  # related tasks that are named
_PARTS = {
    "positives": "positive samples",
    "negatives": "samples negative for both",
    "classes": "their classes",
    "within": "hard samples within classes",
}


@dataclass(frozen=True, eq=False)
class TaskExplanation:
    """One task of a run. Made by :func:`explain_task`.

    Parameters
    ----------
    task, kind : str
        Its name, and what kind of task it is.
    group : dict or None
        {"number", "tasks": the others, "membership": share of the task that belongs there, "isolated": whether it is
        akin to no other task}; None before clustering.
    related : tuple of dict
        The nearest tasks, {"task", "similarity", "same_group", "correlation" of the confidences, "through": {part: its
        share of the correlation}}.
    served_by : tuple of dict
        {"method", "weight", "text"}, the heaviest first; empty before retraining.
    scores : dict
        {"metric", "honest", "test", "threshold", "over_together", "over_alone"} as the plan has them; empty before
        retraining.
    doubtful : tuple of SampleRow
        Samples whose labels the profile's model believed least, the most doubtful first.
    labels : tuple of str
        Names of the classes, empty for regression.
    """

    task: str
    kind: str
    group: Mapping[str, Any] | None
    related: tuple[Mapping[str, Any], ...]
    served_by: tuple[Mapping[str, Any], ...]
    scores: Mapping[str, Any]
    doubtful: tuple[SampleRow, ...]
    labels: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the explanation in sentences, without the related tasks and the doubtful labels."""
        return [*self._of_group(), *self._of_models(), *self._of_gains()]

    def related_rows(self) -> list[dict[str, Any]]:
        """Return the nearest tasks as dictionaries, with what makes most of the correlation in words."""
        rows = []
        for row in self.related:
            most = max(row["through"], key=lambda name: row["through"][name], default=None)
            words = None if most is None else f"{row['through'][most]:.0%} {_PARTS[most]}"
            group = "same" if row["same_group"] else "another"
            rows.append({"task": row["task"], "similarity": row["similarity"], "group": group, "mostly through": words})
        return rows

    def doubtful_rows(self) -> list[dict[str, Any]]:
        """Return the doubtful labels as dictionaries: row of the table, label, and where it lies in the Data Map."""
        return [
            {"row": row.sample_id, "label": self._label(row.target), "confidence": row.confidence,
             "variability": row.variability, "correctness": row.correctness, "forgetting": row.forgetting}
            for row in self.doubtful
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return everything as a JSON-able dictionary."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("doubtful", "labels")}
        return {**fields, "lines": self.lines(), "doubtful": self.doubtful_rows()}

    def to_frame(self) -> Any:
        """Return a pandas DataFrame of the doubtful labels."""
        import pandas as pd

        return pd.DataFrame(self.doubtful_rows())

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        served = clipped((f"{row['weight']:.0%} {row['method']}" for row in self.served_by), 3)
        return f"TaskExplanation({self.task!r:.60}, served by {served or 'nothing yet'})"

    def _repr_html_(self) -> str:
        tables = [html_table(("what",), [(line,) for line in self.lines()], self.task)]
        for title, rows in (("Related tasks", self.related_rows()), ("Doubtful labels", self.doubtful_rows())):
            tables += [html_table(tuple(rows[0]), [tuple(row.values()) for row in rows], title)] if rows else []
        return "\n".join(tables)

    def _label(self, target: float) -> str | float | None:
        if np.isnan(target):
            return None
        return self.labels[int(target)] if self.labels else float(target)

    def _of_group(self) -> list[str]:
        if self.group is None:
            return [f"Task {self.task!r} ({self.kind}) is not in a group yet: run `taskgroup cluster`."]
        others = clipped(self.group["tasks"], 8)
        where = f"is in group {self.group['number']} with {others}" if others else "stands alone in its group"
        share = "" if self.group["membership"] > 0.999 else f", to {self.group['membership']:.0%}"
        alone = "; it is akin to no other task above the noise" if self.group["isolated"] else ""
        return [f"Task {self.task!r} ({self.kind}) {where}{share}{alone}."]

    def _of_models(self) -> list[str]:
        if not self.served_by:
            return ["Nothing serves it yet: run `taskgroup retrain`."]
        shares = [f"{row['weight']:.0%} {row['text']} ({row['method']})" for row in self.served_by]
        return [f"Served by {'; '.join(shares)}."]

    def _of_gains(self) -> list[str]:
        scores = self.scores
        if not scores:
            return []
        threshold = scores.get("threshold")
        cut = "" if threshold is None else f"; called positive from a probability of {threshold:.3f}"
        found = [f"{scores['metric']}: {cell(scores['honest'])} honest, {cell(scores['test'])} on test rows{cut}."]
        for key, what in (("over_together", "one model for all tasks"), ("over_alone", "a model of its own")):
            gain = scores.get(key)
            if gain and gain.get("gain") is not None:
                found.append(
                    f"Against {what} it gains {gain['gain']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]: "
                    f"{_CALLS.get(gain['call'], gain['call'])}."
                )
        return found


_CALLS = {"helped": "shown to be better", "hurt": "shown to be worse", "open": "no difference shown"}


def explain_task(run_dir: str | os.PathLike[str], task: str, *, n: int = 20) -> TaskExplanation:
    """Return why a task of a run is in its group, what serves it, what it gained, and its doubtful labels.

    Parameters
    ----------
    run_dir : path
        A run directory; what its steps have not made is left out.
    task : str
        Name of one of its tasks.
    n : int
        Doubtful labels at most.

    Raises
    ------
    InvalidInputError
        When the run has no such task.
    ArtifactError
        When the directory holds no run, or an artefact is damaged or of another version.

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
    >>> found = explain_task(run.name, "a")
    >>> found.group["number"], [row["method"] for row in found.served_by], found.scores["metric"]
    (0, ['linear/per-task'], 'auc')
    >>> run.cleanup()
    """
    check_int("n", n, low=1)
    run = read_run(run_dir)
    if run.task_set is None:
        raise ArtifactError(f"{Path(run_dir)}: holds no tasks yet; run `taskgroup profile` first.")
    about = run.task_set[run.task_set.index_of(check_known("task", task, run.task_set.names))]
    plan = (run.plan or {}).get("tasks", {}).get(task, {})
    names = ("honest", "test", "threshold", "over_together", "over_alone")
    weights = sorted((plan.get("weights") or {}).items(), key=lambda item: -item[1])
    metric = (run.scores or {}).get("main_metric", {}).get(task)
    has_maps = run.maps is not None and task in run.maps.tasks.names
    return TaskExplanation(
        task, about.kind, _group(run, task), tuple(_related(run, task)),
        tuple({"method": name, "weight": weight, "text": describe(name)} for name, weight in weights),
        {"metric": metric, **{name: plan.get(name) for name in names}} if plan else {},
        tuple(sample_table(run.maps, task, "hard", n)) if run.maps is not None and has_maps else (),
        () if about.kind == "regression" else tuple(about.class_names),
    )  # fmt: skip


def _group(run: Run, task: str) -> dict[str, Any] | None:
    if run.grouping is None or task not in run.grouping.tasks.names:
        return None
    column = run.grouping.tasks.index_of(task)
    number = int(run.grouping.labels[column])
    return {
        "number": number, "tasks": [name for name in run.grouping.groups[number] if name != task],
        "membership": float(run.grouping.membership[column, number]), "isolated": task in run.grouping.isolated,
    }  # fmt: skip


def _related(run: Run, task: str) -> list[dict[str, Any]]:
    """Return the nearest tasks, and through what samples they are near."""
    if run.similarity is None or run.grouping is None or task not in run.grouping.tasks.names:
        return []
    names, column = run.grouping.tasks.names, run.grouping.tasks.index_of(task)
    order = [int(j) for j in np.argsort(-run.similarity[column], kind="stable") if j != column][:_NEAR]
    rows = []
    for j in order:
        why = None if run.maps is None else explain(run.maps, [task, names[j]], top=0)
        rows.append(
            {
                "task": names[j],
                "similarity": float(run.similarity[column, j]),
                "same_group": bool(run.grouping.labels[j] == run.grouping.labels[column]),
                "correlation": None if why is None else why.correlation,
                "through": {} if why is None else dict(why.shares),
            }
        )
    return rows
