"""Where trained networks are kept: memory, and a run directory that a later call can take up again.

A unit's networks lie below ``models/``; its completion marker ``<unit>.done.json`` is written last and holds the hash
of everything the result depends on. A unit whose marker has the same hash is never trained again, so baselines that do
not depend on the grouping survive a new grouping. The losses of the trials of the tuning are in ``trials.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taskgroup._artifact import read_json, write_json
from taskgroup.exceptions import ArtifactError
from taskgroup.training._cost import Cost
from taskgroup.training._data import TrainingData
from taskgroup.training._network import MakeEncoder, load_network
from taskgroup.training._unit import Trained, Unit, outputs_of, restore

__all__ = ["Store"]


class Store:
    """Trained networks by path.

    Parameters
    ----------
    folder : Path or None
        ``<run>/models``; None keeps everything in memory.
    resume : bool
        Whether a finished unit of other inputs is an error rather than replaced.
    """

    def __init__(self, folder: Path | None, *, resume: bool = False) -> None:
        self.folder, self.resume = folder, resume
        self.trained: dict[str, Trained] = {}
        self.done: dict[str, dict[str, Any]] = {}
        path = self._trials_path()
        self.trials: dict[str, float] = read_json(path, "trials")["losses"] if path and path.is_file() else {}

    def find(self, unit: Unit, key: str, data: TrainingData, make_encoder: MakeEncoder | None) -> bool:
        """Take up a finished unit; return whether there is one.

        Raises
        ------
        ArtifactError
            When ``resume`` is set and the finished unit was trained on other inputs.
        """
        marker = None if self.folder is None else self.folder / f"{unit.name}.done.json"
        if self.folder is None or marker is None or not marker.is_file():
            return False
        document = read_json(marker, "unit")
        if document["key"] != key:
            if self.resume:
                raise ArtifactError(
                    f"{marker}: was trained with other data, settings or groups than those given now; "
                    "resume with the same ones, or start anew with resume=False."
                )
            return False
        found = []
        for row in document["networks"]:
            network, state, _ = load_network(self.folder, row["path"])
            outputs = outputs_of(restore(network, state, data, make_encoder), data)
            found.append(Trained(network, state, outputs, Cost(**row["cost"]), row["history"]))
        self._keep(unit, key, found)
        return True

    def put(self, unit: Unit, key: str, trained: Sequence[Trained]) -> None:
        """Keep the networks of a unit; on disk, its marker last."""
        self._keep(unit, key, trained)
        if self.folder is not None:
            self._write(self.folder, unit.name)

    def note_trial(self, key: str, loss: float) -> None:
        """Remember the validation loss of a trial of the tuning."""
        self.trials[key] = loss
        if (path := self._trials_path()) is not None:
            write_json(path, "trials", {"losses": self.trials})

    def save(self, folder: Path) -> None:
        """Write everything below another folder."""
        if self.folder is None or folder.resolve() != self.folder.resolve():
            for name in self.done:
                self._write(folder, name)

    def _trials_path(self) -> Path | None:
        return None if self.folder is None else self.folder / "trials.json"

    def _keep(self, unit: Unit, key: str, trained: Sequence[Trained]) -> None:
        self.trained |= {item.network.path: item for item in trained}
        self.done[unit.name] = {
            "key": key,
            "networks": [
                {"path": item.network.path, "cost": item.cost.to_dict(), "history": dict(item.history)}
                for item in trained
            ],
        }

    def _write(self, folder: Path, name: str) -> None:
        for row in self.done[name]["networks"]:
            item = self.trained[row["path"]]
            item.network.save(folder, item.state)
        write_json(folder / f"{name}.done.json", "unit", self.done[name])
