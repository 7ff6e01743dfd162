"""The scorecard: every metric of every task, method, seed and split, with intervals and paired comparisons."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._artifact import write_json
from taskgroup._display import clipped, html_table
from taskgroup._validation import check_known
from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring._claims import AmongDraws, Claim, among_draws, better_than_all
from taskgroup.scoring._comparison import Comparison, Interval, Resampler
from taskgroup.scoring._main import DEFAULT_MAIN
from taskgroup.scoring._measured import Measured, replication
from taskgroup.scoring._metrics import LOWER_IS_BETTER, Mains, main_metrics, metrics_of
from taskgroup.scoring._names import family, split_name
from taskgroup.scoring._rows import ScoreRow, write_score_rows
from taskgroup.scoring._truth import task_gains
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
    draws : dict
        {split: {method: (S, D, T)}}: the main metric of every draw of the methods that have several.
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
    draws: Mapping[str, Mapping[str, Floats]] = field(default_factory=dict)

    def __repr__(self) -> str:
        means = {name: float(np.nanmean(m.values)) for name, m in self.main[self.judged].items() if m.defined.any()}
        best = sorted(means, key=lambda name: -means[name])
        shown = clipped((f"{name} {means[name]:.3f}" for name in best), 5, 60)
        return f"Scorecard({len(self.methods)} methods on {len(self.tasks):,} tasks, {self.judged} rows: {shown})"

    def _repr_html_(self) -> str:
        rows = [tuple(row[name] for name in ("method", "mean", "ci95", "better", "worse")) for row in self.summary()]
        heads = ("method", f"mean {self.judged} score", "95 % interval", "better", "worse")
        return html_table(heads, rows, f"{len(self.tasks):,} tasks, against {self.baseline}")

    def to_frame(self) -> Any:
        """Return a pandas DataFrame of every score, with the columns of :class:`ScoreRow`."""
        import pandas as pd

        return pd.DataFrame(self.rows(), columns=[field.name for field in fields(ScoreRow)])

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
        """Every method against the baseline; then every grouping against the controls fitted by the same learner.

        Each question has its own Holm correction: whether anything beats the baseline, and whether this grouping beats
        its controls.
        """
        rows = self.compare([(method, self.baseline) for method in self.methods if method != self.baseline])
        for method in self.methods:
            if family(method) == "split":
                learner = split_name(method)[0]
                alike = (c for c in self.methods if split_name(c)[0] == learner and c not in {self.baseline, method})
                against = (c for c in alike if family(c) != "split" or split_name(c)[1] == "label-groups")
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

    def task_gains(
        self, method: str, baseline: str | None = None, question: str = "retrained", alpha: float = 0.05
    ) -> list[dict[str, Any]]:
        """Return what every task gains over a baseline, and whether it is helped or hurt; see :func:`task_gains`."""
        methods = self.main[self.judged]
        against = methods[check_known("method", baseline or self.baseline, self.methods)]
        difference = methods[check_known("method", method, self.methods)].minus(against)
        return task_gains(difference, self.tasks.names, question=question, alpha=alpha)

    def better_than_all(
        self, method: str, others: Sequence[str], question: str = "retrained", alpha: float = 0.05
    ) -> Claim:
        """Return whether a method is better than all of some others; see :func:`better_than_all`."""
        for name in (method, *others):
            check_known("method", name, self.methods)
        return better_than_all(
            self.main[self.judged], method, others, resampler=self.resampler, question=question, alpha=alpha
        )

    def among_draws(self, method: str, control: str = "random-groups", alpha: float = 0.05) -> AmongDraws:
        """Return how a method stands among the draws of a control of which several were scored.

        Every draw of every seed counts, each by itself, and the method by its mean over seeds. Where a draw is of other
        groups in every seed that asks no more of the method than is fair: the mean of its seeds is steadier than any
        draw. Where the groups of a draw are the same in all seeds, they are counted once, by their mean.
        """
        check_known("method", method, self.methods)
        drawn = self.draws.get(self.judged, {}).get(check_known("method", control, self.methods))
        measured = self.main[self.judged][method]
        if drawn is None:
            return among_draws(float(measured.by_seed.mean()), [], alpha)
        values = np.where(measured.shares > 0, drawn, 0.0) @ measured.shares
        return among_draws(float(measured.by_seed.mean()), values, alpha)

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

        "mean" and "ci95" are of the main metric over the tasks. "better" and "worse" are the shares of the tasks that
        are shown to be helped or hurt against the baseline, no more than a twentieth of them falsely (see
        :func:`task_gains`). "worst_task" loses most to the baseline, by "worst_difference" as measured. "delta_m" is
        the mean relative gain in percent (Maninis et al., arXiv 1904.08918, equation 3), with RMSE in place of R2.
        "p_holm" is of the difference to "vs".
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
            "tasks": self.tasks.to_list(),
            "baseline": self.baseline,
            "methods": {name: self._document(name) for name in self.methods},
            "main_metric": dict(zip(self.tasks.names, self.main_metrics, strict=True)),
            "summary": self.summary(),
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "replication": {name: self.replication(name) for name in others},
            "task_gains": self._gains,
        }

    @cached_property
    def _gains(self) -> dict[str, list[dict[str, Any]]]:
        """What every task gains by every method over the baseline."""
        return {method: self.task_gains(method) for method in self.methods if method != self.baseline}

    def _summary_row(self, method: str) -> dict[str, Any]:
        row = {"method": method, "mean": self.means[method].mean, "ci95": self.means[method].ci95}
        against = ("better", "worse", "worst_task", "worst_difference", "delta_m", "p_holm", "vs")
        methods = self.main[self.judged]
        difference = methods[method].minus(methods[self.baseline])
        gains = difference.by_task
        if method == self.baseline or not difference.defined.any():
            return row | dict.fromkeys(against)
        worst, calls = int(np.nanargmin(gains)), [row["call"] for row in self._gains[method]]
        return row | {
            "better": calls.count("helped") / int(difference.defined.sum()),
            "worse": calls.count("hurt") / int(difference.defined.sum()),
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
