"""Choosing the plan on honest answers, and measuring it on test answers that took no part in the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from taskgroup._validation import check_int, check_real
from taskgroup.exceptions import InvalidInputError
from taskgroup.plan._answer import Facts, write_answer
from taskgroup.plan._blend import Calibration, best_thresholds, calibrate, greedy_weights, own_weights
from taskgroup.plan._choice import PlanChoice, mixed
from taskgroup.scoring import (
    Average,
    Measured,
    MetricChoice,
    Objective,
    Scorecard,
    TaskWeights,
    family,
    needed,
    pareto,
    reliability,
    score,
)  # fmt: skip
from taskgroup.tasks import Task, TaskSet

__all__ = ["RULES", "Rule", "check_rule", "judge", "make_plan"]

Floats = NDArray[np.float64]
Packed = NDArray[np.float32]
Predictions = Mapping[str, Mapping[str, Mapping[int | str, Packed]]]

Rule = str
"""One of :data:`RULES`, or ``"within=0.005"``: the cheapest whose honest score is at most that much below the best."""

RULES = ("best", "blend", "single", "simplest")
"""best and blend: the blend that does best on honest answers; single: the one method that does; simplest: the cheapest
of what honest answers do not tell from the best."""


_WORTH = 0.01  # gain of the mean score that is worth acting on
_NEXT_TO_NOTHING = 0.002  # loss of the mean honest score that the simplest plan may have
PLAN, UNGROUPED = "plan", "plan without groups"

_METRIC_WORDS = {
    "auc": "AUC", "accuracy": "accuracy", "r2": "R2", "average_precision": "average precision",
    "log_loss": "log-loss (negated)", "brier": "Brier score (negated)",
}  # fmt: skip


def check_rule(rule: Rule) -> tuple[str, float]:
    """Return the kind of a rule, and the loss that it accepts where it names one; raise when it is none."""
    kind, equals, margin = rule.partition("=")
    if kind == "within" and equals:
        try:
            return kind, check_real("within", float(margin), 0.0)
        except ValueError:
            kind = ""
    if kind not in RULES or equals:
        raise InvalidInputError(f"`plan` must be among {', '.join(RULES)} or like 'within=0.005'; got {rule!r}.")
    return kind, 0.0


def judge(
    y_true: Mapping[Literal["honest", "test"] | str, ArrayLike],
    predictions: Predictions,
    *,
    tasks: TaskSet | Sequence[Any],
    arms: Mapping[str, str] | None = None,
    rule: Rule = "best",
    costs: Mapping[str, Mapping[str, Any]] | None = None,
    max_models: int | None = None,
    isolated: Sequence[str] = (),
    n_groups: int | None = None,
    sample_weight: Mapping[str, NDArray[np.float32]] | None = None,
    metric: MetricChoice = None,
    task_weights: TaskWeights = None,
    average: Average = "macro",
    random_state: int = 0,
) -> tuple[Scorecard, PlanChoice, Predictions]:
    """Return the scorecard, the plan, and the predictions with those of the plan.

    Parameters
    ----------
    y_true : {"honest": (n, T), "test": (m, T)}
        Targets; NaN where missing.
    predictions : {"honest" | "test": {method: {seed: packed outputs}}}
        Honest outputs are of models that were not fitted to the rows they answer for.
    tasks : TaskSet or sequence of Task or str
        The T tasks.
    arms : dict, optional
        {method: what its arm stands for}, see :data:`taskgroup.arms.Role`; what its name says when left out.
    rule, costs, max_models, isolated, n_groups
        See :func:`make_plan`.
    sample_weight : {"honest": (n, T), "test": (m, T)}, optional
        How much each label counts, in every choice and every score.
    metric, task_weights, average
        What the plan is chosen and everything is compared by, see :func:`taskgroup.scoring.score`.
    random_state : int
        Seed of the resamples behind intervals.
    """
    tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
    objective = Objective.of(tasks, metric, task_weights, average)
    arms = {name: family(name) for name in predictions["honest"]} if arms is None else arms
    served = {name: _served(by_seed) for name, by_seed in predictions["honest"].items() if arms[name] != "control"}
    Y = np.asarray(y_true["honest"], np.float32)
    mass = None if sample_weight is None else sample_weight["honest"]
    scale = {name: calibrate(tasks, Y, packed, mass) for name, packed in served.items()}
    honest = {name: scale[name].apply(tasks, packed) for name, packed in served.items()}
    test = {name: scale[name].apply(tasks, _served(predictions["test"][name])) for name in honest}
    choice = _choose(objective, Y, mass, honest, arms, rule, costs or {}, max_models)
    added = {PLAN: choice.own} | ({} if choice.ungrouped is None else {UNGROUPED: choice.ungrouped})
    extended: dict[str, dict[str, Mapping[int | str, Packed]]] = {}
    for split, answers in (("honest", honest), ("test", test)):
        extended[split] = dict(predictions[split])
        extended[split] |= {name: {0: mixed(tasks, answers, weights)} for name, weights in added.items()}
    scores = {name: objective.mean(Y, outputs, mass) for name, outputs in honest.items()}
    together = _best(scores, arms, "one-model")
    alone = _best(scores, arms, "single-task")
    baseline = alone or together or choice.single
    n_seeds = {name: len(by_seed) for name, by_seed in predictions["honest"].items()}
    joint = {name: _joint_cost(costs or {}, weights, n_seeds) for name, weights in added.items()}
    costs = {**(costs or {}), **{name: cost for name, cost in joint.items() if cost}}
    card = score(
        y_true, extended, tasks=tasks, costs=costs, baseline=baseline, random_state=random_state, metric=metric,
        task_weights=task_weights, average=average, sample_weight=sample_weight,
    )  # fmt: skip
    cuts = best_thresholds(tasks, Y, extended["honest"][PLAN][0], mass)
    plan = make_plan(card, choice, scale, together, alone, arms, rule, isolated, n_groups=n_groups, thresholds=cuts)
    found = reliability(tasks, np.asarray(y_true["test"], np.float32), extended["test"][PLAN][0],
                        None if sample_weight is None else sample_weight["test"])  # fmt: skip
    return card, replace(plan, test={**plan.test, "reliability": found}), extended


class Choice(NamedTuple):
    """What was chosen on honest answers."""

    common: dict[str, float]  # the weights of the plan
    own: dict[str, dict[str, float]]  # the same by task, with what each task adds
    ungrouped: dict[str, dict[str, float]] | None  # those of the best plan without groups; None when none was tried
    single: str  # the best method


def make_plan(
    card: Scorecard,
    choice: Choice,
    scale: Mapping[str, Calibration],
    together: str | None,
    alone: str | None,
    arms: Mapping[str, str],
    rule: Rule,
    isolated: Sequence[str] = (),
    *,
    n_groups: int | None = None,
    thresholds: Sequence[float | None] = (),
) -> PlanChoice:
    """Return the plan of some weights with its gains on test rows and the answer in words.

    Parameters
    ----------
    card : Scorecard
        With the splits "honest" and "test", and the plan among its methods.
    choice : Choice
        What was chosen on honest answers.
    scale : dict
        {method: its calibration}.
    together, alone : str, optional
        The best model for all tasks and the best model per task, as chosen on honest rows.
    arms : dict
        {method: what its arm stands for}.
    rule : str
        How the weights were chosen.
    isolated : sequence of str
        Tasks that the grouping found akin to no other.
    n_groups : int, optional
        Number of its groups.
    thresholds : sequence of float or None
        Probability from which each binary task is positive.
    """
    main = card.main["test"]
    plan = main[PLAN]
    named = {"together": together, "alone": alone, "ungrouped": UNGROUPED, "single": choice.single}
    against = {key: name for key, name in named.items() if name is not None and name in main}
    differences = [plan.minus(main[name]) for name in against.values()]
    mean, *over = card.resampler.intervals([plan, *differences], "trained")
    wanted = {
        key: needed(gap, margin=_WORTH, question="trained") for key, gap in zip(against, differences, strict=True)
    }
    needs = {key: None if found.settled else str(found) for key, found in wanted.items()}
    over_alone, over_together = (
        [] if name is None else card.task_gains(PLAN, name, "trained") for name in (alone, together)
    )
    gains: dict[str, dict[str, Any]] = {
        key: {"method": name, "mean": gain.mean, "ci95": gain.ci95, "p": gain.p, "needs": needs[key]}
        for (key, name), gain in zip(against.items(), over, strict=True)
    }
    used = dict.fromkeys(name for own in choice.own.values() for name in own)
    facts = Facts(
        rule, choice.common, len(card.tasks), _metric(card), (mean.mean, mean.low, mean.high),
        float(np.nansum(card.chance["test"] * plan.shares)), _fact(gains, "together"), _fact(gains, "alone"),
        _counts(over_alone), _counts(over_together),
        None if "ungrouped" not in gains else (gains["ungrouped"]["mean"], *gains["ungrouped"]["ci95"]), needs,
        _over_random(card), _cheaper(card, list(used), arms, weights=choice.common), _unfitted(main, choice.common),
        n_groups, int(plan.defined.sum()),
    )  # fmt: skip
    rows = {task: _row(card, task, choice.own[task], together, alone) for task in card.tasks.names}
    for task, cut in zip(card.tasks.names, thresholds, strict=False):
        rows[task]["threshold"] = cut
    for key, found in (("over_alone", over_alone), ("over_together", over_together)):
        for row in found:
            rows[row["task"]][key] = {name: row[name] for name in ("gain", "low", "high", "q", "call")}
    test = {"mean": mean.mean, "ci95": mean.ci95}
    calibration = {name: {"slope": scale[name].slope, "intercept": scale[name].intercept} for name in used}
    return PlanChoice(
        rule,
        choice.common,
        calibration,
        rows,
        write_answer(facts),
        test,
        gains,
        card.costs.get(PLAN, {}).get("n_models"),
        tuple(isolated),
    )


def _choose(
    objective: Objective,
    Y: NDArray[np.float32],
    mass: NDArray[np.float32] | None,
    honest: Mapping[str, Floats],
    arms: Mapping[str, str],
    rule: Rule,
    costs: Mapping[str, Mapping[str, Any]],
    max_models: int | None,
) -> Choice:
    kind, margin = check_rule(rule)
    names = _affordable(honest, costs, max_models)
    scores = {name: objective.mean(Y, honest[name], mass) for name in names}
    tasks = objective.tasks
    single = max(names, key=lambda name: scores[name])
    without = [name for name in names if arms[name] != "split"]
    tried = 0 < len(without) < len(names)

    def blended(some: Sequence[str]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        answers = {name: honest[name] for name in some}
        common = _sorted(_within(greedy_weights(objective, Y, answers, weights=mass), costs, max_models, single))
        if max_models is not None:
            return common, dict.fromkeys(tasks.names, common)
        return common, own_weights(objective, Y, answers, common, mass)

    def alone(some: Sequence[str]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        best = max(some, key=lambda name: scores[name])
        limit = margin if kind == "within" else 0.0 if kind == "single" else _NEXT_TO_NOTHING
        near = [name for name in some if scores[name] >= scores[best] - limit]
        chosen = {min(near, key=lambda name: _price(costs, name)): 1.0}
        return chosen, dict.fromkeys(tasks.names, chosen)

    made = blended if kind in ("best", "blend") else alone
    return Choice(*made(names), made(without)[1] if tried else None, single)


def _joint_cost(
    costs: Mapping[str, Mapping[str, Any]], weights: Mapping[str, Mapping[str, float]], n_seeds: Mapping[str, int]
) -> dict[str, float]:
    """Return what the methods of some weights cost together, in all repetitions; empty where one's cost is unknown."""
    used = dict.fromkeys(name for own in weights.values() for name in own)
    if not all(name in costs for name in used):
        return {}
    numbers = [{key: value * n_seeds[name] for key, value in costs[name].items() if isinstance(value, (int, float))}
               for name in used]  # fmt: skip
    return {
        key: sum(row.get(key, 0) for row in numbers) for key in dict.fromkeys(key for row in numbers for key in row)
    }


