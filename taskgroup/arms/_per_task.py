"""The arm "per-task": every task by itself."""

from __future__ import annotations

from taskgroup.arms._base import Arm, Question
from taskgroup.grouping import Grouping

__all__ = ["per_task"]


def per_task(question: Question) -> Arm:
    """Return the arm."""
    tasks = question.table.tasks
    return Arm("per-task", "single-task", "one model per task", (Grouping.from_labels(tasks, range(len(tasks))),))
