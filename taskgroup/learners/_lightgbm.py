"""LightGBM (Ke et al., NeurIPS 2017), an optional library; its models are kept in its own text format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from taskgroup.learners._base import Saved
from taskgroup.learners._examples import Examples
from taskgroup.learners._extras import as_bytes, from_bytes, missing, optional
from taskgroup.learners._pooled import Model, PooledLearner, Problem

__all__ = ["LightGBM"]


@dataclass(frozen=True)
class LightGBM(PooledLearner):
    """Gradient-boosted trees of LightGBM; needs the extra [lightgbm].

    Parameters
    ----------
    rounds : int
        Trees at most, or exactly where no rows are kept back to stop by, of a model of one task.
    patience : int
        Trees without a better loss after which a model stops.
    learning_rate, l2 : float
        Shrinkage of each tree, and penalty on its leaves.
    leaves : int
        Leaves of a tree at most, of a model of one task.
    min_samples_leaf : int
        Fitted rows of a leaf at least.
    max_features : float
        Share of the features tried at a split, of a model of one task.
    """

    kind: ClassVar[str] = "lightgbm"
    about: ClassVar[str] = "gradient-boosted trees of LightGBM"

    rounds: int = 150
    patience: int = 20
    learning_rate: float = 0.05
    l2: float = 5.0
    leaves: int = 16
    min_samples_leaf: int = 5
    max_features: float = 0.2
    stop_share: float = field(default=0.0, kw_only=True)

    def supports(self, examples: Examples) -> str | None:
        """Return which extra to install, where LightGBM is missing."""
        return missing("lightgbm")

    def _fit_model(self, problem: Problem, seed: int) -> Model:
        lightgbm, pooled = optional("lightgbm", "the learner 'lightgbm'"), problem.n_tasks > 1
        objective = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}[problem.kind]
        options: dict[str, Any] = {
            "objective": objective, "learning_rate": self.learning_rate, "lambda_l2": self.l2,
            "num_leaves": self.leaves * (2 if pooled else 1), "min_data_in_leaf": self.min_samples_leaf,
            "feature_fraction_bynode": min(self.max_features * (1.5 if pooled else 1), 1.0),
            "boost_from_average": problem.offset is None, "seed": seed % 2**31, "deterministic": True,
            "force_row_wise": True, "num_threads": 1, "verbosity": -1, "feature_pre_filter": False,
        }  # fmt: skip
        if problem.kind == "multiclass":
            options["num_class"] = problem.n_classes
        fit, *stop = (
            lightgbm.Dataset(
                part.x,
                part.y,
                weight=part.weight,
                init_score=part.offset,
                params={"verbosity": -1},
                categorical_feature=list(problem.categorical),
            )
            for part in problem.parts()
        )
        watched: dict[str, Any] = {}
        if stop:
            stop[0].set_reference(fit)
            stopping = lightgbm.early_stopping(self.patience, verbose=False)
            watched = {"valid_sets": stop, "callbacks": [stopping]}
        rounds = self.rounds * (2 if pooled else 1)
        booster = lightgbm.train(options, fit, num_boost_round=rounds, **watched)
        text = booster.model_to_string(num_iteration=booster.best_iteration or -1)
        return _Booster(lightgbm.Booster(model_str=text), text)

    @classmethod
    def _load_model(cls, saved: Saved, own: Any = None) -> Model:
        lightgbm = optional("lightgbm", "a model of the learner 'lightgbm'")
        text = as_bytes(saved.arrays["model"]).decode()
        return _Booster(lightgbm.Booster(model_str=text), text)


class _Booster(Model):
    def __init__(self, booster: Any, text: str) -> None:
        self.booster, self.text = booster, text
        self.rounds = booster.current_iteration()

    def raw(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits, or values, (n, n_outputs)."""
        answer = self.booster.predict(x, raw_score=True, num_threads=1)
        return np.asarray(answer, np.float64).reshape(len(x), -1)

    def save(self) -> Saved:
        """Return the text of the model."""
        return Saved({"model": from_bytes(self.text.encode())}, {})

    @property
    def size(self) -> int:
        """Numbers that it learned: a feature and a threshold of each split, a value of each leaf."""
        leaves = sum(tree["num_leaves"] for tree in self.booster.dump_model()["tree_info"])
        return int(3 * leaves - 2 * self.booster.num_trees())

    def __getstate__(self) -> str:
        return self.text

    def __setstate__(self, text: str) -> None:
        self.__init__(optional("lightgbm", "a model").Booster(model_str=text), text)  # type: ignore[misc]
