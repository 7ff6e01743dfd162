"""The scorecard: every metric of every task, method, seed and split, with intervals and paired comparisons."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from taskgroup._artifact import write_json
from taskgroup._validation import check_int, check_known, check_matrix
from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring._comparison import Comparison, Interval, Measured, Resampler, replication
from taskgroup.scoring._metrics import LOWER_IS_BETTER, METRICS, best_thresholds, chance_level, evaluate, main_metrics
from taskgroup.scoring._noise import noise_variance
from taskgroup.scoring._names import CONTROLS, family
from taskgroup.scoring._rows import ScoreRow, write_score_rows
from taskgroup.tasks import TaskSet

__all__ = ["Predictions", "Scorecard", "score"]

Floats = NDArray[np.float64]
Predictions: TypeAlias = Mapping[str, "ArrayLike | Mapping[int | str, ArrayLike]"]
"""{method: packed outputs (n, n_outputs), or {seed: packed outputs}}; several draws stack as (n_draws, n, n_outputs)."""


@dataclass(frozen=True, eq=False)
class Scorecard:
    """Scores of some methods on T tasks. Made by :func:`score`.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    main : dict
        {split: {method: :class:`Measured`}}: the main metric by seed and task, with the influence of the samples.
    values : dict
        {split: {method: {metric: (S, T)}}}: every metric by seed and task, NaN where undefined.
    counts : dict
        {split: (2, T) int}: labelled samples, and positive ones of binary tasks.
    chance : dict
        {split: (T,)}: what the main metrics are worth without looking at the inputs.
    baseline : str
        The method that others are measured against.
    resampler : Resampler
        Source of the intervals.
    costs : dict
        {method: {"params", "n_models", ...}}: the ledger, repeated in scores.json.
    """

    tasks: TaskSet
    main: Mapping[str, Mapping[str, Measured]]
    values: Mapping[str, Mapping[str, Mapping[str, Floats]]]
    counts: Mapping[str, NDArray[np.int64]]
    chance: Mapping[str, Floats]
    baseline: str
    resampler: Resampler
    costs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, validation first."""
        return tuple(self.main)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in the order given."""
        return tuple(self.main[self.judged])

    @property
    def judged(self) -> str:
        """The split that comparisons are made on: the last one, the test split where there is one."""
        return self.splits[-1]

    def value(
        self,
        task: str,
        method: str,
        seed: int | str | None = None,
        split: str | None = None,
        metric: str | None = None,
    ) -> float:
        """Return one score: of the mean over seeds, the judged split and the task's main metric unless told otherwise."""
        column = self.tasks.index_of(task)
        part = check_known("split", split or self.judged, self.splits)
        check_known("method", method, self.methods)
        named = metric or main_metrics(self.tasks)[column]
        check_known("metric", named, self.values[part][method])
        scores = self.values[part][method][named][:, column]
        if seed is None:
            return float(scores.mean())
        seeds = self.main[part][method].seeds
        if seed not in seeds:
            raise InvalidInputError(f"method {method!r} has no seed {seed!r}; it has {', '.join(map(str, seeds))}.")
        return float(scores[seeds.index(seed)])

    def rows(self) -> Iterator[ScoreRow]:
        """Yield every score, sorted by split, method, seed, task and metric as given."""
        for split, methods in self.values.items():
            n, n_positive = self.counts[split].tolist()
            for method, metrics in methods.items():
                for s, seed in enumerate(self.main[split][method].seeds):
                    for t, task in enumerate(self.tasks):
                        for metric in METRICS[task.kind]:
                            value = float(metrics[metric][s, t])
                            yield ScoreRow(
                                task.name, method, seed, split, metric,
                                None if np.isnan(value) else value,
                                n[t], n_positive[t] if task.kind == "binary" else None,
                            )  # fmt: skip

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every method against the baseline; then every grouping against every control.

        Each question has its own Holm correction: whether anything beats the baseline, and whether this grouping beats its
        controls.
        """
        rows = self.compare([(method, self.baseline) for method in self.methods if method != self.baseline])
        for method in self.methods:
            if family(method) == "split":
                against = (c for c in self.methods if c in CONTROLS and c not in {self.baseline, method})
                rows += self.compare([(method, control) for control in against])
        return rows

    def compare(self, pairs: Sequence[tuple[str, str]], split: str | None = None) -> list[Comparison]:
        """Return the differences of the mean main metric of (method, baseline) pairs, Holm-corrected together."""
        methods = self.main[check_known("split", split or self.judged, self.splits)]
        for name in {name for pair in pairs for name in pair}:
            check_known("method", name, methods)
        return self.resampler.compare(methods, pairs)

    @cached_property
    def means(self) -> dict[str, Interval]:
        """Mean of the main metric over tasks, with its interval, of every method."""
        methods = self.main[self.judged]
        return dict(zip(methods, self.resampler.intervals(list(methods.values())), strict=True))

    def replication(self, method: str, baseline: str | None = None) -> dict[str, float | int | None] | None:
        """Return whether gains per task seen on validation data with some seeds come back on test data with others."""
        if len(self.splits) < 2:
            return None
        first, last = (self.main[split] for split in (self.splits[0], self.judged))
        against = baseline or self.baseline
        return replication(first[method].minus(first[against]), last[method].minus(last[against]))

    def summary(self) -> list[dict[str, Any]]:
        """Return one row per method, best mean first.

        "mean" and "ci95" are of the main metric over the tasks. "better" and "worse" are the shares of the tasks whose
        difference to the baseline is beyond its own 95 % noise; .025 of each is expected by chance. "worst_task" loses most
        to the baseline, by "worst_difference". "delta_m" is the mean relative gain in percent (Maninis et al., arXiv
        1904.08918, equation 3), with RMSE in place of R2. "p_holm" is of the difference to "vs".
        """
        methods, vs = self.main[self.judged], self.methods
        compared = {c.method: c for c in self.comparisons if c.baseline == self.baseline}
        rows = []
        for name in sorted(vs, key=lambda m: -np.nan_to_num(self.means[m].mean, nan=-np.inf)):
            difference = methods[name].minus(methods[self.baseline])
            gains, error = difference.by_task[difference.defined], noise_variance(difference)[difference.defined] ** 0.5
            names = np.array(self.tasks.names)[difference.defined]
            is_other = name != self.baseline and len(gains) > 0
            rows.append(
                {
                    "method": name,
                    "mean": self.means[name].mean,
                    "ci95": self.means[name].ci95,
                    "better": float(np.mean(gains > 1.96 * error)) if is_other else None,
                    "worse": float(np.mean(gains < -1.96 * error)) if is_other else None,
                    "worst_task": str(names[gains.argmin()]) if is_other else None,
                    "worst_difference": float(gains.min()) if is_other else None,
                    "delta_m": self._delta_m(name) if is_other else None,
                    "p_holm": compared[name].p_holm if is_other else None,
                    "vs": self.baseline if is_other else None,
                }
            )
        return rows

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write every score with the columns of :class:`ScoreRow`; undefined values are empty."""
        write_score_rows(path, self.rows())

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write means, intervals, costs, the summary and the comparisons."""
        write_json(path, "scores", self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the document of scores.json, without its header."""
        others = [m for m in self.methods if m != self.baseline]
        return {
            "split": self.judged,
            "baseline": self.baseline,
            "methods": {name: self._document(name) for name in self.methods},
            "main_metric": dict(zip(self.tasks.names, main_metrics(self.tasks), strict=True)),
            "summary": self.summary(),
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "replication": {name: self.replication(name) for name in others},
        }

    def _document(self, method: str) -> dict[str, Any]:
        """Return the entry of one method: a mean per metric, an interval where every task has it as its main metric."""
        mains = set(main_metrics(self.tasks))
        entry: dict[str, Any] = {"main": {"mean": self.means[method].mean, "ci95": self.means[method].ci95}}
        for metric, values in self.values[self.judged][method].items():
            defined = ~np.isnan(values).any(0)
            entry[metric] = {"mean": float(values[:, defined].mean()) if defined.any() else None}
            if mains == {metric}:
                entry[metric]["ci95"] = self.means[method].ci95
        return entry | dict(self.costs.get(method, {}))

    def _delta_m(self, method: str) -> float:
        """Return the mean over tasks of the relative gain over the baseline, in percent."""
        mine, theirs = (self.values[self.judged][name] for name in (method, self.baseline))
        gains = []
        for t, name in enumerate(main_metrics(self.tasks)):
            metric = "rmse" if name == "r2" else name
            a, b = mine[metric][:, t].mean(), theirs[metric][:, t].mean()
            if b != 0 and np.isfinite(a) and np.isfinite(b):
                gains.append((b - a if metric in LOWER_IS_BETTER else a - b) / b)
        return 100 * float(np.mean(gains)) if gains else float("nan")


