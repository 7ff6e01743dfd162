"""Writing what a run found in the forms that other programs read."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taskgroup._artifact import atomic_path, json_ready, write_text
from taskgroup._validation import check_choice
from taskgroup.exceptions import InvalidInputError, MissingDependencyError
from taskgroup.experiment import Plan

if TYPE_CHECKING:
    from taskgroup.export._plan_module import PlanModule

__all__ = ["FORMATS", "export_run"]

FORMATS: Mapping[str, str] = {"csv": "-csv", "sklearn": "-sklearn", "torchscript": ".pt", "onnx": ".onnx"}
"""Forms, and what the name of the file or folder ends in."""

_TOLERANCE = 1e-3  # of probabilities, and of values relative to their spread, between the plan and its export


def export_run(run_dir: str | os.PathLike[str], to: str, out: str | os.PathLike[str]) -> list[Path]:
    """Write a run in another form and return the files.

    Parameters
    ----------
    run_dir : path
        A run directory; all forms but csv need its plan.
    to : {"csv", "sklearn", "torchscript", "onnx"}
        csv: plan, groups, scores and Data Maps as tables in a folder. sklearn: a pipeline for every task, as skops
        files in a folder, read with ``skops.io.load(file, trusted=[...])``; linear plans only. torchscript, onnx: the
        whole plan as one file that reads raw rows (n, d) of float32, NaN where a feature is missing, and gives
        probabilities and values (n, n_outputs). Beside it a json file names the columns of both, the categories, and
        the thresholds.
    out : path
        File or folder to write.

    Raises
    ------
    InvalidInputError
        When a method of the plan cannot be exported, or the export does not answer as the plan does.
    MissingDependencyError
        When the form needs a package that is not installed.
    ArtifactError
        When the run has no plan, or an artefact is damaged or of another version.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from taskgroup import Grouping, TaskTable, retrain
    >>> X = np.random.default_rng(0).normal(size=(90, 3))
    >>> table = TaskTable.from_arrays(X, X > 0, ["a", "b", "c"])
    >>> grouping = Grouping.from_labels(table.tasks, [0, 0, 1])
    >>> run = tempfile.TemporaryDirectory()
    >>> _ = retrain(table, grouping, learners="linear", folds=2, out=run.name)
    >>> [path.name for path in export_run(run.name, "csv", f"{run.name}/tables")]
    ['plan.csv', 'groups.csv', 'scores.csv']
    >>> run.cleanup()
    """
    check_choice("to", to, tuple(FORMATS))
    source, target = Path(run_dir), Path(out)
    if to == "csv":
        from taskgroup.export._tables import write_tables

        with _folder(target) as folder:
            names = [path.name for path in write_tables(source, folder)]
        return [target / name for name in names]
    plan = Plan.load(source)
    if to == "sklearn":
        from taskgroup.export._sklearn import write_sklearn

        with _folder(target) as folder:
            paths, types = write_sklearn(plan, folder)
            names = [path.name for path in paths]
            files = dict(zip(plan.tasks.names, names, strict=True))
            document = {**_about(plan), "files": files, "trusted": types}
            write_text(folder / "about.json", json.dumps(json_ready(document), indent=1, ensure_ascii=False) + "\n")
        return [*(target / name for name in names), target / "about.json"]
    from taskgroup.export._plan_module import PlanModule

    module = PlanModule(plan)
    write: Callable[[PlanModule, Any, Path], Callable[[Any], Any]] = _onnx if to == "onnx" else _torchscript
    example = _example(plan)
    with atomic_path(target) as temporary:
        answer = write(module, example, temporary)
        _check(plan, module, example, answer)
    about = target.with_name(f"{target.name}.json")
    document = {**_about(plan), "input": "X", "output": "answers", "columns": module.columns}
    write_text(about, json.dumps(json_ready(document), indent=1, ensure_ascii=False) + "\n")
    return [target, about]


def _torchscript(module: PlanModule, example: Any, path: Path) -> Callable[[Any], Any]:
    """Write the traced module; return what answers from the file."""
    import torch

    with _quiet(), torch.no_grad():
        traced = torch.jit.trace(module, torch.from_numpy(example), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, str(path))
        read = torch.jit.load(str(path))  # type: ignore[no-untyped-call]

    def answer(x: Any) -> Any:
        with torch.no_grad():
            return read(torch.from_numpy(x)).numpy()

    return answer


def _onnx(module: PlanModule, example: Any, path: Path) -> Callable[[Any], Any]:
    """Write the module as ONNX; return what answers from the file, where onnxruntime is there to read it."""
    import torch

    try:
        import onnx  # noqa: F401  # the exporter's own dependency
    except ImportError:
        raise MissingDependencyError("onnx files need onnx; install it with the extra [onnx].") from None
    rows = {0: "rows"}
    with _quiet(), torch.no_grad():  # by way of TorchScript: thirty times as fast as the newer exporter on many trees
        torch.onnx.export(
            module, (torch.from_numpy(example),), str(path), dynamo=False, input_names=["X"],
            output_names=["answers"], dynamic_axes={"X": rows, "answers": rows},
        )  # fmt: skip
    try:
        import onnxruntime
    except ImportError:
        return lambda x: module(torch.from_numpy(x)).detach().numpy()
    session = onnxruntime.InferenceSession(str(path))
    return lambda x: session.run(None, {"X": x})[0]


def _about(plan: Plan) -> dict[str, Any]:
    """Return what a reader of the file needs: names of the inputs, their categories, classes and thresholds."""
    schema = plan.schema
    return {
        "headline": plan.choice.verdict,
        "features": schema.feature_names,
        "categories": {schema.feature_names[j]: names for j, names in schema.categories.items()},
        "codes": "a word is its number among the categories, from 1; 0 is a word that training rows do not have",
        "tasks": plan.tasks.to_list(),
        "thresholds": {
            name: row["threshold"] for name, row in plan.choice.tasks.items() if row.get("threshold") is not None
        },
    }


def _example(plan: Plan) -> Any:
    """Return rows (n, d) such as training rows are: spread about their centres, with holes and every category."""
    schema, rng = plan.schema, np.random.default_rng(0)
    x = rng.normal(size=(32, schema.n_features)) * schema.scale + schema.center
    for column, names in schema.categories.items():
        x[:, column] = rng.integers(0, len(names) + 1, len(x))
    x[:, schema.holes] = np.where(rng.random((len(x), len(schema.holes))) < 0.2, np.nan, x[:, schema.holes])
    x[:, schema.units.columns] = x[:, schema.units.columns] * schema.units.size + schema.units.origin
    return x.astype(schema.dtype)


def _check(plan: Plan, module: PlanModule, example: Any, answer: Callable[[Any], Any]) -> None:
    """Raise when the export answers otherwise than the plan, on another number of rows than it was traced with."""
    x = np.ascontiguousarray(example[::2])
    own = plan.predict_proba(x)
    wanted = np.hstack([own[task.name].reshape(len(x), -1) for task in plan.tasks])
    found = answer(x)
    apart = np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted).max(0))
    if not (found.shape == wanted.shape and apart.max() <= _TOLERANCE):
        column = module.columns[int(apart.max(0).argmax())]
        raise InvalidInputError(
            f"the export would answer {column!r} otherwise than the plan, by {apart.max():.2g}; it is not written."
        )


@contextmanager
def _folder(target: Path) -> Iterator[Path]:
    """Yield a new folder beside the target, which takes its place when all is written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as name:
        folder = Path(name) / "new"
        folder.mkdir()
        yield folder
        if target.exists():
            shutil.rmtree(target)
        os.replace(folder, target)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what exporters say of their own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
