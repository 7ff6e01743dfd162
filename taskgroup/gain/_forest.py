"""The default judge: a small forest of multi-output trees, scored out of bag.

Every tree is fitted to a bootstrap sample and answers for the rows it has not seen (Breiman, Machine Learning 2001,
section 3.1), so one fit gives honest outputs of all its tasks. The bootstrap of tree b is the same for every set of
tasks, which makes the comparison of two sets a paired one.

Where labels are missing, trees of several tasks are fitted to what a linear model expects there, as forests of the
experiment are; that model must not have seen the rows that are answered, so these are folds then, not what is out of
bag. Rows without any label of the tasks are left out. With ``pooled=True`` nothing stands in: the value of a leaf is
the mean of the labels it holds of a task, shrunk to what it holds of all the tasks: partial pooling, for tasks that
mean the same on different rows, such as one and the same question asked in many schools or regions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import config_context
from sklearn.tree import ExtraTreeRegressor

from taskgroup._validation import check_int
from taskgroup.data import TaskTable
from taskgroup.exceptions import InvalidInputError
from taskgroup.gain._expected import components, expected
from taskgroup.tasks import TaskSet

__all__ = ["ForestJudge"]

Floats = NDArray[np.float64]

_FEWEST = 8  # trees, at any effort
_MUCH = 8e6  # tasks x rows x root of features from which trees are fewer: 160 tasks on 2,000 rows of 600 features
_MOST_ROWS = 8  # times `max_rows`, however few labels each task has
_BLOCK = 256  # label columns whose values are held at a time
_GAPS = 0.05  # share of missing labels above which they are filled
_N_FOLDS = 3  # of rows, where they are
_OWN = 1.0  # labels that the mean counts for in a leaf of a pooled forest
_POOL = 4.0  # labels that the other tasks' mean counts for in a leaf of a pooled forest


class ForestJudge:
    """Judges sets of tasks by extremely randomised trees, out of bag or, where labels are missing, out of fold.

    Parameters
    ----------
    table : TaskTable
        Its training and validation rows are used, never its test rows.
    n_trees : int or "auto"
        Trees at full effort; "auto" is 64, or 32 where tasks, rows and features are so many that the search would take
        minutes.
    max_rows : int
        Labelled rows of a task that are used at most; rows are drawn at random.
    max_targets : int
        Splits of more targets than this are chosen on as many random combinations of them (Joly et al., ECML 2014,
        arXiv 1404.3581); leaves still hold every target.
    min_samples_leaf : int
        Least number of rows in a leaf. More than a final forest would have: the answers of few trees are calmer.
    pooled : bool
        Whether tasks fitted together share the values of the leaves, not only the splits; all must be of one kind.
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

    Raises
    ------
    InvalidInputError
        When there are fewer than two rows, or tasks of several kinds are to be pooled.
    """

    def __init__(
        self,
        table: TaskTable,
        *,
        n_trees: int | Literal["auto"] = "auto",
        max_rows: int = 2000,
        max_targets: int = 64,
        min_samples_leaf: int = 5,
        pooled: bool = False,
        random_state: int = 0,
    ) -> None:
        self.max_targets = check_int("max_targets", max_targets, 1)
        self.min_samples_leaf = check_int("min_samples_leaf", min_samples_leaf, 1)
        self.random_state = check_int("random_state", random_state, 0)
        self.pooled = pooled
        self.rows = _draw_rows(table, check_int("max_rows", max_rows, 2), random_state)
        if len(self.rows) < 2:
            raise InvalidInputError(f"the training and validation rows must be at least 2; got {len(self.rows)}.")
        kinds = {(task.kind, task.n_outputs) for task in table.tasks}
        if pooled and len(kinds) > 1:
            raise InvalidInputError(f"tasks must be of one kind to be pooled; got {len(kinds)} kinds.")
        work = table.n_tasks * len(self.rows) * table.n_features**0.5
        self.n_trees = (64 if work < _MUCH else 32) if n_trees == "auto" else check_int("n_trees", n_trees, 2)
        self.tasks: TaskSet = table.tasks
        self.targets: NDArray[np.float32] = table.Y[self.rows]
        self._X = np.asfortranarray(table.schema.units.seen(table.X[self.rows]))
        self._folds: NDArray[np.intp] | None = None
        if not pooled and np.isnan(self.targets).mean() > _GAPS:
            self._folds = np.random.default_rng([random_state, 4]).permutation(len(self.rows)) % _N_FOLDS
            self._components = components(self._X, random_state)
            self._expected: dict[tuple[int, int], NDArray[np.float32]] = {}

    def outputs(self, tasks: Sequence[int], effort: float = 1.0) -> NDArray[np.float32]:
        """Return honest outputs of the two halves of a forest fitted to the tasks, (2, n, n_outputs)."""
        parts = [_label_columns(self.tasks, self.targets, t) for t in tasks]
        scale = np.concatenate([np.full(len(part.mean), part.scale) for part in parts])
        mean = np.concatenate([part.mean for part in parts])
        answers = np.empty((2, len(self.rows), len(mean)), np.float32)
        n_folds = 1 if self._folds is None else _N_FOLDS
        for fold in range(n_folds):
            labels, held = self._labels(tasks, parts, fold)
            counts, forest = np.zeros((2, len(self.rows), 1)), []
            with config_context(assume_finite=True, skip_parameter_validation=True):  # half of a small tree's time
                for b in range(fold, max(self._n_trees(effort), 2 * n_folds), n_folds):
                    bag, tree = self._tree(labels, b, held)
                    out = np.flatnonzero(bag == 0 if held is None else held)
                    half = b // n_folds % 2
                    counts[half, out] += 1
                    forest.append((half, out, self._leaves(labels, bag, tree)))
            for block in labels.blocks():
                total = np.zeros((2, len(self.rows), block.stop - block.start))
                for half, out, leaves in forest:
                    total[half, out] += leaves.values(block)[leaves.of_row[out]]
                of_fold = total / np.maximum(counts, 1) * scale[block] + mean[block]
                answers[:, slice(None) if held is None else held, block] = of_fold if held is None else of_fold[:, held]
        return answers

    def _labels(
        self, tasks: Sequence[int], parts: Sequence[_LabelColumns], fold: int
    ) -> tuple[_Labels, NDArray[np.bool_] | None]:
        """Return the labels that trees are fitted to, and the rows of a fold that they may not see."""
        Z = np.concatenate([part.values for part in parts], 1)  # (n, C), of mean 0, NaN where missing
        if self._folds is None:
            return _Labels(Z, len(parts), self.pooled), None
        held = self._folds == fold
        Z = Z - _mean(Z[~held])  # answers of different folds differ by no constant
        stand_in = np.zeros(1)
        if len(parts) > 1:
            stand_in = np.concatenate([self._expect(t, part, fold) for t, part in zip(tasks, parts, strict=True)], 1)
        return _Labels(Z, len(parts), self.pooled, stand_in), held

    def _expect(self, task: int, part: _LabelColumns, fold: int) -> NDArray[np.float32]:
        """Return what is expected of a task where its labels of other folds are known, (n, C), about their mean."""
        assert self._folds is not None
        if (task, fold) not in self._expected:
            rows = np.flatnonzero(self._folds != fold)
            found = expected(self._components, part.values - _mean(part.values[rows]), rows)
            self._expected[task, fold] = found.astype(np.float32)
        return self._expected[task, fold]

    def importances(self, effort: float = 1.0) -> Floats:
        """Return the mean decrease of impurity by each feature in the forest of each task alone, (T, d)."""
        rows = []
        with config_context(assume_finite=True, skip_parameter_validation=True):
            for t in range(len(self.tasks)):
                labels = _Labels(_label_columns(self.tasks, self.targets, t).values, 1, self.pooled)
                trees = [self._tree(labels, b, None)[1] for b in range(self._n_trees(effort))]
                rows.append(np.mean([tree.feature_importances_ for tree in trees], 0))
        return np.array(rows)

    def _n_trees(self, effort: float) -> int:
        return max(_FEWEST, round(effort * self.n_trees))

    def _leaves(self, labels: _Labels, bag: Floats, tree: ExtraTreeRegressor) -> _Leaves:
        """Return the leaf of every row, and what the leaves hold."""
        of_row = tree.tree_.apply(self._X)
        if not self.pooled and labels.Z.shape[1] <= self.max_targets:  # what the tree itself holds
            held: Floats = tree.tree_.value[:, :, 0]
            return _Leaves(of_row, lambda block: held[:, block])
        return _Leaves(of_row, labels.in_leaves(bag, of_row))

    def _tree(self, labels: _Labels, b: int, held: NDArray[np.bool_] | None) -> tuple[Floats, ExtraTreeRegressor]:
        """Return the bootstrap counts (n,) of tree b and the tree fitted to those that hold a label."""
        rng = np.random.default_rng([self.random_state, 2, b])
        n = len(self._X)
        bag = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        if held is not None:
            bag[held] = 0.0
        seed = int(rng.integers(2**31 - 1))
        rows, goal = labels.goal(bag)
        if goal.shape[1] > self.max_targets:
            goal = goal @ (rng.normal(size=(goal.shape[1], self.max_targets)) / self.max_targets**0.5)
        tree = ExtraTreeRegressor(min_samples_leaf=self.min_samples_leaf, max_features="sqrt", random_state=seed)
        tree.fit(self._X[rows], np.ascontiguousarray(goal), sample_weight=bag[rows], check_input=False)
        return bag, tree


class _Leaves(NamedTuple):
    """The leaf of every row, (n,), and what gives the values (n_leaves, n_columns) of a block of label columns."""

    of_row: NDArray[np.intp]
    values: Callable[[slice], Floats]


class _Labels:
    """The labels (n, C) of some tasks, as trees are fitted to them and as leaves hold them.

    Where a label is missing there is a stand-in, by default the mean; a row that holds no label of these tasks is left
    out.
    """

    def __init__(self, Z: Floats, n_tasks: int, pooled: bool, stand_in: NDArray[np.floating] | float = 0.0) -> None:
        self.seen = ~np.isnan(Z)
        self.labelled = self.seen.any(1)
        self.pooled = pooled
        self.Z = np.where(self.seen, Z, 0.0 if pooled else stand_in)
        self.width = Z.shape[1] // n_tasks
        if pooled:
            shape = (len(Z), -1, self.width)
            self.sums = self.Z.reshape(shape).sum(1)  # over tasks
            self.counts = self.seen.reshape(shape).sum(1, dtype=np.float64)

    def goal(self, bag: Floats) -> tuple[NDArray[np.intp], Floats]:
        """Return the rows in the bag that a tree is fitted to, and their targets."""
        rows = np.flatnonzero((bag > 0) & self.labelled)
        if len(rows) == 0:
            rows = np.flatnonzero(bag > 0)
        if not self.pooled:
            return rows, self.Z[rows]
        return rows, self.sums[rows] / np.maximum(self.counts[rows], 1.0)

    def blocks(self) -> list[slice]:
        """Return the label columns in blocks of some whole tasks, so that no step holds many values of all rows."""
        step = max(_BLOCK // self.width, 1) * self.width
        return [slice(a, min(a + step, self.Z.shape[1])) for a in range(0, self.Z.shape[1], step)]

    def in_leaves(self, bag: Floats, leaves: NDArray[np.intp]) -> Callable[[slice], Floats]:
        """Return what gives the values (n_leaves, n_columns) that the leaves hold of a block of columns."""
        inside = np.flatnonzero((bag > 0) & self.labelled)
        member: Any = sparse.csr_matrix((bag[inside], (leaves[inside], inside)), (int(leaves.max()) + 1, len(bag)))
        if not self.pooled:
            sizes = np.maximum(np.asarray(member.sum(1)), 1.0)
            return lambda block: np.asarray(member @ self.Z[:, block] / sizes)
        together = (member @ self.sums) / (member @ self.counts + _OWN)

        def pooled(block: slice) -> Floats:
            prior = np.tile(together, (1, (block.stop - block.start) // self.width))
            held = member @ self.seen[:, block].astype(np.float64)
            return np.asarray((member @ self.Z[:, block] + _POOL * prior) / (held + _POOL))

        return pooled


class _LabelColumns(NamedTuple):
    """The columns of one task that a tree is fitted to."""

    values: Floats  # (n, C), of mean 0, NaN where missing
    mean: Floats  # (C,)
    scale: float


def _label_columns(tasks: TaskSet, targets: NDArray[np.float32], t: int) -> _LabelColumns:
    """Return one 0/1 column of a binary task, one per class of a multiclass one, the scaled value of a regression."""
    column = targets[:, t, None].astype(np.float64)
    seen = ~np.isnan(column[:, 0])
    if tasks[t].kind == "multiclass":
        column = np.where(seen[:, None], column == np.arange(tasks[t].n_outputs), np.nan)
    mean = column[seen].mean(0) if seen.any() else np.zeros(column.shape[1])
    spread = float(column[seen].std()) if seen.any() and tasks[t].kind == "regression" else 1.0
    scale = spread if spread > 1e-12 else 1.0
    return _LabelColumns((column - mean) / scale, mean, scale)


def _mean(Z: Floats) -> Floats:
    """Return the means of columns, of what is there; 0 where nothing is."""
    seen = ~np.isnan(Z)
    return np.asarray(np.where(seen, Z, 0.0).sum(0) / np.maximum(seen.sum(0), 1))


def _draw_rows(table: TaskTable, max_rows: int, random_state: int) -> NDArray[np.int64]:
    """Return training and validation rows, as many as leave no task with more than ``max_rows`` labels on average."""
    rows = np.sort(np.concatenate([table.rows("train"), table.rows("valid")]))
    share = float((~np.isnan(table.Y[rows])).mean(0).max(initial=0.0)) if len(rows) else 1.0
    most = round(min(max_rows / max(share, 1e-9), _MOST_ROWS * max_rows))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng([random_state, 1]).choice(rows, most, replace=False))
    return rows
