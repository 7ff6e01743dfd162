"""What the groups are expected to gain, before anything is trained: measured on rows that did not choose them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from taskgroup.gain._cut import cut_at
from taskgroup.gain._ledger import ROUGH, Gain, Group, Ledger
from taskgroup.gain._tree import Node

__all__ = ["Z95", "cuts_of_halves", "expected_gain", "gain_path"]

_HALVES = 10
Z95 = 1.96  # reach of an interval, in standard deviations


HalfCut = tuple[NDArray[np.bool_], list[Group]]
"""Half of the rows, and the groups that they alone would choose."""


def cuts_of_halves(tree: Node, ledger: Ledger, margin: float, random_state: int) -> list[HalfCut]:
    """Return random halves of the rows with the best cut of the tree by each; they do not depend on the groups."""
    n = len(ledger.judge.targets)
    rng = np.random.default_rng([random_state, 3])
    halves = [rng.permutation(n) < n // 2 for _ in range(_HALVES)]
    return [(half, cut_at(tree, ledger, margin, ROUGH, half=half).groups) for half in halves]


def expected_gain(
    groups: Sequence[Group], tree: Node, ledger: Ledger, half_cuts: Sequence[HalfCut]
) -> dict[str, dict[str, float] | None]:
    """Return {"gain", "low", "high", "apparent"} per task against "all-in-one" and "alone"; None if not judged.

    The groups were chosen for their scores, which therefore flatter them ("apparent"). So the search is repeated on
    random halves of the rows and judged on the other halves; what half of the rows flatter themselves by, less a
    factor sqrt(2), is taken off.
    """
    rivals: dict[str, list[Group]] = {"all-in-one": [tree.tasks], "alone": [(t,) for t in tree.tasks]}
    found: dict[str, dict[str, float] | None] = {}
    for name, rival in rivals.items():
        gain = ledger.compare(groups, rival, ROUGH)
        if gain is None:
            found[name] = None
            continue
        flattery = [0.0]
        for half, cut in half_cuts:
            here, there = (ledger.compare(cut, rival, ROUGH, rows) for rows in (half, ~half))
            if here is not None and there is not None:
                flattery.append(here.value - there.value)
        same = set(groups) == set(rival)
        off = 0.0 if same else max(0.0, sum(flattery) / _HALVES) / 2**0.5
        found[name] = _per_task(gain, off, len(tree.tasks))
    return found


def gain_path(tree: Node, ledger: Ledger) -> list[dict[str, float]]:
    """Return {"k", "gain", "noise"} per task against one group of all tasks, for the best cuts of ever more groups."""
    root = [tree.tasks]
    rows: dict[int, dict[str, float]] = {}
    for margin in (1e9, *np.linspace(8.0, -8.0, 33), -1e9):
        groups = cut_at(tree, ledger, float(margin), ROUGH).groups
        gain = ledger.compare(groups, root, ROUGH)
        if gain is not None:
            size = len(tree.tasks)
            rows.setdefault(len(groups), {"k": len(groups), "gain": gain.value / size, "noise": gain.noise / size})
    return [rows[k] for k in sorted(rows)]


def _per_task(gain: Gain, off: float, n_tasks: int) -> dict[str, float]:
    value = (gain.value - off) / n_tasks
    reach = Z95 * gain.noise / n_tasks
    return {"gain": value, "low": value - reach, "high": value + reach, "apparent": gain.value / n_tasks}
