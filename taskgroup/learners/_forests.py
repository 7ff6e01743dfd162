"""Forests that fit all tasks of a group at once: extremely randomised trees and random forests of scikit-learn.

Every tree is a regression tree on one column per output: 0/1 for a binary task, one column per class of a multiclass
one, the standardised value for regression. Splits lower the squared error summed over the columns, so related tasks
choose them together. Answers of classification tasks are logits of the mean leaf, moved away from 0 and 1 by half a
tree's vote, which keeps every order.

A file holds the nodes of the trees and, instead of the leaves' values, in which leaf each fitted row lies: values are
means of the rows' targets and are made again from them. So its size does not grow with tasks times leaves.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from taskgroup.cost import Cost
from taskgroup.learners._base import Context, Fitted, Learner, Order, Saved
from taskgroup.learners._columns import Columns
from taskgroup.learners._examples import Examples, Inputs, Packed
from taskgroup.learners._fill import fill_missing
from taskgroup.learners._grow import draws_of, grow, leaf_means
from taskgroup.learners._trees import float32_below

__all__ = ["ExtraTrees", "RandomForest"]

_ROWS = 2048  # rows that pass through all trees at a time
_PER_TASK_WORK = 500_000  # tasks x rows x features tried, above which a forest per task is not tried unasked
_WORK = 5_000_000  # ... above which controls of groups are not
_GROUPED_WORK = 2_000_000  # groups x rows x features tried, above which the slower kind is not fitted in our groups
_MANY = 60_000  # tasks x rows, above which half as many trees will do
_VERY_MANY = 10_000_000  # tasks x rows x features tried, above which a quarter will


@dataclass(frozen=True)
class _Forest(Learner):
    """What both kinds of forests share.

    Parameters
    ----------
    trees : int, optional
        Number of trees; when left out 200, or 100 or 50 where there are many tasks, rows and features. The mean of the
        forests of five folds predicts better than one forest of all rows with three times the trees of each.
    min_samples_leaf : int
        Fitted rows of a leaf at least.
    max_features : str or float
        Features tried at a split, as in scikit-learn.
    """

    bulk: ClassVar[int] = 10

    trees: int | None = None
    min_samples_leaf: int = 2
    max_features: str | float = "sqrt"

    def declines(self, arm: str, sizes: Sequence[int], examples: Examples, leeway: float = 1.0) -> str | None:
        """Return that a forest per task, or controls of groups, cost too much, where they do."""
        n_rows, n_features = examples.inputs.scaled.shape
        work = len(examples.tasks) * n_rows * n_features**0.5
        most = {"per-task": _PER_TASK_WORK, "random-groups": _WORK, "label-groups": _WORK}.get(arm, np.inf)
        if work > leeway * most:
            return f"{len(examples.tasks)} tasks on {n_rows:,} rows take long; ask for it with --arms {arm}"
        return None

    def fit_many(
        self,
        examples: Examples,
        rows: NDArray[np.int64],
        orders: Sequence[Order],
        *,
        seed: int = 0,
        start: Saved | None = None,
    ) -> list[Fitted]:
        """Return a forest for every order."""
        x = examples.inputs.scaled[rows]
        n_trees = self.trees or self._n_trees(len(examples.tasks), *x.shape)
        return [self._fit(examples, x, rows, order, n_trees) for order in orders]

    @staticmethod
    def _n_trees(n_tasks: int, n_rows: int, n_features: int) -> int:
        """Return the number of trees: fewer where there are so many tasks, rows and features that they take long."""
        if n_tasks * n_rows * n_features**0.5 > _VERY_MANY:
            return 50
        return 100 if n_tasks * n_rows > _MANY else 200

    @classmethod
    def load(cls, saved: Saved, context: Context) -> FittedForest:
        """Return the forest of a file."""
        arrays, document = saved
        columns = Columns.from_dict(context.tasks.select(document["tasks"]), document["columns"])
        nodes = _Nodes(*(arrays[name] for name in _Nodes.__dataclass_fields__))
        return FittedForest(
            columns, nodes, arrays["leaf_of_row"], arrays["targets"], arrays.get("counts"), arrays.get("weight"),
            Cost(**document["cost"]),
        )  # fmt: skip

    @abstractmethod
    def _estimator(self, n_trees: int, seed: int) -> Any:
        """Return scikit-learn's forest."""

    def _fit(
        self, examples: Examples, x: NDArray[np.float32], rows: NDArray[np.int64], order: Order, n_trees: int
    ) -> FittedForest:
        began = time.process_time()
        Y = examples.targets(rows, order.tasks)
        columns = Columns.of(examples.tasks.select(order.tasks), Y)
        targets = columns.encode(Y)  # (n, n_outputs), NaN where missing
        used = np.flatnonzero(~np.isnan(targets).all(1))  # rows without any label say nothing
        if not len(used):
            used = np.arange(len(rows))
        y = fill_missing(examples, rows[used], order.tasks, columns, targets[used], order.seed).astype(np.float32)
        weight = _row_weights(examples, rows[used], order)
        x = np.asfortranarray(x[used])
        fitted = FittedForest.of(columns, grow(self._estimator, x, y, weight, n_trees, order.seed), x, y, weight)
        fitted.cost = replace(fitted.cost, train_seconds=time.process_time() - began)
        return fitted


