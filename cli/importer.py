"""``taskgroup import``: Data Maps from the training dynamics that Dataset Cartography writes."""

from __future__ import annotations

from typing import Any

import click

from ._options import common, overwrite, run_option

__all__ = ["import_command"]


@click.command("import", short_help="Import training dynamics of Dataset Cartography.")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False))
@run_option
@overwrite
@common
def import_command(**given: Any) -> None:
    """Turn FOLDERS of dynamics_epoch_*.jsonl files, one per task, into the Data Maps of a run directory."""
    from pathlib import Path

    from taskgroup._artifact import content_hash
    from taskgroup.exchange import read_cartography

    from ._output import Output
    from ._run import Run

    output = Output.of(given)
    folders = given["folders"]
    maps = read_cartography({Path(folder).name: folder for folder in folders})
    inputs = {"path": [str(Path(folder).resolve()) for folder in folders], "sha256": content_hash(maps.confidence)}
    run = Run.create(given["run_directory"], seed=0, data=inputs, force=given["force"])
    with run.step("profile", {}):
        maps.save(run.path / "datamaps.safetensors")
    document = {"run": str(run.path), "n_tasks": maps.n_tasks, "n_samples": maps.n_samples}
    output.result(document, lambda: output.line(f"Data Maps of {maps.n_tasks} tasks are in {run.path}"))
    output.next_step(f"taskgroup cluster {run.path}")
