"""What a plan is chosen by: a main metric per kind of task, and how much each task counts in the mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from taskgroup._display import brief
from taskgroup._validation import check_known
from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring._main import MetricChoice, main_of_kinds, value_of
from taskgroup.scoring._metrics import Mains, evaluate
from taskgroup.scoring._quick import main_scores
from taskgroup.tasks import TaskSet

__all__ = ["Average", "Objective", "TaskWeights"]

Floats = NDArray[np.float64]
Average: TypeAlias = Literal["macro", "micro"]
TaskWeights: TypeAlias = ArrayLike | Mapping[str, float] | None

_QUICK = {"binary": "auc", "multiclass": "accuracy", "regression": "r2"}  # what `main_scores` knows


@brief
@dataclass(frozen=True, eq=False)
class Objective:
    """The mean over tasks of their main metrics, higher being better.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    mains : dict
        The main metric of each kind of task.
    weights : ndarray of float64 of shape (T,)
        How much each task counts.
    average : {"macro", "micro"}
        "micro" multiplies the weights by the labelled samples of each task.
    """

    tasks: TaskSet
    mains: Mains
    weights: Floats
    average: Average = "macro"

    @classmethod
    def of(
        cls, tasks: TaskSet, metric: MetricChoice = None, weights: TaskWeights = None, average: Average = "macro"
    ) -> Objective:
        """Return the objective of what a user asks for, see :func:`score`.

        Raises
        ------
        InvalidInputError
            When there is no such metric, task or average, or a weight is negative.
        """
        check_known("average", average, ("macro", "micro"))
        return cls(tasks, main_of_kinds(metric), _weights(tasks, weights), average)

    def values(
        self, Y: NDArray[np.float32], packed: NDArray[np.floating], mass: NDArray[np.floating] | None = None
    ) -> Floats:
        """Return the main metric of every task (T,), NaN where undefined, negated where lower is better.

        Parameters
        ----------
        Y : ndarray of float32 of shape (n, T)
            Targets, NaN where missing.
        packed : ndarray of shape (n, n_outputs)
            Packed outputs.
        mass : ndarray of shape (n, T), optional
            How much each label counts; 1 when left out.
        """
        kinds = dict.fromkeys(task.kind for task in self.tasks)
        if all(self.mains[kind].name == _QUICK[kind] and self.mains[kind].function is None for kind in kinds):
            return main_scores(self.tasks, Y, packed, mass)
        found = np.full(len(self.tasks), np.nan)
        for kind in kinds:
            chosen, names = self.mains[kind], [task.name for task in self.tasks if task.kind == kind]
            columns, heads = [self.tasks.index_of(name) for name in names], self.tasks.output_columns(names)
            own, y, outputs = self.tasks.select(names), Y[:, columns], packed[:, heads]
            masses = None if mass is None else mass[:, columns]
            if chosen.function is not None:
                starts = zip(own, own.first_outputs, strict=True)
                found[columns] = [
                    value_of(
                        chosen.function,
                        y[:, t],
                        outputs[:, start : start + task.n_outputs],
                        None if masses is None else masses[:, t],
                    )
                    for t, (task, start) in enumerate(starts)
                ]
            elif chosen.name == _QUICK[kind]:
                found[columns] = main_scores(own, y, outputs, masses)
            else:
                found[columns] = evaluate(own, y, outputs, None, self.mains, masses).main
        return found

    def mean(
        self, Y: NDArray[np.float32], packed: NDArray[np.floating], mass: NDArray[np.floating] | None = None
    ) -> float:
        """Return the weighted mean over the tasks where the metric is defined, -inf where it is nowhere."""
        values = self.values(Y, packed, mass)
        weights = self.weights * (~np.isnan(Y)).sum(0) if self.average == "micro" else self.weights
        defined = ~np.isnan(values) & (weights > 0)
        return float(np.average(values[defined], weights=weights[defined])) if defined.any() else -np.inf


def _weights(tasks: TaskSet, given: TaskWeights) -> Floats:
    """Return the weight of each task, shape (T,)."""
    weights = np.ones(len(tasks))
    if isinstance(given, Mapping):
        for name, weight in given.items():
            weights[tasks.index_of(name)] = weight
    elif given is not None:
        weights = np.asarray(given, np.float64)
    if weights.shape != (len(tasks),) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise InvalidInputError(
            f"`task_weights` must be {len(tasks)} numbers, none negative and not all zero; got {given!r}."
        )
    return weights
