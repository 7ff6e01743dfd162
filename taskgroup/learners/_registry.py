"""Learners by name. A new one is a file of its own and a line here; nothing is imported before it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from taskgroup._validation import check_known
from taskgroup.learners._base import Learner

__all__ = ["ARCHITECTURES", "AUTO", "LEARNERS", "learner_class", "make_learner"]

LEARNERS: Mapping[str, str] = {
    "linear": "taskgroup.learners._linear:Linear",
    "extra-trees": "taskgroup.learners._forests:ExtraTrees",
    "random-forest": "taskgroup.learners._forests:RandomForest",
    "boosting": "taskgroup.learners._boosting:Boosting",
    "lightgbm": "taskgroup.learners._lightgbm:LightGBM",
    "xgboost": "taskgroup.learners._xgboost:XGBoost",
    "catboost": "taskgroup.learners._catboost:CatBoost",
    "nets": "taskgroup.learners._nets:Nets",
    "wide-nets": "taskgroup.learners._nets:WideNets",
    "tabm": "taskgroup.learners._tabm:TabM",
    "estimator": "taskgroup.learners._estimator:UserEstimator",
}
"""Where the class of each learner is."""

ARCHITECTURES = ("adatt", "apem", "cross-stitch", "mmoe", "ple", "sparse", "single-task")
"""Architectures of networks, each of which is the name of a learner too."""

AUTO = ("linear", "random-forest", "extra-trees", "boosting", "nets", "wide-nets")
"""What "auto" tries, the cheapest first."""


def learner_class(kind: str) -> type[Learner]:
    """Return the class of a learner.

    Raises
    ------
    InvalidInputError
        When there is none of that name; the message says which one may be meant.
    """
    module, _, name = LEARNERS[check_known("learner", kind, [*LEARNERS, *ARCHITECTURES])].partition(":")
    found: type[Learner] = getattr(importlib.import_module(module), name)
    return found


def make_learner(kind: str, **options: Any) -> Learner:
    """Return a learner with its defaults, and the options given."""
    if kind in ARCHITECTURES:
        return learner_class("nets")(arch=kind, **options)  # type: ignore[call-arg]
    return learner_class(kind)(**options)
