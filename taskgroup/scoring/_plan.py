"""Which method should serve which task, under a budget, and what that gains."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from taskgroup._artifact import read_json, write_json
from taskgroup._validation import check_int, check_known, check_real
from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring._budget import choose_units
from taskgroup.scoring._measured import Measured
from taskgroup.scoring._names import family, steadiness
from taskgroup.scoring._noise import believed
from taskgroup.scoring._score import Predictions, score
from taskgroup.scoring._scorecard import Scorecard
from taskgroup.scoring._verdict import decide
from taskgroup.tasks import TaskSet

__all__ = ["PlanChoice", "judge", "make_plan"]

Floats = NDArray[np.float64]

_ALONE = ("single-task", "linear")
_BASELINES = ("stl", "mtl", "mtl-ensemble")


@dataclass(frozen=True)
class PlanChoice:
    """The method chosen for every task, and the verdict. Made by :func:`make_plan`.

    Parameters
    ----------
    tasks : dict
        {task: {"method", "valid", "test", "stl_test", "mtl_test", "leave_alone"}}; scores are main metrics, means over
        seeds, None where undefined. "leave_alone": a model of the task's own serves it best, or it is akin to no other
        task.
    verdict : str
        One sentence.
    decision : str
        See :class:`~taskgroup.scoring.Verdict`.
    reasons : tuple of str
        What was compared, with numbers.
    gains : dict
        {baseline: {"mean", "ci95", "p"}}: mean test gain of the plan over stl, mtl, mtl-ensemble and the reference.
    reference : str
        The steadiest of the methods that are best on average on validation data, which serves every task that has no
        reason to leave it.
    test : dict
        {"mean", "ci95"} of the plan's main metric over tasks on test data.
    n_models : int or None
        Models that the plan serves; None when the costs do not say.
    budget : dict
        {"max_models", "max_flops"} as given.
    """

    tasks: Mapping[str, Mapping[str, Any]]
    verdict: str
    decision: str
    reasons: Sequence[str]
    gains: Mapping[str, Mapping[str, Any]]
    reference: str
    test: Mapping[str, Any]
    n_models: int | None = None
    budget: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The tasks that each chosen method serves."""
        served: dict[str, list[str]] = {}
        for task, row in self.tasks.items():
            served.setdefault(row["method"], []).append(task)
        return {method: tuple(names) for method, names in served.items()}

    @property
    def left_alone(self) -> tuple[str, ...]:
        """Names of the tasks that are best left alone."""
        return tuple(task for task, row in self.tasks.items() if row["leave_alone"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON, atomically."""
        write_json(path, "plan", self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the document of plan.json, without its header."""
        names = ("verdict", "decision", "reasons", "reference", "test", "gains", "n_models", "budget", "tasks")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PlanChoice:
        """Return the plan saved at ``path``.

        Raises
        ------
        ArtifactError
            When the file is missing, damaged, or of another format or version.
        """
        document = read_json(path, "plan")
        fields = {name: document[name] for name in cls.__dataclass_fields__}
        return cls(**fields | {"reasons": tuple(fields["reasons"])})


def make_plan(
    card: Scorecard,
    *,
    candidates: Sequence[str] | None = None,
    isolated: Sequence[str] = (),
    max_models: int | None = None,
    max_flops: float | None = None,
    min_gain: float = 0.002,
    margin: float = 0.01,
) -> PlanChoice:
    """Return which method should serve each task, chosen on validation data, and its gains on test data.

    The reference is the steadiest of the methods whose mean validation score is within one standard error of the best:
    an ensemble of models for all tasks is steadier than a split, that than one model, than linear ones, than models of
    single tasks. Early stopping flatters a method on validation data the more, the fewer tasks each of its networks is
    stopped by, and an average is flattered least; where the data do not tell methods apart, that does.

    A task leaves the reference for the method with the largest believed gain over it beyond doubt: each method's gains
    are shrunk towards their mean by their noise (empirical Bayes), and what is left must exceed its own standard
    deviation. When gains spread no wider than noise one method serves all tasks.

    Parameters
    ----------
    card : Scorecard
        Scores with the splits "valid" and "test", and the ``costs`` that budgets refer to. Of each method's entry are
        read "n_models", "inference_flops_per_task" and "groups", the lists of names of tasks that one of its
        models serves; without groups a method is served whole, single-task and linear ones task by task.
    candidates : sequence of str, optional
        Methods that may be chosen; all but random-groups, which is a control, when left out.
    isolated : sequence of str
        Tasks that the grouping found akin to no other.
    max_models : int, optional
        The most models to serve; a model that serves many tasks counts once.
    max_flops : float, optional
        The most floating-point operations per task to answer one sample, averaged over the tasks.
    min_gain : float
        Believed gain below which a task stays with the reference in any case, so that no model is kept for next to
        nothing.
    margin : float
        The smallest difference of the mean score that the verdict treats as worth a more complex plan.

    Raises
    ------
    InvalidInputError
        When a split is missing, a candidate is not known, or no plan fits the budget.
    """
    if not {"valid", "test"} <= set(card.splits):
        raise InvalidInputError(f"a plan needs the splits 'valid' and 'test'; got {', '.join(card.splits)}.")
    names = list(candidates) if candidates is not None else [m for m in card.methods if m != "random-groups"]
    if not names:
        raise InvalidInputError("`candidates` must hold at least one method; got none.")
    for name in names:
        check_known("method", name, card.methods)
    for name in isolated:
        card.tasks.index_of(name)
    limits = np.array([
        np.inf if max_models is None else check_int("max_models", max_models, low=1),
        np.inf if max_flops is None else check_real("max_flops", max_flops, low=1.0),
    ])  # fmt: skip
    test = card.main["test"]
    reference = _reference(card, names)
    gains = {name: _gain_beyond_doubt(card, name, reference, min_gain) for name in names}
    gains[reference] = np.zeros(len(card.tasks))
    units = _units(card, [reference, *(name for name in names if name != reference)])  # of equals the first is used
    kept = _within(units, gains, limits)
    owner = _worth(kept, gains).argmax(0)
    choice = [kept[u].method for u in owner]
    n_models = sum(kept[u].cost[0] for u in np.unique(owner))

    plan = Measured.mix(test, choice)
    against = [name for name in dict.fromkeys((*_BASELINES, reference)) if name in test]
    mean, *over = card.resampler.intervals([plan, *(plan.minus(test[name]) for name in against)])
    verdict = decide(card, names, plan, margin=margin)
    return PlanChoice(
        {task: _row(card, task, method, isolated) for task, method in zip(card.tasks.names, choice, strict=True)},
        verdict.sentence, verdict.decision, verdict.reasons,
        {name: {"mean": gain.mean, "ci95": gain.ci95, "p": gain.p} for name, gain in zip(against, over, strict=True)},
        reference,
        {"mean": mean.mean, "ci95": mean.ci95},
        None if np.isnan(n_models) else round(n_models),
        {"max_models": max_models, "max_flops": max_flops},
    )  # fmt: skip


def judge(
    y_true: Mapping[str, ArrayLike],
    predictions: Mapping[str, Predictions],
    *,
    tasks: TaskSet | Sequence[Any] | None = None,
    costs: Mapping[str, Mapping[str, Any]] | None = None,
    isolated: Sequence[str] = (),
    max_models: int | None = None,
    max_flops: float | None = None,
    random_state: int = 0,
) -> tuple[Scorecard, PlanChoice]:
    """Return the scorecard and the plan of predictions on the splits "valid" and "test".

    Arguments are those of :func:`score` and :func:`make_plan`.
    """
    card = score(y_true, predictions, tasks=tasks, costs=costs, random_state=random_state)
    return card, make_plan(card, isolated=isolated, max_models=max_models, max_flops=max_flops)


def _reference(card: Scorecard, names: Sequence[str]) -> str:
    """Return the steadiest method that validation data do not tell from the best; of equals the better one."""
    valid = card.main["valid"]
    means = {name: float(np.nan_to_num(valid[name].by_seed.mean(), nan=-np.inf)) for name in names}
    best = max(names, key=lambda name: means[name])
    behind = card.resampler.intervals([valid[best].minus(valid[name]) for name in names])
    close = [name for name, gap in zip(names, behind, strict=True) if gap.mean <= gap.standard_error or name == best]
    return min(close, key=lambda name: (steadiness(family(name)), -means[name]))


def _gain_beyond_doubt(card: Scorecard, name: str, reference: str, min_gain: float) -> Floats:
    """Return each task's believed gain over the reference less its standard deviation, or less `min_gain`, (T,)."""
    gain = card.main["valid"][name].minus(card.main["valid"][reference])
    estimate, deviation = believed(gain)
    of_mean = np.nan_to_num(card.resampler.intervals([gain])[0].standard_error)
    return estimate - np.maximum(min_gain, np.hypot(deviation, of_mean))


@dataclass(frozen=True, eq=False)
class _Unit:
    """What can be served by itself: some models of one method, for some tasks."""

    method: str
    serves: NDArray[np.bool_]  # (T,)
    cost: tuple[float, float]  # models, inference FLOPs per task of the whole set; NaN where not known


def _units(card: Scorecard, names: Sequence[str]) -> list[_Unit]:
    """Return the units of every method: its groups, one task each for single-task and linear methods, or all of it."""
    units = []
    for name in names:
        entry = card.costs.get(name, {})
        alone = family(name) in _ALONE
        groups = entry.get("groups") or ([[task] for task in card.tasks.names] if alone else [card.tasks.names])
        total = entry.get("n_models", np.nan), entry.get("inference_flops_per_task", np.nan)
        odd = {task for group in groups for task in group} ^ set(card.tasks.names)
        if odd:
            raise InvalidInputError(f"`groups` of method {name!r} must hold every task and no other; see {min(odd)!r}.")
        for group in groups:
            serves = np.isin(card.tasks.names, list(group))
            units.append(_Unit(name, serves, (total[0] / len(groups), total[1] / len(groups))))
    return units


def _worth(units: Sequence[_Unit], gains: Mapping[str, Floats]) -> Floats:
    """Return the gain of every task served by each unit, -inf where it cannot be, shape (n_units, T)."""
    return np.array([np.where(unit.serves, gains[unit.method], -np.inf) for unit in units])


def _within(units: list[_Unit], gains: Mapping[str, Floats], limits: Floats) -> list[_Unit]:
    """Return the units that the budget lets us keep."""
    limited = np.isfinite(limits)
    if not limited.any():
        return units
    cost = np.array([unit.cost for unit in units])[:, limited]
    if np.isnan(cost).any():
        raise InvalidInputError(
            "a budget needs the costs of every candidate; give `costs` with n_models and inference_flops_per_task."
        )
    methods = np.array([unit.method for unit in units])
    starts = [np.flatnonzero(methods == name) for name in dict.fromkeys(methods)]
    kept = choose_units(_worth(units, gains), cost, limits[limited], starts)
    if kept is None:
        least = min(cost[start].sum(0).tolist() for start in starts)
        raise InvalidInputError(
            f"no method fits the budget {limits[limited].tolist()}; the cheapest needs {least}. Raise the budget."
        )
    return [units[u] for u in kept]


def _row(card: Scorecard, task: str, method: str, isolated: Sequence[str]) -> dict[str, Any]:
    """Return the entry of one task in plan.json."""
    in_group = family(method) == "split"
    return {
        "method": method,
        "valid": card.value(task, method, split="valid"),
        "test": card.value(task, method, split="test"),
        "stl_test": card.value(task, "stl", split="test") if "stl" in card.methods else None,
        "mtl_test": card.value(task, "mtl", split="test") if "mtl" in card.methods else None,
        "leave_alone": family(method) in _ALONE or (in_group and task in isolated),
    }
