"""Networks: many trained at once, and the profile that records their Data Maps."""

from taskgroup.training._augment import moved
from taskgroup.training._data import TrainingData
from taskgroup.training._fit import Fitted, fit_many, predict
from taskgroup.training._network import MakeEncoder, Network, load_state, state_of
from taskgroup.training._profile import Profile, profile
from taskgroup.training._settings import FitSettings

__all__ = [
    "FitSettings",
    "Fitted",
    "MakeEncoder",
    "Network",
    "Profile",
    "TrainingData",
    "fit_many",
    "load_state",
    "moved",
    "predict",
    "profile",
    "state_of",
]
