"""Groups by measured gain: trees propose, the judge disposes."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from taskgroup._display import brief
from taskgroup._processes import end_with_parent, processes
from taskgroup._validation import check_choice, check_int, check_matrix, check_real
from taskgroup.exceptions import InvalidInputError
from taskgroup.gain._cut import refined_cut, rough_cut
from taskgroup.gain._estimate import Z95, cuts_of_halves, expected_gain, gain_path
from taskgroup.gain._judge import Judge
from taskgroup.gain._ledger import ROUGH, Found, Gain, Group, Ledger, Measure, judged
from taskgroup.gain._moves import fewer_groups, join_lonely, move
from taskgroup.gain._propose import answer_similarity, importance_similarity
from taskgroup.gain._soft import soften
from taskgroup.gain._tree import Node, contract, task_tree

__all__ = ["MARGIN", "GainGroups", "find_groups"]

Progress = Callable[[str, int, int], None]

MARGIN = 1.0
"""Standard deviations by which a cut, or a move, must gain; settled on sets that no figure is reported on."""

_FITS_PER_TASK = 40  # budget of a search: fits of m tasks count m
_MOST_NODES = 300  # inner nodes of all trees: all of those of a hundred tasks
_FEW = 40  # tasks up to which the start of processes takes longer than they save


@brief
@dataclass(frozen=True)
class GainGroups:
    """Groups that were found, and what they are expected to be worth.

    Parameters
    ----------
    groups : tuple of Group
        Positions of the tasks of every group.
    info : dict
        JSON-able: "proposer" (whose tree won) and "proposers" (its rivals' gains against it), "expected" gains against
        "all-in-one" and "alone", "path" (gain of the best cuts by number of groups), "nodes" and "fits" that were
        judged, "moves", "blended", "luck", "notes" and "seconds".
    membership : ndarray of float64 of shape (T, k)
        One for each task's group; one half in two groups for tasks that their blend serves better.
    """

    groups: tuple[Group, ...]
    membership: NDArray[np.float64]
    info: Mapping[str, Any] = field(default_factory=dict)


def find_groups(
    judge: Judge,
    similarities: Mapping[str, ArrayLike] | None = None,
    *,
    margin: float = MARGIN,
    soft: bool = False,
    max_size: int | None = None,
    max_groups: int | None = None,
    trials: int | None = None,
    own_proposals: Sequence[Literal["answers", "importances"]] = ("answers",),
    jobs: int = 1,
    progress: Progress | None = None,
    random_state: int = 0,
) -> GainGroups:
    """Return the groups of tasks that a judge measures to be worth most.

    Average linkage on each similarity proposes a tree of tasks; dynamic programming finds its best cut, where a node
    stays whole unless its best cut below gains more than the noise; the trees compete by the scores of their cuts. A
    task that is alone joins another group unless alone is measured to be better; then groups merge and tasks move as
    long as that gains more than the noise.

    Parameters
    ----------
    judge : Judge
        Who measures, for instance :class:`ForestJudge`.
    similarities : mapping of str to array-like of shape (T, T), optional
        Proposals by name, symmetric, larger is more alike.
    margin : float
        Standard deviations of the paired difference by which a cut or a move must gain.
    soft : bool
        Whether a task may be served by the blend of two groups, where that measures better.
    max_size, max_groups : int, optional
        Largest group, largest number of groups.
    trials : int, optional
        Merges and moves that are tried at most; by default as many as there are tasks, up to 16.
    own_proposals : sequence of {"answers", "importances"}
        What is proposed beside the given similarities, of the single-task models that are judged anyhow: how alike
        they answer on all rows, labelled or not, and how alike a forest's importances are. The latter won rarely where
        it was tried, and each tree costs about as many fits as there are tasks.
    jobs : int
        Processes that fit, where there are more than a few tasks and the judge can be sent to them; the result does
        not depend on them. A script that asks for several must begin its work under ``if __name__ == "__main__":``.
    progress : callable, optional
        Called with ("cluster", sets measured, sets expected).
    random_state : int
        Seed of the half-samples of the estimate.

    Raises
    ------
    InvalidInputError
        When a similarity does not fit the tasks, or a limit is not positive.
    """
    started = time.perf_counter()
    n_tasks = len(judge.tasks)
    check_real("margin", margin, 0.0)
    check_int("jobs", jobs, 1)
    for name, limit in (("max_size", max_size), ("max_groups", max_groups)):
        if limit is not None:
            check_int(name, limit, 1)
    for name in own_proposals:
        check_choice("own_proposals", name, ("answers", "importances"))
    if max_size is not None and max_groups is not None and max_size * max_groups < n_tasks:
        raise InvalidInputError(
            f"{n_tasks} tasks do not fit in max_groups={max_groups} groups of max_size={max_size}; relax one of them."
        )
    matrices = {
        name: check_matrix(f"similarity {name!r}", S, (n_tasks, n_tasks), np.float64)
        for name, S in (similarities or {}).items()
    }
    trials = min(n_tasks, 16) if trials is None else check_int("trials", trials, 0)
    with threadpool_limits(1), _crew(judge, jobs if n_tasks > _FEW else 1) as run:
        ledger = Ledger(judge, progress, run)
        matrices |= _own_proposals(judge, ledger, own_proposals)
        matrices = matrices or {"none": np.eye(n_tasks)}
        trees = {
            name: _limit(
                contract(task_tree(S), _FITS_PER_TASK * n_tasks // len(matrices), _MOST_NODES // len(matrices)),
                max_size,
            )
            for name, S in matrices.items()
        }
        winner, rivals, groups = _compete(trees, ledger, margin)
        S, tree = matrices[winner], trees[winner]
        limited = max_size is not None and max_size < n_tasks
        if max_size is None:
            groups = join_lonely(groups, S, ledger, margin)
        moves, halves = 0, cuts_of_halves(tree, ledger, margin, random_state)
        if limited or _is_worth_it(expected_gain(groups, tree, ledger, halves)["all-in-one"], margin):
            groups, moves = move(groups, S, ledger, margin, trials, max_size)
            groups = sorted(fewer_groups(groups, S, ledger, max_groups or n_tasks, max_size))
        else:
            groups = [tree.tasks]
        membership = soften(groups, S, ledger, margin, trials if soft else 0)
        expected = expected_gain(groups, tree, ledger, halves)
        if len(groups) > 1 and not limited and not _is_worth_it(expected["all-in-one"], margin):
            groups, membership = [tree.tasks], np.ones((n_tasks, 1))
            expected = expected_gain(groups, tree, ledger, halves)
        path = gain_path(tree, ledger)
    info = {
        "proposer": winner,
        "proposers": rivals,
        "expected": expected,
        "path": path,
        "nodes": len({group for group, _ in ledger.measured}),
        "fits": len(ledger.measured),
        "moves": moves,
        "blended": [judge.tasks.names[t] for t in np.flatnonzero(membership.max(1) < 1)],
        "margin": margin,
        "luck": ledger.luck,
        "notes": [f"tasks {', '.join(judge.tasks[t].name for t in g)}: {why}" for g, why in ledger.notes.items()],
        "seconds": round(time.perf_counter() - started, 2),
    }
    return GainGroups(tuple(groups), membership, info)


@contextmanager
def _crew(judge: Judge, jobs: int) -> Iterator[Measure | None]:
    """Give what asks the judge in several processes; None where this one does it alone."""
    if jobs > 1:
        try:
            pickle.dumps(judge)
        except Exception:  # a judge of the user's that cannot be sent
            jobs = 1
    if jobs == 1:
        yield None
        return
    with processes(jobs, _in_worker, partial(_prepare, judge)) as run:
        yield run


_judges: list[Judge] = []
"""The judge of a worker process: sent once, not with each set."""


def _prepare(judge: Judge) -> None:
    end_with_parent(lambda: None)
    _judges[:] = [judge]


def _in_worker(job: tuple[Group, float]) -> Found:
    with threadpool_limits(1):
        return judged(_judges[0], *job)


def _is_worth_it(against_one: Mapping[str, float] | None, margin: float) -> bool:
    """Return whether enough is left of what groups gain on rows that did not choose them: half of what a cut must gain.

    Every cut has gained more than the margin on the rows that chose it, so that asking for all of it again would merge
    groups that are there.
    """
    if against_one is None:
        return True
    noise = (against_one["high"] - against_one["low"]) / (2 * Z95)
    return against_one["gain"] > 0.5 * margin * noise


def _own_proposals(judge: Judge, ledger: Ledger, wanted: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return similarities of the answers of single-task models, and of the importances of their features."""
    n_tasks = len(judge.tasks)
    ledger.measure([(t,) for t in range(n_tasks)], ROUGH)
    answers = ledger.answers(n_tasks)
    found = {}
    if "answers" in wanted and answers is not None:
        found["answers"] = answer_similarity(answers)
    if "importances" in wanted:
        importances = getattr(judge, "importances", None)
        if importances is None:
            raise InvalidInputError("own_proposals=('importances',) needs a judge that has `importances`.")
        found["importances"] = importance_similarity(np.asarray(importances(ROUGH), np.float64))
    return found


def _compete(trees: Mapping[str, Node], ledger: Ledger, margin: float) -> tuple[str, list[dict[str, Any]], list[Group]]:
    """Return whose best cut is taken, what each rival gains against it per task, and the groups of that cut.

    A later proposer replaces an earlier one where its cut gains more than the margin at low effort, and again at full
    effort: of cuts that cannot be told apart the first is as good as any, and the best of several flatters itself.
    """
    ledger.expected = len({node.tasks for tree in trees.values() for node in tree.walk()}) * 4 // 3
    rough = {name: rough_cut(tree, ledger, margin) for name, tree in trees.items()}
    winner, *others = rough
    groups = refined_cut(trees[winner], rough[winner], ledger, margin).groups
    finals: dict[str, Gain] = {}
    for name in others:
        gain = ledger.compare(rough[name].groups, groups, ROUGH)
        if gain is not None and gain.value > margin * gain.noise:
            final = ledger.compare(rough[name].groups, groups, ledger.full)
            if final is None:
                continue
            finals[name] = final
            if final.value > margin * final.noise:
                winner, groups = name, refined_cut(trees[name], rough[name], ledger, margin).groups
    rows = []
    n_tasks = sum(map(len, groups))
    for name, cut in rough.items():
        gain = Gain(0.0, 0.0) if name == winner else finals.get(name, ledger.compare(cut.groups, groups, ROUGH))
        value, noise = (None, None) if gain is None else (gain.value / n_tasks, gain.noise / n_tasks)
        rows.append({"name": name, "k": len(cut.groups), "gain": value, "noise": noise})
    return winner, rows, groups


def _limit(node: Node, max_size: int | None) -> Node:
    """Return the tree; nodes above the limit are marked as cut."""
    if max_size is None or len(node.tasks) <= max_size:
        return node
    return Node(node.tasks, tuple(_limit(child, max_size) for child in node.children), cut=True)
