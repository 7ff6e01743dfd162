"""Where finished units are kept: a folder that a later call can take up again.

A unit is one file ``<method>/<unit>.safetensors``, written whole or not at all: its outputs, its models if they serve,
and the hash of everything that the result depends on. A unit whose file has the same hash is never fitted again, so
what does not depend on the grouping survives a new grouping. What tuning chose is in ``tuning.json``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from taskgroup._artifact import artefact, read_arrays, read_json, write_arrays, write_json
from taskgroup.cost import Cost
from taskgroup.exceptions import ArtifactError
from taskgroup.experiment._work import Result, Unit
from taskgroup.learners import Saved

__all__ = ["Store", "read_models"]


class Store:
    """Finished units by path.

    Parameters
    ----------
    folder : Path
        ``<run>/models``.
    resume : bool
        Whether a finished unit of other inputs is an error rather than replaced.
    """

    def __init__(self, folder: Path, *, resume: bool = False) -> None:
        self.folder, self.resume = folder, resume
        path = folder / "tuning.json"
        self.tuned: dict[str, dict[str, Any]] = read_json(path, "tuning")["chosen"] if path.is_file() else {}

    def find(self, unit: Unit, key: str) -> bool:
        """Return whether the unit is finished.

        Raises
        ------
        ArtifactError
            When ``resume`` is set and the finished unit was fitted on other inputs.
        """
        path = self.path(unit)
        if not path.is_file():
            return False
        _, document = read_arrays(path, "unit", only=())
        if document.get("key") == key:
            return True
        if self.resume:
            raise ArtifactError(
                f"{path}: was fitted with other data, settings or groups than those given now; "
                "resume with the same ones, or start anew with resume=False."
            )
        return False

    def put(self, unit: Unit, key: str, result: Result) -> None:
        """Write the unit's file."""
        arrays: dict[str, Any] = {}
        for name, outputs in (("honest", result.honest), ("test", result.test)):
            arrays |= {f"{name}/{m}": packed for m, packed in enumerate(outputs)}
        for m, saved in enumerate(result.models):
            arrays |= {f"model/{m}/{name}": array for name, array in saved.arrays.items()}
        document = {
            "key": key, "learner": unit.learner.kind, "tasks": [order.tasks for order in unit.orders],
            "models": [saved.document for saved in result.models], "costs": [cost.to_dict() for cost in result.costs],
        }  # fmt: skip
        write_arrays(self.path(unit), "unit", arrays, document)

    def get(self, unit: Unit) -> Result:
        """Return what a finished unit gave, without its models."""
        arrays, document = read_arrays(self.path(unit), "unit", only=("honest/", "test/"))
        with artefact(self.path(unit)):
            n_models = len(document["tasks"])
            honest, test = (
                [arrays[f"{name}/{m}"] for m in range(n_models) if f"{name}/{m}" in arrays]
                for name in ("honest", "test")
            )
            return Result(honest, test, [Cost(**cost) for cost in document["costs"]])

    def start(self, path: str) -> Saved:
        """Return the model of a finished unit of one model."""
        return read_models(self.folder / f"{path}.safetensors")[1][0]

    def note_tuned(self, key: str, options: dict[str, Any]) -> None:
        """Remember what tuning chose."""
        self.tuned[key] = options
        write_json(self.folder / "tuning.json", "tuning", {"chosen": self.tuned})

    def path(self, unit: Unit) -> Path:
        """Return the unit's file."""
        return self.folder / f"{unit.path}.safetensors"


def read_models(path: Path) -> tuple[str, list[Saved]]:
    """Return the kind of the learner and the models of a unit's file.

    Raises
    ------
    ArtifactError
        When the file is missing, damaged, or of another format or version.
    """
    arrays, document = read_arrays(path, "unit")
    models = []
    with artefact(path):
        for m, facts in enumerate(document["models"]):
            prefix = f"model/{m}/"
            own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            models.append(Saved(own, facts))
        return document["learner"], models
