"""Any estimator or pipeline of scikit-learn's kind that a user brings.

A regressor regresses on 0/1 columns, one per output, like our forests: on all at once where it says that it takes
several targets (a missing label is then the mean of its column), else on the columns stacked, with the column as
one-hot inputs. Its answers for classes are clipped to [0, 1]. A classifier answers binary tasks at once where it takes
several labels and none is missing, else stacked, with the task as one-hot inputs; multiclass tasks have an estimator
each.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from taskgroup.cost import Cost
from taskgroup.exceptions import InvalidInputError
from taskgroup.learners import _user as user
from taskgroup.learners._base import Context, Document, Fitted, Order, Saved
from taskgroup.learners._columns import Columns, logits_of
from taskgroup.learners._examples import Examples, Inputs, Packed
from taskgroup.learners._pooled import Model, PooledLearner, Problem, labels_of
from taskgroup.learners._stacked import stacked, with_task
from taskgroup.tasks import Kind

__all__ = ["FittedValues", "UserEstimator"]


@dataclass(frozen=True)
class UserEstimator(PooledLearner):
    """An estimator of the user's.

    Parameters
    ----------
    estimator : estimator, callable or str
        An object with `fit` and `predict`, which is cloned for every fit; or what makes one without arguments; or
        "module:name" of either, looked for in the working directory too.
    trusted : tuple of str
        Full names of the types, beside those of scikit-learn, that a file may hold. A model of other types works, but
        cannot be served from its file.

    Notes
    -----
    Inputs are scaled, or as they came where the estimator says that it takes NaN. Where a `random_state` is None it
    becomes the seed of the model. Weights are handed over where the estimator's `fit` takes `sample_weight`.
    """

    kind: ClassVar[str] = "estimator"
    about: ClassVar[str] = "an estimator of your own"
    offsets: ClassVar[bool] = False
    one_hot: ClassVar[bool] = True

    estimator: Any
    trusted: tuple[str, ...] = ()
    stop_share: float = field(default=0.0, kw_only=True)

    def options(self) -> Document:
        """Return the options; an estimator that was not named by text is "custom"."""
        return {**super().options(), "estimator": self.estimator if isinstance(self.estimator, str) else "custom"}

    def supports(self, examples: Examples) -> str | None:
        """Return that a classifier answers no regression task, where there is one."""
        estimator = user.makes(self.estimator)
        regression = [task.name for task in examples.tasks if task.kind == "regression"]
        if user.classifies(estimator) and regression:
            return f"{user.named(estimator)} is a classifier, and task {regression[0]!r} is a regression"
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
        """Return an estimator, or several, for every order.

        Raises
        ------
        LearnerError
            When the estimator fails; the message is its own.
        """
        if user.classifies(user.makes(self.estimator)):
            return super().fit_many(examples, rows, orders, seed=seed, start=start)
        x = self._inputs(examples.inputs)[rows]
        return [self._fit_values(examples, x, rows, order) for order in orders]

    @classmethod
    def load(cls, saved: Saved, context: Context) -> Fitted:  # type: ignore[override]
        """Return the estimator of a file; types that `context.own` names are trusted."""
        if "columns" not in saved.document:
            return super().load(saved, context)
        document = saved.document
        columns = Columns.from_dict(context.tasks.select(document["tasks"]), document["columns"])
        estimator = user.unpack(saved, context.own)
        return FittedValues(
            columns, estimator, document["pooled"], document["scaled"], document["votes"],
            tuple(document.get("types", ())), Cost(**document["cost"]),
        )  # fmt: skip

    def _inputs(self, inputs: Inputs) -> NDArray[np.float32]:
        return inputs.scaled if self._scaled else inputs.raw

    @property
    def _scaled(self) -> bool:
        return not user.takes_missing(user.makes(self.estimator))

    def _joins(self, kind: Kind) -> bool:
        return kind == "binary" and user.takes_several(user.makes(self.estimator))

    def _fit_model(self, problem: Problem, seed: int) -> Model:
        estimator = user.seeded(self.estimator, seed)
        if problem.kind == "regression":
            raise InvalidInputError(f"{user.named(estimator)} is a classifier; regression tasks need a regressor.")
        fitted = user.fit(estimator, problem.x, problem.y.astype(np.int64), problem.weight)
        width = problem.y.shape[1] if problem.y.ndim == 2 else 1 if problem.kind == "binary" else problem.n_classes
        return _Answers(fitted, problem.kind, width, len(problem.x), self.trusted)

    @classmethod
    def _load_model(cls, saved: Saved, own: Any = None) -> Model:
        document = saved.document
        estimator = user.unpack(saved, own)
        types = tuple(document["types"])
        return _Answers(estimator, document["kind"], document["width"], document["votes"], types)

    def _fit_values(
        self, examples: Examples, x: NDArray[np.float32], rows: NDArray[np.int64], order: Order
    ) -> FittedValues:
        """Return a regressor of one column per output."""
        began = time.process_time()
        tasks = examples.tasks.select(order.tasks)
        Y, W = labels_of(examples, rows, order)
        columns = Columns.of(tasks, Y)
        encoded = columns.encode(Y)
        W = None if W is None else W[:, np.repeat(np.arange(len(tasks)), [task.n_outputs for task in tasks])]
        estimator, width = user.seeded(self.estimator, order.seed), encoded.shape[1]
        pooled = width > 1 and not user.takes_several(estimator)
        if np.isnan(encoded).all():  # nothing to learn from: the means are all there is
            encoded = np.where(np.arange(len(encoded))[:, None] < 2, columns.mean, encoded)
        if pooled:
            own = stacked(encoded, W)
            inputs, y, weight = with_task(x[own.row], own.task, width), own.y, own.weight
        else:
            used = ~np.isnan(encoded).all(1)
            inputs, y = x[used], np.where(np.isnan(encoded), columns.mean, encoded)[used]
            weight = None if W is None else np.nan_to_num(np.where(np.isnan(encoded), np.nan, W)[used]).mean(1)
            y = y[:, 0] if width == 1 else y
        user.fit(estimator, inputs, y, weight)
        cost = Cost(
            n_models=1, bytes=user.size_of(estimator), train_seconds=time.process_time() - began,
            train_examples=len(inputs),
        )  # fmt: skip
        return FittedValues(columns, estimator, pooled, self._scaled, len(inputs), self.trusted, cost)


@dataclass(eq=False)
class FittedValues(Fitted):
    """A fitted regressor of one column per output."""

    columns: Columns
    estimator: Any
    pooled: bool  # columns are stacked, and marked by one-hot inputs
    scaled: bool  # which inputs it reads
    votes: int  # rows it was fitted on, which bound how sure it is
    trusted: tuple[str, ...]
    cost: Cost

    @property
    def tasks(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of its tasks."""
        return self.columns.tasks.names

    def outputs(self, inputs: Inputs) -> Packed:
        """Return packed outputs (n, n_outputs); regression answers are in target units."""
        x, width = inputs.scaled if self.scaled else inputs.raw, self.columns.tasks.n_outputs
        if not self.pooled:
            return self.columns.decode(user.answer(self.estimator, "predict", x, width), self.votes)
        marked = (with_task(x, np.full(len(x), column), width) for column in range(width))
        values = np.hstack([user.answer(self.estimator, "predict", own, 1) for own in marked])
        return self.columns.decode(values, self.votes)

    def save(self) -> Saved:
        """Return the estimator as skops keeps it, or a note that says why not."""
        arrays, note = user.pack(self.estimator, self.trusted)
        document = {
            "tasks": self.tasks, "columns": self.columns.to_dict(), "pooled": self.pooled, "scaled": self.scaled,
            "votes": self.votes, "cost": self.cost.to_dict(), **note,
        }  # fmt: skip
        return Saved(arrays, document)


