"""The best cut of a tree of tasks, by dynamic programming on measured gains."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from taskgroup.gain._ledger import ROUGH, Gain, Group, Ledger
from taskgroup.gain._tree import Node

__all__ = ["Cut", "cut_at", "refined_cut", "rough_cut"]

_SURE = 2.0  # distance from the margin, in standard deviations, beyond which a node is not judged again


@dataclass
class Cut:
    """Groups found in a tree.

    Parameters
    ----------
    groups : list of Group
        The groups.
    gains : dict of Group to Gain
        What the best cut below each inner node gains over the node, as far as it was measured.
    """

    groups: list[Group]
    gains: dict[Group, Gain] = field(default_factory=dict)


def rough_cut(tree: Node, ledger: Ledger, margin: float) -> Cut:
    """Return the best cut of a tree as measured at the low effort, every node of it judged."""
    ledger.measure((node.tasks for node in tree.walk() if not node.cut), ROUGH)
    return cut_at(tree, ledger, margin, ROUGH)


def refined_cut(tree: Node, rough: Cut, ledger: Ledger, margin: float) -> Cut:
    """Return the best cut of a tree, judged again at full effort where the rough one was near the margin.

    A node whose gain was far from the margin is settled: one that is cut need not be fitted again, nor anything below
    one that is not.
    """
    settled = {
        tasks: gain.value > margin * gain.noise
        for tasks, gain in rough.gains.items()
        if abs(gain.value - margin * gain.noise) > _SURE * gain.noise
    }
    ledger.measure(_open(tree, ledger, margin, settled), ledger.full)
    return cut_at(tree, ledger, margin, ledger.full, settled)


def _open(tree: Node, ledger: Ledger, margin: float, settled: dict[Group, bool]) -> list[Group]:
    """Return the sets that nodes which are not settled will be judged by, as far as the rough cut foretells them."""
    decided = True if tree.cut else settled.get(tree.tasks)
    if not tree.children or decided is False:
        return []
    found = [group for child in tree.children for group in _open(child, ledger, margin, settled)]
    if decided is None:
        below = [cut_at(child, ledger, margin, ROUGH).groups for child in tree.children]
        found += [tree.tasks, *(group for groups in below for group in groups)]
    return found


def cut_at(
    tree: Node,
    ledger: Ledger,
    margin: float,
    effort: float,
    settled: dict[Group, bool] | None = None,
    half: NDArray[np.bool_] | None = None,
) -> Cut:
    """Return the best cut as measured at one effort: from the leaves up, a node stays whole unless that costs too much.

    Too much is when its best cut below gains more than ``margin`` standard deviations of the paired difference;
    ``settled`` nodes are cut or kept whole as it says, and with ``half`` only those rows count.
    """
    if not tree.children:
        return Cut([tree.tasks])
    decided = True if tree.cut else (settled or {}).get(tree.tasks)
    if decided is False:
        return Cut([tree.tasks])
    parts = [cut_at(child, ledger, margin, effort, settled, half) for child in tree.children]
    below = Cut([group for part in parts for group in part.groups])
    for part in parts:
        below.gains |= part.gains
    if decided:
        return below
    gain = ledger.compare(below.groups, [tree.tasks], effort, half)
    if gain is None:  # a set that could not be judged is no answer: the other side stands
        return below if ledger.score(tree.tasks, effort) is None else Cut([tree.tasks], below.gains)
    below.gains[tree.tasks] = gain
    return below if gain.value > margin * gain.noise else Cut([tree.tasks], below.gains)
