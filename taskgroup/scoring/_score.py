"""Scoring packed outputs: checks, every metric of every method, seed and draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from taskgroup._validation import check_int, check_matrix
from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring._comparison import Resampler
from taskgroup.scoring._main import MetricChoice
from taskgroup.scoring._measured import Measured
from taskgroup.scoring._metrics import Mains, chance_level, evaluate
from taskgroup.scoring._objective import Average, Objective, TaskWeights
from taskgroup.scoring._scorecard import Scorecard
from taskgroup.scoring._seeds import SeedNoise, seed_kind
from taskgroup.tasks import TaskSet

__all__ = ["Predictions", "score"]

Floats = NDArray[np.float64]
Predictions: TypeAlias = Mapping[str, ArrayLike | Mapping[int | str, ArrayLike]]
"""{method: packed outputs}, or {method: {seed: packed outputs}}."""

_CHOICE = ("honest", "valid")  # splits on which thresholds are chosen


def score(
    y_true: ArrayLike | Mapping[str, ArrayLike],
    predictions: Predictions | Mapping[str, Predictions],
    *,
    tasks: TaskSet | Sequence[Any] | None = None,
    split: str = "test",
    baseline: str | None = None,
    costs: Mapping[str, Mapping[str, Any]] | None = None,
    n_resamples: int = 4000,
    random_state: int = 0,
    metric: MetricChoice = None,
    task_weights: TaskWeights = None,
    sample_weight: ArrayLike | Mapping[str, ArrayLike | None] | None = None,
    average: Average = "macro",
    kind: Callable[[str], str] = seed_kind,
) -> Scorecard:
    """Return the scorecard of predictions made anywhere.

    Parameters
    ----------
    y_true : array-like of shape (n, T), or {split: array-like}
        Targets; NaN, and -1 in binary and multiclass tasks, mean "not labelled".
    predictions : {method: outputs} or {method: {seed: outputs}}, or {split: either}
        Outputs of shape (n, n_outputs), packed in task order: a logit per binary task, C logits per multiclass task,
        the predicted value per regression task. Several draws of a method, as of random groups, stack as (n_draws, n,
        n_outputs): each draw is scored by itself and a seed's score is their mean, so that seeds stay paired. All
        methods have the same seeds, or one, as a deterministic method has.
    tasks : TaskSet or sequence of Task or str, optional
        Binary tasks called task_0, task_1, ... when left out.
    split : str
        Name of the split when `y_true` is one array.
    baseline : str
        Method that the others are compared with; the first one when left out, or absent.
    costs : dict, optional
        {method: {"params", "n_models", "inference_flops_per_task", ...}}, repeated in scores.json.
    n_resamples : int
        Resamples behind the intervals.
    random_state : int
        Seed of the resamples.
    metric : str, callable or dict, optional
        Metric that methods are compared by: "auc", "average-precision", "log-loss", "brier", "accuracy" or "r2", or a
        function (y_true, outputs) -> value of one task's labelled samples, higher being better, NaN or a ValueError
        where undefined. A kind of task that does not know the name keeps its default; {"binary": ..., "regression":
        ...} says it by kind. Means and gains of log-loss and Brier score are negated, so that a gain is positive.
    task_weights : array-like of shape (T,) or {task: weight}, optional
        How much each task counts in the mean over tasks; in a dict tasks left out count 1. Equal when left out.
    sample_weight : array-like of shape (n,) or (n, T), or {split: array-like}, optional
        How much each row, or each label, counts in every metric; a label of weight 0 counts as missing. A function
        given as `metric` gets them where it takes `sample_weight`.
    average : str
        "macro": every task counts the same. "micro": every label does, so a task counts by its labelled samples; for
        accuracy, log-loss and Brier score that is the value of all labels pooled. Weights of tasks come on top.
    kind : callable
        Says of the name of a method which have seeds of the same luck, see :class:`SeedNoise`; when left out the
        learner of "<learner>/<arm>".

    Returns
    -------
    Scorecard
        With F1 at the threshold that is best on the split "honest" or "valid"; without such a split F1 is undefined.

    Raises
    ------
    InvalidInputError
        When splits, methods, seeds or shapes disagree, an output is not finite, or a split has no label.

    Examples
    --------
    >>> y = [[0, 1], [1, 0], [1, 1], [0, 0]]
    >>> card = score(y, {"stl": [[0, 1], [2, 0], [1, 1], [3, 0]], "mtl": [[0, 1], [2, 0], [1, 1], [0, 0]]})
    >>> card.value("task_0", "stl"), card.value("task_0", "mtl")
    (0.5, 1.0)
    """
    labels = y_true if isinstance(y_true, Mapping) else {split: y_true}
    outputs = cast(Mapping[str, Predictions], predictions if isinstance(y_true, Mapping) else {split: predictions})
    weighing = sample_weight if isinstance(sample_weight, Mapping) else dict.fromkeys(labels, sample_weight)
    order = sorted(labels, key=lambda name: {"honest": 0, "valid": 0, "test": 2}.get(name, 1))
    if set(outputs) != set(order):
        raise InvalidInputError(f"`predictions` must have the splits {order} of `y_true`; got {sorted(outputs)}.")
    task_set = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks or _default_names(labels[order[0]]))
    targets = {name: _check_targets(name, labels[name], task_set) for name in order}
    masses = {name: _check_masses(name, weighing.get(name), targets[name]) for name in order}
    parsed = {name: _parse(name, outputs[name], len(targets[name]), task_set) for name in order}
    _check_same(parsed)
    methods = tuple(parsed[order[-1]])
    objective = Objective.of(task_set, metric, task_weights, average)
    mains, weights = objective.mains, objective.weights
    main: dict[str, dict[str, Measured]] = {name: {} for name in order}
    values: dict[str, dict[str, dict[str, Floats]]] = {name: {} for name in order}
    by_draw: dict[str, dict[str, Floats]] = {name: {} for name in order}
    counts = {name: np.stack([(~np.isnan(y)).sum(0), (y == 1).sum(0)]) for name, y in targets.items()}
    sizes = {name: _sizes(task_set, mains, y, masses[name]) for name, y in targets.items()}
    bounds = np.array([(mains[task.kind].low, mains[task.kind].high) for task in task_set]).T
    noise = {name: SeedNoise(main[name], kind) for name in order}
    spreads = _spreads(targets, masses)
    for method in methods:
        by_split = {name: parsed[name][method] for name in order}
        measured = _measure(task_set, targets, by_split, masses, mains, spreads)
        for name in order:
            found = measured[name]
            values[name][method] = found.values
            if found.draws is not None:
                by_draw[name][method] = found.draws
            main[name][method] = Measured(
                found.main, found.influence, tuple(by_split[name]), sizes[name],
                weights * counts[name][0] if average == "micro" else weights,
                bounds, {method: np.ones(len(task_set))}, noise[name],
            )  # fmt: skip
    return Scorecard(
        task_set, main, values, counts,
        {name: chance_level(task_set, y, mains, masses[name]) for name, y in targets.items()},
        baseline if baseline in methods else methods[0],
        Resampler(check_int("n_resamples", n_resamples, low=100), random_state),
        dict(costs or {}), mains, by_draw,
    )  # fmt: skip


class _Scores(NamedTuple):
    """Scores of one method on one split."""

    main: Floats  # (S, T)
    influence: NDArray[np.float32]  # (S, T, n)
    values: dict[str, Floats]  # metric -> (S, T)
    draws: Floats | None  # (S, D, T), of the main metric, where there are several


def _measure(
    tasks: TaskSet,
    targets: Mapping[str, NDArray[np.float32]],
    outputs: Mapping[str, Mapping[int | str, NDArray[np.float32]]],
    masses: Mapping[str, Floats | None],
    mains: Mains,
    spreads: Mapping[str, Floats],
) -> dict[str, _Scores]:
    """Return, by split, the scores of one method from its outputs by split and seed."""
    thresholds: dict[tuple[int | str, int], Floats] = {}
    measured = {}
    for split, by_seed in outputs.items():
        shape = (len(by_seed), len(tasks))
        values: dict[str, Floats] = {}
        by_draw: list[list[Floats]] = [[] for _ in by_seed]
        influence = np.zeros((*shape, len(targets[split])), np.float32)
        for s, (seed, draws) in enumerate(by_seed.items()):
            for d, draw in enumerate(draws):
                chosen = None if split in _CHOICE else thresholds.get((seed, d), np.full(len(tasks), np.nan))
                found = evaluate(tasks, targets[split], draw, chosen, mains, masses[split], spreads[split])
                if split in _CHOICE:
                    thresholds[seed, d] = found.thresholds
                by_draw[s].append(found.main)
                influence[s] += found.influence / np.float32(len(draws))
                for name, value in found.values.items():
                    values.setdefault(name, np.zeros(shape))[s] += value / len(draws)
        main = np.array([np.mean(of_seed, axis=0) for of_seed in by_draw])
        several = len({len(of_seed) for of_seed in by_draw}) == 1 and len(by_draw[0]) > 1
        measured[split] = _Scores(main, influence, values, np.array(by_draw) if several else None)
    return measured


def _spreads(targets: Mapping[str, NDArray[np.float32]], masses: Mapping[str, Floats | None]) -> dict[str, Floats]:
    """Return, by split, the variance (T,) of each task's labels in it and in the splits before it."""
    n, total, squares = (np.zeros(next(iter(targets.values())).shape[1]) for _ in range(3))
    everything = np.concatenate(list(targets.values())).astype(np.float64)
    centre = np.nansum(everything, 0) / np.maximum((~np.isnan(everything)).sum(0), 1)  # far from 0 squares lose digits
    found = {}
    for name, y in targets.items():
        given = masses[name]
        mass = np.where(np.isnan(y), 0.0, 1.0 if given is None else given)
        apart = np.nan_to_num(y - centre)
        n, total, squares = n + mass.sum(0), total + (mass * apart).sum(0), squares + (mass * apart**2).sum(0)
        found[name] = np.maximum(squares / np.maximum(n, 1e-12) - np.square(total / np.maximum(n, 1e-12)), 0.0)
    return found


