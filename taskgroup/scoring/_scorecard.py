"""The scorecard: every metric of every task, method, seed and split, with intervals and paired comparisons."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._artifact import write_json
from taskgroup._validation import check_known
from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring._comparison import Comparison, Interval, Resampler
from taskgroup.scoring._measured import Measured, replication
from taskgroup.scoring._main import DEFAULT_MAIN
from taskgroup.scoring._metrics import LOWER_IS_BETTER, Mains, main_metrics, metrics_of
from taskgroup.scoring._names import CONTROLS, family
from taskgroup.scoring._noise import noise_variance
from taskgroup.scoring._rows import ScoreRow, write_score_rows
from taskgroup.tasks import TaskSet

__all__ = ["Scorecard"]

Floats = NDArray[np.float64]


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
        {method: {"params", "n_models", "groups", ...}}: the ledger, repeated in scores.json without the groups.
    mains : dict
        {kind of task: :class:`MainMetric`}: the metric that methods are compared by.
    """

    tasks: TaskSet
    main: Mapping[str, Mapping[str, Measured]]
    values: Mapping[str, Mapping[str, Mapping[str, Floats]]]
    counts: Mapping[str, NDArray[np.int64]]
    chance: Mapping[str, Floats]
    baseline: str
    resampler: Resampler
    costs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mains: Mains = field(default_factory=lambda: dict(DEFAULT_MAIN))

    @property
    def main_metrics(self) -> tuple[str, ...]:
        """Name of the main metric of every task."""
        return main_metrics(self.tasks, self.mains)

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
        """Return one score; by default the mean over seeds of the task's main metric on the judged split.

        A main metric of which less is better is negated, unless asked for by its name.
        """
        column = self.tasks.index_of(task)
        part = check_known("split", split or self.judged, self.splits)
        check_known("method", method, self.methods)
        scores = self.main[part][method].values[:, column]
        if metric is not None:
            scores = self.values[part][method][check_known("metric", metric, self.values[part][method])][:, column]
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
                        for metric in metrics_of(task.kind, self.mains):
                            value = float(metrics[metric][s, t])
                            yield ScoreRow(
                                task.name, method, seed, split, metric,
                                None if np.isnan(value) else value,
                                n[t], n_positive[t] if task.kind == "binary" else None,
                            )  # fmt: skip

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every method against the baseline; then every grouping against every control.

        Each question has its own Holm correction: whether anything beats the baseline, and whether this grouping beats
        its controls.
        """
        rows = self.compare([(method, self.baseline) for method in self.methods if method != self.baseline])
        for method in self.methods:
            if family(method) == "split":
                against = (c for c in self.methods if c in CONTROLS and c not in {self.baseline, method})
                rows += self.compare([(method, control) for control in against])
        return rows

    def compare(
        self, pairs: Sequence[tuple[str, str]], split: str | None = None, question: str = "retrained"
    ) -> list[Comparison]:
        """Return the differences of the mean main metric of (method, baseline) pairs, Holm-corrected together.

        "retrained" asks what the methods would give, trained again; "trained" what these trained models give.
        """
        methods = self.main[check_known("split", split or self.judged, self.splits)]
        for name in {name for pair in pairs for name in pair}:
            check_known("method", name, methods)
        return self.resampler.compare(methods, pairs, question)

    @cached_property
    def means(self) -> dict[str, Interval]:
        """Mean of the main metric over tasks, with its interval, of every method."""
        methods = self.main[self.judged]
        return dict(zip(methods, self.resampler.intervals(list(methods.values())), strict=True))

    def replication(self, method: str, baseline: str | None = None) -> dict[str, float | int | None]:
        """Return whether gains per task of some seeds on some samples come back with other seeds on other samples."""
        methods = self.main[self.judged]
        return replication(methods[method].minus(methods[baseline or self.baseline]))

    def summary(self) -> list[dict[str, Any]]:
        """Return one row per method, best mean first.

        "mean" and "ci95" are of the main metric over the tasks. "better" and "worse" are the shares of the tasks whose
        difference to the baseline is beyond its own 95 % noise; .025 of each is expected by chance. "worst_task" loses
        most to the baseline, by "worst_difference". "delta_m" is the mean relative gain in percent (Maninis et al.,
        arXiv 1904.08918, equation 3), with RMSE in place of R2. "p_holm" is of the difference to "vs".
        """
        best_first = sorted(self.methods, key=lambda m: -np.nan_to_num(self.means[m].mean, nan=-np.inf))
        return [self._summary_row(method) for method in best_first]

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
            "main_metric": dict(zip(self.tasks.names, self.main_metrics, strict=True)),
            "summary": self.summary(),
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "replication": {name: self.replication(name) for name in others},
        }

    def _summary_row(self, method: str) -> dict[str, Any]:
        row = {"method": method, "mean": self.means[method].mean, "ci95": self.means[method].ci95}
        against = ("better", "worse", "worst_task", "worst_difference", "delta_m", "p_holm", "vs")
        methods = self.main[self.judged]
        difference = methods[method].minus(methods[self.baseline])
        gains, beyond = difference.by_task, 1.96 * noise_variance(difference) ** 0.5
        if method == self.baseline or not difference.defined.any():
            return row | dict.fromkeys(against)
        worst = int(np.nanargmin(gains))
        return row | {
            "better": float(np.mean(gains[difference.defined] > beyond[difference.defined])),
            "worse": float(np.mean(gains[difference.defined] < -beyond[difference.defined])),
            "worst_task": self.tasks.names[worst],
            "worst_difference": float(gains[worst]),
            "delta_m": self._delta_m(method),
            "p_holm": next(c.p_holm for c in self.comparisons if (c.method, c.baseline) == (method, self.baseline)),
            "vs": self.baseline,
        }

    def _document(self, method: str) -> dict[str, Any]:
        """Return the entry of one method: a mean per metric, with an interval where it is a main one, and its costs."""
        entry: dict[str, Any] = {"main": {"mean": self.means[method].mean, "ci95": self.means[method].ci95}}
        mains = np.array(self.main_metrics)
        for metric, values in self.values[self.judged][method].items():
            defined = ~np.isnan(values).any(0)
            entry[metric] = {"mean": float(values[:, defined].mean()) if defined.any() else None}
            if metric in mains:
                of_metric = self.main[self.judged][method].select(mains == metric)
                entry[metric]["ci95"] = self.resampler.intervals([of_metric])[0].ci95
        return entry | {name: cost for name, cost in self.costs.get(method, {}).items() if name != "groups"}

    def _delta_m(self, method: str) -> float:
        """Return the mean over tasks of the relative gain over the baseline, in percent."""
        mine, theirs = (self.values[self.judged][name] for name in (method, self.baseline))
        gains = []
        for t, name in enumerate(self.main_metrics):
            metric = "rmse" if name == "r2" else name
            a, b = mine[metric][:, t].mean(), theirs[metric][:, t].mean()
            if b != 0 and np.isfinite(a) and np.isfinite(b):
                gains.append((b - a if metric in LOWER_IS_BETTER else a - b) / b)
        return 100 * float(np.mean(gains)) if gains else float("nan")
