"""``taskgroup run``: profile, cluster, retrain and report, in one go."""

from __future__ import annotations

from typing import Any

import click

from ._options import common, data_options, overwrite, run_option
from .cluster import cluster_document, cluster_options, cluster_settings
from .profile import open_or_create, profile_options, profile_settings
from .retrain import retrain_document, retrain_options, retrain_settings

__all__ = ["run"]


@click.command(short_help="Profile, cluster, retrain and report, in one go.")
@data_options
@profile_options
@cluster_options
@retrain_options
@run_option
@overwrite
@common
def run(**given: Any) -> None:
    """Run the whole pipeline on DATA: profile, cluster, retrain, report.

    DATA is a bundled table (digits) or a file: csv, tsv, xlsx, parquet, feather, jsonl, arff, svmlight or npz. How it
    is read is said before training; `taskgroup check DATA` says it without training.
    """
    from ._output import Output
    from ._steps import cluster_step, profile_step, report_step, retrain_step, show_groups, show_scores

    output = Output.of(given)
    profiling = profile_settings(given)
    clustering = cluster_settings(given, given["seed"])
    retraining = retrain_settings(given, given["seed"])
    directory, table, left_out = open_or_create(given)
    if directory.check_free("profile", given, profiling):
        profile_step(directory, table, left_out, profiling, output)
    if directory.check_free("cluster", given, clustering):
        cluster_step(directory, clustering, output)
    if directory.check_free("retrain", given, retraining):
        retrain_step(directory, table, retraining, output, resume=given["resume"])
    path = report_step(directory, output)

    def show() -> None:
        show_groups(directory, output)
        show_scores(directory, output)
        output.line(f"report: {path}")

    output.result({**cluster_document(directory), **retrain_document(directory), "report": path}, show)
    output.next_step(f"open {path}")
