"""What a run directory holds so far: every artefact that is there, checked, and None for every one that is not."""

from __future__ import annotations

import csv
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._artifact import artefact, read_arrays, read_json
from taskgroup._display import brief
from taskgroup.datamaps import DataMaps
from taskgroup.exceptions import ArtifactError
from taskgroup.grouping import Grouping
from taskgroup.tasks import TaskSet

__all__ = ["Run", "Scores", "read_run"]

Scores = dict[tuple[str, str, str, str], float]
"""(task, method, seed, split) -> value of the task's main metric, NaN where undefined."""

_USUAL = "taskgroup-run"  # where commands look when no run directory is named
_DOCUMENTS = ("run", "tasks", "cluster", "scores", "plan", "ledger")
_COLUMNS = ["task", "method", "seed", "split", "metric", "value", "n", "n_positive"]


@brief
@dataclass(frozen=True)
class Run:
    """The artefacts of one run directory; None where a step has not been run."""

    path: Path
    run: dict[str, Any] | None
    tasks: dict[str, Any] | None
    maps: DataMaps | None
    grouping: Grouping | None
    cluster: dict[str, Any] | None
    similarity: NDArray[np.float32] | None
    scores: dict[str, Any] | None
    values: Scores | None
    positives: dict[str, int]  # in the test split, of the binary tasks
    plan: dict[str, Any] | None
    ledger: dict[str, Any] | None

    @property
    def task_set(self) -> TaskSet | None:
        """The tasks, from whatever artefact names them."""
        if self.maps is not None:
            return self.maps.tasks
        if self.grouping is not None:
            return self.grouping.tasks
        return TaskSet.from_list(self.tasks["tasks"]) if self.tasks and self.tasks.get("tasks") else None

    @property
    def title(self) -> str:
        """Name of the table, of its file, or of the run directory."""
        given = (self.tasks or {}).get("name") or self.source
        return Path(str(given)).name if given else self.path.resolve().name

    @property
    def source(self) -> str | None:
        """Where the data came from."""
        inputs = (self.run or {}).get("inputs") or {}
        return inputs.get("path") or (inputs.get("settings") or {}).get("source")

    @property
    def unfinished(self) -> list[str]:
        """Steps that were started and are not done; the report itself is not counted, it may be running now."""
        steps = (self.run or {}).get("steps") or {}
        return [name for name, step in steps.items() if name != "report" and step.get("status") != "done"]

    def missing(self, what: str, step: str) -> dict[str, str]:
        """Return the command that makes a section whose artefacts are not there, and the section's name."""
        usual = str(self.path) == _USUAL
        where = "" if usual else (" --out " if step == "profile" else " ") + shlex.quote(str(self.path))
        return {"what": what, "command": f"taskgroup {step}" + (" DATA" if step == "profile" else "") + where}

    def gains(self, method: str, baseline: str, split: str = "test") -> dict[str, list[float]]:
        """Return {task: gains over the baseline in the main metric, one a seed}, without undefined ones."""
        out: dict[str, list[float]] = {}
        for (task, name, seed, part), value in (self.values or {}).items():
            if name == method and part == split:
                gain = value - (self.values or {}).get((task, baseline, seed, split), np.nan)
                if np.isfinite(gain):
                    out.setdefault(task, []).append(gain)
        return out


def read_run(run_dir: str | os.PathLike[str]) -> Run:
    """Return the artefacts of a run directory.

    Raises
    ------
    ArtifactError
        When the directory is missing or holds no artefact, an artefact is damaged or of another version, or artefacts
        are of different tasks.
    """
    path = Path(run_dir)
    if not path.is_dir():
        raise ArtifactError(f"{path}: no such run directory; make one with `taskgroup run` or `taskgroup profile`.")
    found = {kind: _optional(path / f"{kind}.json", kind) for kind in _DOCUMENTS}
    maps = DataMaps.load(path / "datamaps.safetensors") if (path / "datamaps.safetensors").exists() else None
    grouping = Grouping.load(path / "grouping.json") if (path / "grouping.json").exists() else None
    if maps is None and grouping is None and not any(found.values()):
        raise ArtifactError(f"{path}: this directory holds no artefact of a run; run `taskgroup profile` first.")
    similarity = None
    if (path / "similarity.safetensors").exists():
        with artefact(path / "similarity.safetensors"):
            similarity = np.asarray(read_arrays(path / "similarity.safetensors", "similarity")[0]["similarity"])
    _check_same_tasks(path, maps, grouping, similarity)
    values, positives = _read_values(path / "scores.csv", (found["scores"] or {}).get("main_metric", {}))
    return Run(
        path=path, maps=maps, grouping=grouping, similarity=similarity, values=values, positives=positives, **found
    )


def _optional(path: Path, kind: str) -> dict[str, Any] | None:
    return read_json(path, kind) if path.exists() else None


def _check_same_tasks(path: Path, maps: DataMaps | None, grouping: Grouping | None, similarity: Any) -> None:
    if maps is not None and grouping is not None and not set(grouping.tasks.names) <= set(maps.tasks.names):
        raise ArtifactError(f"{path}: grouping.json and datamaps.safetensors hold different tasks; cluster again.")
    if grouping is not None and similarity is not None and similarity.shape != (grouping.n_tasks,) * 2:
        raise ArtifactError(
            f"{path}: similarity.safetensors must have shape {(grouping.n_tasks,) * 2} like grouping.json; "
            f"got {similarity.shape}; cluster again."
        )


def _read_values(path: Path, main_metric: dict[str, str]) -> tuple[Scores | None, dict[str, int]]:
    """Return the main metric's values, and the number of test positives of each binary task."""
    if not path.exists():
        return None, {}
    values: Scores = {}
    positives: dict[str, int] = {}
    with artefact(path), open(path, newline="", encoding="utf-8") as handle:
        lines = csv.reader(handle)
        header = next(lines, [])
        if header != _COLUMNS:
            raise ArtifactError(
                f"{path}: expected the columns {', '.join(_COLUMNS)}; got {', '.join(header) or 'none'}."
            )
        try:
            for task, method, seed, split, metric, value, _, n_positive in lines:
                if metric == main_metric.get(task):
                    values[task, method, seed, split] = float(value) if value else float("nan")
                    if split == "test" and n_positive:
                        positives[task] = int(n_positive)
        except (ValueError, csv.Error):
            raise ArtifactError(f"{path}: line {lines.line_num} cannot be read; retrain again.") from None
    return values, positives
