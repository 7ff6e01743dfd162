"""Arms: which tasks are fitted together, whatever fits them. See :class:`Arm`."""

from taskgroup.arms._base import Answers, Arm, Part, Question
from taskgroup.arms._label_groups import label_grouping
from taskgroup.arms._registry import ARMS, DEFAULT_ARMS, make_arms

__all__ = ["ARMS", "DEFAULT_ARMS", "Answers", "Arm", "Part", "Question", "label_grouping", "make_arms"]
