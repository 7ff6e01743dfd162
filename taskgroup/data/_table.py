"""A table of tasks: one row a sample, feature columns X, target columns Y, a split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from taskgroup._artifact import content_hash
from taskgroup._display import clipped, html_table
from taskgroup._validation import check_choice, check_finite, check_matrix, check_real
from taskgroup.data._cells import Marks
from taskgroup.data._reading import Reading
from taskgroup.data._schema import InputSchema
from taskgroup.data._split import stratified_split
from taskgroup.data._units import narrow
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import TaskSet

__all__ = ["SPLITS", "TaskTable", "check_weights", "complete_split"]

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class TaskTable:
    """Samples with features, the targets of T tasks, and a split into train, valid and test.

    Build one with :meth:`from_arrays` or :func:`taskgroup.load_table`; both check what they are given.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)
        Features as they were read, NaN where a number is missing; float64 where a column needs it to keep its values
        apart. Categorical columns hold codes, see `categories`.
    Y : ndarray of float32 of shape (n, T)
        Targets, NaN where a label is missing.
    tasks : TaskSet
        The T tasks, in column order.
    split : ndarray of int8 of shape (n,)
        0 train, 1 valid, 2 test.
    feature_names : tuple of str
        Names of the d feature columns.
    categories : dict of int to tuple of str
        Category names by column number; code 0 is unseen in training, code c is category c - 1. Where words are
        missing, the category "" stands for that.
    input_shape : tuple of int
        Shape of one sample: (d,), or (channels, height, width) for images stored flat.
    name : str
        What reports call the table.
    weights : ndarray of float32 of shape (n,) or (n, T), optional
        Weight of every row, or of every label; not negative, finite. A weight of 0 comes with a missing label.
    ids : ndarray of shape (n,), optional
        What the rows are called in the data.
    reading : Reading, optional
        How the table was read, where it was read from a file or a data frame.
    marks : Marks
        Which cells were missing; new rows are read by them as well.
    together : ndarray of int of shape (n,), optional
        Rows of the same number (of one patient, or equal) stay on one side wherever rows are divided.
    ordered : bool
        Whether the parts follow one another in time, so that rows are not to be dealt anew.
    """

    X: NDArray[Any]
    Y: NDArray[np.float32]
    tasks: TaskSet
    split: NDArray[np.int8]
    feature_names: tuple[str, ...]
    categories: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    input_shape: tuple[int, ...] = ()
    name: str = "table"
    weights: NDArray[np.float32] | None = None
    ids: NDArray[Any] | None = None
    reading: Reading | None = None
    marks: Marks = field(default_factory=Marks)
    together: NDArray[np.intp] | None = None
    ordered: bool = False

    @classmethod
    def from_arrays(
        cls,
        X: ArrayLike,
        Y: ArrayLike,
        tasks: TaskSet | Sequence[Any] | None = None,
        split: ArrayLike | None = None,
        *,
        feature_names: Sequence[str] | None = None,
        categories: Mapping[int, Sequence[str]] | None = None,
        valid: float = 0.2,
        test: float = 0.2,
        random_state: int = 0,
        name: str = "table",
        weights: ArrayLike | None = None,
        ids: ArrayLike | None = None,
    ) -> TaskTable:
        """Return a checked table.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, channels, height, width)
            Features; NaN where a number is missing.
        Y : array-like of shape (n, T)
            Targets. NaN, and -1 in binary and multiclass tasks, mean "not labelled".
        tasks : TaskSet or sequence of Task or str, optional
            Binary tasks called task_0, task_1, ... when left out.
        split : array-like of int of shape (n,), optional
            0 train, 1 valid, 2 test. Parts that are left out are drawn: all of it when None, the validation
            rows out of the training rows when there is no 1.
        feature_names : sequence of str, optional
            Names of the columns of `X`.
        categories : dict, optional
            Category names of categorical columns, by column number.
        valid, test : float
            Shares of the drawn parts.
        random_state : int
            Seed of the drawn split.
        name : str
            What reports call the table.
        weights : array-like of shape (n,) or (n, T), optional
            Weight of every row or label; labels of weight 0 count as missing.
        ids : array-like of shape (n,), optional
            What the rows are called.

        Raises
        ------
        InvalidInputError
            When shapes disagree, features are infinite, or a target is not a value of its task's kind.
        """
        features = np.asarray(X)
        if features.ndim < 2 or not features.size:
            raise InvalidInputError(
                f"`X` must have shape (n_samples, n_features) and not be empty; got {features.shape}."
            )
        input_shape = features.shape[1:]
        features = features.reshape(len(features), -1)
        features = narrow(features, copy=True) if len(input_shape) == 1 else features.astype(np.float32)
        targets = np.array(check_matrix("Y", Y, (len(features), None)), dtype=np.float32)
        task_set = (
            tasks if isinstance(tasks, TaskSet) else TaskSet(tasks or [f"task_{t}" for t in range(targets.shape[1])])
        )
        check_matrix("Y", targets, (len(features), len(task_set)))
        names = tuple(feature_names) if feature_names is not None else tuple(f"x{j}" for j in range(features.shape[1]))
        if len(names) != features.shape[1]:
            raise InvalidInputError(f"`feature_names` must hold {features.shape[1]} names; got {len(names)}.")
        check_finite("X", features, names, missing=True)
        _check_targets(targets, task_set)
        weighing = None if weights is None else check_weights(weights, targets)
        parts = complete_split(split, targets, task_set, valid, test, random_state)
        return cls(
            features, targets, task_set, parts, names,
            {int(j): tuple(v) for j, v in (categories or {}).items()}, tuple(input_shape), name, weighing,
            None if ids is None else check_matrix("ids", ids, (len(features),)),
        )  # fmt: skip

    def __repr__(self) -> str:
        parts = ", ".join(f"{len(self.rows(part)):,} {part}" for part in SPLITS)
        return (
            f"TaskTable({self.name!r:.60}: {self.n_samples:,} rows ({parts}), {self.n_features:,} features, "
            f"{self.n_tasks:,} tasks: {clipped(self.tasks.names)}; {np.isnan(self.Y).mean():.1%} of labels missing)"
        )

    def _repr_html_(self) -> str:
        return html_table(("task", "kind", "labelled", "missing", "positive or mean"), self._task_rows(), repr(self))

    def to_frame(self) -> Any:
        """Return a pandas DataFrame of features and targets, under their names; codes as they are kept, see `X`."""
        import pandas as pd

        columns = {**dict(zip(self.feature_names, self.X.T, strict=True))}
        columns |= dict(zip(self.tasks.names, self.Y.T, strict=True))
        return pd.DataFrame(columns, index=self.ids)

    def _task_rows(self) -> list[tuple[Any, ...]]:
        seen = ~np.isnan(self.Y)
        with np.errstate(invalid="ignore"):
            mean = np.where(seen, self.Y, 0.0).sum(0, dtype=np.float64) / seen.sum(0)
        return [
            (task.name, task.kind, int(n), 1 - n / max(len(seen), 1), None if task.kind == "multiclass" else float(m))
            for task, n, m in zip(self.tasks, seen.sum(0), mean, strict=True)
        ]

    @property
    def n_samples(self) -> int:
        """Number of rows n."""
        return len(self.X)

    @property
    def n_features(self) -> int:
        """Number of feature columns d."""
        return int(self.X.shape[1])

    @property
    def n_tasks(self) -> int:
        """Number of tasks T."""
        return len(self.tasks)

    def rows(self, split: Split) -> NDArray[np.int64]:
        """Return the row numbers of a part, ascending."""
        return np.flatnonzero(self.split == SPLITS.index(check_choice("split", split, SPLITS)))

    @cached_property
    def schema(self) -> InputSchema:
        """Input schema fitted on the training rows."""
        return InputSchema.fit(
            self.X[self.rows("train")], self.feature_names, self.categories, self.input_shape, self.marks
        )

    def inputs(self, split: Split) -> NDArray[np.float32]:
        """Return the features of a part as models see them, scaled and without holes, shape (n_part, n_inputs)."""
        return self.schema.transform(self.X[self.rows(split)])

    def targets(self, split: Split) -> NDArray[np.float32]:
        """Return the targets of a part, NaN where missing, shape (n_part, T)."""
        return self.Y[self.rows(split)]

    @cached_property
    def label_weights(self) -> NDArray[np.float32] | None:
        """Weight of every label, 1 on average over the labels of a task and 0 where there is none, shape (n, T).

        None when all labels count the same. Losses and metrics are weighted by it.
        """
        if self.weights is None:
            return None
        seen = ~np.isnan(self.Y)
        given = self.weights if self.weights.ndim == 2 else self.weights[:, None]
        weights = np.where(seen, given, 0.0).astype(np.float64)
        mean = weights.sum(0) / np.maximum(seen.sum(0), 1)
        scaled: NDArray[np.float32] = (weights / np.where(mean > 0, mean, 1.0)).astype(np.float32)
        return scaled

    def select(self, tasks: Iterable[str | int]) -> TaskTable:
        """Return the table with some of its tasks, on the same rows and split."""
        chosen = self.tasks.select(tasks)
        columns = [self.tasks.index_of(name) for name in chosen.names]
        weights = self.weights
        if weights is not None and weights.ndim == 2:
            weights = np.ascontiguousarray(weights[:, columns])
        return replace(self, tasks=chosen, Y=np.ascontiguousarray(self.Y[:, columns]), weights=weights)

    def degenerate_tasks(self) -> dict[str, str]:
        """Return {task name: reason} for tasks that nothing can be learned from: one class, or too few labels.

        A task is usable when the training rows hold two classes (or two different values) of it.
        """
        train = self.targets("train")
        reasons = {}
        for t, task in enumerate(self.tasks):
            values = np.unique(train[:, t][~np.isnan(train[:, t])])
            if len(values) == 0:
                reasons[task.name] = "no labelled training row"
            elif len(values) == 1:
                what = "value" if task.kind == "regression" else "class"
                reasons[task.name] = f"one {what} only ({values[0]:g}) in the training rows"
        return reasons

    def content_hash(self) -> str:
        """Return a hash of features and what they are called, targets, tasks, split and weights, by value."""
        weights = () if self.weights is None else (self.weights,)
        names = [self.feature_names, {str(column): words for column, words in self.categories.items()}]
        return content_hash(self.X, self.Y, self.tasks.to_list(), self.split, names, *weights)


def check_weights(weights: ArrayLike, Y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return checked weights; labels of weight 0 become missing in ``Y``."""
    given = np.asarray(weights, dtype=np.float32)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.shape not in (Y.shape, Y.shape[:1]):
        raise InvalidInputError(f"`weights` must have shape {Y.shape[:1]} or {Y.shape}; got {given.shape}.")
    wrong = ~(np.isfinite(given) & (given >= 0))
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise InvalidInputError(f"`weights` must be finite and not negative; got {given[wrong][0]:g} in row {row}.")
    Y[np.broadcast_to((given == 0).reshape(len(Y), -1), Y.shape)] = np.nan
    return given


