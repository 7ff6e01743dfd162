"""Training: many models at once, the profile, the grouped models with every control, and the plan that serves."""

from taskgroup.training._choose import choose_grouping
from taskgroup.training._cost import Cost
from taskgroup.training._data import TrainingData
from taskgroup.training._fit import Fitted, fit_many, predict
from taskgroup.training._methods import METHODS
from taskgroup.training._plan import Plan
from taskgroup.training._profile import Profile, profile
from taskgroup.training._retrain import RetrainResult, retrain
from taskgroup.training._settings import FitSettings

__all__ = [
    "METHODS",
    "Cost",
    "FitSettings",
    "Fitted",
    "Plan",
    "Profile",
    "RetrainResult",
    "TrainingData",
    "choose_grouping",
    "fit_many",
    "predict",
    "profile",
    "retrain",
]
