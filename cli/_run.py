"""The run directory: the pipe between the commands, and ``run.json`` that says how far it has come."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskgroup.exceptions import ArtifactError, InvalidInputError

from ._data import load_data
from ._options import DEFAULT_RUN
from ._stop import at_quit

if TYPE_CHECKING:
    from taskgroup.data import TaskTable

__all__ = ["OUTPUTS", "Run"]

_FREE = ("jobs", "executor")  # settings that no result depends on

# What each step writes, in order: a later step is stale when an earlier one is done again.
OUTPUTS: dict[str, tuple[str, ...]] = {
    "profile": ("tasks.json", "datamaps.safetensors", "profile"),
    "cluster": ("grouping.json", "cluster.json", "similarity.safetensors"),
    "retrain": ("models", "scores.csv", "scores.json", "ledger.json", "plan.json"),
    "report": ("report.html", "model_card.md", "figures"),
}


# What each step reads of the run directory: it cannot go on once that has changed.
INPUTS: dict[str, tuple[str, ...]] = {"cluster": ("datamaps.safetensors",), "retrain": ("grouping.json",)}


class Run:
    """An open run directory."""

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self.path = path
        self.document = document

    @staticmethod
    def check_writable(path: str | os.PathLike[str], *, force: bool) -> Path:
        """Return the folder when a run may be made there: it is new or empty, or ``force`` replaces a run in it."""
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise ArtifactError(f"{folder}: is a file; choose another --out.")
        if folder.is_dir() and not all(_is_trace(entry) for entry in folder.iterdir()):
            if not (folder / "run.json").is_file():
                raise ArtifactError(
                    f"{folder}: the directory is not empty and holds no run, so not even --force touches it; "
                    "choose another --out."
                )
            if not force:
                raise ArtifactError(
                    f"{folder}: {_holds(folder)}. Go on with it by --resume, replace it by --force, keep it by another "
                    f"--out, or look at it: `taskgroup report {folder}`."
                )
        return folder

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        seed: int,
        data: Mapping[str, Any],
        force: bool,
        reading: Mapping[str, Any] | None = None,
    ) -> Run:
        """Return a new run directory in place of whatever run was there; ``reading`` says how the table was read.

        The process is its only writer until the command ends.
        """
        from taskgroup._artifact import versions

        cls.check_writable(path, force=True)  # a directory that holds no run gets not even a lock
        _write_alone(Path(path))
        folder = cls.check_writable(path, force=force)
        run = cls(folder, {"command": [Path(sys.argv[0]).name, *sys.argv[1:]], "seed": seed, "inputs": dict(data)})
        run.document |= {"versions": versions(), "started": _now(), "finished": None, "status": "running", "steps": {}}
        if reading is not None:
            run.document["reading"] = dict(reading)
        run._clear(list(OUTPUTS))
        return run

    @staticmethod
    def exists(path: str | os.PathLike[str]) -> bool:
        """Whether there is a run directory at ``path``."""
        return (Path(path) / "run.json").is_file()

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, write: bool = False) -> Run:
        """Return an existing run directory; one without ``run.json`` (maps recorded elsewhere) is accepted too.

        With ``write``, the process is its only writer until the command ends.
        """
        from taskgroup._artifact import FORMAT_VERSION, read_json
        from taskgroup._lock import is_being_written

        folder = Path(path)
        if not folder.is_dir():
            raise ArtifactError(f"{folder}: no such run directory; make one with `taskgroup profile --out {folder}`.")
        known = (folder / "run.json").is_file()
        if not known and not (folder / "datamaps.safetensors").is_file():
            raise ArtifactError(f"{folder}: not a run directory of taskgroup (format {FORMAT_VERSION}): no run.json.")
        if write:
            _write_alone(folder)
        if not known:
            return cls(folder, {"command": [], "seed": 0, "inputs": {}, "status": "done", "steps": {}})
        document = read_json(folder / "run.json", "run")
        run = cls(folder, {k: v for k, v in document.items() if k not in ("format", "format_version")})
        if write or not is_being_written(folder):
            run._bury()
        return run

    def done(self, step: str) -> bool:
        """Whether a step has finished, and what it wrote is there."""
        return self._status(step) == "done" and all((self.path / name).exists() for name in OUTPUTS[step])

    def settings(self, step: str) -> dict[str, Any]:
        """Return the settings that a step was started with, empty when it never was."""
        return dict(self.document["steps"].get(step, {}).get("settings", {}))

    def need(self, name: str, step: str) -> Path:
        """Return the path of a file that an earlier step wrote, all of whose files are whole and belong together."""
        status = self._status(step)
        if status not in (None, "done"):  # None: made elsewhere
            raise ArtifactError(f"{self.path}: `taskgroup {step}` is {status}; finish it with --resume first.")
        if not (self.path / name).exists():
            raise ArtifactError(f"{self.path}: no {name}; run `taskgroup {step}` first.")
        return self.path / name

    def check_free(self, step: str, given: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
        """Return whether the step still has to run; refuse to overwrite it, or to resume it on anything else."""
        present = [name for name in OUTPUTS[step] if (self.path / name).exists()]
        if not present and step not in self.document["steps"]:
            return True
        if given["force"]:
            self._clear(list(OUTPUTS)[list(OUTPUTS).index(step) :])
            return True
        if not given["resume"]:
            raise ArtifactError(f"{self.path}: {', '.join(present) or step} exists already; use --resume or --force.")
        entry = self.document["steps"].get(step, {})
        self._check_same(entry.get("settings", {}), {k: v for k, v in settings.items() if k not in _FREE})
        self._check_same(entry.get("inputs", {}), self._inputs(step))
        if self.done(step):
            return False
        self._check_same(entry.get("versions", {}), _versions())
        return True

    def seed(self, given: Mapping[str, Any]) -> int:
        """Return the seed asked for, or the one that the run was started with."""
        seed = self.document.get("seed", 0) if given["seed"] is None else given["seed"]
        return int(seed)

    def command(self, name: str) -> str:
        """Return the command line of another step on this run."""
        return f"taskgroup {name}" + ("" if str(self.path) == DEFAULT_RUN else f" {self.path}")

    @contextmanager
    def step(self, name: str, settings: Mapping[str, Any]) -> Iterator[None]:
        """Record a step as running, then as done, failed or interrupted, with its seconds."""
        began = time.perf_counter()
        entry: dict[str, Any] = {
            "status": "running", "settings": _plain(dict(settings)), "inputs": self._inputs(name),
            "versions": _versions(), "started": _now(),
        }  # fmt: skip
        self.document["steps"][name] = entry
        self._write()

        def end(status: str, **facts: str) -> None:
            entry.update(status=status, seconds=round(time.perf_counter() - began, 3), ended=_now(), **facts)
            self._write()

        try:
            with at_quit(lambda: end("interrupted")):
                yield
        except BaseException as error:
            if isinstance(error, Exception):
                end("failed", reason=" ".join(f"{type(error).__name__}: {error}".split()))
            else:
                end("interrupted", reason=type(error).__name__ if str(error) == "" else str(error))
            raise
        end("done")

    def table(self) -> TaskTable:
        """Return the table that the run was made from; refuse when its content changed."""
        inputs = self.document["inputs"]
        if "settings" not in inputs:
            raise ArtifactError(
                f"{self.path}: the run does not say what data it was made from: its Data Maps were recorded elsewhere. "
                "Give the table with --data FILE, or train the groups of grouping.json in your own loop "
                "(Grouping.load(...).loss_weights(g))."
            )
        table, _ = load_data(inputs["settings"])
        if table.content_hash() != inputs["sha256"]:
            raise InvalidInputError(
                f"{inputs['settings']['source']}: the data changed since the profile; profile it again."
            )
        return table

    def table_of(self, source: str) -> TaskTable:
        """Return the table at ``source`` with the tasks of the groups, and keep it as the data of the run."""
        from taskgroup.data import BUNDLED
        from taskgroup.grouping import Grouping

        if "settings" in self.document["inputs"]:
            raise InvalidInputError(f"{self.path}: the run has its table already; leave --data out.")
        names = list(Grouping.load(self.need("grouping.json", "cluster")).tasks.names)
        settings = {
            "source": source if source in BUNDLED else str(Path(source).resolve()), "targets": names,
            "seed": int(self.document.get("seed", 0)), "hide_labels": 0.0, "strict": True,
        }  # fmt: skip
        table, _ = load_data(settings)
        table = table.select(names)
        inputs = {"path": settings["source"], "sha256": table.content_hash(), "settings": settings}
        self.document["inputs"] = inputs
        self.document["reading"] = None if table.reading is None else table.reading.to_dict()
        return table

    def _status(self, step: str) -> str | None:
        entry = self.document["steps"].get(step)
        return None if entry is None else str(entry.get("status"))

    def _inputs(self, step: str) -> dict[str, str]:
        """Return the hashes of what a step reads of the run directory."""
        from taskgroup._artifact import file_hash

        paths = {name: self.path / name for name in INPUTS.get(step, ())}
        return {name: file_hash(path) for name, path in paths.items() if path.is_file()}

    def _check_same(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for key, value in now.items():
            if before.get(key, _plain(value)) != _plain(value):
                raise InvalidInputError(
                    f"{self.path}: cannot resume, `{key}` was {before[key]!r} and is now {value!r}; use --force."
                )

    def _clear(self, steps: Sequence[str]) -> None:
        """Remove what steps wrote. Whatever happens meanwhile, none of it is taken for finished."""
        for step in steps:
            self.document["steps"].pop(step, None)
            if any(os.path.lexists(self.path / name) for name in OUTPUTS[step]):
                self.document["steps"][step] = {"status": "interrupted"}
        self._write()
        for step in steps:
            _remove(self.path, OUTPUTS[step])
            self.document["steps"].pop(step, None)
        self._write()

    def _bury(self) -> None:
        """Say that what a dead process was doing is interrupted."""
        for entry in self.document["steps"].values():
            if entry.get("status") == "running":
                entry["status"] = "interrupted"
        if self.document.get("status") == "running":
            self.document["status"] = "interrupted"

    def _write(self) -> None:
        """Write run.json; the run is as far as its first step that is not done."""
        from taskgroup._artifact import write_json

        found = [entry.get("status") for entry in self.document["steps"].values()]
        status = next((status for status in found if status != "done"), "done" if found else "running")
        self.document |= {"status": status, "finished": _now() if status == "done" else None}
        write_json(self.path / "run.json", "run", self.document)


def _holds(folder: Path) -> str:
    """Return in words what run is in the folder, and how far it came."""
    from taskgroup._artifact import read_json

    document = read_json(folder / "run.json", "run")
    steps = document.get("steps", {})
    left = [name for name in OUTPUTS if steps.get(name, {}).get("status") != "done"]
    data = Path(str(document.get("inputs", {}).get("path", "other data"))).name
    if not left:
        return f"holds a finished run of {data}"
    return f"holds a run of {data} that is not finished ({left[0]} is next)"


def _plain(value: Any) -> Any:
    from taskgroup._artifact import json_ready

    return json_ready(value)


def _write_alone(folder: Path) -> None:
    """Be the only writer of a run directory until the command ends, and sweep what a killed one left half written."""
    from taskgroup._lock import writing

    click.get_current_context().with_resource(writing(folder))
    names = [name for step in OUTPUTS.values() for name in step]
    for name in names:
        if (folder / name).is_symlink():
            raise ArtifactError(f"{folder / name}: is a symbolic link; a run directory holds its own files. Remove it.")
    folders = [folder / name for name in names if (folder / name).is_dir()]
    for path in (*folder.glob(".*.tmp"), *(path for one in folders for path in one.rglob(".*.tmp"))):
        if _is_trace(path):
            path.unlink(missing_ok=True)


def _is_trace(path: Path) -> bool:
    """Whether a file says nothing of a run: it is one of the lock's, or was being written when its writer died."""
    from taskgroup._artifact import TEMPORARY
    from taskgroup._lock import LOCK_FILES

    return path.name in LOCK_FILES or re.fullmatch(TEMPORARY, path.name) is not None


def _remove(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        target = folder / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def _versions() -> dict[str, str]:
    from taskgroup._artifact import result_versions

    return result_versions()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
