"""The experiment: every arm with every learner on the same folds, its scores, and the plan that serves."""

from taskgroup.experiment._ahead import check_request
from taskgroup.experiment._folds import Folds, make_folds
from taskgroup.experiment._retrain import RetrainResult, retrain
from taskgroup.experiment._serve import Plan

__all__ = ["Folds", "Plan", "RetrainResult", "check_request", "make_folds", "retrain"]
