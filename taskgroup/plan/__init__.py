"""The plan: which methods serve which task, chosen on honest answers, and the one answer that follows from it."""

from taskgroup.plan._answer import Answer
from taskgroup.plan._blend import Calibration, calibrate, greedy_weights
from taskgroup.plan._choice import PlanChoice
from taskgroup.plan._foretold import foretold
from taskgroup.plan._make import RULES, Rule, check_rule, judge, make_plan

__all__ = [
    "RULES",
    "Answer",
    "Calibration",
    "PlanChoice",
    "Rule",
    "calibrate",
    "check_rule",
    "foretold",
    "greedy_weights",
    "judge",
    "make_plan",
]
