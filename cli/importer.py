"""``taskgroup import``: Data Maps from the training dynamics that Dataset Cartography writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ._help import Command
from ._options import common, overwrite, run_option

__all__ = ["import_command"]


@click.command(
    "import", cls=Command, short_help="Import training dynamics of Dataset Cartography.",
    examples=(
        "taskgroup import dynamics --out imported",
        "taskgroup import dynamics/a dynamics/b dynamics/c --out imported --force",
    ),
)  # fmt: skip
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False), metavar="FOLDER...")
@run_option
@overwrite
@common
def import_command(**given: Any) -> None:
    """Turn folders of dynamics_epoch_*.jsonl files, one per task, into the Data Maps of a run directory.

    A FOLDER holds such files, holds them as training_dynamics, or holds one such folder for each task.
    """
    from taskgroup._artifact import content_hash
    from taskgroup.exchange import read_cartography

    from ._output import Output
    from ._run import Run

    output = Output.of(given)
    folders = given["folders"]
    maps = read_cartography(named_folders([Path(folder) for folder in folders]))
    inputs = {"path": [str(Path(folder).resolve()) for folder in folders], "sha256": content_hash(maps.confidence)}
    run = Run.create(given["run_directory"], seed=0, data=inputs, force=given["force"])
    with run.step("profile", {}):
        maps.save(run.path / "datamaps.safetensors")
    document = {"run": str(run.path), "n_tasks": maps.n_tasks, "n_samples": maps.n_samples}
    output.result(document, lambda: output.line(f"Data Maps of {maps.n_tasks} tasks are in {run.path}"))
    output.next_step(f"taskgroup cluster {run.path}")


def named_folders(folders: Sequence[Path]) -> dict[str, Path]:
    """Return {task: folder}, named by the innermost part of a path that tells the tasks apart."""
    from taskgroup.exceptions import InvalidInputError

    found = [task for folder in folders for task in _of_tasks(folder)]
    paths = [folder.resolve().parts for folder in found]
    depth = max(map(len, paths))
    for back in range(1, depth + 1):
        names = [parts[-back] if back <= len(parts) else "" for parts in paths]
        if len(set(names)) == len(names) and (back > 1 or names != ["training_dynamics"]):
            return dict(zip(names, found, strict=True))
    raise InvalidInputError(f"{found[0]}: given twice; every task needs a folder of its own.")


def _of_tasks(folder: Path) -> list[Path]:
    """Return the folder itself when it holds training dynamics, else those inside it that do."""
    if any(folder.glob("dynamics_epoch_*.jsonl")) or (folder / "training_dynamics").is_dir():
        return [folder]
    inside = [one for one in sorted(folder.iterdir()) if one.is_dir()]
    tasks = [one for one in inside if any(one.glob("dynamics_epoch_*.jsonl")) or (one / "training_dynamics").is_dir()]
    return tasks or [folder]
