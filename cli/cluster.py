"""``taskgroup cluster``: turn Data Maps into groups of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from ._help import Command
from ._options import GroupCount, common, option, overwrite, run_argument

__all__ = ["check_groups", "cluster", "cluster_options", "cluster_settings"]

METHODS = ("spectral", "ward", "kmeans", "fuzzy", "gmm", "average", "louvain")
KINDS = ("abs-corr", "corr+", "class-residual", "variability", "joint", "raw", "distribution", "labels")


def cluster_options(command: Any) -> Any:
    """Add the options of the clustering."""
    option_of = partial(option, section="Grouping")
    for add in (
        option_of("--max-groups", type=click.IntRange(1), default=None, help="Largest number of groups for --k auto."),
        option_of("--max-size", type=click.IntRange(1), default=None, help="Largest number of tasks in a group."),
        option_of("--min-size", type=click.IntRange(1), default=1, show_default=True, help="Smallest group."),
        option_of("--soft/--hard", default=False, help="Let a task belong to several groups."),
        option_of("--features", "kind", type=click.Choice(KINDS), default="abs-corr", show_default=True,
                  help="What makes two tasks alike: correlation of their Data Maps (abs-corr, corr+, class-residual, "
                       "variability, joint), the maps themselves (raw, distribution), or labels."),
        option_of("--method", type=click.Choice(METHODS), default="spectral", show_default=True, help="Clustering."),
        option_of("--k", metavar="N|auto|gain|stability", type=GroupCount(), default="auto", show_default=True,
                  help="Number of groups. auto and gain: as many as pay, measured; stability: as many as half of the "
                       "samples reproduce."),
    ):  # fmt: skip
        command = add(command)
    return command


def cluster_settings(given: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the settings of the cluster step."""
    names = ("k", "method", "kind", "soft", "min_size", "max_size", "max_groups")
    return {**{name: given[name] for name in names}, "seed": seed}


def check_groups(settings: Mapping[str, Any], n_tasks: int) -> None:
    """Raise when no grouping of so many tasks is what the settings ask for."""
    from taskgroup._validation import check_int
    from taskgroup.cluster import check_sizes

    k = settings["k"] if isinstance(settings["k"], int) else None
    if k is not None:
        check_int("k", k, low=1, high=n_tasks, high_name="n_tasks")
    check_sizes(n_tasks, k, settings["min_size"], settings["max_size"], settings["max_groups"])


@click.command(
    cls=Command, short_help="Turn the Data Maps into groups of tasks.",
    examples=(
        "taskgroup cluster",
        "taskgroup cluster my-run --k 2 --soft --force",
        "taskgroup cluster my-run --k stability --max-size 3 --force",
    ),
)  # fmt: skip
@run_argument
@cluster_options
@option("--seed", section="Compute", type=click.IntRange(0), default=None, help="Seed; that of the profile by default.")
@overwrite
@common
def cluster(**given: Any) -> None:
    """Turn the Data Maps of RUN into groups of tasks."""
    from taskgroup.datamaps import DataMaps

    from ._output import Output
    from ._run import Run
    from ._steps import cluster_step, show_groups

    output = Output.of(given)
    run = Run.open(given["run_directory"] or given["run_named"], write=True)
    maps = DataMaps.load(run.need("datamaps.safetensors", "profile"))
    settings = cluster_settings(given, run.seed(given))
    check_groups(settings, maps.n_tasks)
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
