"""Groups by measured gain: trees propose, the judge disposes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from taskgroup._validation import check_int, check_matrix, check_real
from taskgroup.exceptions import InvalidInputError
from taskgroup.gain._cut import EFFORTS, Cut, refined_cut, rough_cut
from taskgroup.gain._estimate import expected_gain, gain_path
from taskgroup.gain._judge import Judge
from taskgroup.gain._ledger import Group, Ledger
from taskgroup.gain._moves import fewer_groups, join_lonely, move
from taskgroup.gain._propose import answer_similarity, importance_similarity
from taskgroup.gain._tree import Node, contract, task_tree

__all__ = ["MARGIN", "GainGroups", "find_groups"]

Progress = Callable[[str, int, int], None]

MARGIN = 1.0
"""Standard deviations by which a cut, or a move, must gain; settled on sets that no figure is reported on."""

_FINALISTS = 2  # proposers whose cuts are judged at full effort
_FITS_PER_TASK = 40  # budget of a search: fits of m tasks count m


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
        judged, "moves", "luck", "notes" and "seconds".
    tree : Node
        The tree that won.
    """

    groups: tuple[Group, ...]
    info: Mapping[str, Any] = field(default_factory=dict)
    tree: Node | None = None


def find_groups(
    judge: Judge,
    similarities: Mapping[str, ArrayLike] | None = None,
    *,
    margin: float = MARGIN,
    max_size: int | None = None,
    max_groups: int | None = None,
    trials: int | None = None,
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
        Proposals by name, symmetric, larger is more alike. The answers of single-task models, and the importances that
        a forest gives to the features, are proposed beside them at no further cost.
    margin : float
        Standard deviations of the paired difference by which a cut or a move must gain.
    max_size, max_groups : int, optional
        Largest group, largest number of groups.
    trials : int, optional
        Merges and moves that are tried at most; by default as many as there are tasks, up to 30.
    jobs : int
        Threads of the judge's fits; the result does not depend on them.
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
    if max_size is not None and max_groups is not None and max_size * max_groups < n_tasks:
        raise InvalidInputError(
            f"{n_tasks} tasks do not fit in max_groups={max_groups} groups of max_size={max_size}; relax one of them."
        )
    matrices = {
        name: check_matrix(f"similarity {name!r}", S, (n_tasks, n_tasks), np.float64)
        for name, S in (similarities or {}).items()
    }
    trials = min(n_tasks, 30) if trials is None else check_int("trials", trials, 0)
    ledger = Ledger(judge, progress, jobs)
    with threadpool_limits(1):
        matrices |= _own_proposals(judge, ledger)
        trees = {
            name: _limit(contract(task_tree(S), _FITS_PER_TASK * n_tasks // len(matrices)), max_size)
            for name, S in matrices.items()
        }
        ledger.expected = len({node.tasks for tree in trees.values() for node in tree.walk()}) * 3 // 2
        rough = {name: rough_cut(tree, ledger, margin) for name, tree in trees.items()}
        best, rivals = _compete(rough, ledger, EFFORTS[0])
        near = sorted((r for r in rivals if r["gain"] is not None and r["gain"] + r["noise"] > 0), key=lambda r: -r["gain"])
        finalists = [best, *(r["name"] for r in near if r["name"] != best)][:_FINALISTS]
        cuts = {name: refined_cut(trees[name], rough[name], ledger, margin) for name in finalists}
        winner, finals = _compete(cuts, ledger, EFFORTS[1])
        rivals = [next((f for f in finals if f["name"] == r["name"]), r) for r in rivals]
        S, tree, groups = matrices[winner], trees[winner], cuts[winner].groups
        if max_size is None:
            groups = join_lonely(groups, S, ledger, margin)
        groups, moves = move(groups, S, ledger, margin, trials, max_size)
        groups = sorted(fewer_groups(groups, S, ledger, max_groups or n_tasks))
        expected = {
            name: expected_gain(groups, sorted(other), tree, ledger, margin, random_state)
            for name, other in (("all-in-one", [tree.tasks]), ("alone", [(t,) for t in range(n_tasks)]))
        }
        path = gain_path(tree, ledger)
    info = {
        "proposer": winner,
        "proposers": rivals,
        "expected": expected,
        "path": path,
        "nodes": len({group for group, _ in ledger.measured}),
        "fits": len(ledger.measured),
        "moves": moves,
        "margin": margin,
        "luck": ledger.luck,
        "notes": [f"tasks {', '.join(judge.tasks[t].name for t in g)}: {why}" for g, why in ledger.notes.items()],
        "seconds": round(time.perf_counter() - started, 2),
    }
    return GainGroups(tuple(groups), info, tree)


def _own_proposals(judge: Judge, ledger: Ledger) -> dict[str, NDArray[np.float64]]:
    """Return similarities of the answers of single-task models, and of the importances of their features."""
    n_tasks = len(judge.tasks)
    ledger.measure([(t,) for t in range(n_tasks)], EFFORTS[0])
    answers = ledger.answers(n_tasks)
    found = {} if answers is None else {"answers": answer_similarity(answers)}
    importances = getattr(judge, "importances", None)
    if importances is not None:
        found["importances"] = importance_similarity(np.asarray(importances, np.float64))
    return found or {"none": np.eye(n_tasks)}


def _compete(cuts: Mapping[str, Cut], ledger: Ledger, effort: float) -> tuple[str, list[dict[str, Any]]]:
    """Return whose cut scores highest, the first of equals, and what each gains against it per task."""
    first, *others = cuts
    winner = first
    for name in others:
        gain = ledger.compare(cuts[name].groups, cuts[winner].groups, effort)
        if gain is not None and gain.value > 0:
            winner = name
    rows = []
    for name, cut in cuts.items():
        gain = ledger.compare(cut.groups, cuts[winner].groups, effort)
        size = sum(map(len, cut.groups))
        value, noise = (None, None) if gain is None else (gain.value / size, gain.noise / size)
        rows.append({"name": name, "k": len(cut.groups), "gain": value, "noise": noise})
    return winner, rows


def _limit(node: Node, max_size: int | None) -> Node:
    """Return the tree; nodes above the limit are marked as cut."""
    if max_size is None or len(node.tasks) <= max_size:
        return node
    return Node(node.tasks, tuple(_limit(child, max_size) for child in node.children), cut=True)
