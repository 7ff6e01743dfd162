"""Gradient-boosted trees of scikit-learn on histograms, for tables with missing values and categories.

Tasks that are fitted jointly share one model per kind, see :mod:`taskgroup.learners._pooled`. Since every task asks for
splits of its own, a pooled model has twice the rounds, and each split sees three times the features: so that it finds
the task among them. A file holds the nodes of
the trees as plain arrays; what answers for it is a walk of our own, equal to scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from taskgroup.learners._base import Arrays, Saved
from taskgroup.learners._examples import Examples
from taskgroup.learners._pooled import Model, PooledLearner, Problem
from taskgroup.learners._trees import float32_below

__all__ = ["Boosting"]

_MOST_CATEGORIES = 255  # that scikit-learn takes in one column; a column of more is read as numbers
_ROWS = 2048  # rows that pass through all trees at a time
_FEW_ROWS = 4_000  # rows below which it is not tried unasked: forests are better on every small set it was tried on
_WORK = 200_000_000  # tasks x rows x features x fits above which it is not: 490 million took over ten minutes of CPU
_CROSS_FITTED = 10_000, 5  # rows up to which every model is fitted several times, and how often


@dataclass(frozen=True)
class Boosting(PooledLearner):
    """Histogram gradient boosting.

    Parameters
    ----------
    rounds : int
        Trees at most, or exactly where no rows are kept back to stop by, of a model of one task.
    patience : int
        Trees without a better loss after which a model stops.
    learning_rate, l2 : float
        Shrinkage of each tree, and penalty on its leaves.
    leaves : int
        Leaves of a tree at most.
    min_samples_leaf : int
        Fitted rows of a leaf at least.
    max_features : float
        Share of the features tried at a split, of a model of one task.
    """

    kind: ClassVar[str] = "boosting"
    about: ClassVar[str] = "gradient-boosted trees"
    offsets: ClassVar[bool] = False

    rounds: int = 150
    patience: int = 20
    learning_rate: float = 0.05
    l2: float = 5.0
    leaves: int = 31
    min_samples_leaf: int = 5
    max_features: float = 0.1
    stop_share: float = field(default=0.0, kw_only=True)

    def declines(self, arm: str, sizes: Sequence[int], examples: Examples, leeway: float = 1.0) -> str | None:
        """Return that forests do better on few rows, that many models take long, or that others fit the controls."""
        n_rows, n_features = examples.inputs.raw.shape
        if n_rows < _FEW_ROWS:
            return f"forests do better on few rows, {n_rows:,}; ask for it with --arms {arm}"
        if arm not in ("all-in-one", "per-task"):
            return f"controls are fitted with extra-trees; ask for it with --arms {arm}"
        pooled = super().declines(arm, sizes, examples, leeway)
        if pooled is not None:
            return pooled
        fits = _CROSS_FITTED[1] if n_rows <= _CROSS_FITTED[0] else 1
        if len(examples.tasks) * n_rows * n_features * fits > leeway * _WORK:
            return (
                f"{len(examples.tasks)} tasks on {n_rows:,} rows of {n_features:,} features take long; ask for it with "
                f"--arms {arm}"
            )
        return None

    def _fit_model(self, problem: Problem, seed: int) -> Model:
        categorical = [j for j in problem.categorical if len(_known(problem.x[:, j])) <= _MOST_CATEGORIES]
        regression, stop, fit = problem.kind == "regression", problem.stop, ~problem.stop
        held_out: dict[str, Any] = {}
        if stop.any():
            held_out = {"X_val": problem.x[stop], "y_val": problem.y[stop]}
            if problem.weight is not None:
                held_out["sample_weight_val"] = problem.weight[stop]
        pooled = problem.n_tasks > 1
        estimator = (HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier)(
            max_iter=self.rounds * (2 if pooled else 1), max_leaf_nodes=self.leaves,
            max_features=min(self.max_features * (3 if pooled else 1), 1.0), learning_rate=self.learning_rate,
            l2_regularization=self.l2, min_samples_leaf=self.min_samples_leaf,
            categorical_features=categorical or None, early_stopping=bool(held_out), scoring="loss",
            n_iter_no_change=self.patience, random_state=seed % 2**32,
        )  # fmt: skip
        weight = None if problem.weight is None else problem.weight[fit]
        estimator.fit(problem.x[fit], problem.y[fit], weight, **held_out)
        if held_out:  # what came after the best round goes
            best = max(int(np.argmax(estimator.validation_score_)), 1)
            estimator._predictors = estimator._predictors[:best]
        return _Trees.of(estimator, problem.x[fit], categorical)

    @classmethod
    def _load_model(cls, saved: Saved, own: Any = None) -> Model:
        arrays, document = saved
        categories = {int(j): arrays[f"categories{j}"] for j in document["categorical"]}
        nodes = {name: arrays[name] for name in _Trees.names}
        return _Trees(nodes, arrays["start"], categories)


class _Trees(Model):
    """Boosted trees as arrays: the nodes of all trees, one tree after the other.

    Trees come round by round, in a round one for each output. A leaf has feature -1. A split sends a row left when its
    value is at most the threshold or, for a categorical column, when its bit is set.
    """

    names: ClassVar[tuple[str, ...]] = (
        "first", "feature", "threshold", "left", "right", "missing_left", "bitset", "bits", "value",
    )  # fmt: skip

    def __init__(
        self,
        nodes: dict[str, NDArray[Any]],
        start: NDArray[np.float64],
        categories: dict[int, NDArray[np.float32]],
        estimator: Any = None,
    ) -> None:
        self.nodes, self.start, self.categories = nodes, start, categories
        self.estimator = estimator  # scikit-learn's own, which answers faster while it is there
        self.rounds = (len(nodes["first"]) - 1) // len(start)

    @classmethod
    def of(cls, estimator: Any, x: NDArray[np.float32], categorical: list[int]) -> _Trees:
        """Return the trees of a fitted estimator."""
        trees = [tree for trees in estimator._predictors for tree in trees]
        nodes = np.concatenate([tree.nodes for tree in trees])
        sizes = [len(tree.nodes) for tree in trees]
        first, leaf = np.cumsum([0, *sizes]), nodes["is_leaf"].astype(bool)
        base = np.repeat(first[:-1], sizes)
        bits = [tree.raw_left_cat_bitsets for tree in trees]
        bitset = nodes["bitset_idx"] + np.repeat(np.cumsum([0, *map(len, bits)])[:-1], sizes)
        order = [*categorical, *(j for j in range(x.shape[1]) if j not in set(categorical))]  # scikit-learn's
        arrays: Arrays = {
            "first": first.astype(np.int64),
            "feature": np.where(leaf, -1, np.array(order)[np.where(leaf, 0, nodes["feature_idx"])]).astype(np.int32),
            "threshold": float32_below(nodes["num_threshold"]),
            "left": np.where(leaf, 0, base + nodes["left"]).astype(np.int32),
            "right": np.where(leaf, 0, base + nodes["right"]).astype(np.int32),
            "missing_left": nodes["missing_go_to_left"].astype(np.uint8),
            "bitset": np.where(nodes["is_categorical"].astype(bool) & ~leaf, bitset, -1).astype(np.int32),
            "bits": np.concatenate(bits).astype(np.uint32).reshape(-1, 8),
            "value": np.where(leaf, nodes["value"], 0.0),
        }
        categories = {j: _known(x[:, j]) for j in categorical}
        return cls(arrays, np.ravel(estimator._baseline_prediction).astype(np.float64), categories, estimator)

    def raw(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits, or values, (n, n_outputs)."""
        if self.estimator is not None:
            answer = getattr(self.estimator, "decision_function", self.estimator.predict)(x)
            return np.asarray(answer, np.float64).reshape(len(x), -1)
        z = self._coded(x)
        found = np.empty((len(x), len(self.start)))
        for begin in range(0, len(x), _ROWS):
            value = self.nodes["value"][self._leaves(z[begin : begin + _ROWS])]  # (trees, n)
            rounds = value.reshape(-1, len(self.start), value.shape[1])
            found[begin : begin + _ROWS] = rounds.sum(0).T + self.start
        return found

    def save(self) -> Saved:
        """Return the nodes, where answers start, and the known categories."""
        categories = {f"categories{j}": known for j, known in self.categories.items()}
        return Saved({**self.nodes, "start": self.start, **categories}, {"categorical": list(self.categories)})

    @property
    def size(self) -> int:
        """Numbers that it learned: a feature and a threshold of each split, a value of each leaf."""
        leaves = int((self.nodes["feature"] < 0).sum())
        return 2 * (len(self.nodes["feature"]) - leaves) + leaves

    def _coded(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return features whose categories are numbered 0, 1, ...; those that no fitted row has count as missing."""
        z = x.copy() if self.categories else x
        for j, known in self.categories.items():
            code = np.searchsorted(known, x[:, j]).clip(max=max(len(known) - 1, 0))
            z[:, j] = np.where(known[code] == x[:, j], code, np.nan) if len(known) else np.nan
        return z

    def _leaves(self, x: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the node where each row of each tree ends, (trees, n)."""
        at, n_trees = self.nodes, len(self.nodes["first"]) - 1
        node = np.repeat(at["first"][:-1, None], len(x), axis=1)
        flat, rows = node.ravel(), np.tile(np.arange(len(x)), n_trees)
        walking = np.arange(len(flat))
        while len(walking):
            here = flat[walking]
            inner = at["feature"][here] >= 0
            walking, here = walking[inner], here[inner]
            value = x[rows[walking], at["feature"][here]]
            left = np.where(np.isnan(value), at["missing_left"][here] > 0, value <= at["threshold"][here])
            by_bit = np.flatnonzero((at["bitset"][here] >= 0) & ~np.isnan(value))
            if len(by_bit):
                code = value[by_bit].astype(np.int64)
                words = at["bits"][at["bitset"][here[by_bit]], code >> 5]
                left[by_bit] = (words >> (code & 31).astype(np.uint32)) & 1
            flat[walking] = np.where(left, at["left"][here], at["right"][here])
        return flat.reshape(node.shape)


def _known(column: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the categories of a column, ascending."""
    return np.unique(column[~np.isnan(column)])