def _check_targets(Y: NDArray[np.float32], tasks: TaskSet) -> None:
    """Check every column against its task's kind; turn -1 into NaN where it means "not labelled"."""
    for t, task in enumerate(tasks):
        column = Y[:, t]
        if np.isinf(column).any():
            raise InvalidInputError(f"targets of task {task.name!r} must be finite or NaN; got infinity.")
        if task.kind == "regression":
            continue
        column[column == -1] = np.nan
        present = column[~np.isnan(column)]
        top = (task.n_classes or 2) - 1 if task.kind == "multiclass" else 1
        wrong = present[(present < 0) | (present > top) | (present != np.rint(present))]
        if len(wrong):
            raise InvalidInputError(
                f"targets of {task.kind} task {task.name!r} must be whole numbers 0 .. {top}, or NaN or -1 for "
                f"missing; got {wrong[0]:g}."
            )


def complete_split(
    split: ArrayLike | None, Y: NDArray[np.float32], tasks: TaskSet, valid: float, test: float, seed: int
) -> NDArray[np.int8]:
    """Return checked parts of all rows; what ``split`` leaves out is drawn, stratified by the labels."""
    check_real("valid", valid, 0.01, 0.9)
    check_real("test", test, 0.01, 0.9)
    if valid + test >= 1:
        raise InvalidInputError(f"`valid` + `test` must be below 1; got {valid + test:g}.")
    if split is None:
        parts = stratified_split(Y, tasks, (1 - valid - test, valid, test), seed)
    else:
        given = check_matrix("split", split, (len(Y),))
        if not np.isin(given, (0, 1, 2)).all():
            raise InvalidInputError(f"`split` must hold 0 (train), 1 (valid) and 2 (test); got {np.unique(given)[:6]}.")
        parts = given.astype(np.int8)
        if not (parts == 1).any():
            train = np.flatnonzero(parts == 0)
            parts[train] = stratified_split(Y[train], tasks, (1 - valid, valid), seed)
    for number, part in enumerate(SPLITS):
        if not (parts == number).any():
            hint = " Without a test part nothing can be judged: call the validation rows test." if number == 2 else ""
            raise InvalidInputError(
                f"the {part} part of `split` must hold at least one row; got none of {len(Y)}.{hint}"
            )
    return parts
