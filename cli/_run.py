"""The run directory: the pipe between the commands, and ``run.json`` that says how far it has come."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskgroup.exceptions import ArtifactError, InvalidInputError

from ._data import load_data
from ._options import DEFAULT_RUN

if TYPE_CHECKING:
    from taskgroup.data import TaskTable

__all__ = ["OUTPUTS", "Run"]

_FREE = ("jobs", "executor")  # settings that no result depends on

# What each step writes, in order: a later step is stale when an earlier one is done again.
OUTPUTS: dict[str, tuple[str, ...]] = {
    "profile": ("tasks.json", "datamaps.safetensors", "profile"),
    "cluster": ("grouping.json", "cluster.json", "similarity.safetensors"),
    "retrain": ("models", "scores.csv", "scores.json", "ledger.json", "plan.json"),
    "report": ("report.html", "figures"),
}


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
        if folder.is_dir() and any(folder.iterdir()):
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
        """Return a new run directory in place of whatever run was there; ``reading`` says how the table was read."""
        folder = cls.check_writable(path, force=force)
        for names in OUTPUTS.values():
            _remove(folder, names)
        run = cls(folder, {"command": [Path(sys.argv[0]).name, *sys.argv[1:]], "seed": seed, "inputs": dict(data)})
        from taskgroup._artifact import versions

        run.document |= {"versions": versions(), "started": _now(), "finished": None, "status": "running", "steps": {}}
        if reading is not None:
            run.document["reading"] = dict(reading)
        run._write()
        return run

    @staticmethod
    def exists(path: str | os.PathLike[str]) -> bool:
        """Whether there is a run directory at ``path``."""
        return (Path(path) / "run.json").is_file()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """Return an existing run directory; one without ``run.json`` (maps recorded elsewhere) is accepted too."""
        from taskgroup._artifact import FORMAT_VERSION, read_json

        folder = Path(path)
        if not folder.is_dir():
            raise ArtifactError(f"{folder}: no such run directory; make one with `taskgroup profile --out {folder}`.")
        if (folder / "run.json").is_file():
            document = read_json(folder / "run.json", "run")
            return cls(folder, {k: v for k, v in document.items() if k not in ("format", "format_version")})
        if not (folder / "datamaps.safetensors").is_file():
            raise ArtifactError(f"{folder}: not a run directory of taskgroup (format {FORMAT_VERSION}): no run.json.")
        return cls(folder, {"command": [], "seed": 0, "inputs": {}, "status": "done", "steps": {}})

    def done(self, step: str) -> bool:
        """Whether a step has finished."""
        return bool(self.document["steps"].get(step, {}).get("status") == "done")

    def settings(self, step: str) -> dict[str, Any]:
        """Return the settings that a step was started with, empty when it never was."""
        return dict(self.document["steps"].get(step, {}).get("settings", {}))

    def need(self, name: str, step: str) -> Path:
        """Return the path of a file that an earlier step wrote."""
        if not (self.path / name).exists():
            raise ArtifactError(f"{self.path}: no {name}; run `taskgroup {step}` first.")
        return self.path / name

    def check_free(self, step: str, given: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
        """Return whether the step still has to run; refuse to overwrite it, or to resume it with other settings."""
        present = [name for name in OUTPUTS[step] if (self.path / name).exists()]
        if not present and step not in self.document["steps"]:
            return True
        if given["force"]:
            for name in list(OUTPUTS)[list(OUTPUTS).index(step) :]:
                _remove(self.path, OUTPUTS[name])
                self.document["steps"].pop(name, None)
            return True
        if not given["resume"]:
            raise ArtifactError(f"{self.path}: {', '.join(present) or step} exists already; use --resume or --force.")
        before = self.settings(step)
        for key, value in settings.items():
            if key not in _FREE and before.get(key, _plain(value)) != _plain(value):
                raise InvalidInputError(
                    f"{self.path}: cannot resume, `{key}` was {before[key]!r} and is now {value!r}; use --force."
                )
        return not self.done(step)

    def seed(self, given: Mapping[str, Any]) -> int:
        """Return the seed asked for, or the one that the run was started with."""
        seed = self.document.get("seed", 0) if given["seed"] is None else given["seed"]
        return int(seed)

    def command(self, name: str) -> str:
        """Return the command line of another step on this run."""
        return f"taskgroup {name}" + ("" if str(self.path) == DEFAULT_RUN else f" {self.path}")

    @contextmanager
    def step(self, name: str, settings: Mapping[str, Any]) -> Iterator[None]:
        """Record a step as running, then as done with its seconds."""
        started = time.perf_counter()
        entry: dict[str, Any] = {"status": "running", "settings": _plain(dict(settings)), "started": _now()}
        self.document["steps"][name] = entry
        self.document["status"] = "running"
        self._write()
        yield
        entry |= {"status": "done", "seconds": round(time.perf_counter() - started, 3)}
        self.document |= {"status": "done", "finished": _now()}
        self._write()

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

    def _write(self) -> None:
        from taskgroup._artifact import write_json

        write_json(self.path / "run.json", "run", self.document)


def _holds(folder: Path) -> str:
    """Return in words what run is in the folder, and how far it came."""
    from taskgroup._artifact import read_json

    document = read_json(folder / "run.json", "run")
    steps = document.get("steps", {})
    left = [name for name in OUTPUTS if steps.get(name, {}).get("status") != "done"]
    data = Path(str(document.get("inputs", {}).get("path", "other data"))).name
    return f"holds a {'finished run' if not left else f'run that is not past {left[0]}'} of {data}"


def _plain(value: Any) -> Any:
    from taskgroup._artifact import json_ready

    return json_ready(value)


def _remove(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        target = folder / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
