"""``taskgroup compare``: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ._help import Command
from ._options import common

__all__ = ["compare"]


_ROWS = 20  # of a table in the terminal


@click.command(
    cls=Command, short_help="Put runs side by side: answers, groups, scores, costs, versions.",
    examples=(
        "taskgroup compare my-run small-run",
        "taskgroup compare my-run small-run --html compared.html",
        "taskgroup compare my-run small-run --json",
    ),
)  # fmt: skip
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@click.option("--html", "page", type=click.Path(dir_okay=False), default=None, metavar="FILE",
              help="Write the tables as a page too.")  # fmt: skip
@common
def compare(**given: Any) -> None:
    """Put two or more runs side by side: answers, groups, scores on shared tasks, costs, versions that differ."""
    from taskgroup._artifact import write_text
    from taskgroup.compare import compare_runs

    from ._output import Output

    output = Output.of(given)
    found = compare_runs(given["runs"])
    if given["page"] is not None:
        write_text(Path(given["page"]), found.to_html())

    def show() -> None:
        for run in found.runs:
            output.line(f"{run['run']}: {run['headline'] or 'no plan yet'}")
        output.line()
        for title, columns, rows in found.tables():
            output.table(title, columns, rows, most=_ROWS)
            output.line()
        for note in found.notes:
            output.line(f"- {note}")

    output.result(found.to_dict(), show)
    if given["page"] is not None:
        output.note(f"written: {given['page']}")
    output.next_step(f"taskgroup explain {given['runs'][0]} TASK")
