"""Linear plans as scikit-learn's own estimators: one pipeline a task, in a file that runs nothing when it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from taskgroup._artifact import atomic_path
from taskgroup.data import InputSchema
from taskgroup.exceptions import InvalidInputError, MissingDependencyError
from taskgroup.experiment import Plan
from taskgroup.learners._linear import FittedLinear
from taskgroup.tasks import Task

__all__ = ["task_pipelines", "write_sklearn"]


def write_sklearn(plan: Plan, folder: Path) -> tuple[list[Path], list[str]]:
    """Write a pipeline for every task as ``<folder>/<number>.skops``; return the files, and the types to trust."""
    try:
        from skops import io
    except ImportError:
        raise MissingDependencyError("sklearn files need skops; install it with the extra [skops].") from None
    paths, types = [], set()
    for number, pipeline in enumerate(task_pipelines(plan).values()):
        with atomic_path(folder / f"{number:04d}.skops") as temporary:
            temporary.write_bytes(content := io.dumps(pipeline))
        paths.append(folder / f"{number:04d}.skops")
        types |= set(io.get_untrusted_types(data=content))
    return paths, sorted(types)


def task_pipelines(plan: Plan) -> dict[str, Pipeline]:
    """Return {task: pipeline of an imputer and a linear model} that reads raw rows (n, d).

    A blend of linear models is a linear model: scales of the inputs, weights of folds and methods, and calibrations are
    folded into its coefficients.

    Raises
    ------
    InvalidInputError
        When a method of the plan is no linear model.
    """
    other = [name for name, shares in plan.methods.items()
             for share in shares if not isinstance(share.model, FittedLinear)]  # fmt: skip
    if other:
        raise InvalidInputError(
            f"method {other[0]!r} has no form of scikit-learn's own: only linear models have. Export to onnx or "
            "torchscript, or retrain with `--learners linear`."
        )
    found = {}
    for task in plan.tasks:
        weight, bias = _blended(plan, task)
        found[task.name] = _pipeline(task, plan.schema, weight, bias)
    return found


def _blended(plan: Plan, task: Task) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coefficients (n_outputs, n_inputs) and biases on scaled inputs."""
    weight, bias = np.zeros((task.n_outputs, plan.schema.n_inputs)), np.zeros(task.n_outputs)
    for method, own in plan.choice.tasks[task.name]["weights"].items():
        calibration = plan.choice.calibration[method]
        slope = 1.0 if task.kind == "regression" else calibration["slope"]
        for share in plan.methods[method]:
            part = own * share.weights.get(task.name, 0.0)
            if part and isinstance(share.model, FittedLinear):
                rows = plan.tasks.select(share.model.tasks).output_columns([task.name])
                weight += part * slope * share.model.weight[rows]
                bias += part * slope * share.model.bias[rows]
        bias += own * calibration["intercept"] if task.kind == "binary" else 0.0
    return weight, bias


def _pipeline(task: Task, schema: InputSchema, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> Pipeline:
    d = schema.n_features
    center, scale = schema.center.astype(np.float64), schema.scale.astype(np.float64)
    own = schema.units.columns
    center[own] = center[own] * schema.units.size + schema.units.origin
    scale[own] *= schema.units.size
    columns = weight[:, :d] / scale
    coefficients = np.hstack([columns, weight[:, d:]])
    intercept = bias - columns @ center
    model: Any
    if task.kind == "regression":
        model = LinearRegression()
        model.coef_, model.intercept_ = coefficients[0], float(intercept[0])
    else:
        model = LogisticRegression()
        model.coef_, model.intercept_ = coefficients, intercept
        model.classes_ = np.array(task.class_names)
    model.n_features_in_ = coefficients.shape[1]
    return make_pipeline(_imputer(schema), model)


def _imputer(schema: InputSchema) -> SimpleImputer:
    """Return an imputer whose fillings and indicators are the schema's, fitted on two rows that say so."""
    fill = np.array(schema.center if schema.fill is None else schema.fill, np.float64)
    fill[schema.units.columns] = fill[schema.units.columns] * schema.units.size + schema.units.origin
    rows = np.stack([fill, fill])
    rows[1, schema.holes] = np.nan
    return SimpleImputer(strategy="median", add_indicator=len(schema.holes) > 0).fit(rows)
