"""One model for several tasks of a kind: their labelled rows stacked, with the task as one more input.

This is how a learner that knows one target only still shares what it learns between tasks. Every task keeps its own
place: regression targets are standardised task by task, and a learner that takes offsets starts every task at its own
log-odds, so that what is shared is what inputs say, not how common labels are. Binary and regression tasks are pooled
by kind; multiclass tasks, and a task that is alone in its kind, get a model of their own.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from taskgroup.cost import Cost
from taskgroup.learners._base import Context, Document, Fitted, Learner, Order, Saved
from taskgroup.learners._examples import Examples, Inputs, Packed
from taskgroup.learners._kept_back import kept_back
from taskgroup.learners._stacked import Stacked, stacked, with_task
from taskgroup.tasks import Kind, Task, TaskSet

__all__ = ["FittedPooled", "Model", "PooledLearner", "Problem", "labels_of"]

How = Literal["constant", "single", "pooled", "joint"]
Floats = NDArray[np.float64]

_NEVER = -30.0  # log-probability of a class that no fitted row has
_POOL = 250  # tasks of a pooled model at most: a categorical column has at most 255 values


@dataclass(frozen=True, eq=False)
class Problem:
    """What one model is fitted to.

    Parameters
    ----------
    kind : {"binary", "multiclass", "regression"}
        Of the targets.
    n_classes : int
        Classes of a multiclass problem, all of which have rows; 1 otherwise.
    x : ndarray of float32 of shape (n, d)
        Features as they came, NaN where missing; the number of the task in the last column when tasks are pooled.
    y : ndarray of float64 of shape (n,) or (n, n_tasks)
        0/1, class codes or standardised values, never missing.
    weight : ndarray of float64 of shape (n,), optional
        Weight of each row.
    offset : ndarray of float64 of shape (n,) or (n, n_tasks), optional
        Where answers start.
    stop : ndarray of bool of shape (n,)
        Rows to stop by, and not to fit; none when there are too few.
    categorical : tuple of int
        Columns of `x` that hold codes.
    n_tasks : int
        Tasks whose rows are stacked.
    """

    kind: Kind
    n_classes: int
    x: NDArray[np.float32]
    y: Floats
    weight: Floats | None
    offset: Floats | None
    stop: NDArray[np.bool_]
    categorical: tuple[int, ...]
    n_tasks: int = 1

    def parts(self) -> list[Problem]:
        """Return the rows to fit and, unless there are none, those to stop by."""
        return [self.take(rows) for rows in (~self.stop, self.stop) if rows.any()]

    def take(self, rows: NDArray[np.bool_]) -> Problem:
        """Return the problem on some of its rows."""
        weight, offset = (None if v is None else v[rows] for v in (self.weight, self.offset))
        return replace(self, x=self.x[rows], y=self.y[rows], weight=weight, offset=offset, stop=self.stop[rows])


class Model(ABC):
    """A fitted model of one problem."""

    rounds: int = 1
    """Passes over the rows that it took."""

    @abstractmethod
    def raw(self, x: NDArray[np.float32]) -> Floats:
        """Return logits, or standardised values, (n, n_outputs), without the offset."""

    @abstractmethod
    def save(self) -> Saved:
        """Return what its file holds."""

    @property
    def bytes(self) -> int:
        """Size of its file's arrays."""
        return sum(array.nbytes for array in self.save().arrays.values())

    @property
    def size(self) -> int:
        """Numbers that it learned; 0 where they cannot be told."""
        return 0


