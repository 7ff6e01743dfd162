"""The default judge: a small forest of multi-output trees, scored out of bag.

Every tree is fitted to a bootstrap sample and answers for the rows it has not seen (Breiman, Machine Learning 2001,
section 3.1), so one fit gives honest outputs of all its tasks. The bootstrap of tree b is the same for every set of
tasks, which makes the comparison of two sets a paired one.

A missing label neither pulls at a split nor counts in a leaf: the splits see the mean of the task there, and the value
of a leaf is the mean of the labels it holds, shrunk to the task's mean by the weight of one label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import config_context
from sklearn.tree import ExtraTreeRegressor

from taskgroup._validation import check_int
from taskgroup.data import TaskTable
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import TaskSet

__all__ = ["ForestJudge", "LabelColumns", "label_columns"]

_FEWEST = 8  # trees, at any effort
_TINY = 1e-12


class ForestJudge:
    """Judges sets of tasks by out-of-bag extremely randomised trees.

    Parameters
    ----------
    table : TaskTable
        Its training and validation rows are used, never its test rows.
    n_trees : int
        Trees at full effort.
    max_rows : int
        Rows that are used at most, drawn at random.
    max_targets : int
        Splits of more targets than this are chosen on as many random combinations of them (Joly et al., ECML 2014,
        arXiv 1404.3581); leaves still hold every target.
    min_samples_leaf : int
        Least number of rows in a leaf. More than a final forest would have: the answers of few trees are calmer.
    random_state : int
        Seed of rows, bootstrap samples and trees.

    Attributes
    ----------
    tasks : TaskSet
        The T tasks.
    rows : ndarray of int64 of shape (n,)
        Row numbers of the table, ascending.
    targets : ndarray of float32 of shape (n, T)
        Their targets.
    importances : ndarray of float64 of shape (T, d)
        Mean decrease of impurity by each feature in the forest of each task alone; zeros until it was judged.
    """

    def __init__(
        self,
        table: TaskTable,
        *,
        n_trees: int = 64,
        max_rows: int = 2000,
        max_targets: int = 64,
        min_samples_leaf: int = 5,
        random_state: int = 0,
    ) -> None:
        self.n_trees = check_int("n_trees", n_trees, 2)
        self.max_targets = check_int("max_targets", max_targets, 1)
        self.min_samples_leaf = check_int("min_samples_leaf", min_samples_leaf, 1)
        self.random_state = check_int("random_state", random_state, 0)
        check_int("max_rows", max_rows, 2)
        rows = np.sort(np.concatenate([table.rows("train"), table.rows("valid")]))
        if len(rows) < 2:
            raise InvalidInputError(f"the training and validation rows must be at least 2; got {len(rows)}.")
        if len(rows) > max_rows:
            rows = np.sort(np.random.default_rng([random_state, 1]).choice(rows, max_rows, replace=False))
        self.rows = rows
        self.tasks: TaskSet = table.tasks
        self.targets: NDArray[np.float32] = table.Y[rows]
        self._X = np.ascontiguousarray(table.X[rows])
        self.importances: NDArray[np.float64] = np.zeros((table.n_tasks, table.n_features))
        self._columns = [label_columns(table.tasks, self.targets, t) for t in range(table.n_tasks)]

    def outputs(self, tasks: Sequence[int], effort: float = 1.0) -> NDArray[np.float32]:
        """Return out-of-bag outputs of the two halves of a forest fitted to the tasks, (2, n, n_outputs)."""
        parts = [self._columns[t] for t in tasks]
        Z = np.concatenate([part.values for part in parts], 1)  # (n, C), of mean 0, NaN where missing
        seen = ~np.isnan(Z)
        shrink = 0.0 if seen.all() else 1.0
        Z = np.where(seen, Z, 0.0)
        labels = seen.astype(np.float64)
        total, count = np.zeros((2, *Z.shape)), np.zeros((2, len(Z), 1))
        n_trees = max(_FEWEST, round(effort * self.n_trees))
        with config_context(assume_finite=True, skip_parameter_validation=True):  # half of the time of a small tree
            for b in range(n_trees):
                bag, tree = self._tree(Z, b)
                leaves = tree.tree_.apply(self._X)
                if len(tasks) == 1:
                    self.importances[tasks[0]] += tree.feature_importances_
                inside, out = np.flatnonzero(bag), np.flatnonzero(bag == 0)
                member: Any = sparse.csr_matrix(
                    (bag[inside], (leaves[inside], inside)), (int(leaves.max()) + 1, len(Z))
                )
                sizes = member @ labels if shrink else np.asarray(member.sum(1))
                total[b % 2, out] += (member @ Z / np.maximum(sizes + shrink, _TINY))[leaves[out]]
                count[b % 2, out] += 1
        scale = np.concatenate([np.full(len(part.mean), part.scale) for part in parts])
        mean = np.concatenate([part.mean for part in parts])
        return (total / np.maximum(count, 1) * scale + mean).astype(np.float32)

    def _tree(self, Z: NDArray[np.float64], b: int) -> tuple[NDArray[np.float64], ExtraTreeRegressor]:
        """Return the bootstrap counts (n,) of tree b and the tree fitted to them."""
        rng = np.random.default_rng([self.random_state, 2, b])
        bag = np.bincount(rng.integers(0, len(Z), len(Z)), minlength=len(Z)).astype(np.float64)
        inside = np.flatnonzero(bag)
        seed = int(rng.integers(2**31 - 1))
        goal = Z[inside]
        if goal.shape[1] > self.max_targets:
            goal = goal @ (rng.normal(size=(goal.shape[1], self.max_targets)) / self.max_targets**0.5)
        tree = ExtraTreeRegressor(min_samples_leaf=self.min_samples_leaf, max_features="sqrt", random_state=seed)
        tree.fit(self._X[inside], np.ascontiguousarray(goal), sample_weight=bag[inside], check_input=False)
        return bag, tree


class LabelColumns(NamedTuple):
    """The columns of one task that a tree is fitted to."""

    values: NDArray[np.float64]  # (n, C), of mean 0, NaN where missing
    mean: NDArray[np.float64]  # (C,)
    scale: float


def label_columns(tasks: TaskSet, targets: NDArray[np.float32], t: int) -> LabelColumns:
    """Return one 0/1 column of a binary task, one per class of a multiclass one, the scaled value of a regression."""
    column = targets[:, t, None].astype(np.float64)
    seen = ~np.isnan(column[:, 0])
    if tasks[t].kind == "multiclass":
        column = np.where(seen[:, None], column == np.arange(tasks[t].n_outputs), np.nan)
    mean = column[seen].mean(0) if seen.any() else np.zeros(column.shape[1])
    spread = float(column[seen].std()) if seen.any() and tasks[t].kind == "regression" else 1.0
    scale = spread if spread > 1e-12 else 1.0
    return LabelColumns((column - mean) / scale, mean, scale)
