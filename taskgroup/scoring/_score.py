"""Scoring packed outputs: checks, every metric of every method, seed and draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from taskgroup._validation import check_int, check_matrix
from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring._comparison import Resampler
from taskgroup.scoring._measured import Measured
from taskgroup.scoring._metrics import Evaluation, chance_level, evaluate
from taskgroup.scoring._scorecard import Scorecard
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

    Returns
    -------
    Scorecard
        With F1 at the threshold that is best on the split "honest" or "valid"; without such a split F1 is undefined.

    Raises
    ------
    InvalidInputError
        When splits, methods, seeds or shapes disagree, or an output is not finite.

    Examples
    --------
    >>> y = [[0, 1], [1, 0], [1, 1], [0, 0]]
    >>> card = score(y, {"stl": [[0, 1], [2, 0], [1, 1], [3, 0]], "mtl": [[0, 1], [2, 0], [1, 1], [0, 0]]})
    >>> card.value("task_0", "stl"), card.value("task_0", "mtl")
    (0.5, 1.0)
    """
    labels = y_true if isinstance(y_true, Mapping) else {split: y_true}
    outputs = cast(Mapping[str, Predictions], predictions if isinstance(y_true, Mapping) else {split: predictions})
    order = sorted(labels, key=lambda name: {"honest": 0, "valid": 0, "test": 2}.get(name, 1))
    if set(outputs) != set(order):
        raise InvalidInputError(f"`predictions` must have the splits {order} of `y_true`; got {sorted(outputs)}.")
    task_set = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks or _default_names(labels[order[0]]))
    targets = {name: _check_targets(name, labels[name], task_set) for name in order}
    parsed = {name: _parse(name, outputs[name], len(targets[name]), task_set) for name in order}
    _check_same(parsed)
    methods = tuple(parsed[order[-1]])
    main: dict[str, dict[str, Measured]] = {name: {} for name in order}
    values: dict[str, dict[str, dict[str, Floats]]] = {name: {} for name in order}
    counts = {name: np.stack([(~np.isnan(y)).sum(0), (y == 1).sum(0)]) for name, y in targets.items()}
    sizes = {name: _sizes(task_set, n, n_positive) for name, (n, n_positive) in counts.items()}
    for method in methods:
        by_split = {name: parsed[name][method] for name in order}
        measured = _measure(task_set, targets, by_split, sizes)
        for name in order:
            main[name][method], values[name][method] = measured[name]
    return Scorecard(
        task_set, main, values, counts,
        {name: chance_level(task_set, y) for name, y in targets.items()},
        baseline if baseline in methods else methods[0],
        Resampler(check_int("n_resamples", n_resamples, low=100), random_state),
        dict(costs or {}),
    )  # fmt: skip


def _measure(
    tasks: TaskSet,
    targets: Mapping[str, NDArray[np.float32]],
    outputs: Mapping[str, Mapping[int | str, NDArray[np.float32]]],
    sizes: Mapping[str, Floats],
) -> dict[str, tuple[Measured, dict[str, Floats]]]:
    """Return, by split, the main metric and all metrics of one method, from its outputs by split and seed."""
    thresholds: dict[tuple[int | str, int], Floats] = {}
    measured = {}
    for split, by_seed in outputs.items():
        found: list[list[Evaluation]] = []
        for seed, draws in by_seed.items():
            found.append([])
            for d, draw in enumerate(draws):
                chosen = None if split in _CHOICE else thresholds.get((seed, d), np.full(len(tasks), np.nan))
                found[-1].append(evaluate(tasks, targets[split], draw, chosen))
                if split in _CHOICE:
                    thresholds[seed, d] = found[-1][-1].thresholds
        names = found[0][0].values
        values = {m: np.array([np.mean([e.values[m] for e in draws], axis=0) for draws in found]) for m in names}
        main = np.array([np.mean([e.main for e in draws], axis=0) for draws in found])
        influence = np.array([np.mean([e.influence for e in draws], axis=0) for draws in found])
        measured[split] = (Measured(main, influence, tuple(by_seed), sizes[split]), values)
    return measured


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
    return targets


def _sizes(tasks: TaskSet, n: NDArray[np.int64], n_positive: NDArray[np.int64]) -> Floats:
    """Return how many samples each task's main metric rests on, shape (T,)."""
    binary = np.array([task.kind == "binary" for task in tasks])
    return np.where(binary, n_positive * (n - n_positive) / np.maximum(n, 1), n).astype(np.float64)


def _default_names(y: ArrayLike) -> list[str]:
    return [f"task_{t}" for t in range(check_matrix("y_true", y, (None, None)).shape[1])]