def _affordable(honest: Mapping[str, Floats], costs: Mapping[str, Mapping[str, Any]], limit: int | None) -> list[str]:
    """Return the methods that alone are within the budget."""
    if limit is None:
        return list(honest)
    check_int("max_models", limit, low=1)
    names = [name for name in honest if costs.get(name, {}).get("n_models", np.inf) <= limit]
    if not names:
        least = min(int(costs[name]["n_models"]) for name in honest if name in costs)
        raise InvalidInputError(f"no method fits `max_models`={limit}; the smallest needs {least}. Raise the budget.")
    return names


def _within(
    weights: dict[str, float], costs: Mapping[str, Mapping[str, Any]], limit: int | None, single: str
) -> dict[str, float]:
    """Return the weights of the heaviest methods that the budget holds, summing to 1."""
    if limit is None:
        return weights
    kept: dict[str, float] = {}
    left = limit
    for name, weight in sorted(weights.items(), key=lambda item: -item[1]):
        if costs[name]["n_models"] <= left:
            kept[name], left = weight, left - int(costs[name]["n_models"])
    total = sum(kept.values())
    return {name: weight / total for name, weight in kept.items()} if kept else {single: 1.0}


def _served(by_seed: Mapping[int | str, Packed]) -> Packed:
    """Return what a method answers when its repetitions are averaged, which is how it is served."""
    mean = np.mean(np.stack([np.asarray(packed) for packed in by_seed.values()]), axis=0, dtype=np.float64)
    return np.asarray(mean, np.float32)


