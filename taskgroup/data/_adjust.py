"""Tables made from tables: without tasks that cannot be learned, with labels hidden."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from taskgroup._validation import check_real
from taskgroup.data._table import SPLITS, TaskTable
from taskgroup.exceptions import InvalidInputError

__all__ = ["drop_degenerate", "hide_labels"]


def drop_degenerate(table: TaskTable) -> tuple[TaskTable, dict[str, str]]:
    """Return the table without tasks that nothing can be learned from, and {name: reason} for those left out.

    Raises
    ------
    InvalidInputError
        When no task is left.
    """
    reasons = table.degenerate_tasks()
    if not reasons:
        return table, reasons
    kept = [name for name in table.tasks.names if name not in reasons]
    if not kept:
        name, reason = next(iter(reasons.items()))
        raise InvalidInputError(f"{table.name}: no task can be learned; task {name!r} has {reason}.")
    return table.select(kept), reasons


def hide_labels(table: TaskTable, share: float, random_state: int = 0) -> TaskTable:
    """Return the table with a random share of its training and validation labels missing; test labels stay."""
    check_real("share", share, 0.0, 0.99)
    rng = np.random.default_rng(random_state)
    hidden = (rng.random(table.Y.shape) < share) & (table.split != SPLITS.index("test"))[:, None]
    return replace(table, Y=np.where(hidden, np.float32(np.nan), table.Y))
