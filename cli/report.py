"""``taskgroup report``: one page a person can act on."""

from __future__ import annotations

from typing import Any

import click

from ._help import Command
from ._options import common, run_argument

__all__ = ["report"]


@click.command(
    cls=Command, short_help="Write report.html from whatever the run directory holds.",
    examples=("taskgroup report", "taskgroup report my-run"),
)  # fmt: skip
@run_argument
@common
def report(**given: Any) -> None:
    """Write report.html and figures/ from whatever RUN holds."""
    from ._output import Output
    from ._run import Run
    from ._steps import report_step

    output = Output.of(given)
    run = Run.open(given["run_directory"] or given["run_named"], write=True)
    path = report_step(run, output)
    output.result({"run": str(run.path), "report": path}, lambda: output.line(path))
    if (run.path / "plan.json").is_file():
        output.next_step(f"taskgroup predict {run.path} new.csv")
