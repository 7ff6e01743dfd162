"""Groups by measured gain: similarities propose a tree of tasks, a judge with honest outputs decides how to cut it."""

from taskgroup.gain._forest import ForestJudge
from taskgroup.gain._judge import Judge
from taskgroup.gain._propose import answer_similarity, importance_similarity, label_similarity
from taskgroup.gain._search import MARGIN, GainGroups, find_groups

__all__ = [
    "MARGIN",
    "ForestJudge",
    "GainGroups",
    "Judge",
    "answer_similarity",
    "find_groups",
    "importance_similarity",
    "label_similarity",
]
