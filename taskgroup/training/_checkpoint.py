"""Where a training goes on that was killed: everything that its next epoch depends on, in one file.

Batch order and dropout depend on seed, epoch and step alone, so no state of a generator is kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from taskgroup._artifact import artefact, read_arrays, write_arrays

__all__ = ["Checkpoint"]


class Stateful(Protocol):
    """Somebody with a state, such as a tracker."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state: tensors and plain values, nested."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state."""


class Checkpoint:
    """The state of a training and of who watches it.

    Parameters
    ----------
    path : path-like
        The file. One of another ``key`` is not used.
    key : str
        Hash of everything that the training depends on.
    watcher : Stateful
        Who watches the training, restored with it.
    every : float
        Seconds between two writings at least.
    """

    def __init__(self, path: str | os.PathLike[str], key: str, watcher: Stateful, every: float = 10.0) -> None:
        self.path, self.key, self.watcher, self.every = Path(path), key, watcher, every
        self._written = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the state of the training in the file after restoring the watcher; None where there is none."""
        if not self.path.is_file():
            return None
        arrays, document = read_arrays(self.path, "checkpoint")
        if document.get("key") != self.key:
            return None
        with artefact(self.path):
            state: dict[str, Any] = _nested(document["state"], arrays)
            self.watcher.load_state_dict(state["watcher"])
            return dict(state["training"])

    def save(self, training: Callable[[], dict[str, Any]]) -> None:
        """Write the states, unless that was done a moment ago."""
        if time.monotonic() - self._written < self.every:
            return
        arrays: dict[str, np.ndarray[Any, Any]] = {}
        state = _flat({"training": training(), "watcher": self.watcher.state_dict()}, arrays)
        write_arrays(self.path, "checkpoint", arrays, {"key": self.key, "state": state})
        self._written = time.monotonic()


def _flat(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """Return a nested structure as JSON has it, its tensors moved to ``arrays``; keys keep their types."""
    if isinstance(value, torch.Tensor):
        name = f"{len(arrays)}"
        arrays[name] = value.detach().cpu().numpy()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"items": [[key, _flat(item, arrays)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_flat(item, arrays) for item in value]
    return value


def _nested(value: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    """Undo :func:`_flat`."""
    if isinstance(value, list):
        return [_nested(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return torch.from_numpy(np.array(arrays[value["tensor"]]))
    return {key: _nested(item, arrays) for key, item in value["items"]}
