"""``taskgroup profile``: train one multi-task model and record a Data Map per task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ._help import Command
from ._options import augment_option, common, data_options, device_option, log_option, option, overwrite, run_option

if TYPE_CHECKING:
    from taskgroup.data import TaskTable

__all__ = ["open_or_create", "profile", "profile_options", "profile_settings"]


def profile_options(command: Any) -> Any:
    """Add the options of the profile training."""
    for add in (
        option("--seed", section="Compute", type=click.IntRange(0), default=0, show_default=True,
               help="Seed of everything."),
        option("--hidden", section="Grouping", default="auto", show_default=True, metavar="N[-N...]",
               help="Widths of its hidden layers, such as 64-32."),
        option("--epochs", section="Grouping", type=click.IntRange(2), default=20, show_default=True,
               help="Epochs of the model that Data Maps are recorded from."),
    ):  # fmt: skip
        command = add(command)
    return command


@click.command(
    cls=Command, short_help="Record a Data Map per task from one multi-task training.",
    examples=(
        "taskgroup profile digits --targets 'digit_*'",
        "taskgroup profile data.csv --targets 'y_*' --epochs 10 --out my-run",
    ),
)  # fmt: skip
@data_options
@profile_options
@augment_option
@device_option
@run_option
@log_option
@overwrite
@common
def profile(**given: Any) -> None:
    """Train one multi-task model on DATA and record a Data Map per task.

    DATA is a bundled table (digits) or a file: csv, tsv, xlsx, parquet, feather, jsonl, arff, svmlight or npz. How it
    is read is said before training; `taskgroup check DATA` says it without training.
    """
    from ._output import Output
    from ._steps import check_profile, profile_step

    output = Output.of(given)
    settings = profile_settings(given)
    run, table, left_out = open_or_create(given, lambda table: check_profile(settings))
    if run.check_free("profile", given, settings):
        with output.log_to(given["log_to"], run.path.name):
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
    return {"epochs": given["epochs"], "hidden": widths, "augment": given["augment"], "device": given["device"],
            "seed": given["seed"]}  # fmt: skip


def open_or_create(given: Mapping[str, Any], check: Callable[[TaskTable], None] | None = None) -> Any:
    """Load and check everything before anything is written; return (run directory, table, tasks left out).

    ``check`` raises when something else that was asked for does not go with the table.
    """
    from taskgroup.exceptions import InvalidInputError

    from ._data import data_settings, load_data
    from ._run import Run

    directory = given["run_directory"]
    resumed = Run.open(directory, write=True) if given["resume"] and Run.exists(directory) else None
    source = data_settings(given)
    table, left_out = load_data(source)
    if check is not None:
        check(table)
    inputs = {"path": source["source"], "sha256": table.content_hash(), "settings": source}
    if resumed is None:
        reading = None if table.reading is None else table.reading.to_dict()
        run = Run.create(directory, seed=given["seed"], data=inputs, force=given["force"], reading=reading)
        return run, table, left_out
    if resumed.document["inputs"].get("sha256") != inputs["sha256"]:
        raise InvalidInputError(f"{directory}: cannot resume, the data or its options changed; use --force.")
    return resumed, table, left_out
