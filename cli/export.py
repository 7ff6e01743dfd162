"""``taskgroup export``: what a run found, in the forms that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ._help import Command
from ._options import common

__all__ = ["export"]

FORMATS = {"csv": "-csv", "sklearn": "-sklearn", "torchscript": ".pt", "onnx": ".onnx"}


@click.command(
    cls=Command, short_help="Write the plan as csv, scikit-learn, TorchScript or ONNX.",
    examples=(
        "taskgroup export my-run --to csv",
        "taskgroup export my-run --to torchscript --output plan.pt",
        "taskgroup export my-run --to onnx --force",
    ),
)  # fmt: skip
@click.argument("run_directory", metavar="RUN")
@click.option("--to", type=click.Choice(tuple(FORMATS)), required=True,
              help="csv: plan, groups, scores and Data Maps, of any run. sklearn: a pipeline for every task, of linear "
                   "plans. torchscript, onnx: the whole plan as one file, of linear models, forests, boosting, nets.",
              )  # fmt: skip
@click.option("--output", "target", type=click.Path(), default=None, metavar="PATH",
              help="File or folder to write; RUN.onnx and so on by default.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace what is there.")
@common
def export(**given: Any) -> None:
    """Write what RUN found in a form that other programs read.

    The exported plan reads raw rows and answers as `taskgroup predict` does, which is checked before it is written;
    the json beside it names its columns. What cannot be exported is refused with the method that stands in the way.
    """
    from taskgroup.exceptions import ArtifactError
    from taskgroup.export import export_run

    from ._output import Output
    from ._run import Run

    output = Output.of(given)
    run = Run.open(given["run_directory"])
    if given["to"] != "csv":
        run.need("plan.json", "retrain")
    target = Path(given["target"] or f"{run.path.resolve().name}{FORMATS[given['to']]}")
    if target.exists():
        if not given["force"]:
            raise ArtifactError(f"{target}: exists already; use --force or another --output.")
        if target.is_dir() and (given["to"] not in ("csv", "sklearn") or (target / "run.json").exists()):
            raise ArtifactError(f"{target}: is a folder that an export does not replace; choose another --output.")
    with output.stage("export"):
        files = export_run(run.path, given["to"], target)
    document = {"run": str(run.path), "to": given["to"], "files": [str(path) for path in files]}
    shown = files if len(files) <= 4 else [target]
    output.result(document, lambda: output.line("\n".join(map(str, shown)), wrap=False))
