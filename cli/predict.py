"""``taskgroup predict``: serve the chosen models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._help import Command
from ._options import common, option

if TYPE_CHECKING:
    from taskgroup.experiment import Plan

    from ._run import Run

__all__ = ["predict"]


@click.command(
    cls=Command, short_help="Predict with the models that the plan chose.",
    examples=(
        "taskgroup predict my-run new.csv",
        "taskgroup predict my-run new.csv --output scores.jsonl --threshold y_tox=0.9",
    ),
)  # fmt: skip
@click.argument("run_directory", metavar="RUN")
@click.argument("data")
@click.option("--output", "target", type=click.Path(dir_okay=False), default="predictions.csv", show_default=True,
              help="File to write: .csv, .parquet, .jsonl or .npz.")  # fmt: skip
@option("--id", default=None, metavar="COLUMN", help="Column of DATA that says what rows are called; as in training.")
@click.option("--threshold", "thresholds", multiple=True, metavar="[TASK=]P",
              help="Probability from which a row is labelled positive; the largest F1 on honest answers by default.",
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
    from taskgroup.experiment import Plan

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
        thresholds = _thresholds(plan, given["thresholds"])
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


def _thresholds(plan: Plan, asked: Sequence[str]) -> dict[str, float]:
    """Return the probability from which each binary task is positive: as asked, else as honest answers said."""
    from taskgroup._validation import check_known, check_real

    chosen = {
        task.name: float(plan.choice.tasks[task.name]["threshold"]) for task in plan.tasks if task.kind == "binary"
    }
    for text in asked:
        name, _, value = text.rpartition("=")
        try:
            level = check_real("threshold", float(value), 0.0, 1.0)
        except ValueError:
            raise click.BadParameter(f"must be P or TASK=P with P from 0 to 1; got {text!r}.",
                                     param_hint="--threshold") from None  # fmt: skip
        chosen |= dict.fromkeys([check_known("task", name, chosen)] if name else chosen, level)
    return chosen
