"""``taskgroup datasets``: what can be given as DATA."""

from __future__ import annotations

from typing import Any

import click

from ._options import common

__all__ = ["datasets"]

FORMATS = {
    "file.csv|tsv[.gz|.xz]": "columns with a header; targets by --targets 'y_*'; optional column split",
    "file.parquet": "the same, with the extra [parquet]",
    "file.npz": "X (n, d), Y (n, T) with -1 for missing; optional task_names, task_group, split",
    "file.arff": "dense or sparse; labels from the Mulan xml beside it or MEKA's -C n",
}


@click.command(short_help="List the bundled tables and the file formats that can be read.")
@common
def datasets(**given: Any) -> None:
    """List the bundled tables and the file formats that can be read."""
    from taskgroup.data import ARCHIVES, BUNDLED

    from ._output import Output

    output = Output.of(given)

    def show() -> None:
        output.table("Bundled tables", ("name", "what"), list(BUNDLED.items()))
        output.line()
        output.table("Official archives, from a local path", ("file", "what"), list(ARCHIVES.items()))
        output.line()
        output.table("File formats", ("DATA", "what"), list(FORMATS.items()))

    output.result({"bundled": BUNDLED, "archives": ARCHIVES, "formats": FORMATS}, show)
    output.next_step("taskgroup run digits")
