"""Logistic or ridge regression of every task: what beats every network on some tables.

The strength of the penalty is chosen once, on rows kept back. A task with few labels tells its best strength badly, so
its own loss is weighed against the mean loss of all tasks. Solvers are scikit-learn's; sparse inputs are handed over as
sparse matrices. (All tasks as one smooth problem, one product with the inputs a step, was at most twice as fast.)
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from taskgroup.cost import Cost
from taskgroup.learners._base import Context, Document, Fitted, Learner, Order, Saved
from taskgroup.learners._examples import Examples, Inputs, Packed
from taskgroup.learners._kept_back import kept_back
from taskgroup.tasks import Task

__all__ = ["Linear"]

_KEPT_BACK = 0.2
_DENSE = 0.3  # inputs with a larger share of non-zeros are kept dense
_ITERATIONS = 200
_NEVER = -30.0  # logit of a class that no fitted row has
_ROWS = 8192  # rows that are answered for at a time
_PRIOR = 20.0  # labels of the rarer class at which a task's own loss counts as much as the mean of all


@dataclass(frozen=True)
class Linear(Learner):
    """A linear model per task.

    Parameters
    ----------
    strengths : tuple of float
        Inverse strengths C of the L2 penalty that are tried; see :class:`sklearn.linear_model.LogisticRegression`.
    chosen : dict
        {task: strength} that tuning found; tasks that are not in it have the middle one of `strengths`.
    """

    kind: ClassVar[str] = "linear"
    about: ClassVar[str] = "logistic or ridge regression"
    shares: ClassVar[bool] = False
    bulk: ClassVar[int] = 1000

    strengths: tuple[float, ...] = (0.003, 0.03, 0.3, 3.0)
    chosen: Mapping[str, float] = field(default_factory=dict)

    def with_options(self, options: Document) -> Self:
        """Return the learner with options that :meth:`options` gave."""
        return replace(self, strengths=tuple(options["strengths"]), chosen=dict(options["chosen"]))

    def tuned_on(self, arm: str) -> str | None:
        """Return the arm itself while strengths are not chosen."""
        return arm if len(self.strengths) > 1 and not self.chosen else None

    def tune(self, examples: Examples, rows: NDArray[np.int64], orders: Sequence[Order], *, seed: int = 0) -> Self:
        """Return the learner with a strength for every task."""
        names = examples.tasks.names
        x, keep = _matrix(examples.inputs.scaled), kept_back(examples, rows, _KEPT_BACK, seed)
        judged = [_losses(examples, x, name, *keep, self.strengths) for name in names]
        losses, sizes = np.array([path[0] for path in judged]), np.array([path[1] for path in judged])[:, None]
        relative = losses / np.maximum(losses.min(1, keepdims=True), 1e-12)
        weighed = (sizes * relative + _PRIOR * relative.mean(0)) / (sizes + _PRIOR)
        return replace(self, chosen={name: self.strengths[i] for name, i in zip(names, weighed.argmin(1), strict=True)})

    def fit_many(
        self,
        examples: Examples,
        rows: NDArray[np.int64],
        orders: Sequence[Order],
        *,
        seed: int = 0,
        start: Saved | None = None,
    ) -> list[Fitted]:
        """Return linear models, each task by itself."""
        began = time.process_time()
        names = list(dict.fromkeys(name for order in orders for name in order.tasks))
        x, middle = _matrix(examples.inputs.scaled), self.strengths[len(self.strengths) // 2]
        fits = {name: _fit(examples, x, name, rows, self.chosen.get(name, middle)) for name in names}
        seconds = (time.process_time() - began) / len(names)
        return [_joined(order, fits, seconds, len(rows)) for order in orders]

    @classmethod
    def load(cls, saved: Saved, context: Context) -> FittedLinear:
        """Return the linear models of a file."""
        arrays, document = saved
        return FittedLinear(tuple(document["tasks"]), arrays["weight"], arrays["bias"], Cost(**document["cost"]))


@dataclass(eq=False)
class FittedLinear(Fitted):
    """Linear models of some tasks, as one matrix."""

    tasks: tuple[str, ...]
    weight: NDArray[np.float32]  # (n_outputs, d)
    bias: NDArray[np.float32]  # (n_outputs,)
    cost: Cost

    def outputs(self, inputs: Inputs) -> Packed:
        """Return packed outputs (n, n_outputs)."""
        weight = self.weight.T.astype(np.float64)  # in single precision a row's answer depends on the rows beside it
        parts = [inputs.scaled[start : start + _ROWS] for start in range(0, len(inputs), _ROWS)]
        return np.concatenate(
            [np.zeros((0, len(self.bias)), np.float32), *((x @ weight + self.bias).astype(np.float32) for x in parts)]
        )

    def save(self) -> Saved:
        """Return the matrix and the biases."""
        document = {"tasks": self.tasks, "cost": self.cost.to_dict()}
        return Saved({"weight": self.weight, "bias": self.bias}, document)


@dataclass(frozen=True)
class _Fit:
    weight: NDArray[np.float64]  # (n_outputs, d)
    bias: NDArray[np.float64]  # (n_outputs,)
    passes: int


def _joined(order: Order, fits: Mapping[str, _Fit], seconds: float, n_rows: int) -> FittedLinear:
    """Return the models of an order's tasks as one matrix."""
    weight = np.concatenate([fits[name].weight for name in order.tasks]).astype(np.float32)
    bias = np.concatenate([fits[name].bias for name in order.tasks]).astype(np.float32)
    seen = n_rows * sum(fits[name].passes for name in order.tasks)
    cost = Cost(
        n_models=1, params=weight.size + bias.size, bytes=weight.nbytes + bias.nbytes,
        train_seconds=seconds * len(order.tasks), train_flops=4 * seen * weight.shape[1], train_examples=seen,
        inference_flops=2 * weight.size,
    )  # fmt: skip
    return FittedLinear(order.tasks, weight, bias, cost)


