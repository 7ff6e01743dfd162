"""What the groups are expected to gain, before anything is trained: measured on rows that did not choose them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from taskgroup.gain._cut import EFFORTS, cut_at
from taskgroup.gain._ledger import Gain, Group, Ledger
from taskgroup.gain._tree import Node

__all__ = ["expected_gain", "gain_path"]

_HALVES = 10
_Z95 = 1.96


def expected_gain(
    groups: Sequence[Group], against: Sequence[Group], tree: Node, ledger: Ledger, margin: float, random_state: int
) -> dict[str, float] | None:
    """Return {"gain", "low", "high", "apparent"} per task of the groups against another grouping; None if not judged.

    The groups were chosen for their scores, which therefore flatter them ("apparent"). So the search is repeated on
    random halves of the rows and judged on the other halves; what half of the rows flatter themselves by, less a
    factor sqrt(2), is taken off.
    """
    n_tasks, n = sum(map(len, groups)), len(ledger.judge.targets)
    gain = ledger.compare(groups, against, EFFORTS[0])
    if gain is None:
        return None
    if list(groups) == list(against):
        return {"gain": 0.0, "low": 0.0, "high": 0.0, "apparent": 0.0}
    rng = np.random.default_rng([random_state, 3])
    flattery = []
    for _ in range(_HALVES):
        half = np.zeros(n, bool)
        half[rng.permutation(n)[: n // 2]] = True
        chosen = cut_at(tree, ledger, margin, EFFORTS[0], half=half).groups
        here, there = (ledger.compare(chosen, against, EFFORTS[0], rows) for rows in (half, ~half))
        if here is not None and there is not None:
            flattery.append(here.value - there.value)
    off = max(0.0, float(np.mean(flattery))) / 2**0.5 if flattery else 0.0
    return _per_task(gain, off, n_tasks)


def gain_path(tree: Node, ledger: Ledger, random_state: int = 0) -> list[dict[str, float]]:
    """Return {"k", "gain", "noise"} per task against one group of all tasks, for the best cuts of ever more groups."""
    root = [tree.tasks]
    rows: dict[int, dict[str, float]] = {}
    for margin in (1e9, *np.linspace(12.0, -12.0, 97), -1e9):
        groups = cut_at(tree, ledger, float(margin), EFFORTS[0]).groups
        gain = ledger.compare(groups, root, EFFORTS[0])
        if gain is not None:
            size = len(tree.tasks)
            rows.setdefault(len(groups), {"k": len(groups), "gain": gain.value / size, "noise": gain.noise / size})
    return [rows[k] for k in sorted(rows)]


def _per_task(gain: Gain, off: float, n_tasks: int) -> dict[str, Any]:
    value = (gain.value - off) / n_tasks
    reach = _Z95 * gain.noise / n_tasks
    return {"gain": value, "low": value - reach, "high": value + reach, "apparent": gain.value / n_tasks}
