"""``taskgroup profile``: train one multi-task model and record a Data Map per task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ._options import common, data_options, option, overwrite, run_option

__all__ = ["profile", "profile_options"]


def profile_options(command: Any) -> Any:
    """Add the options of the profile training."""
    command = option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of everything.")(
        command
    )
    command = option("--hidden", default="auto", show_default=True, metavar="N[-N...]",
                     help="Widths of the profile model's hidden layers, such as 64-32.")(command)  # fmt: skip
    return option("--epochs", type=click.IntRange(2), default=None, help="Epochs of the profile.")(command)


@click.command(short_help="Record a Data Map per task from one multi-task training.")
@data_options
@profile_options
@run_option
@overwrite
@common
def profile(**given: Any) -> None:
    """Train one multi-task model on DATA and record a Data Map per task.

    DATA is a bundled table (digits) or a file: csv, tsv, xlsx, parquet, feather, jsonl, arff, svmlight or npz. How it
    is read is said before training; `taskgroup check DATA` says it without training.
    """
    from ._output import Output
    from ._steps import profile_step

    output = Output.of(given)
    settings = profile_settings(given)
    run, table, left_out = open_or_create(given)
    if run.check_free("profile", given, settings):
        profile_step(run, table, left_out, settings, output)
    document = {"run": str(run.path), "n_tasks": table.n_tasks, "n_samples": table.n_samples, "left_out": left_out}
    output.result(document, lambda: output.line(f"Data Maps of {table.n_tasks} tasks are in {run.path}"))
    output.next_step(run.command("cluster"))


def profile_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checked settings of the profile step."""
    hidden, widths = given["hidden"], None
    if hidden != "auto":
        parts = hidden.replace(",", "-").split("-")
        if not all(part.isdigit() and int(part) > 0 for part in parts):
            raise click.BadParameter(f"must be widths such as 64-32, or auto; got {hidden!r}.", param_hint="--hidden")
        widths = [int(part) for part in parts]
    return {"epochs": given["epochs"], "hidden": widths, "seed": given["seed"]}


def open_or_create(given: Mapping[str, Any]) -> Any:
    """Load and check the data before anything is written; return (run directory, table, tasks left out)."""
    from taskgroup._validation import check_int
    from taskgroup.exceptions import InvalidInputError

    from ._run import Run, data_settings, load_data

    directory, resumed = given["run_directory"], None
    if given["resume"] and Run.exists(directory):
        resumed = Run.open(directory)
    else:
        Run.check_writable(directory, force=given["force"])
    source = data_settings(given)
    table, left_out = load_data(source)
    if isinstance(given.get("k"), int):
        check_int("k", given["k"], low=1, high=table.n_tasks, high_name="n_tasks")
    inputs = {"path": source["source"], "sha256": table.content_hash(), "settings": source}
    if resumed is None:
        reading = None if table.reading is None else table.reading.to_dict()
        run = Run.create(directory, seed=given["seed"], data=inputs, force=given["force"], reading=reading)
        return run, table, left_out
    if resumed.document["inputs"].get("sha256") != inputs["sha256"]:
        raise InvalidInputError(f"{directory}: cannot resume, the data or its options changed; use --force.")
    return resumed, table, left_out