@dataclass(frozen=True)
class PooledLearner(Learner):
    """What learners of single targets share.

    Parameters
    ----------
    most_rows : int
        Stacked rows of a model above which it is not tried unasked.
    stop_share : float
        Share of the rows that a model stops by; 0 fits all rows with the rounds given.
    """

    offsets: ClassVar[bool] = True
    """Whether models can start at offsets."""
    one_hot: ClassVar[bool] = False
    """Whether the task is told by a column for each, instead of a column of numbers."""

    most_rows: int = field(default=300_000, kw_only=True)
    stop_share: float = field(default=0.15, kw_only=True)

    def declines(self, arm: str, sizes: Sequence[int], examples: Examples, leeway: float = 1.0) -> str | None:
        """Return that the stacked rows of the largest model are too many, where they are."""
        largest, n_rows = max(sizes, default=0), len(examples.Y)
        if largest * n_rows > leeway * self.most_rows:
            return f"{largest} tasks on {n_rows:,} rows each make more than {self.most_rows:,} stacked rows"
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
        """Return a model for every order."""
        x = np.ascontiguousarray(self._inputs(examples.inputs)[rows])
        stop = np.zeros(len(rows), bool)
        if self.stop_share:
            stop = np.isin(rows, kept_back(examples, rows, self.stop_share, seed)[1])
        return [self._fit(examples, x, rows, stop, order) for order in orders]

    @classmethod
    def load(cls, saved: Saved, context: Context) -> FittedPooled:
        """Return the model of a file."""
        arrays, document = saved
        parts = []
        for p, entry in enumerate(document["parts"]):
            own = {name.partition("/")[2]: value for name, value in arrays.items() if name.startswith(f"{p}/")}
            model = None
            if entry["how"] != "constant":
                model = cls._load_model(Saved(own, entry["model"]), context.own)
            classes = None if entry["classes"] is None else tuple(entry["classes"])
            part = _Part(tuple(entry["tasks"]), entry["how"], own["center"], own["scale"], classes, model, cls.one_hot)
            parts.append(part)
        tasks = context.tasks.select(document["tasks"])
        return FittedPooled(tasks, parts, Cost(**document["cost"]), document["scaled"])

    @abstractmethod
    def _fit_model(self, problem: Problem, seed: int) -> Model:
        """Return a model fitted to a problem."""

    @classmethod
    @abstractmethod
    def _load_model(cls, saved: Saved, own: Any = None) -> Model:
        """Return the model of a file, with what only the user can make again."""

    @property
    def _scaled(self) -> bool:
        """Whether models read scaled inputs, instead of those that came."""
        return False

    def _inputs(self, inputs: Inputs) -> NDArray[np.float32]:
        return inputs.scaled if self._scaled else inputs.raw

    def _joins(self, kind: Kind) -> bool:
        """Return whether one model can answer several tasks of a kind at once where no label is missing."""
        return False

    def _fit(
        self, examples: Examples, x: NDArray[np.float32], rows: NDArray[np.int64], stop: NDArray[np.bool_], order: Order
    ) -> FittedPooled:
        began = time.process_time()
        tasks = examples.tasks.select(order.tasks)
        Y, W = labels_of(examples, rows, order)
        categorical = tuple(sorted(examples.schema.categories))
        parts, seen = [], 0
        for columns in _pools(tasks):
            own = stacked(Y[:, columns], None if W is None else W[:, columns])
            part, n_fitted = self._fit_part([tasks[t] for t in columns], own, x, stop, categorical, order.seed)
            parts.append(part)
            seen += n_fitted
        cost = Cost(
            n_models=1, params=sum(part.size for part in parts), bytes=sum(part.bytes for part in parts),
            train_seconds=time.process_time() - began, train_examples=seen,
        )  # fmt: skip
        return FittedPooled(tasks, parts, cost, self._scaled)

    def _fit_part(
        self,
        tasks: Sequence[Task],
        own: Stacked,
        x: NDArray[np.float32],
        stop: NDArray[np.bool_],
        categorical: tuple[int, ...],
        seed: int,
    ) -> tuple[_Part, int]:
        """Return the model of one pool of tasks, and the number of rows it saw."""
        names, kind = tuple(task.name for task in tasks), tasks[0].kind
        center, scale = own.center(tasks), own.scale(tasks)
        classes: tuple[int, ...] | None = None
        y: NDArray[Any] = own.y
        if kind == "multiclass":
            found, codes = np.unique(own.y, return_inverse=True)
            y = codes.astype(np.float64)
            classes = tuple(found.astype(int).tolist())
        if len(np.unique(y)) < 2:
            return _Part(names, "constant", center, scale, None, None, self.one_hot), 0
        how: How = "single" if len(tasks) == 1 else "joint" if own.complete and self._joins(kind) else "pooled"
        start = None
        if kind == "regression":
            y = (own.y - center[own.task]) / scale[own.task]
        elif kind == "binary" and self.offsets:
            start = center[own.task]
        else:
            center = np.zeros_like(center)
        inputs, weight, rows = x[own.row], own.weight, own.row
        if how == "pooled":
            inputs = with_task(inputs, own.task, len(tasks) if self.one_hot else 0)
            categorical = categorical if self.one_hot else (*categorical, x.shape[1])
        elif how == "joint":  # stacked task by task, each with the same rows
            n = len(own.row) // len(tasks)
            inputs, rows = inputs[:n], own.row[:n]
            y, start = y.reshape(-1, n).T, None if start is None else start.reshape(-1, n).T
            weight = None if weight is None else weight.reshape(-1, n).mean(0)
        problem = Problem(
            _problem_kind(kind, classes), len(classes or "1"), inputs, y.astype(np.float64), weight, start,
            _usable(y, stop[rows]), categorical, len(tasks) if how == "pooled" else 1,
        )  # fmt: skip
        model = self._fit_model(problem, seed)
        return _Part(names, how, center, scale, classes, model, self.one_hot), len(inputs) * model.rounds