def _losses(
    examples: Examples,
    x: Any,
    name: str,
    fit_rows: NDArray[np.int64],
    judge_rows: NDArray[np.int64],
    strengths: Sequence[float],
) -> tuple[list[float], float]:
    """Return the loss of every strength on rows kept back, and the labels of the rarer class there."""
    task = examples.tasks[examples.tasks.index_of(name)]
    judged, y, weight = _labelled(examples, x, name, judge_rows)
    found, model = [], None
    for strength in strengths:
        fit, model = _solve(task, *_labelled(examples, x, name, fit_rows), strength, model)
        found.append(_loss(task, judged @ fit.weight.T + fit.bias, y, weight) if len(y) else 1.0)
    rarer = len(y) if task.kind == "regression" else len(y) - np.bincount(y.astype(int), minlength=1).max(initial=0)
    return found, float(rarer)


def _fit(examples: Examples, x: Any, name: str, rows: NDArray[np.int64], strength: float) -> _Fit:
    task = examples.tasks[examples.tasks.index_of(name)]
    return _solve(task, *_labelled(examples, x, name, rows), strength, None)[0]


def _solve(
    task: Task, x: Any, y: NDArray[np.float32], weight: NDArray[np.float32] | None, strength: float, model: Any
) -> tuple[_Fit, Any]:
    """Return the fit of one strength, and the model, from which the next strength may start."""
    if not len(y) or (task.kind != "regression" and np.unique(y).size < 2):
        return _constant(task, y, x.shape[1]), None
    if task.kind == "regression":
        ridge = Ridge(alpha=0.5 / strength).fit(x, y, weight)
        return _Fit(np.atleast_2d(ridge.coef_), np.atleast_1d(ridge.intercept_), 1), None
    if model is None:
        model = LogisticRegression(max_iter=_ITERATIONS, tol=1e-3, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(C=strength).fit(x, y, weight)
    return _Fit(*_by_class(task, model), int(np.max(model.n_iter_))), model


def _constant(task: Task, y: NDArray[np.float32], n_features: int) -> _Fit:
    """Return a model that answers the smoothed log-odds, or the mean, of what little there is."""
    if task.kind == "regression":
        bias = np.array([y.mean() if len(y) else 0.0])
    else:
        log_shares = np.log(np.bincount(y.astype(int), minlength=task.n_classes or 2) + 0.5)
        bias = log_shares[1:] - log_shares[:1] if task.kind == "binary" else log_shares
    return _Fit(np.zeros((task.n_outputs, n_features)), bias.astype(np.float64), 0)


def _by_class(task: Task, model: LogisticRegression) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights (n_outputs, d) and biases of a logistic fit; classes without a fitted row get a low bias."""
    coef, intercept = model.coef_.copy(), model.intercept_.copy()
    if task.kind == "binary":
        return coef, intercept
    if len(model.classes_) == 2:
        coef, intercept = np.vstack([-coef / 2, coef / 2]), np.concatenate([-intercept / 2, intercept / 2])
    weight, bias = np.zeros((task.n_outputs, coef.shape[1])), np.full(task.n_outputs, _NEVER)
    classes = model.classes_.astype(int)
    weight[classes], bias[classes] = coef, intercept
    return weight, bias


def _loss(
    task: Task, outputs: NDArray[np.float64], y: NDArray[np.float32], weight: NDArray[np.float32] | None
) -> float:
    if task.kind == "regression":
        losses = (outputs[:, 0] - y) ** 2
    elif task.kind == "binary":
        losses = np.logaddexp(0.0, np.where(y > 0, -outputs[:, 0], outputs[:, 0]))
    else:
        losses = -log_softmax(outputs, axis=1)[np.arange(len(y)), y.astype(int)]
    return float(np.average(losses, weights=weight))


def _matrix(x: NDArray[np.float32]) -> Any:
    return x.astype(np.float64) if np.count_nonzero(x) > _DENSE * x.size else sparse.csr_matrix(x)


def _labelled(
    examples: Examples, x: Any, name: str, rows: NDArray[np.int64]
) -> tuple[Any, NDArray[np.float32], NDArray[np.float32] | None]:
    """Return the inputs, targets and weights of the rows that have a label."""
    y = examples.targets(rows, [name])[:, 0]
    weight = examples.label_weights(rows, [name])
    seen = ~np.isnan(y) if weight is None else ~np.isnan(y) & (weight[:, 0] > 0)
    return x[rows[seen]], y[seen], None if weight is None else weight[seen, 0]