def score(
    y_true: ArrayLike | Mapping[str, ArrayLike],
    predictions: Predictions | Mapping[str, Predictions],
    *,
    tasks: TaskSet | Sequence[Any] | None = None,
    split: str = "test",
    baseline: str = "stl",
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
        Outputs of shape (n, n_outputs), packed in task order: a logit per binary task, C logits per multiclass task, the
        predicted value per regression task. Several draws of a method, as of random groups, stack as (n_draws, n, n_outputs):
        each draw is scored by itself and a seed's score is their mean, so that seeds stay paired. All methods have
        the same seeds, or one, as a deterministic method has.
    tasks : TaskSet or sequence of Task or str, optional
        Binary tasks called task_0, task_1, ... when left out.
    split : str
        Name of the split when `y_true` is one array.
    baseline : str
        Method that the others are compared with; the first one when it is absent.
    costs : dict, optional
        {method: {"params", "n_models", "inference_flops_per_task", ...}}, repeated in scores.json.
    n_resamples : int
        Resamples behind the intervals.
    random_state : int
        Seed of the resamples.

    Returns
    -------
    Scorecard
        With F1 at the threshold that is best on the split "valid"; without that split F1 is undefined.

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
    labels, outputs = (y_true, predictions) if isinstance(y_true, Mapping) else ({split: y_true}, {split: predictions})
    order = sorted(labels, key=lambda name: {"valid": 0, "test": 2}.get(name, 1))
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
    measured = {}
    thresholds: dict[int | str, list[Floats]] = {}
    if "valid" in targets:
        for seed, draws in outputs["valid"].items():
            thresholds[seed] = [best_thresholds(tasks, targets["valid"], draw) for draw in draws]
    for split, by_seed in outputs.items():
        scores: list[dict[str, Floats]] = []
        mains: list[Floats] = []
        influence = np.zeros((len(tasks), len(targets[split])), np.float32)
        for seed, draws in by_seed.items():
            chosen = thresholds.get(seed, [None] * len(draws))
            found = [evaluate(tasks, targets[split], draw, t) for draw, t in zip(draws, chosen, strict=True)]
            scores.append({m: np.mean([e.values[m] for e in found], axis=0) for m in found[0].values})
            mains.append(np.mean([e.main for e in found], axis=0))
            for e in found:
                influence += e.influence / np.float32(len(found) * len(by_seed))
        values = {m: np.stack([s[m] for s in scores]) for m in scores[0]}
        measured[split] = (Measured(np.stack(mains), influence, tuple(by_seed), sizes[split]), values)
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
            if not len(array) or not np.isfinite(array).all():
                raise InvalidInputError(f"{name} must be finite; got {int((~np.isfinite(array)).sum())} NaN or infinity.")
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