@dataclass(eq=False)
class _Part:
    """What answers some tasks of one kind: ``raw * scale + center``."""

    tasks: tuple[str, ...]
    how: How
    center: Floats  # (n_outputs,)
    scale: Floats
    classes: tuple[int, ...] | None  # those that have rows, of a multiclass task
    model: Model | None
    one_hot: bool

    def outputs(self, x: NDArray[np.float32]) -> Floats:
        """Return packed outputs (n, n_outputs) of features as they came."""
        if self.model is None:
            return np.tile(self.center, (len(x), 1))
        if self.classes is not None:
            packed = np.full((len(x), len(self.center)), _NEVER)
            raw = self.model.raw(x)
            packed[:, self.classes] = log_softmax(np.hstack([0 * raw, raw]) if raw.shape[1] == 1 else raw, axis=1)
            return packed
        if self.how == "pooled":
            marks = len(self.tasks) if self.one_hot else 0
            told = (with_task(x, np.full(len(x), t), marks) for t in range(len(self.tasks)))
            raw = np.hstack([self.model.raw(own) for own in told])
        else:
            raw = self.model.raw(x)
        return raw * self.scale + self.center

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What its file holds."""
        own = {} if self.model is None else self.model.save().arrays
        return {**own, "center": self.center, "scale": self.scale}

    @property
    def document(self) -> Document:
        """What its file says."""
        model = {} if self.model is None else self.model.save().document
        return {"tasks": self.tasks, "how": self.how, "classes": self.classes, "model": model}

    @property
    def bytes(self) -> int:
        return self.model.bytes if self.model is not None else 0

    @property
    def size(self) -> int:
        return self.model.size if self.model is not None else len(self.center)


@dataclass(eq=False)
class FittedPooled(Fitted):
    """Models of some tasks, pooled by kind."""

    names: TaskSet
    parts: list[_Part]
    cost: Cost
    scaled: bool = False  # which inputs it reads

    @property
    def tasks(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of its tasks."""
        return self.names.names

    def outputs(self, inputs: Inputs) -> Packed:
        """Return packed outputs (n, n_outputs); regression answers are in target units."""
        packed = np.empty((len(inputs), self.names.n_outputs), np.float32)
        for part in self.parts:
            packed[:, self.names.output_columns(part.tasks)] = part.outputs(
                inputs.scaled if self.scaled else inputs.raw
            )
        return packed

    def save(self) -> Saved:
        """Return the arrays of all parts under the number of the part."""
        arrays = {f"{p}/{name}": a for p, part in enumerate(self.parts) for name, a in part.arrays.items()}
        document: Document = {"tasks": self.tasks, "parts": [part.document for part in self.parts]}
        document |= {"scaled": self.scaled, "cost": self.cost.to_dict()}
        return Saved(arrays, document)


def labels_of(
    examples: Examples, rows: NDArray[np.int64], order: Order
) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
    """Return targets, and the weights of labels times those of tasks."""
    Y, W = examples.targets(rows, order.tasks), examples.label_weights(rows, order.tasks)
    if order.weights is None:
        return Y, None if W is None else W.astype(np.float64)
    return Y, np.ones(Y.shape) * order.weights * (1.0 if W is None else W)


def _pools(tasks: TaskSet) -> Iterator[list[int]]:
    """Yield the positions of tasks that one model answers."""
    for kind in ("binary", "regression"):
        own = [t for t, task in enumerate(tasks) if task.kind == kind]
        if own:
            n_pools = -(-len(own) // _POOL)
            yield from ([int(t) for t in pool] for pool in np.array_split(own, n_pools))
    yield from ([t] for t, task in enumerate(tasks) if task.kind == "multiclass")


def _problem_kind(kind: Kind, classes: tuple[int, ...] | None) -> Kind:
    """Return the kind of a problem; a multiclass task with rows of two classes only is a binary one."""
    return "binary" if classes is not None and len(classes) == 2 else kind


def _usable(y: Floats, stop: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the rows to stop by, or none when either part would not show two different targets."""
    usable = all(len(np.unique(y[rows])) > 1 for rows in (stop, ~stop))
    return stop if usable else np.zeros_like(stop)
