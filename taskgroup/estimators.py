"""scikit-learn estimators: the whole pipeline behind ``fit`` and ``predict``.

``fit`` profiles the tasks, groups them, fits every arm with every learner on shared folds, and plans; ``predict``
serves the plan. Give few learners and few arms where this is to be one step of a search.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from taskgroup.cluster import group_tasks
from taskgroup.data import TaskTable, stratified_split
from taskgroup.exceptions import InvalidInputError
from taskgroup.experiment import Plan, retrain
from taskgroup.grouping import Grouping
from taskgroup.tasks import Kind, Task, TaskSet
from taskgroup.training import profile

__all__ = ["TaskGroupClassifier", "TaskGroupEstimator", "TaskGroupRegressor"]

Floats = NDArray[np.float64]


class TaskGroupEstimator(BaseEstimator):  # type: ignore[misc]
    """Tasks of any kinds over the same samples, served by the plan that honest answers choose.

    Parameters
    ----------
    learners : str or sequence
        What is trained, see :func:`taskgroup.retrain`.
    arms : sequence of str, optional
        Which tasks are fitted together, see :func:`taskgroup.retrain`.
    k : int or "auto"
        Number of groups; "auto" by measured gain, see :func:`taskgroup.group_tasks`.
    plan : str
        How the plan is chosen, see :func:`taskgroup.retrain`.
    seeds : int
        Repetitions of learners that depend on luck.
    folds : int or "auto"
        Folds of honest answers.
    epochs : int
        Of the profile.
    kinds : dict or sequence, optional
        Kind of each task, by column name or number: "binary", "multiclass" or "regression". Where it is left out,
        columns of whole numbers with up to 20 values, and of words, are classes, others are regression.
    test_size : float
        Share of the rows that are kept from all fitting, for the scorecard. 0 scores on honest answers alone.
    n_jobs : int
        Local processes.
    random_state : int
        Seed of everything.

    Attributes
    ----------
    groups_ : tuple of tuple of str
        Names of the tasks of every group.
    plan_ : PlanChoice
        Weights of the methods, and the answer in words.
    scorecard_ : Scorecard
        Scores of all methods, see :class:`taskgroup.scoring.Scorecard`.
    classes_ : ndarray, or list of ndarray
        The classes of the task, or a list with those of every task, None for regression.
    n_features_in_, feature_names_in_
        As usual.
    """

    _kind: Kind | None = None

    def __init__(
        self,
        learners: Any = "auto",
        *,
        arms: Sequence[str] | None = None,
        k: int | Literal["auto"] = "auto",
        plan: str = "best",
        seeds: int = 1,
        folds: int | Literal["auto"] = "auto",
        epochs: int = 20,
        kinds: Any = None,
        test_size: float = 0.2,
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        self.learners = learners
        self.arms = arms
        self.k = k
        self.plan = plan
        self.seeds = seeds
        self.folds = folds
        self.epochs = epochs
        self.kinds = kinds
        self.test_size = test_size
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit everything and plan.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
            Numeric features.
        y : array-like or DataFrame of shape (n, T) or (n,)
            Targets; NaN or None where a label is missing.
        """
        if y is None:
            raise InvalidInputError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        names = _column_names(y)
        features = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2, ensure_all_finite=True)
        targets = _as_columns(y, len(features))
        self._one_dimensional = _as_array(y).ndim == 1
        coded, tasks, self._classes = self._encode(targets, names)
        self.classes_ = self._classes[0] if self._one_dimensional else self._classes
        split = self._split(coded, tasks)
        table = TaskTable.from_arrays(features, coded, tasks, split)
        unusable = table.degenerate_tasks()
        if unusable:
            name, reason = next(iter(unusable.items()))
            raise InvalidInputError(f"task {name!r} cannot be learned: {reason}; leave it out of `y`.")
        if len(tasks) == 1:
            grouping = Grouping.from_labels(tasks, [0])
        else:
            maps = profile(table, epochs=self.epochs, random_state=self.random_state).maps
            grouping = group_tasks(maps, k=self.k, table=table, random_state=self.random_state)
        with tempfile.TemporaryDirectory() as folder:
            result = retrain(
                table, grouping, learners=self.learners, arms=self.arms, plan=self.plan, seeds=self.seeds,
                folds=self.folds, jobs=self.n_jobs, random_state=self.random_state, out=Path(folder),
            )  # fmt: skip
            self._served = Plan.load(folder, mapped=False)
        self.grouping_, self.plan_, self.scorecard_ = grouping, result.plan, result.scorecard
        self.groups_: tuple[tuple[str, ...], ...] = grouping.groups
        self.tasks_ = tasks
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return classes and values, (n, T), or (n,) for one-dimensional targets."""
        packed = self._outputs(X)
        columns = []
        for task, classes, own in zip(self.tasks_, self._classes, self._by_task(packed), strict=True):
            if task.kind == "regression":
                columns.append(own[:, 0].astype(np.float64))
            else:
                codes = (own[:, 0] > 0).astype(int) if task.kind == "binary" else own.argmax(1)
                columns.append(classes[codes])
        if self._one_dimensional:
            return np.asarray(columns[0])
        kinds = {column.dtype.kind for column in columns}
        return np.stack(columns, axis=1) if len(kinds) == 1 else np.stack([c.astype(object) for c in columns], axis=1)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the mean over tasks of accuracy (classes) and R2 (regression), on labelled rows."""
        predicted = self.predict(X).reshape(len(np.asarray(X)), -1)
        targets = _as_columns(y, len(predicted))
        scores = []
        for t, task in enumerate(self.tasks_):
            seen = ~_missing(targets[:, t])
            weight = None if sample_weight is None else np.asarray(sample_weight)[seen]
            truth, guess = targets[seen, t], predicted[seen, t]
            if task.kind == "regression":
                scores.append(r2_score(truth.astype(float), guess.astype(float), sample_weight=weight))
            else:
                same = np.array([_plain(a) == _plain(b) for a, b in zip(truth, guess, strict=True)])
                scores.append(accuracy_score(np.ones(len(same)), same, sample_weight=weight))
        return float(np.mean(scores))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.required = True
        return tags

    def _outputs(self, X: ArrayLike) -> NDArray[np.float32]:
        check_is_fitted(self, "plan_")
        features = validate_data(self, X, dtype=[np.float64, np.float32], reset=False, ensure_all_finite=True)
        return self._served.predict(features)

    def _by_task(self, packed: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [packed[:, self.tasks_.output_columns([task.name])] for task in self.tasks_]

    def _split(self, coded: Floats, tasks: TaskSet) -> NDArray[np.int8]:
        """Return the part of every row; without test rows the scorecard is of honest answers alone."""
        test = self.test_size if self.test_size else 0.0
        shares = [0.8 * (1 - test), 0.2 * (1 - test), test]
        if not test:
            shares = [0.8, 0.2]
        parts = stratified_split(coded.astype(np.float32), tasks, shares, self.random_state)
        if not test:
            rows = np.flatnonzero(parts == 1)
            parts[rows[: max(1, len(rows) // 2)]] = 2
        return parts

    def _encode(self, targets: NDArray[Any], names: Sequence[str]) -> tuple[Floats, TaskSet, list[Any]]:
        """Return targets as codes and values, the tasks, and the classes of each."""
        columns: list[Floats] = []
        tasks: list[Task] = []
        classes: list[Any] = []
        for t, name in enumerate(names):
            values = targets[:, t]
            seen = ~_missing(values)
            kind = self._kind_of(t, name, values[seen])
            coded = np.full(len(values), np.nan)
            if kind == "regression":
                coded[seen] = values[seen].astype(np.float64)
                tasks.append(Task(name, "regression"))
                classes.append(None)
            else:
                found = unique_labels(_plain_column(values[seen]))
                coded[seen] = np.searchsorted(found, _plain_column(values[seen]))
                tasks.append(Task(name) if len(found) <= 2 else Task(name, "multiclass", len(found)))
                classes.append(found)
            columns.append(coded)
        return np.stack(columns, axis=1), TaskSet(tasks), classes

    def _kind_of(self, t: int, name: str, values: NDArray[Any]) -> Kind | Literal["classes"]:
        if self._kind is not None:
            return self._kind
        given = self.kinds
        if given is not None:
            kind = given.get(name, given.get(t)) if hasattr(given, "get") else given[t]
            if kind is not None:
                return cast(Kind, kind)
        try:
            numbers = values.astype(np.float64)
        except (TypeError, ValueError):
            return "classes"
        whole = bool(np.all(numbers == np.rint(numbers)))
        return "classes" if whole and len(np.unique(numbers)) <= 20 else "regression"


class TaskGroupClassifier(ClassifierMixin, TaskGroupEstimator):  # type: ignore[misc]
    """Classification tasks; see :class:`TaskGroupEstimator`.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(90, 3))
    >>> model = TaskGroupClassifier(learners="linear", folds=2, epochs=2).fit(X, X[:, :2] > 0)
    >>> model.predict([[2.0, -2.0, 0.0]])
    array([[ True, False]])
    """

    _kind: Kind | None = "multiclass"

    def predict_proba(self, X: ArrayLike) -> Any:
        """Return probabilities (n, C), a list of them, one per task, for two-dimensional targets."""
        packed, found = self._outputs(X), []
        for task, own in zip(self.tasks_, self._by_task(packed), strict=True):
            positive = expit(own[:, 0].astype(np.float64)) if task.kind == "binary" else None
            found.append(
                softmax(own.astype(np.float64), axis=1)
                if positive is None
                else np.stack([1 - positive, positive], axis=1)
            )
        return found[0] if self._one_dimensional else found


class TaskGroupRegressor(RegressorMixin, TaskGroupEstimator):  # type: ignore[misc]
    """Regression tasks; see :class:`TaskGroupEstimator`."""

    _kind: Kind | None = "regression"


def _column_names(y: Any) -> list[str]:
    if hasattr(y, "columns"):
        return [str(name) for name in y.columns]
    values = _as_array(y)
    return [f"task_{t}" for t in range(values.shape[1] if values.ndim == 2 else 1)]


def _as_array(y: Any) -> NDArray[Any]:
    return np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y)


def _as_columns(y: Any, n: int) -> NDArray[Any]:
    values = _as_array(y)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or len(values) != n:
        raise InvalidInputError(f"`y` must have shape (n_samples={n}, n_tasks); got {values.shape}.")
    return np.asarray(values)


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values))
    if values.dtype.kind == "O":
        return np.array([v is None or (isinstance(v, float) and v != v) for v in values])
    return np.zeros(len(values), bool)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _plain_column(values: NDArray[Any]) -> NDArray[Any]:
    """Return values of one type: numbers where all are, words otherwise."""
    if values.dtype.kind != "O":
        return values
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        return values.astype(str)
