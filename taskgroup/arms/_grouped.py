"""The arms "grouped" and "units": our groups, a model each, or one model whose units are the groups."""

from __future__ import annotations

from taskgroup.arms._base import Arm, Question

__all__ = ["grouped", "units"]


def grouped(question: Question) -> Arm | None:
    """Return the arm; None when the grouping is one model for all tasks, or one per task, which are arms already."""
    if question.grouping.n_groups in (1, len(question.table.tasks)) and not question.grouping.soft:
        return None
    return Arm("grouped", "split", "a model per group", (question.grouping,))


def units(question: Question) -> Arm | None:
    """Return the arm of one model whose units are the groups; None when there is one group only."""
    if question.grouping.n_groups == 1:
        return None
    about = "one model for all tasks whose units are the groups"
    return Arm("units", "split", about, (question.grouping.harden(),), as_units=True)
