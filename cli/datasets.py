"""``taskgroup datasets``: what can be given as DATA."""

from __future__ import annotations

from typing import Any

import click

from ._help import Command
from ._options import common

__all__ = ["datasets"]

FORMATS = {
    "file.csv|tsv|txt[.gz|.xz|.bz2|.zip]": "columns with a header; targets by --targets 'y_*'; optional column split",
    "file.jsonl": "one JSON object a row",
    "file.xlsx": "the first sheet, with the extra [excel]",
    "file.parquet|feather": "the same, with the extra [parquet]",
    "file.npz": "X (n, d), Y (n, T) with -1 for missing; optional task_names, task_group, split, w, mask, ids",
    "file.arff": "dense or sparse; labels from the Mulan xml beside it or MEKA's -C n",
    "file.svm|svmlight[.gz|.bz2]": "sparse features, one or several labels a row",
    "folder": "a saved Hugging Face dataset, or X and Y as npy (X also as a scipy sparse npz)",
    "--train FILE --valid FILE --test FILE": "a file for each part",
}


@click.command(
    cls=Command, short_help="List the bundled tables and the file formats that can be read.",
    examples=("taskgroup datasets", "taskgroup datasets --json"),
)  # fmt: skip
@common
def datasets(**given: Any) -> None:
    """List the bundled tables and the file formats that can be read; `taskgroup check FILE` says how one is read."""
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
