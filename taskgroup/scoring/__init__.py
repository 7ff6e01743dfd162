"""Scores, comparisons that can be believed, and the plan that follows from them."""

from taskgroup.scoring._comparison import Comparison, Interval
from taskgroup.scoring._measured import Measured
from taskgroup.scoring._metrics import METRICS
from taskgroup.scoring._names import ROLES, describe, family, split_name
from taskgroup.scoring._rows import ScoreRow, read_scores
from taskgroup.scoring._score import score
from taskgroup.scoring._scorecard import Scorecard
from taskgroup.scoring._tests import holm, paired_tests

__all__ = [
    "METRICS",
    "ROLES",
    "Comparison",
    "Interval",
    "Measured",
    "ScoreRow",
    "Scorecard",
    "describe",
    "family",
    "holm",
    "paired_tests",
    "read_scores",
    "score",
    "split_name",
]