def _parse(
    split: str, predictions: Predictions, n: int, tasks: TaskSet
) -> dict[str, dict[int | str, NDArray[np.float32]]]:
    """Return {method: {seed: (n_draws, n, n_outputs)}} after checking every shape and value."""
    if not predictions:
        raise InvalidInputError(f"`predictions` of split {split!r} must hold at least one method; got none.")
    width = sum(task.n_outputs for task in tasks)
    parsed: dict[str, dict[int | str, NDArray[np.float32]]] = {}
    for method, given in predictions.items():
        by_seed = given if isinstance(given, Mapping) else {0: given}
        if not by_seed:
            raise InvalidInputError(f"method {method!r} must have at least one seed; got none.")
        parsed[method] = {}
        for seed, outputs in by_seed.items():
            name = f"outputs of {method!r}, seed {seed!r}, split {split!r}"
            array = np.asarray(outputs, np.float32)
            array = check_matrix(name, array[None] if array.ndim == 2 else array, (None, n, width))
            if not len(array):
                raise InvalidInputError(f"{name} must hold at least one draw; got none.")
            if not np.isfinite(array).all():
                raise InvalidInputError(
                    f"{name} must be finite; got {(~np.isfinite(array)).sum()} NaN or infinite values."
                )
            parsed[method][seed] = array
    return parsed


