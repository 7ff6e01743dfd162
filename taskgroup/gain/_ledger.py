"""What has been measured so far, and how two ways of grouping the same tasks compare."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from taskgroup.gain._judge import Judge, Score, score_outputs
from taskgroup.scoring._seeds import moderated

__all__ = ["ROUGH", "Gain", "Group", "Ledger", "Measure", "judged"]

Floats = NDArray[np.float64]
Group = tuple[int, ...]
"""Positions of tasks that are fitted jointly, ascending."""

ROUGH = 0.25
"""The effort at which every set is judged; those near the margin are judged again at full effort, `Ledger.full`."""

_FULL = 150.0  # tasks above which full effort shrinks: the luck of the fits averages out over tasks
_PRIOR_NODES = 5.0  # comparisons that the assumed share of luck counts for
_KEPT = 64  # sets whose outputs are kept for blends
_log = logging.getLogger(__name__)


class Found(NamedTuple):
    """What a judge found of a set."""

    score: Score | None  # None when it failed, and why in `note`
    note: str = ""
    answer: NDArray[np.float32] | None = None  # mean over the draws, of a single task


Measure = Callable[[Sequence[tuple[Group, float]]], Iterator[Any]]
"""Yields what :func:`judged` finds of sets at efforts, in their order."""


class Gain(NamedTuple):
    """The difference of two ways of grouping, summed over their tasks, and its standard deviation."""

    value: float
    noise: float


class Ledger:
    """Scores of sets of tasks, each measured once per effort.

    Parameters
    ----------
    judge : Judge
        Who measures.
    progress : callable, optional
        Called with ("cluster", sets measured, sets expected).
    run : callable, optional
        Who asks the judge, for instance several processes; the result does not depend on it.

    Attributes
    ----------
    notes : dict of Group to str
        Sets that the judge failed on, and why; they are left out of every comparison.
    full : float
        The full effort, from `ROUGH` to 1.
    expected : int
        Number of sets that will be measured, for the progress.
    """

    def __init__(
        self, judge: Judge, progress: Callable[[str, int, int], None] | None = None, run: Measure | None = None
    ) -> None:
        self.judge = judge
        self.full = min(1.0, max(ROUGH, _FULL / len(judge.tasks)))
        self._run: Measure = run or (lambda wanted: (judged(judge, *one) for one in wanted))
        self.notes: dict[Group, str] = {}
        self.expected = 0
        self._progress = progress
        self._scores: dict[tuple[Group, float], Score | None] = {}
        self._answers: dict[int, NDArray[np.float32]] = {}
        self._outputs: dict[Group, NDArray[np.float32] | None] = {}
        self._gains: dict[tuple[int, int, float], Gain | None] = {}
        self._luck = (_PRIOR_NODES, _PRIOR_NODES)
        self.size = _sizes(judge)
        self._labelled: list[NDArray[np.int32]] = [
            np.flatnonzero(~np.isnan(column)).astype(np.int32) for column in judge.targets.T
        ]

    @property
    def measured(self) -> list[tuple[Group, float]]:
        """The sets that were measured, and at what effort."""
        return list(self._scores)

    @property
    def luck(self) -> float:
        """Variance of a gain by the luck of the fit, in units of its variance by the rows, pooled over comparisons."""
        return self._luck[0] / self._luck[1]

    def measure(self, groups: Iterable[Group], effort: float) -> None:
        """Measure those of the sets that were not measured at this effort."""
        wanted = [g for g in dict.fromkeys(groups) if (g, effort) not in self._scores]
        for group, found in zip(wanted, self._run([(group, effort) for group in wanted]), strict=True):
            score, note, answer = found if isinstance(found, Found) else Found(None, found.cause)
            self._scores[group, effort] = score
            if answer is not None:
                self._answers.setdefault(group[0], answer)
            if note:
                self.notes[group] = note
                _log.warning("tasks %s are left out of the search: %s", group, note)
            if self._progress is not None:
                self._progress("cluster", len(self._scores), max(self.expected, len(self._scores)))

    def labelled(self, task: int) -> NDArray[np.int32]:
        """Return the rows of the judge that hold a label of the task, ascending."""
        return self._labelled[task]

    def answers(self, n_tasks: int) -> list[NDArray[np.float32]] | None:
        """Return what the models of single tasks answered, n_tasks arrays (n, n_outputs); None when one failed."""
        found = [self._answers.get(t) for t in range(n_tasks)]
        return None if any(answer is None for answer in found) else [a for a in found if a is not None]

    def outputs_of(self, task: int, group: Group, effort: float) -> NDArray[np.float32] | None:
        """Return what the model of a set answers for one of its tasks, (n_draws, n, n_outputs); None if it failed."""
        if group not in self._outputs:
            self._outputs = {**dict(list(self._outputs.items())[-_KEPT:]), group: _answer(self.judge, group, effort)[0]}
        outputs = self._outputs[group]
        if outputs is None:
            return None
        stops = np.cumsum([self.judge.tasks[t].n_outputs for t in group])
        last = int(stops[group.index(task)])
        return outputs[:, :, last - self.judge.tasks[task].n_outputs : last]

    def score(self, group: Group, effort: float) -> Score | None:
        """Return the score of a set; None where the judge failed."""
        self.measure([group], effort)
        return self._scores[group, effort]

    def partition(self, groups: Sequence[Group], effort: float) -> Score | None:
        """Return the scores of the tasks of some disjoint sets, in ascending order of the tasks."""
        self.measure(groups, effort)
        parts = [score for group in groups if (score := self._scores[group, effort]) is not None]
        if len(parts) < len(groups):
            return None
        if len(groups) == 1:
            return parts[0]
        tasks = [t for group in groups for t in group]
        order = np.argsort(tasks)
        influence = np.concatenate([part.influence for part in parts])
        of_task = np.split(influence, np.cumsum([len(self._labelled[t]) for t in tasks[:-1]]))
        return Score(
            np.concatenate([part.values for part in parts])[order],
            np.concatenate([of_task[i] for i in order]),
            np.concatenate([part.draws for part in parts], 1)[:, order],
        )

    def compare(
        self, new: Sequence[Group], old: Sequence[Group], effort: float, half: NDArray[np.bool_] | None = None
    ) -> Gain | None:
        """Return what grouping the same tasks the new way gains; None where the judge failed on one of the sets.

        The noise is that of the paired difference: rows are shared by all tasks, so their influences are summed over
        tasks first; of rare tasks, which tell their own spread badly, the variance is moderated towards what tasks of
        the same size have; the luck of the fit is added. With ``half`` only those rows count, to first order.
        """
        key = hash(frozenset(new)), hash(frozenset(old)), effort  # of ints: two thousand groups a key are dear
        if half is None and key in self._gains:
            return self._gains[key]
        gain = self._compare(new, old, effort, half)
        if half is None:
            self._gains[key] = gain
        return gain

    def _compare(
        self, new: Sequence[Group], old: Sequence[Group], effort: float, half: NDArray[np.bool_] | None
    ) -> Gain | None:
        ours, theirs = self.partition(new, effort), self.partition(old, effort)
        if ours is None or theirs is None:
            return None
        tasks = np.sort([t for group in new for t in group])
        values, influence = ours.values - theirs.values, ours.influence - theirs.influence
        keep = np.isfinite(values)
        if not keep.any():
            return Gain(0.0, 0.0)
        n, counts = len(self.judge.targets), [len(self._labelled[t]) for t in tasks]
        influence[np.repeat(~keep, counts)] = 0.0
        total = np.bincount(np.concatenate([self._labelled[t] for t in tasks]), influence, n)
        of_task = np.repeat(np.arange(len(tasks)), counts)
        squared = np.bincount(of_task, np.square(influence, dtype=np.float64), minlength=len(tasks))
        values, own = values[keep], np.asarray(squared[keep] * n / max(n - 1, 1), np.float64)
        of_tasks = moderated(own, self.size[tasks][keep])
        rows = float(np.square(total).sum()) * n / max(n - 1, 1) + float(np.maximum(of_tasks - own, 0.0).sum())
        value = float(values.sum())
        if half is not None:
            value += float(total @ np.where(half, 1.0, -1.0))
            return Gain(value, (2 * rows * (1 + self.luck)) ** 0.5)
        if len(ours.draws) > 1 and rows > 0:
            draws = (ours.draws - theirs.draws)[:, keep].sum(1)
            self._luck = (self._luck[0] + float(draws.var(ddof=1)) / len(draws) / rows, self._luck[1] + 1.0)
        return Gain(value, (rows * (1 + self.luck)) ** 0.5)


def judged(judge: Judge, group: Group, effort: float) -> Found:
    """Return what a judge finds of a set at an effort."""
    outputs, note = _answer(judge, group, effort)
    if outputs is None:
        return Found(None, note)
    return Found(score_outputs(judge, group, outputs), "", outputs.mean(0) if len(group) == 1 else None)


def _answer(judge: Judge, group: Group, effort: float) -> tuple[NDArray[np.float32] | None, str]:
    """Return the judge's outputs, or None and what was wrong with them."""
    try:
        outputs = np.asarray(judge.outputs(group, effort), np.float32)
    except Exception as error:  # a judge is the user's: whatever it raises costs this set, not the search
        return None, f"{type(error).__name__}: {error}"
    width = sum(judge.tasks[t].n_outputs for t in group)
    if outputs.ndim != 3 or outputs.shape[1:] != (len(judge.targets), width):
        return None, f"outputs of shape {outputs.shape}, not (n_draws, {len(judge.targets)}, {width})"
    if not np.isfinite(outputs).all():
        return None, "outputs that are not finite"
    return outputs, ""


def _sizes(judge: Judge) -> Floats:
    """Return how many samples each task's metric rests on, (T,): of a binary task n1 n0 / (n1 + n0)."""
    labelled = (~np.isnan(judge.targets)).sum(0).astype(np.float64)
    positive = (judge.targets == 1).sum(0)
    binary = np.array([task.kind == "binary" for task in judge.tasks])
    return np.asarray(np.where(binary, positive * (labelled - positive) / np.maximum(labelled, 1), labelled))