@dataclass(frozen=True)
class ExtraTrees(_Forest):
    """Extremely randomised trees (Geurts et al., Machine Learning 2006), each on all rows."""

    kind: ClassVar[str] = "extra-trees"
    about: ClassVar[str] = "extremely randomised trees"

    def _estimator(self, n_trees: int, seed: int) -> Any:
        return ExtraTreesRegressor(
            n_trees, min_samples_leaf=self.min_samples_leaf, max_features=self.max_features, random_state=seed
        )


@dataclass(frozen=True)
class RandomForest(_Forest):
    """Random forests (Breiman, Machine Learning 2001)."""

    kind: ClassVar[str] = "random-forest"
    about: ClassVar[str] = "random forests"

    def declines(self, arm: str, sizes: Sequence[int], examples: Examples, leeway: float = 1.0) -> str | None:
        """Return that extremely randomised trees are fitted in controls, and in our groups where they save much."""
        if arm in ("per-task", "random-groups", "label-groups"):
            return "controls are fitted with extra-trees; ask for it with --arms"
        n_rows, n_features = examples.inputs.scaled.shape
        if arm == "grouped" and len(sizes) * n_rows * n_features**0.5 > leeway * _GROUPED_WORK:
            return (
                f"{len(sizes)} groups on {n_rows:,} rows of {n_features:,} features take long, and extra-trees are "
                "faster; ask for it with --arms grouped"
            )
        return None

    def _estimator(self, n_trees: int, seed: int) -> Any:
        return RandomForestRegressor(
            n_trees, min_samples_leaf=self.min_samples_leaf, max_features=self.max_features, random_state=seed
        )