def _check_same(parsed: Mapping[str, Mapping[str, Mapping[int | str, NDArray[np.float32]]]]) -> None:
    """Raise unless all splits have the same methods, seeds and draws, and all methods the same seeds or one."""
    shapes = {
        split: {m: {seed: len(draws) for seed, draws in seeds.items()} for m, seeds in methods.items()}
        for split, methods in parsed.items()
    }
    first, *others = shapes
    for other in others:
        for method in {*shapes[first], *shapes[other]}:
            if shapes[first].get(method) != shapes[other].get(method):
                raise InvalidInputError(
                    f"method {method!r} must have the same seeds and draws in splits {first!r} and {other!r}."
                )
    several = {method: tuple(seeds) for method, seeds in shapes[first].items() if len(seeds) > 1}
    for method, seeds in several.items():
        reference, expected = next(iter(several.items()))
        if seeds != expected:
            raise InvalidInputError(
                f"methods must have the same seeds in the same order, or one; got {expected} for {reference!r} and "
                f"{seeds} for {method!r}. Stack several draws of one seed as (n_draws, n, n_outputs)."
            )


def _check_targets(split: str, y: ArrayLike, tasks: TaskSet) -> NDArray[np.float32]:
    """Return (n, T) targets with NaN for missing labels after checking them against the kinds of the tasks."""
    targets = np.array(check_matrix(f"y_true of split {split!r}", y, (None, len(tasks)), np.float32))
    for t, task in enumerate(tasks):
        column = targets[:, t]
        if task.kind != "regression":
            column[column == -1] = np.nan
            present = column[~np.isnan(column)]
            top = (task.n_classes or 2) - 1
            wrong = present[(present < 0) | (present > top) | (present != np.rint(present))]
        else:
            wrong = column[np.isinf(column)]
        if len(wrong):
            raise InvalidInputError(f"targets of {task.kind} task {task.name!r} hold {wrong[0]:g}, which is not one.")
    if np.isnan(targets).all():
        raise InvalidInputError(
            f"y_true of split {split!r} must hold at least one label; all {targets.size} are missing. Score methods on "
            "samples that are labelled."
        )
    return targets


