"""Scores, comparisons that can be believed, and the plan that follows from them."""

from taskgroup.scoring._calibration import reliability
from taskgroup.scoring._claims import AmongDraws, Claim, among_draws, better_than_all
from taskgroup.scoring._comparison import Comparison, Interval, Resampler
from taskgroup.scoring._main import MAIN_METRICS, MetricChoice
from taskgroup.scoring._measured import Measured
from taskgroup.scoring._metrics import METRICS
from taskgroup.scoring._names import ROLES, describe, family, split_name
from taskgroup.scoring._noise import believed, noise_variance, task_intervals
from taskgroup.scoring._objective import Average, Objective, TaskWeights
from taskgroup.scoring._pareto import pareto
from taskgroup.scoring._quick import main_scores
from taskgroup.scoring._rows import ScoreRow, read_scores
from taskgroup.scoring._score import score
from taskgroup.scoring._scorecard import Scorecard
from taskgroup.scoring._seeds import SeedNoise
from taskgroup.scoring._settle import Needed, needed
from taskgroup.scoring._tests import holm, paired_tests
from taskgroup.scoring._truth import task_gains

__all__ = [
    "MAIN_METRICS",
    "METRICS",
    "ROLES",
    "AmongDraws",
    "Average",
    "Claim",
    "Comparison",
    "Interval",
    "Measured",
    "MetricChoice",
    "Needed",
    "Objective",
    "Resampler",
    "ScoreRow",
    "Scorecard",
    "SeedNoise",
    "TaskWeights",
    "among_draws",
    "believed",
    "better_than_all",
    "describe",
    "family",
    "holm",
    "main_scores",
    "needed",
    "noise_variance",
    "paired_tests",
    "pareto",
    "read_scores",
    "reliability",
    "score",
    "split_name",
    "task_gains",
    "task_intervals",
]
