"""The plan as a file: what every task is served by, and the answer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._artifact import read_json, write_json
from taskgroup._display import clipped, html_table
from taskgroup.exceptions import ArtifactError
from taskgroup.plan._answer import Answer
from taskgroup.plan._blend import Calibration
from taskgroup.tasks import TaskSet

__all__ = ["PlanChoice", "mixed"]

Packed = NDArray[np.float32]


@dataclass(frozen=True)
class PlanChoice:
    """What serves every task. Made by :func:`~taskgroup.plan.make_plan`; everything else is a reading of it.

    Parameters
    ----------
    rule : str
        How it was chosen, see :data:`~taskgroup.plan.RULES`.
    common : dict
        {method: weight} for all tasks, summing to 1, the largest first.
    calibration : dict
        {method: {"slope", "intercept"}}, which brings the answers of all methods to one scale.
    tasks : dict
        {task: {"weights": {method: weight}, "honest", "test", "together_test", "alone_test", "over_together",
        "over_alone", "threshold"}}. Scores are main metrics of the plan on honest and on test rows, and on test rows of
        the best single model for all tasks and of the best model per task, as chosen on honest rows; "over_..." hold
        the gain over these with its interval; "threshold" is the probability from which a binary task is positive.
        None where undefined.
    answer : Answer
        What to do, in words and numbers.
    test : dict
        {"mean", "ci95"} of the plan's main metric over tasks on test rows.
    gains : dict
        {"together" | "alone" | "ungrouped" | "single": {"method", "mean", "ci95", "p"}}: mean test gain over the best
        model for all tasks, the best model per task, the best plan without groups, and the best single method.
    n_models : int or None
        Models that the plan serves; None when the costs do not say.
    isolated : tuple of str
        Tasks that the grouping found akin to no other.
    """

    rule: str
    common: Mapping[str, float]
    calibration: Mapping[str, Mapping[str, float]]
    tasks: Mapping[str, Mapping[str, Any]]
    answer: Answer
    test: Mapping[str, Any]
    gains: Mapping[str, Mapping[str, Any]]
    n_models: int | None = None
    isolated: Sequence[str] = field(default_factory=tuple)

    def __repr__(self) -> str:
        shares = clipped((f"{weight:.0%} {name}" for name, weight in self.common.items()), 4, 60)
        return f"PlanChoice({len(self.tasks):,} tasks served by {shares}; {self.verdict:.400})"

    def _repr_html_(self) -> str:
        frame = self.to_frame()
        rows = [tuple(row) for row in frame.astype(object).itertuples(index=False)]
        return f"<p>{escape(str(self.answer))}</p>" + html_table(tuple(frame.columns), rows)

    def to_frame(self) -> Any:
        """Return a pandas DataFrame, a row a task: its scores, its threshold, and the weight of every method."""
        import pandas as pd

        facts = ("honest", "test", "together_test", "alone_test", "threshold")
        rows = [
            {"task": task, **{name: row.get(name) for name in facts},
             **{method: row["weights"].get(method, 0.0) for method in self.methods_in_use}}
            for task, row in self.tasks.items()
        ]  # fmt: skip
        return pd.DataFrame(rows)

    @property
    def verdict(self) -> str:
        """The headline of the answer."""
        return self.answer.headline

    @property
    def decision(self) -> str:
        """What kind of plan it is, see :class:`~taskgroup.plan.Answer`."""
        return self.answer.decision

    @property
    def methods_in_use(self) -> list[str]:
        """Methods that serve some task."""
        used = dict.fromkeys(self.common)
        for row in self.tasks.values():
            used |= dict.fromkeys(row["weights"])
        return list(used)

    def blend(self, outputs: Mapping[str, Packed], tasks: TaskSet) -> Packed:
        """Return the plan's packed outputs (n, n_outputs) from those of its methods."""
        scaled = {
            name: Calibration(**self.calibration[name]).apply(tasks, outputs[name]) for name in self.methods_in_use
        }
        return mixed(tasks, scaled, {name: row["weights"] for name, row in self.tasks.items()})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON, atomically."""
        write_json(path, "plan", self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the document of plan.json, without its header."""
        document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**document, "answer": self.answer.to_dict()}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PlanChoice:
        """Return the plan saved at ``path``.

        Raises
        ------
        ArtifactError
            When the file is missing, damaged, of another format or version, or lacks a task's weights.
        """
        document = read_json(path, "plan")
        try:
            fields = {name: document[name] for name in cls.__dataclass_fields__}
            for task, row in fields["tasks"].items():
                total = sum(float(weight) for weight in row["weights"].values())
                if not abs(total - 1) < 1e-6:
                    raise ArtifactError(f"{path}: weights of task {task!r} must sum to 1; got {total:g}.")
                if any(float(weight) < 0 for weight in row["weights"].values()):
                    raise ArtifactError(f"{path}: weights of task {task!r} must not be negative.")
            for method in {
                *fields["common"],
                *(method for row in fields["tasks"].values() for method in row["weights"]),
            }:
                Calibration(**fields["calibration"][method])
            answer = Answer.from_dict(fields["answer"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{path}: not a plan of this version ({error!r}); retrain again.") from None
        return cls(**{**fields, "answer": answer, "isolated": tuple(fields["isolated"])})


def mixed(
    tasks: TaskSet, answers: Mapping[str, NDArray[np.float64]], weights: Mapping[str, Mapping[str, float]]
) -> Packed:
    """Return packed outputs (n, n_outputs) with the weights {task: {method: weight}}, from calibrated answers."""
    packed = np.zeros_like(next(iter(answers.values())))
    for name, own in weights.items():
        columns = tasks.output_columns([name])
        for method, weight in own.items():
            packed[:, columns] += weight * answers[method][:, columns]
    return packed.astype(np.float32)