@dataclass(frozen=True, eq=False)
class _Nodes:
    """The nodes of all trees, one tree after the other, each in the order of a depth-first walk.

    The left child of a node is the next one. A leaf has feature -1.
    """

    first: NDArray[np.int64]  # (trees + 1,): where each tree begins
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]  # the largest float32 that is not above the split
    right: NDArray[np.int32]  # number of the right child within its tree

    @classmethod
    def of(cls, trees: Sequence[Any]) -> _Nodes:
        """Return the nodes of scikit-learn's trees."""
        first = np.cumsum([0, *(tree.node_count for tree in trees)])
        feature = np.concatenate([np.where(tree.children_left < 0, -1, tree.feature) for tree in trees])
        threshold = float32_below(np.concatenate([tree.threshold for tree in trees]))
        right = np.concatenate([tree.children_right for tree in trees])
        return cls(first.astype(np.int64), feature.astype(np.int32), threshold, right.astype(np.int32))

    @property
    def n_trees(self) -> int:
        return len(self.first) - 1

    def leaves(self, x: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the number of the node, among all, where each row of each tree ends, (trees, n)."""
        node = np.repeat(self.first[:-1, None], len(x), axis=1)
        flat, rows = node.ravel(), np.tile(np.arange(len(x)), self.n_trees)
        base = np.repeat(self.first[:-1], len(x))
        walking = np.arange(len(flat))
        while len(walking):
            here = flat[walking]
            feature = self.feature[here]
            inner = feature >= 0
            walking, here, feature = walking[inner], here[inner], feature[inner]
            left = x[rows[walking], feature] <= self.threshold[here]
            flat[walking] = np.where(left, here + 1, base[walking] + self.right[here])
        return flat.reshape(node.shape)


@dataclass(eq=False)
class FittedForest(Fitted):
    """A forest of some tasks."""

    columns: Columns
    nodes: _Nodes
    leaf_of_row: NDArray[Any]  # (trees, n): number of the leaf within its tree
    targets: NDArray[np.float32]  # (n, n_outputs)
    counts: NDArray[Any] | None  # (trees, n): how often each tree drew each row; None for once
    weight: NDArray[np.float32] | None  # (n,): what each draw of a row counts; None for 1
    cost: Cost
    estimator: Any = None  # scikit-learn's own, which answers faster, while there is one for all targets

    @classmethod
    def of(
        cls,
        columns: Columns,
        forests: list[Any],
        x: NDArray[np.float32],
        targets: NDArray[np.float32],
        weight: NDArray[np.float32] | None,
    ) -> FittedForest:
        """Return what :func:`grow` gave for inputs (n, d), targets (n, n_outputs) and weights of rows."""
        trees = [tree.tree_ for forest in forests for tree in forest.estimators_]
        nodes = _Nodes.of(trees)
        leaves = np.stack([tree.apply(x) for tree in trees])
        counts: NDArray[Any] | None = draws_of(forests, len(x))
        if counts is not None:
            if np.isclose(trees[0].weighted_n_node_samples[0], counts[0].sum()):
                weight = None  # since 1.8 scikit-learn draws rows by weight, and every draw counts the same
            counts = counts.astype(np.uint8 if counts.max() < 2**8 else np.uint32)
        leaf_of_row: NDArray[Any] = leaves.astype(np.uint16 if leaves.max() < 2**16 else np.uint32)
        whole = forests[0] if len(forests) == 1 else None
        fitted = cls(columns, nodes, leaf_of_row, targets, counts, weight, Cost(), whole)
        n_leaves = int((nodes.feature < 0).sum())
        fitted.cost = Cost(
            n_models=1, params=2 * (len(nodes.feature) - n_leaves) + n_leaves * targets.shape[1],
            bytes=sum(array.nbytes for array in fitted.save().arrays.values()), train_examples=len(x) * nodes.n_trees,
        )  # fmt: skip
        return fitted

    @property
    def tasks(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of its tasks."""
        return self.columns.tasks.names

    def outputs(self, inputs: Inputs) -> Packed:
        """Return packed outputs (n, n_outputs); regression answers are in target units."""
        x = np.ascontiguousarray(inputs.scaled, np.float32)
        if self.estimator is not None:
            return self.decoded(self.estimator.predict(x))
        return self.decoded(np.concatenate([np.zeros((0, self.targets.shape[1])), *self._means(x)]))

    def decoded(self, means: NDArray[np.float64]) -> Packed:
        """Return mean leaves as packed outputs."""
        return self.columns.decode(means.reshape(-1, self.targets.shape[1]), self.nodes.n_trees)

    def save(self) -> Saved:
        """Return the nodes, the leaves of the fitted rows, and their targets."""
        arrays = {name: getattr(self.nodes, name) for name in _Nodes.__dataclass_fields__}
        arrays |= {"leaf_of_row": self.leaf_of_row, "targets": self.targets}
        arrays |= {name: own for name in ("counts", "weight") if (own := getattr(self, name)) is not None}
        document = {"tasks": self.tasks, "columns": self.columns.to_dict(), "cost": self.cost.to_dict()}
        return Saved(arrays, document)

    def _means(self, x: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
        """Yield the mean of the trees' leaves for blocks of rows."""
        targets = self.targets.astype(np.float64)
        of_row = np.ones(len(targets)) if self.weight is None else self.weight.astype(np.float64)
        for start in range(0, len(x), _ROWS):
            leaves = self.nodes.leaves(x[start : start + _ROWS])
            total = np.zeros((leaves.shape[1], targets.shape[1]))
            for tree, (ends, leaf) in enumerate(zip(leaves, self.leaf_of_row, strict=True)):
                weight = of_row if self.counts is None else of_row * self.counts[tree]
                first, stop = self.nodes.first[tree : tree + 2]
                total += leaf_means(ends - first, leaf, weight, targets, int(stop - first))
            yield total / self.nodes.n_trees


def _row_weights(examples: Examples, rows: NDArray[np.int64], order: Order) -> NDArray[np.float32] | None:
    """Return the mean weight of each row's labels, since a tree that many tasks share has one weight a row."""
    weights = examples.label_weights(rows, order.tasks)
    if weights is None:
        return None
    seen = ~np.isnan(examples.targets(rows, order.tasks))
    mean: NDArray[np.float32] = (np.where(seen, weights, 0.0).sum(1) / np.maximum(seen.sum(1), 1)).astype(np.float32)
    return mean if mean.any() else None
