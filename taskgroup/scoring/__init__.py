"""Scores, comparisons that can be believed, and the plan that follows from them."""

from taskgroup.scoring._comparison import Comparison, Interval
from taskgroup.scoring._measured import Measured
from taskgroup.scoring._metrics import METRICS
from taskgroup.scoring._names import CONTROLS, family
from taskgroup.scoring._plan import PlanChoice, judge, make_plan
from taskgroup.scoring._rows import ScoreRow, read_scores
from taskgroup.scoring._score import score
from taskgroup.scoring._scorecard import Scorecard
from taskgroup.scoring._tests import holm, paired_tests
from taskgroup.scoring._verdict import Verdict, decide

__all__ = [
    "CONTROLS",
    "METRICS",
    "Comparison",
    "Interval",
    "Measured",
    "PlanChoice",
    "ScoreRow",
    "Scorecard",
    "Verdict",
    "decide",
    "family",
    "holm",
    "judge",
    "make_plan",
    "paired_tests",
    "read_scores",
    "score",
]
