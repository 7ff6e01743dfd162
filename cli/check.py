"""``taskgroup check``: how a table is read, and what to say where that is wrong."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any, cast

import click

from ._help import Command
from ._options import common, data_options, option

if TYPE_CHECKING:
    from taskgroup.data import Reading

__all__ = ["check"]


@click.command(
    cls=Command, short_help="Say how DATA is read, without training.",
    examples=(
        "taskgroup check digits",
        "taskgroup check data.csv --targets 'y_*'",
        "taskgroup check data.csv --targets 'y_*' --positive y_tox=bad --group-split patient",
    ),
)  # fmt: skip
@data_options
@option(
    "--seed", section="Compute", type=click.IntRange(0), default=0, show_default=True, help="Seed of a drawn split."
)
@common
def check(**given: Any) -> None:
    """Say how DATA is read: rows, parts, features, ignored columns, tasks, classes, and every doubtful guess.

    A warning names the option that changes the guess. Nothing is trained and nothing is written; the same options work
    for `taskgroup run` and `taskgroup profile`.
    """
    from ._data import data_settings, load_data
    from ._output import Output

    output = Output.of(given)
    table, left_out = load_data(data_settings(given))
    reading = cast("Reading", table.reading)  # every table that is loaded has one
    document = {**reading.to_dict(), "left_out": left_out}

    def show() -> None:
        for line in reading.lines(full=True):
            output.line(line, wrap=False)
        for name, reason in left_out.items():
            output.line(f"task {name!r} is left out: {reason}")

    output.result(document, show)
    words = sys.argv[sys.argv.index("check") + 1 :] if "check" in sys.argv else [given["data"]]
    output.next_step(f"taskgroup run {shlex.join(word for word in words if word not in ('--json', '-q', '-v'))}")