def _check_masses(split: str, given: ArrayLike | None, targets: NDArray[np.float32]) -> Floats | None:
    """Return checked weights of the labels, (n, T); labels of weight 0 become missing in ``targets``."""
    if given is None:
        return None
    weights = np.asarray(given, np.float64)
    weights = weights[:, None] if weights.ndim == 1 else weights
    if weights.shape not in (targets.shape, (len(targets), 1)):
        raise InvalidInputError(
            f"`sample_weight` of split {split!r} must have shape {targets.shape[:1]} or {targets.shape}; got "
            f"{np.shape(given)}."
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise InvalidInputError(f"`sample_weight` of split {split!r} must be finite and not negative.")
    weights = np.broadcast_to(weights, targets.shape)
    targets[weights == 0] = np.nan
    if np.isnan(targets).all():
        raise InvalidInputError(f"`sample_weight` of split {split!r} must leave a label that counts; all weigh 0.")
    return weights


def _sizes(tasks: TaskSet, mains: Mains, y: NDArray[np.float32], weights: Floats | None) -> Floats:
    """Return how many samples each task's main metric rests on, shape (T,); weights make them fewer."""
    mass = np.where(np.isnan(y), 0.0, 1.0 if weights is None else weights)
    means = {"accuracy", "log_loss", "brier"}
    ranks = np.array([task.kind == "binary" and mains["binary"].name not in means for task in tasks])
    ours, theirs = _effective(np.where(y == 1, mass, 0.0)), _effective(np.where(y == 1, 0.0, mass))
    return np.where(ranks, ours * theirs / np.maximum(ours + theirs, 1.0), _effective(mass))


def _effective(mass: Floats) -> Floats:
    """Return how many equal samples vary as much in their mean as these do (Kish), shape (T,)."""
    squares = np.square(mass).sum(0)
    return np.asarray(np.square(mass.sum(0)) / np.where(squares > 0, squares, 1.0))


def _default_names(y: ArrayLike) -> list[str]:
    return [f"task_{t}" for t in range(check_matrix("y_true", y, (None, None)).shape[1])]
