"""``taskgroup predict``: serve the chosen models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._options import common, option

if TYPE_CHECKING:
    from taskgroup.training import Plan

    from ._output import Output
    from ._run import Run

__all__ = ["predict"]


@click.command(short_help="Predict with the models that the plan chose.")
@click.argument("run_directory", metavar="RUN")
@click.argument("data")
@click.option("--output", "target", type=click.Path(dir_okay=False), default="predictions.csv", show_default=True,
              help="File to write: .csv, .parquet, .jsonl or .npz.")  # fmt: skip
@option("--id", default=None, metavar="COLUMN", help="Column of DATA that says what rows are called; as in training.")
@click.option("--threshold", "thresholds", multiple=True, metavar="[TASK=]P",
              help="Probability from which a row is labelled positive; the largest F1 on validation rows by default.",
              )  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@common
def predict(**given: Any) -> None:
    """Predict every task of RUN for the rows of DATA with the models that the plan chose.

    The file has a row for each row of DATA, in its order: the id, if there is one; for each task its label, or its
    value, under the task's name; and probabilities under TASK:CLASS, those of the positive class for binary tasks.
    """
    from taskgroup.data import read_inputs
    from taskgroup.exceptions import ArtifactError
    from taskgroup.training import Plan

    from ._output import Output
    from ._predictions import FORMATS, prediction_columns, write_predictions
    from ._run import Run

    output = Output.of(given)
    run = Run.open(given["run_directory"])
    run.need("plan.json", "retrain")
    target = Path(given["target"])
    if target.suffix not in FORMATS:
        raise click.BadParameter(f"must end in {', '.join(FORMATS)}; got {target.name!r}.", param_hint="--output")
    if target.exists() and not given["force"]:
        raise ArtifactError(f"{target}: exists already; use --force or another --output.")
    plan = Plan.load(run.path)
    with output.stage("predict"):
        inputs = read_inputs(given["data"], plan.schema, id=given["id"], id_if_there=_trained_id(run))
        for line in inputs.warnings():
            output.note(f"warning: {line}")
        thresholds = _thresholds(run, plan, given["thresholds"], output)
        predictions = plan.predict_proba(inputs.X)
        columns = prediction_columns(plan.tasks, predictions, thresholds)
        write_predictions(target, columns, inputs.ids, inputs.id_name)
    document = {
        "file": str(target), "n_samples": len(inputs.X), "n_tasks": len(predictions), "thresholds": thresholds,
        "id": inputs.id_name or None, "unseen": inputs.unseen, "missing": inputs.missing,
    }  # fmt: skip
    output.result(document, lambda: output.line(f"{len(inputs.X):,} rows x {len(predictions)} tasks are in {target}"))


def _trained_id(run: Run) -> str | None:
    name = run.document.get("reading", {}).get("roles", {}).get("id")
    return None if name is None else str(name)


def _thresholds(run: Run, plan: Plan, asked: Sequence[str], output: Output) -> dict[str, float]:
    """Return the probability from which each binary task is positive: as asked, else as validation rows say."""
    from taskgroup._validation import check_known, check_real
    from taskgroup.exceptions import TaskGroupError

    binary = [task.name for task in plan.tasks if task.kind == "binary"]
    chosen: dict[str, float] = {}
    for text in asked:
        name, _, value = text.rpartition("=")
        try:
            level = check_real("threshold", float(value), 0.0, 1.0)
        except ValueError:
            raise click.BadParameter(f"must be P or TASK=P with P from 0 to 1; got {text!r}.",
                                     param_hint="--threshold") from None  # fmt: skip
        chosen |= dict.fromkeys([check_known("task", name, binary)] if name else binary, level)
    if len(chosen) == len(binary):
        return chosen
    try:
        table = run.table()
    except TaskGroupError as error:
        output.note(f"labels are cut at .5, for the table of the run cannot be read: {error}")
        return dict.fromkeys(binary, 0.5) | chosen
    rows = table.rows("valid")
    found = plan.predict_proba(table.X[rows])
    levels = {name: _largest_f1(table.Y[rows, table.tasks.index_of(name)], found[name]) for name in binary}
    return levels | chosen


def _largest_f1(labels: Any, probabilities: Any) -> float:
    """Return the probability at which labels are cut for the largest F1; .5 where the labels have one class."""
    import numpy as np
    from sklearn.metrics import precision_recall_curve

    seen = ~np.isnan(labels)
    if len(np.unique(labels[seen])) < 2:
        return 0.5
    precision, recall, cuts = precision_recall_curve(labels[seen], probabilities[seen])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(cuts[f1[:-1].argmax()])
