"""``taskgroup predict``: serve the chosen models."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ._options import common

__all__ = ["predict"]


@click.command(short_help="Predict with the models that the plan chose.")
@click.argument("run_directory", metavar="RUN")
@click.argument("data")
@click.option("--output", "target", type=click.Path(dir_okay=False), default="predictions.csv", show_default=True,
              help="File to write: .csv or .npz.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@common
def predict(**given: Any) -> None:
    """Predict every task of RUN for the rows of DATA with the models that the plan chose."""
    from taskgroup.data import load_inputs
    from taskgroup.exceptions import ArtifactError
    from taskgroup.experiment import Plan

    from ._output import Output
    from ._run import Run

    output = Output.of(given)
    run = Run.open(given["run_directory"])
    run.need("plan.json", "retrain")
    target = given["target"]
    if Path(target).suffix not in (".csv", ".npz"):
        raise click.BadParameter(f"must end in .csv or .npz; got {target!r}.", param_hint="--output")
    if Path(target).exists() and not given["force"]:
        raise ArtifactError(f"{target}: exists already; use --force or another --output.")
    plan = Plan.load(run.path)
    with output.stage("predict"):
        predictions = plan.predict_proba(load_inputs(given["data"], plan.schema))
        _write(Path(target), predictions)
    n_rows = len(next(iter(predictions.values())))
    document = {"file": target, "n_samples": n_rows, "n_tasks": len(predictions)}
    output.result(document, lambda: output.line(f"{n_rows:,} rows x {len(predictions)} tasks are in {target}"))


def _write(path: Path, predictions: Mapping[str, Any]) -> None:
    """Write one column per task (per class of a multiclass task), or one npz array per task."""
    import numpy as np

    from taskgroup._artifact import atomic_path

    columns: dict[str, Any] = {}
    for name, values in predictions.items():
        if values.ndim == 1:
            columns[name] = values
        else:
            columns |= {f"{name}={c}": values[:, c] for c in range(values.shape[1])}
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        if path.suffix == ".npz":
            np.savez_compressed(handle, allow_pickle=False, **predictions)
            return
        with io.TextIOWrapper(handle, encoding="utf-8", newline="") as text:
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([f"{value:.6g}" for value in row] for row in zip(*columns.values(), strict=True))
