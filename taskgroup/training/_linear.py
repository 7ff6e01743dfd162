"""Logistic or ridge regression of every task: the baseline that beats every network on some tables.

The strength of the penalty is chosen for each task on the validation rows. Solvers are scikit-learn's; sparse inputs
are handed over as sparse matrices.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from taskgroup.tasks import Task
from taskgroup.training._cost import Cost
from taskgroup.training._data import Part, TrainingData
from taskgroup.training._network import State

__all__ = ["fit_linear"]

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Inverse strengths C of the L2 penalty that are tried."""

_DENSE = 0.3  # inputs with a larger share of non-zeros are kept dense
_ITERATIONS = 200
_NEVER = -30.0  # logit of a class that no training row has


class _Fit(NamedTuple):
    weight: NDArray[np.float64]  # (n_outputs, d)
    bias: NDArray[np.float64]  # (n_outputs,)
    passes: int


def fit_linear(data: TrainingData, names: Sequence[str]) -> tuple[State, Cost, list[float]]:
    """Return the heads of a linear model of some tasks, its cost, and the strength C chosen for each.

    The weights are those of a shared bottom without a trunk: ``heads.weight`` (n_outputs, d) and ``heads.bias``.
    """
    start = time.process_time()
    train, valid = (_matrix(part) for part in (data.train, data.valid))
    weights, biases, chosen = [], [], []
    flops = examples = 0
    for name in names:
        t = data.tasks.index_of(name)
        path = _path(data.tasks[t], *_labelled(train, data.train, t))
        x, y = _labelled(valid, data.valid, t)
        best = int(np.argmin([_loss(data.tasks[t], x @ fit.weight.T + fit.bias, y) for fit in path]))
        weights.append(path[best].weight)
        biases.append(path[best].bias)
        chosen.append(STRENGTHS[best])
        seen = sum(fit.passes for fit in path) * int(data.train.seen[:, t].sum())
        examples += seen
        flops += 4 * seen * path[best].weight.size  # a product with the inputs, and one with their transpose
    state = {
        "heads.weight": np.concatenate(weights).astype(np.float32),
        "heads.bias": np.concatenate(biases).astype(np.float32),
    }
    size = sum(array.size for array in state.values())
    seconds = time.process_time() - start
    return state, Cost(1, size, flops, seconds, examples, 2 * state["heads.weight"].size), chosen


def _path(task: Task, x: Any, y: NDArray[np.float32]) -> list[_Fit]:
    """Return the fit of every strength; each starts from the one before."""
    if task.kind == "regression":
        return [_ridge(strength, x, y) for strength in STRENGTHS]
    if np.unique(y).size < 2:
        return [_Fit(np.zeros((task.n_outputs, x.shape[1])), np.zeros(task.n_outputs), 0) for _ in STRENGTHS]
    model = LogisticRegression(max_iter=_ITERATIONS, tol=1e-3, warm_start=True)
    path = []
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=strength).fit(x, y)
        path.append(_Fit(*_rows(task, model), int(np.max(model.n_iter_))))
    return path


def _ridge(strength: float, x: Any, y: NDArray[np.float32]) -> _Fit:
    model = Ridge(alpha=0.5 / strength).fit(x, y)
    return _Fit(np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_), 1)


def _rows(task: Task, model: LogisticRegression) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights (n_outputs, d) and biases of a logistic fit; classes without a training row get a low bias."""
    coef, intercept = model.coef_.copy(), model.intercept_.copy()
    if task.kind == "binary":
        return coef, intercept
    if len(model.classes_) == 2:
        coef, intercept = np.vstack([-coef / 2, coef / 2]), np.concatenate([-intercept / 2, intercept / 2])
    weight, bias = np.zeros((task.n_outputs, coef.shape[1])), np.full(task.n_outputs, _NEVER)
    classes = model.classes_.astype(int)
    weight[classes], bias[classes] = coef, intercept
    return weight, bias


def _loss(task: Task, outputs: NDArray[np.float64], y: NDArray[np.float32]) -> float:
    if not len(y):
        return 0.0
    if task.kind == "regression":
        return float(np.mean((outputs[:, 0] - y) ** 2))
    if task.kind == "binary":
        return float(np.mean(np.logaddexp(0.0, np.where(y > 0, -outputs[:, 0], outputs[:, 0]))))
    return float(-log_softmax(outputs, axis=1)[np.arange(len(y)), y.astype(int)].mean())


def _matrix(part: Part) -> Any:
    x = part.x.numpy()
    return x.astype(np.float64) if np.count_nonzero(x) > _DENSE * x.size else sparse.csr_matrix(x)


def _labelled(x: Any, part: Part, t: int) -> tuple[Any, NDArray[np.float32]]:
    seen = part.seen[:, t].numpy() > 0
    return x[seen], part.y[:, t].numpy()[seen]