class _Answers(Model):
    """A fitted classifier."""

    def __init__(self, estimator: Any, kind: Kind, width: int, votes: int, trusted: tuple[str, ...]) -> None:
        self.estimator, self.kind, self.width, self.votes, self.trusted = estimator, kind, width, votes, trusted

    def raw(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits (n, width), of probabilities where there are any, else decision values."""
        if hasattr(self.estimator, "predict_proba"):
            shares = user.answer(self.estimator, "predict_proba", x, self.width)
        elif hasattr(self.estimator, "decision_function"):
            return user.answer(self.estimator, "decision_function", x, self.width)
        elif self.kind == "binary":
            shares = user.answer(self.estimator, "predict", x, self.width)
        else:
            shares = np.eye(self.width)[user.answer(self.estimator, "predict", x, 1)[:, 0].astype(int)]
        if self.kind == "multiclass":
            return logits_of(shares, self.votes)
        return np.hstack([logits_of(column[:, None], self.votes) for column in shares.T])

    def save(self) -> Saved:
        """Return the estimator as skops keeps it, or a note that says why not."""
        arrays, note = user.pack(self.estimator, self.trusted)
        return Saved(arrays, {"kind": self.kind, "width": self.width, "votes": self.votes, **note})

    @property
    def bytes(self) -> int:
        """Its size, which its file need not have."""
        return user.size_of(self.estimator)
