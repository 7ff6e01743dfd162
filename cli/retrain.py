"""``taskgroup retrain``: fit the grouped models and every baseline needed to judge them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from ._options import common, option, overwrite, run_argument

__all__ = ["retrain", "retrain_options", "retrain_settings"]

ARCHITECTURES = ("shared-bottom", "adatt", "apem", "sparse", "ple", "mmoe", "cross-stitch")


def retrain_options(command: Any) -> Any:
    """Add the options of the retraining."""
    for add in (
        option("--max-flops", type=click.FloatRange(min=0, min_open=True), default=None,
               help="Largest inference cost of the plan, in FLOPs per sample."),
        option("--max-models", type=click.IntRange(1), default=None, help="Largest number of models in the plan."),
        option("--methods", default=None, metavar="NAME[,NAME...]", help="Methods to fit; all by default."),
        option("--executor", default=None, metavar="dask://HOST:PORT", help="Fit on a dask cluster."),
        option("--jobs", type=click.IntRange(1), default=None, help="Worker processes; one per core by default."),
        option("--tune", type=click.IntRange(1, 6), default=3, show_default=True,
               help="Recipes tried on validation data for each family of networks; 1 for none."),
        option("--shared-layers", type=click.IntRange(0), default=0, show_default=True,
               help="Hidden layers, from the input, that all groups share."),
        option("--answers", type=click.Choice(("best", "mean")), default="best", show_default=True,
               help="Soft groups: a task's best group answers, or all by membership."),
        option("--members", type=click.IntRange(1), default=3, show_default=True,
               help="All-in-one networks that are specialised to every group."),
        option("--start", type=click.Choice(("members", "profile", "scratch")), default="members", show_default=True,
               help="Where group networks start."),
        option("--units", type=click.Choice(("task", "group", "both")), default="task", show_default=True,
               help="Other architectures: a model per group (task), or one whose units are the groups."),
        option("--encoder", type=click.Choice(("auto", "mlp", "fields", "cnn", "resnet18")), default="auto",
               show_default=True, help="First layers of every network."),
        option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Seeds per method."),
        option("--arch", default="shared-bottom", show_default=True, metavar="NAME[,NAME...]",
               help=f"Architectures of the grouped models: {', '.join(ARCHITECTURES)}."),
    ):  # fmt: skip
        command = add(command)
    return command


def retrain_settings(given: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the checked settings of the retrain step."""
    names = _split(given["arch"])
    for name in names:
        if name not in ARCHITECTURES:
            raise click.BadParameter(f"must be among {', '.join(ARCHITECTURES)}; got {name!r}.", param_hint="--arch")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    same = (
        "seeds", "encoder", "units", "start", "members", "answers", "shared_layers", "tune", "executor", "max_models",
        "max_flops",
    )  # fmt: skip
    return {
        **{name: given[name] for name in same},
        "arch": names,
        "methods": _split(given["methods"]) if given["methods"] else None,
        "jobs": given["jobs"] or min(cores, 8),
        "seed": seed,
    }


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@click.command(short_help="Fit the grouped models and every baseline, and judge them.")
@run_argument
@retrain_options
@option("--seed", type=click.IntRange(0), default=None, help="Seed; that of the profile by default.")
@click.option(
    "--data", default=None, metavar="FILE", help="Table of the tasks, where the maps were recorded elsewhere."
)
@overwrite
@common
def retrain(**given: Any) -> None:
    """Fit the grouped models of RUN and every baseline needed to judge them."""
    from ._output import Output
    from ._run import Run
    from ._steps import retrain_step, show_scores

    output = Output.of(given)
    run = Run.open(given["run_directory"] or given["run_named"])
    run.need("grouping.json", "cluster")
    settings = retrain_settings(given, run.seed(given))
    table = run.table() if given["data"] is None else run.table_of(given["data"])
    if run.check_free("retrain", given, settings):
        retrain_step(run, table, settings, output, resume=given["resume"])
    output.result(retrain_document(run), lambda: show_scores(run, output))
    output.next_step(run.command("report"))


def retrain_document(run: Any) -> dict[str, Any]:
    """Return what --json prints: the scorecard and the plan."""
    from taskgroup._artifact import read_json

    scores, plan = read_json(run.path / "scores.json", "scores"), read_json(run.path / "plan.json", "plan")
    return {"run": str(run.path), "scores": scores, "plan": plan}
