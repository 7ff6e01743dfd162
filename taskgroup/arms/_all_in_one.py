"""The arm "all-in-one": one model for all tasks."""

from __future__ import annotations

from taskgroup.arms._base import Arm, Question
from taskgroup.grouping import Grouping

__all__ = ["all_in_one"]


def all_in_one(question: Question) -> Arm:
    """Return the arm."""
    tasks = question.table.tasks
    return Arm("all-in-one", "one-model", "one model for all tasks", (Grouping.from_labels(tasks, [0] * len(tasks)),))
