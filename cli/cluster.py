"""``taskgroup cluster``: turn Data Maps into groups of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ._options import GroupCount, common, option, overwrite, run_argument

__all__ = ["cluster", "cluster_options", "cluster_settings"]

METHODS = ("spectral", "ward", "kmeans", "fuzzy", "gmm", "average", "louvain")
KINDS = ("abs-corr", "corr+", "class-residual", "variability", "joint", "raw", "distribution", "labels")


def cluster_options(command: Any) -> Any:
    """Add the options of the clustering."""
    for add in (
        option("--max-groups", type=click.IntRange(1), default=None, help="Largest number of groups for --k auto."),
        option("--max-size", type=click.IntRange(1), default=None, help="Largest number of tasks in a group."),
        option("--min-size", type=click.IntRange(1), default=1, show_default=True, help="Smallest group."),
        option("--soft/--hard", default=False, help="Let a task belong to several groups."),
        option("--features", "kind", type=click.Choice(KINDS), default="abs-corr", show_default=True,
               help="What makes two tasks alike."),
        option("--method", type=click.Choice(METHODS), default="spectral", show_default=True, help="Clustering."),
        option("--k", type=GroupCount(), default="auto", show_default=True,
               help="Number of groups; auto and gain measure what groups gain, stability asks half-samples."),
    ):  # fmt: skip
        command = add(command)
    return command


def cluster_settings(given: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the settings of the cluster step."""
    names = ("k", "method", "kind", "soft", "min_size", "max_size", "max_groups")
    return {**{name: given[name] for name in names}, "seed": seed}


@click.command(short_help="Turn the Data Maps into groups of tasks.")
@run_argument
@cluster_options
@option("--seed", type=click.IntRange(0), default=None, help="Seed; that of the profile by default.")
@overwrite
@common
def cluster(**given: Any) -> None:
    """Turn the Data Maps of RUN into groups of tasks."""
    from ._output import Output
    from ._run import Run
    from ._steps import cluster_step, show_groups

    output = Output.of(given)
    run = Run.open(given["run_directory"] or given["run_named"])
    run.need("datamaps.safetensors", "profile")
    settings = cluster_settings(given, run.seed(given))
    if run.check_free("cluster", given, settings):
        cluster_step(run, settings, output)
    output.result(cluster_document(run), lambda: show_groups(run, output))
    elsewhere = "settings" not in run.document["inputs"]  # maps that were recorded in one's own loop
    output.next_step(run.command("retrain") + (" --data FILE" if elsewhere else ""))


def cluster_document(run: Any) -> dict[str, Any]:
    """Return what --json prints: the groups and the summary of the clustering."""
    from taskgroup._artifact import read_json

    grouping = read_json(run.path / "grouping.json", "grouping")
    summary = read_json(run.path / "cluster.json", "cluster")
    return {"run": str(run.path), "groups": grouping["groups"], "isolated": grouping["isolated"], "cluster": summary}
