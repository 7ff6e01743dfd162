"""Options that several commands share. Precedence: command line > TASKGROUP_* > --config file.toml > default."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from ._config import read_config
from ._help import Option

__all__ = [
    "DEFAULT_RUN",
    "GroupCount",
    "ShareOrFile",
    "common",
    "data_options",
    "device_option",
    "log_option",
    "option",
    "overwrite",
    "run_argument",
    "run_option",
]

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_RUN = "taskgroup-run"


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """Return a click option of a ``section`` that also reads the environment variable TASKGROUP_<NAME>."""
    first = names[0].split("/")[0].lstrip("-")
    attributes.setdefault("envvar", f"TASKGROUP_{first.replace('-', '_').upper()}")
    if isinstance(attributes.get("type"), click.IntRange):
        attributes.setdefault("metavar", "N")
    return click.option(*names, cls=Option, **attributes)


class GroupCount(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.2
    """A number of groups, at least 1, or how the data decide."""

    name = "N|auto|gain|stability"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return "auto", "gain", "stability" or an int >= 1."""
        if value in ("auto", "gain", "stability") or (isinstance(value, int) and value >= 1):
            return value
        try:
            count = int(value)
        except (TypeError, ValueError):
            self.fail(f"must be a whole number or 'auto', 'gain' or 'stability'; got {value!r}.", param, ctx)
        if count < 1:
            self.fail(f"must be at least 1, or 'auto'; got {count}.", param, ctx)
        return count


class ShareOrFile(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.2
    """A share of the rows, .01 to .9, or the file that holds them."""

    name = "SHARE|FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a float, or the name of an existing file."""
        try:
            share = float(value)
        except (TypeError, ValueError):
            if not Path(value).exists():
                self.fail(f"must be a share such as 0.2, or a file; got {value!r}.", param, ctx)
            return str(value)
        if not 0.01 <= share <= 0.9:
            self.fail(f"must be a share from 0.01 to 0.9, or a file; got {value}.", param, ctx)
        return share


class LogPlace(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.2
    """An experiment tracker that is installed, and where it writes."""

    name = "TRACKER:PLACE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the text as it is, after checking it."""
        tracker, _, place = value.partition(":")
        if tracker not in ("mlflow", "tensorboard") or not place:
            self.fail(f"must look like mlflow:URI or tensorboard:FOLDER; got {value!r}.", param, ctx)
        if importlib.util.find_spec(tracker) is None:
            self.fail(f"{tracker} is not installed; install the extra [{tracker}].", param, ctx)
        return value


def common(command: F) -> F:
    """Add --json, -q, -v, --debug and --config."""
    for add in (
        click.option("--config", type=click.Path(exists=True, dir_okay=False), is_eager=True, expose_value=False,
                     callback=read_config, help="TOML file of defaults, by name; of one command under [command]."),
        click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of a failure."),
        click.option("-v", "--verbose", is_flag=True, help="Say more, on stderr."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but the result."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document."),
    ):  # fmt: skip
        command = add(command)
    return command


def data_options(command: F) -> F:
    """Add the DATA argument and the options that say how to read it."""
    data = partial(option, section="Data")
    for add in (
        data("--test", type=ShareOrFile(), default=0.2, show_default=True,
             help="Share of test rows when the data has no split, or the file of the test rows."),
        data("--valid", type=ShareOrFile(), default=0.2, show_default=True,
             help="Share of validation rows when the data has no split, or the file of the validation rows."),
        data("--train", type=click.Path(exists=True), default=None,
             help="File of the training rows, with --test FILE; in place of DATA."),
        data("--deduplicate", is_flag=True, help="Keep one of rows with the same features."),
        data("--time-split", default=None, metavar="COLUMN", help="Part by time: the latest rows are test rows."),
        data("--group-split", default=None, metavar="COLUMN",
             help="Keep rows with the same value here (patient, scaffold, user) in one part."),
        data("--split", default=None, metavar="COLUMN", help="Column that says the part of a row, or its fold."),
        data("--strict", is_flag=True, help="Refuse tasks with one class only instead of leaving them out."),
        data("--hide-labels", metavar="SHARE", type=click.FloatRange(0.0, 0.99), default=0.0,
             help="Hide this share of the training and validation labels."),
        data("--long", type=(str, str, str), default=None, metavar="SAMPLE TASK VALUE",
             help="Columns of a table with one label a row."),
        data("--weight", default=None, metavar="COLUMN", help="Column of row weights."),
        data("--id", default=None, metavar="COLUMN", help="Column that says what rows are called."),
        data("--decimal", type=click.Choice((".", ",")), default=None, help="What separates decimals in text."),
        data("--not-missing", multiple=True, metavar="WORD", help="Word that is a value, such as none."),
        data("--missing", multiple=True, metavar="MARK",
             help="Further word or number that means missing, such as -999."),
        data("--positive", multiple=True, metavar="TASK=WORD", help="Positive class of a binary task."),
        data("--kind", "kinds", multiple=True, metavar="NAME=KIND",
             help="Kind where the guess is wrong: binary, multiclass or regression; words or numbers of a feature."),
        data("--keep", multiple=True, metavar="GLOB", help="Columns that are features although they look like none."),
        data("--ignore", multiple=True, metavar="GLOB", help="Columns that are neither feature nor target."),
        data("--targets", multiple=True, metavar="GLOB",
             help="Target columns; tasks to keep of an npz or bundled table."),
        click.argument("data", default="digits", metavar="[DATA]"),
    ):  # fmt: skip
        command = add(command)
    return command


def overwrite(command: F) -> F:
    """Add --resume and --force."""
    command = click.option("--force", is_flag=True, help="Replace what an earlier run left.")(command)
    add = click.option("--resume", is_flag=True, help="Go on: skip what is finished, refuse if inputs changed.")
    return add(command)


def augment_option(command: F) -> F:
    """Add --augment, of the training of networks on images."""
    return option("--augment", section="Learners", type=click.FloatRange(0, 1), default=None, metavar="STRENGTH",
                  help="How far networks see images turned, sheared, scaled, shifted and bent; .25 by default, 0 for "
                       "not at all.")(command)  # fmt: skip


def device_option(command: F) -> F:
    """Add --device, where networks are trained."""
    return option("--device", section="Compute", type=click.Choice(("auto", "cpu", "cuda", "mps")), default="auto",
                  show_default=True, help="Where the profile and networks are trained; auto takes a GPU if there is "
                                          "one.")(command)  # fmt: skip


def log_option(command: F) -> F:
    """Add --log-to, the experiment trackers that hear of the run."""
    return option(
        "--log-to",
        multiple=True,
        type=LogPlace(),
        metavar="TRACKER:PLACE",
        help="Log settings, losses, scores and the answer to mlflow:URI or tensorboard:FOLDER.",
    )(command)


def run_option(command: F) -> F:
    """Add --out (also --run), the run directory to write."""
    return option("--out", "--run", "run_directory", envvar="TASKGROUP_RUN", default=DEFAULT_RUN, show_default=True,
                  type=click.Path(file_okay=False), help="Run directory.")(command)  # fmt: skip


def run_argument(command: F) -> F:
    """Add the argument RUN, an existing run directory, also accepted as --run or --out."""
    command = click.argument("run_directory", required=False, metavar="[RUN]")(command)
    return option("--run", "--out", "run_named", envvar="TASKGROUP_RUN", default=DEFAULT_RUN, show_default=True,
                  type=click.Path(file_okay=False), help="Run directory, where no RUN is given.")(command)  # fmt: skip
