"""CatBoost (Prokhorenkova et al., NeurIPS 2018), an optional library; its models are kept in its own format.

Where no label is missing, binary tasks that are fitted jointly share trees whose leaves hold one value a task (its loss
"MultiLogloss"), regression tasks likewise ("MultiRMSE"); else their rows are stacked.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from taskgroup.learners._base import Arrays, Saved
from taskgroup.learners._examples import Examples
from taskgroup.learners._extras import as_bytes, from_bytes, missing, optional
from taskgroup.learners._pooled import Model, PooledLearner, Problem
from taskgroup.tasks import Kind

__all__ = ["CatBoost"]


@dataclass(frozen=True)
class CatBoost(PooledLearner):
    """Gradient-boosted symmetric trees of CatBoost; needs the extra [catboost].

    Parameters
    ----------
    rounds : int
        Trees at most, or exactly where no rows are kept back to stop by, of a model of one task.
    patience : int
        Trees without a better loss after which a model stops.
    learning_rate, l2 : float
        Shrinkage of each tree, and penalty on its leaves.
    depth : int
        Of a tree.
    max_features : float
        Share of the features tried at a split, of a model of one task.
    """

    kind: ClassVar[str] = "catboost"
    about: ClassVar[str] = "gradient-boosted trees of CatBoost"

    rounds: int = 200
    patience: int = 20
    learning_rate: float = 0.05
    l2: float = 3.0
    depth: int = 5
    max_features: float = 0.2
    stop_share: float = field(default=0.0, kw_only=True)

    def supports(self, examples: Examples) -> str | None:
        """Return which extra to install, where CatBoost is missing."""
        return missing("catboost")

    def _joins(self, kind: Kind) -> bool:
        return kind != "multiclass"

    def _fit_model(self, problem: Problem, seed: int) -> Model:
        catboost = optional("catboost", "the learner 'catboost'")
        joint, pooled = problem.y.ndim == 2, problem.n_tasks > 1
        losses = {"binary": "MultiLogloss" if joint else "Logloss", "multiclass": "MultiClass",
                  "regression": "MultiRMSE" if joint else "RMSE"}  # fmt: skip
        baseline = None if joint else problem.offset  # losses of several targets take none
        fit, *stop = (
            catboost.Pool(
                _features(catboost, part.x, problem.categorical),
                part.y,
                weight=part.weight,
                baseline=None if baseline is None else part.offset,
            )
            for part in problem.parts()
        )
        model = catboost.CatBoost({
            "loss_function": losses[problem.kind], "iterations": self.rounds * (2 if pooled else 1),
            "learning_rate": self.learning_rate, "depth": self.depth, "l2_leaf_reg": self.l2,
            "rsm": min(self.max_features * (1.5 if joint or pooled else 1), 1.0), "random_seed": seed % 2**31,
            "thread_count": 1, "allow_writing_files": False, "logging_level": "Silent",
            "boost_from_average": baseline is None and problem.kind == "regression",
        })  # fmt: skip
        watched: dict[str, Any] = {}
        if stop:
            watched = {"eval_set": stop[0], "early_stopping_rounds": self.patience, "use_best_model": True}
        model.fit(fit, **watched)
        start = problem.offset[0] if joint and problem.offset is not None else None
        return _Booster(model, problem.categorical, start)

    @classmethod
    def _load_model(cls, saved: Saved, own: Any = None) -> Model:
        catboost = optional("catboost", "a model of the learner 'catboost'")
        model = catboost.CatBoost()
        model.load_model(blob=as_bytes(saved.arrays["model"]))
        return _Booster(model, tuple(saved.document["categorical"]), saved.arrays.get("start"))


class _Booster(Model):
    def __init__(self, model: Any, categorical: tuple[int, ...], start: NDArray[np.float64] | None) -> None:
        self.model, self.categorical = model, categorical
        self.start = start  # an offset that the model itself has learned, and that is not to be added again
        self.rounds = model.tree_count_

    def raw(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits, or values, (n, n_outputs)."""
        catboost = optional("catboost", "a model of the learner 'catboost'")
        answer = self.model.predict(
            _features(catboost, x, self.categorical), prediction_type="RawFormulaVal", thread_count=1
        )
        found = np.asarray(answer, np.float64).reshape(len(x), -1)
        return found if self.start is None else found - self.start

    def save(self) -> Saved:
        """Return the model in CatBoost's binary format."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.cbm"
            self.model.save_model(str(path))
            arrays: Arrays = {"model": from_bytes(path.read_bytes())}
        if self.start is not None:
            arrays["start"] = self.start
        return Saved(arrays, {"categorical": self.categorical})


def _features(catboost: Any, x: NDArray[np.float32], categorical: tuple[int, ...]) -> Any:
    """Return features as CatBoost takes them: numbers, then categories as text."""
    if not categorical:
        return x
    numbers = [j for j in range(x.shape[1]) if j not in set(categorical)]
    codes = np.nan_to_num(x[:, list(categorical)]).astype(np.int64).astype(str).astype(object)
    text = np.array([[code.encode() for code in row] for row in codes], dtype=object).reshape(codes.shape)
    return catboost.FeaturesData(num_feature_data=np.ascontiguousarray(x[:, numbers]), cat_feature_data=text)
