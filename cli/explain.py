"""``taskgroup explain``: one task of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ._help import Command
from ._options import common

__all__ = ["explain"]


@click.command(
    cls=Command, short_help="Say why a task is in its group, what serves it, and which labels are doubtful.",
    examples=(
        "taskgroup explain my-run y_tox",
        "taskgroup explain my-run y_tox --n 50 --labels doubtful.csv",
    ),
)  # fmt: skip
@click.argument("run_directory", metavar="RUN")
@click.argument("task")
@click.option(
    "--n", type=click.IntRange(1), metavar="N", default=10, show_default=True, help="Doubtful labels to list."
)
@click.option("--labels", type=click.Path(dir_okay=False), default=None, metavar="FILE",
              help="Write the doubtful labels as csv.")  # fmt: skip
@common
def explain(**given: Any) -> None:
    """Say why TASK of RUN is in its group, which models serve it, what it gained, and which labels are doubtful.

    Doubtful are the labels that the model of the profile believed least while it was trained: look at them first when
    you look for wrong ones. Rows are numbered as in the table, from 0.
    """
    from taskgroup._artifact import atomic_path
    from taskgroup.explain import explain_task

    from ._output import Output

    output = Output.of(given)
    found = explain_task(given["run_directory"], given["task"], n=given["n"])
    if given["labels"] is not None:
        with atomic_path(Path(given["labels"])) as temporary:
            found.to_frame().to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")

    def show() -> None:
        for line in found.lines():
            output.line(line)
        for title, rows in (
            ("Related tasks; what makes them alike", found.related_rows()),
            ("Doubtful labels, the most doubtful first", found.doubtful_rows()),
        ):
            if rows:
                output.line()
                output.table(title, tuple(rows[0]), [tuple(row.values()) for row in rows])

    output.result(found.to_dict(), show)
    if given["labels"] is not None:
        output.note(f"written: {given['labels']}")
    output.next_step(f"taskgroup report {given['run_directory']}")