def _best(scores: Mapping[str, float], arms: Mapping[str, str], role: str) -> str | None:
    names = [name for name in scores if arms[name] == role]
    return max(names, key=lambda name: scores[name]) if names else None


def _price(costs: Mapping[str, Mapping[str, Any]], name: str) -> tuple[float, float]:
    entry = costs.get(name, {})
    return float(entry.get("bytes", np.inf)), float(entry.get("n_models", np.inf))


def _cheaper(
    card: Scorecard, used: Sequence[str], arms: Mapping[str, str], *, weights: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the methods that nothing as cheap does better than, the dearest first, with what they lose on test rows.

    They are chosen on honest rows, by the bytes of their models.
    """
    main, honest = card.main["test"], card.main["honest"]
    costs = {name: float(card.costs[name]["bytes"]) for name in arms if arms[name] != "control" and name in card.costs}
    if not costs:
        return []
    total = sum(costs.get(name, np.inf) for name in used)
    rows = pareto({name: main[name] for name in costs}, costs, chosen_on=honest, resampler=card.resampler)
    front = [row["method"] for row in rows if row["cost"] < total and dict(weights) != {row["method"]: 1.0}]
    losses = card.resampler.intervals([main[name].minus(main[PLAN]) for name in front], "trained")
    return [
        {
            "plan": name, "models": card.costs[name].get("n_models"), "bytes": card.costs[name]["bytes"],
            "test": float(main[name].by_seed.mean()), "loss": loss.mean, "ci95": loss.ci95,
            "honest_loss": float(honest[name].minus(honest[PLAN]).by_seed.mean()),
        }
        for name, loss in reversed(list(zip(front, losses, strict=True)))
    ]  # fmt: skip


def _over_random(card: Scorecard) -> tuple[str, tuple[float, float, float]] | None:
    """Return the gain of the grouped method that is best on honest rows over random groups of its own learner."""
    main = card.main["test"]
    pairs = [(name, name.replace("/grouped", "/random-groups")) for name in main if name.endswith("/grouped")]
    pairs = [pair for pair in pairs if pair[1] in main]
    if not pairs:
        return None
    name, control = max(pairs, key=lambda pair: float(np.nan_to_num(card.main["honest"][pair[0]].by_seed.mean())))
    gain = card.resampler.intervals([main[name].minus(main[control])], "retrained")[0]
    return name, (gain.mean, gain.low, gain.high)


def _unfitted(main: Mapping[str, Measured], common: Mapping[str, float]) -> list[str]:
    """Return, of the learners whose groups the plan uses, the simpler arms that were not fitted."""
    learners = dict.fromkeys(name.split("/")[0] for name in common if name.endswith("/grouped"))
    simpler = [f"{learner}/{arm}" for learner in learners for arm in ("all-in-one", "per-task")]
    return [name for name in simpler if name not in main]


def _counts(rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Return how many tasks are helped and hurt."""
    calls = [row["call"] for row in rows]
    return calls.count("helped"), calls.count("hurt")


def _class_names(task: Task) -> dict[str, list[str]]:
    return {} if task.classes is None else {"classes": list(task.classes)}


def _row(
    card: Scorecard, task: str, weights: Mapping[str, float], together: str | None, alone: str | None
) -> dict[str, Any]:
    """Return the entry of one task in plan.json."""
    return {
        **_class_names(card.tasks[card.tasks.index_of(task)]),
        "weights": dict(weights),
        "honest": card.value(task, PLAN, split="honest"),
        "test": card.value(task, PLAN, split="test"),
        "together_test": None if together is None else card.value(task, together, split="test"),
        "alone_test": None if alone is None else card.value(task, alone, split="test"),
    }


def _fact(gains: Mapping[str, Mapping[str, Any]], key: str) -> tuple[str, tuple[float, float, float]] | None:
    if key not in gains:
        return None
    row = gains[key]
    return str(row["method"]), (row["mean"], row["ci95"][0], row["ci95"][1])


def _metric(card: Scorecard) -> str:
    mains = set(card.main_metrics)
    name = mains.pop() if len(mains) == 1 else "score"
    return _METRIC_WORDS.get(name, name)


def _sorted(weights: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0])))
