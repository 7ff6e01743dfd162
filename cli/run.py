"""``taskgroup run``: profile, cluster, retrain and report, in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ._help import Command
from ._options import augment_option, common, data_options, device_option, log_option, overwrite, run_option
from .cluster import check_groups, cluster_document, cluster_options, cluster_settings
from .profile import open_or_create, profile_options, profile_settings
from .retrain import retrain_document, retrain_options, retrain_settings

if TYPE_CHECKING:
    from taskgroup.data import TaskTable

__all__ = ["run"]


@click.command(
    cls=Command, short_help="Profile, cluster, retrain and report, in one go.",
    examples=(
        "taskgroup run digits --targets 'digit_*' --out digits-run",
        "taskgroup run data.csv --targets 'y_*' --out my-run",
        "taskgroup run data.csv --targets 'y_*' --out my-run --resume",
        "taskgroup run data.csv --targets 'y_*' --k 2 --learners linear,extra-trees --out small-run",
    ),
)  # fmt: skip
@data_options
@profile_options
@cluster_options
@retrain_options
@augment_option
@device_option
@run_option
@log_option
@overwrite
@common
def run(**given: Any) -> None:
    """Run the whole pipeline on DATA: profile, cluster, retrain, report.

    DATA is a bundled table (digits) or a file: csv, tsv, xlsx, parquet, feather, jsonl, arff, svmlight or npz. How it
    is read is said before training; `taskgroup check DATA` says it without training.
    """
    from . import _steps as steps
    from ._output import Output

    output = Output.of(given)
    profiling = profile_settings(given)
    clustering = cluster_settings(given, given["seed"])
    retraining = retrain_settings(given, given["seed"])
    output.steps = ("profile", "cluster", "retrain", "report")

    def check(table: TaskTable) -> None:
        check_groups(clustering, table.n_tasks)
        steps.check_retrain(table, retraining)

    directory, table, left_out = open_or_create(given, check)
    with output.log_to(given["log_to"], directory.path.name):
        if directory.check_free("profile", given, profiling):
            steps.profile_step(directory, table, left_out, profiling, output)
        if directory.check_free("cluster", given, clustering):
            steps.cluster_step(directory, clustering, output)
        if directory.check_free("retrain", given, retraining):
            steps.retrain_step(directory, table, retraining, output, resume=given["resume"])
    path = steps.report_step(directory, output)

    def show() -> None:
        steps.show_answer(directory, output)
        steps.show_scores(directory, output)
        steps.show_groups(directory, output)
        output.line(f"report: {path}", wrap=False)

    output.result({**cluster_document(directory), **retrain_document(directory), "report": path}, show)
    output.next_step(f"taskgroup predict {directory.path} new.csv")
