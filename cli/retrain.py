"""``taskgroup retrain``: fit every arm with every learner, judge them, and plan."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from ._help import Command, Option
from ._options import augment_option, common, device_option, log_option, option, overwrite, run_argument

__all__ = ["retrain", "retrain_options", "retrain_settings"]

ARCHITECTURES = ("shared-bottom", "adatt", "apem", "sparse", "ple", "mmoe", "cross-stitch")
ARMS = ("all-in-one", "per-task", "grouped", "random-groups", "label-groups", "units")
LEARNERS = (
    "linear", "extra-trees", "random-forest", "boosting", "nets", "wide-nets", "tabm", "lightgbm", "xgboost",
    "catboost",
)  # fmt: skip
RULES = ("best", "blend", "single", "simplest")


def retrain_options(command: Any) -> Any:
    """Add the options of the retraining."""
    option_of, compute = partial(option, section="Learners"), partial(option, section="Compute")
    for add in (
        option_of("--max-models", type=click.IntRange(1), default=None, help="Largest number of models in the plan."),
        option_of("--average", type=click.Choice(("macro", "micro")), default="macro", show_default=True,
                  help="Every task counts the same in means over tasks, or every label."),
        option_of("--task-weight", "task_weights", multiple=True, metavar="TASK=NUMBER",
                  help="How much a task counts in means over tasks; 1 by default."),
        option_of("--metric", default=None, metavar="NAME",
                  help="What plans are chosen and compared by: auc, average-precision, log-loss, brier, accuracy, r2, "
                       "or MODULE:NAME of a function (y_true, outputs). By default auc, accuracy or r2, by kind of "
                       "task."),
        option_of("--plan", "rule", default="best", show_default=True, metavar="RULE",
                  help="How the plan is chosen: best or blend (what does best on honest answers), single (the one "
                       "method that does), simplest (the cheapest that honest answers do not tell from the best), or "
                       "within=0.005 (the cheapest that loses no more)."),
        option_of("--methods", default=None, metavar="NAME[,NAME...]",
                  help="Methods LEARNER/ARM to fit, by name or glob such as 'nets/*'; all that are worth their cost by "
                       "default."),
        compute("--executor", default=None, metavar="dask://HOST:PORT", help="Fit on a dask cluster."),
        compute("--jobs", type=click.IntRange(1), default=None, help="Worker processes; one per core by default."),
        option_of("--tune", type=click.IntRange(1, 6), default=3, show_default=True,
                  help="Recipes of networks that are tried; 1 for none."),
        option_of("--draws", type=click.IntRange(1), default=3, show_default=True,
                  help="Random groupings, which ours must beat."),
        option_of("--folds", type=click.IntRange(1), default=None,
                  help="Folds of honest answers; 1 holds out the validation rows. 5 by default, 1 on many rows."),
        option_of("--shared-layers", type=click.IntRange(0), default=0, show_default=True,
                  help="Hidden layers, from the input, that the networks of all groups share."),
        option_of("--answers", type=click.Choice(("best", "mean")), default="best", show_default=True,
                  help="Soft groups: a task's best group answers, or the mean of all by membership."),
        option_of("--start", type=click.Choice(("all-in-one", "scratch")), default="all-in-one", show_default=True,
                  help="Networks of groups start from the one for all tasks, or from nothing."),
        option_of("--encoder", type=click.Choice(("auto", "mlp", "fields", "cnn", "resnet18")), default="auto",
                  show_default=True, help="First layers of every network: mlp for numbers, fields for words, cnn and "
                                          "resnet18 for images."),
        option_of("--seeds", type=click.IntRange(1, 100), default=1, show_default=True,
                  help="Repetitions of learners that depend on luck."),
        option_of("--arms", default=None, metavar="NAME[,NAME...]",
                  help="Which tasks are trained together: all-in-one (one model for all), per-task (a model per task), "
                       "grouped (our groups), random-groups (of the same sizes), label-groups (by correlation of the "
                       "labels), units (one model whose parts are the groups'). Those worth their cost by default."),
        option_of("--arch", default="shared-bottom", show_default=True, metavar="NAME[,NAME...]",
                  help=f"Architectures of networks to try beside: {', '.join(ARCHITECTURES)}."),
        option_of("--learner", "own", multiple=True, metavar="MODULE:NAME",
                  help="A scikit-learn estimator or pipeline of yours, or a function that makes one."),
        option_of("--learners", default="auto", show_default=True, metavar="NAME[,NAME...]",
                  help=f"What is trained: auto (linear, forests, boosting, nets), or of {', '.join(LEARNERS)}."),
    ):  # fmt: skip
        command = add(command)
    return command


def retrain_settings(given: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the checked settings of the retrain step."""
    arch = _known("--arch", _split(given["arch"]), ARCHITECTURES)
    arms = _known("--arms", _split(given["arms"]), ARMS) if given["arms"] else None
    if given["rule"] not in RULES and not re.fullmatch(r"within=[0-9.]*[0-9]", given["rule"]):
        raise click.BadParameter(
            f"must be among {', '.join(RULES)} or within=NUMBER; got {given['rule']!r}.", param_hint="--plan"
        )
    if given["executor"] and not re.fullmatch(r"dask://.+:\d+", given["executor"]):
        raise click.BadParameter(
            f"must look like dask://HOST:PORT; got {given['executor']!r}.", param_hint="--executor"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    same = (
        "seeds", "encoder", "start", "answers", "shared_layers", "draws", "folds", "tune", "executor", "max_models",
        "rule", "metric", "average", "augment", "device",
    )  # fmt: skip
    return {
        **{name: given[name] for name in same},
        "learners": [*_known("--learners", _split(given["learners"]), ("auto", *LEARNERS)), *given["own"]],
        "arch": arch,
        "arms": arms,
        "task_weights": dict(_weight(text) for text in given["task_weights"]) or None,
        "methods": _split(given["methods"]) if given["methods"] else None,
        "jobs": given["jobs"] or min(cores, 8),
        "seed": seed,
    }


def _weight(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        return name, float(number)
    except ValueError:
        raise click.BadParameter(f"must be like TASK=2; got {text!r}.", param_hint="--task-weight") from None


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _known(option_name: str, names: list[str], known: tuple[str, ...]) -> list[str]:
    import difflib

    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.BadParameter(f"must be among {', '.join(known)}; got {name!r}.{hint}", param_hint=option_name)
    return names


@click.command(
    cls=Command, short_help="Fit every arm with every learner, judge them, and plan.",
    examples=(
        "taskgroup retrain",
        "taskgroup retrain my-run --learners linear,nets --arms all-in-one,per-task,grouped --force",
        "taskgroup retrain my-run --learners linear,extra-trees --methods '*/grouped,linear/*' --plan simplest --force",
    ),
)  # fmt: skip
@run_argument
@retrain_options
@augment_option
@device_option
@option("--seed", section="Compute", type=click.IntRange(0), default=None, help="Seed; that of the profile by default.")
@click.option("--data", cls=Option, section="Data", default=None, metavar="FILE",
              help="Table of the tasks, where the maps were recorded elsewhere.")  # fmt: skip
@log_option
@overwrite
@common
def retrain(**given: Any) -> None:
    """Fit the groups of RUN and every control needed to judge them, with every learner; plan what serves each task."""
    from ._output import Output
    from ._run import Run
    from ._steps import check_retrain, retrain_step, show_answer, show_scores

    output = Output.of(given)
    run = Run.open(given["run_directory"] or given["run_named"], write=True)
    run.need("grouping.json", "cluster")
    settings = retrain_settings(given, run.seed(given))
    table = run.table() if given["data"] is None else run.table_of(given["data"])
    check_retrain(table, settings)
    if run.check_free("retrain", given, settings):
        with output.log_to(given["log_to"], run.path.name):
            retrain_step(run, table, settings, output, resume=given["resume"])

    def show() -> None:
        show_answer(run, output)
        show_scores(run, output)

    output.result(retrain_document(run), show)
    output.next_step(run.command("report"))


def retrain_document(run: Any) -> dict[str, Any]:
    """Return what --json prints: the scorecard and the plan."""
    from taskgroup._artifact import read_json

    scores, plan = read_json(run.path / "scores.json", "scores"), read_json(run.path / "plan.json", "plan")
    return {"run": str(run.path), "scores": scores, "plan": plan}
