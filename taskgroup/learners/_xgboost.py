"""XGBoost (Chen and Guestrin, KDD 2016), an optional library; its models are kept in its own UBJSON format.

Where no label is missing, tasks that are fitted jointly share trees whose leaves hold one value a task; else their rows
are stacked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from taskgroup.learners._base import Saved
from taskgroup.learners._examples import Examples
from taskgroup.learners._extras import as_bytes, from_bytes, missing, optional
from taskgroup.learners._pooled import Model, PooledLearner, Problem
from taskgroup.tasks import Kind

__all__ = ["XGBoost"]


@dataclass(frozen=True)
class XGBoost(PooledLearner):
    """Gradient-boosted trees of XGBoost; needs the extra [xgboost].

    Parameters
    ----------
    rounds : int
        Rounds at most, or exactly where no rows are kept back to stop by, of a model of one task.
    patience : int
        Rounds without a better loss after which a model stops.
    learning_rate, l2 : float
        Shrinkage of each tree, and penalty on its leaves.
    depth : int
        Of a tree, of a model of one task; two more where tasks share it.
    max_features : float
        Share of the features tried at a split, of a model of one task.
    shared_leaves : bool
        Whether tasks without missing labels share trees whose leaves hold a value for each.
    """

    kind: ClassVar[str] = "xgboost"
    about: ClassVar[str] = "gradient-boosted trees of XGBoost"

    rounds: int = 150
    patience: int = 20
    learning_rate: float = 0.05
    l2: float = 5.0
    depth: int = 3
    max_features: float = 0.2
    shared_leaves: bool = True
    stop_share: float = field(default=0.0, kw_only=True)

    def supports(self, examples: Examples) -> str | None:
        """Return which extra to install, where XGBoost is missing."""
        return missing("xgboost")

    def _joins(self, kind: Kind) -> bool:
        return self.shared_leaves and kind != "multiclass"

    def _fit_model(self, problem: Problem, seed: int) -> Model:
        xgboost = optional("xgboost", "the learner 'xgboost'")
        joint, pooled = problem.y.ndim == 2, problem.n_tasks > 1
        objectives = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}
        options: dict[str, Any] = {
            "objective": objectives[problem.kind], "eta": self.learning_rate, "lambda": self.l2, "tree_method": "hist",
            "max_depth": self.depth + (2 if joint or pooled else 0), "min_child_weight": 1.0, "nthread": 1,
            "colsample_bynode": min(self.max_features * (1.5 if joint or pooled else 1), 1.0), "seed": seed % 2**31,
            "base_score": 0.0 if problem.kind == "regression" else 0.5, "verbosity": 0,
        }  # fmt: skip
        categorical = problem.categorical
        if joint:  # trees with a value a task take numbers only
            options["multi_strategy"], categorical = "multi_output_tree", ()
        if problem.kind == "multiclass":
            options["num_class"] = problem.n_classes
        types = ["c" if j in set(categorical) else "float" for j in range(problem.x.shape[1])]
        fit, *stop = (
            xgboost.DMatrix(
                part.x,
                part.y,
                weight=part.weight,
                base_margin=part.offset,
                feature_types=types,
                enable_categorical=bool(categorical),
                nthread=1,
            )
            for part in problem.parts()
        )
        watched: dict[str, Any] = {}
        if stop:
            watched = {"evals": [(stop[0], "stop")], "early_stopping_rounds": self.patience, "verbose_eval": False}
        booster = xgboost.train(options, fit, self.rounds * (2 if joint or pooled else 1), **watched)
        if stop:
            booster = booster[: booster.best_iteration + 1]
        return _Booster(booster, types)

    @classmethod
    def _load_model(cls, saved: Saved, own: Any = None) -> Model:
        xgboost = optional("xgboost", "a model of the learner 'xgboost'")
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(as_bytes(saved.arrays["model"])))
        return _Booster(booster, saved.document["types"])


class _Booster(Model):
    def __init__(self, booster: Any, types: list[str]) -> None:
        self.booster, self.types = booster, types
        self.rounds = booster.num_boosted_rounds()

    def raw(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits, or values, (n, n_outputs)."""
        xgboost = optional("xgboost", "a model of the learner 'xgboost'")
        rows = xgboost.DMatrix(x, feature_types=self.types, enable_categorical="c" in self.types, nthread=1)
        answer = self.booster.predict(rows, output_margin=True)
        return np.asarray(answer, np.float64).reshape(len(x), -1)

    def save(self) -> Saved:
        """Return the model in UBJSON."""
        content = from_bytes(bytes(self.booster.save_raw("ubj")))
        return Saved({"model": content}, {"types": self.types})
