"""A tracker's state as tensors and plain values, mid-epoch included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from taskgroup._artifact import FORMAT_VERSION
from taskgroup.exceptions import InvalidInputError
from taskgroup.tracker._epoch import Epoch, Sightings
from taskgroup.tracker._held import Held
from taskgroup.tracker._history import MappedHistory
from taskgroup.tracker._recorder import Recorder
from taskgroup.tracker._stream import Stream

__all__ = ["load_state", "state_of"]


def state_of(tracker: Recorder) -> dict[str, Any]:
    """Return the state of a tracker; arrays are copies."""
    tracker._catch_up()
    epoch = tracker._epoch
    return {
        **_facts(tracker),
        "record": _to_tensors(_record_state(tracker)),
        "epoch": None if epoch is None else _to_tensors(
            {"codes": epoch.seen_codes, "repeats": vars(epoch.repeats), "n_batches": epoch.n_batches}
        ),
        "waiting": [_to_tensors(list(batch)) for batch in tracker._waiting],
        "scales": _to_tensors(tracker._encoder.scales),
        "targets": _to_tensors(tracker._targets.values),
        "shared": tracker._shared,
        "sealed": tracker._sealed,
    }  # fmt: skip


def load_state(tracker: Recorder, state: Mapping[str, Any]) -> None:
    """Restore a tracker from what :func:`state_of` gave."""
    for name, value in _facts(tracker).items():
        if state.get(name) != value:
            raise InvalidInputError(
                f"the state to load must have {name}={value!r}, as this tracker; got {state.get(name)!r}."
            )
    tracker._held, _ = Held(), tracker._pending.drain()
    _load_record(tracker, _to_arrays(state["record"]))
    tracker._targets.load(_to_arrays(state["targets"]))
    tracker._encoder.scales[:] = _to_arrays(state["scales"])
    tracker._waiting = [tuple(_to_arrays(batch)) for batch in state["waiting"]]
    tracker._shared, tracker._sealed = int(state["shared"]), bool(state["sealed"])
    tracker._epoch, tracker._at_once = None, False
    if state["epoch"] is not None:
        saved = _to_arrays(state["epoch"])
        codes = tracker._record.open()
        codes[:] = saved["codes"]
        tracker._epoch = Epoch.reopen(codes, Sightings(**saved["repeats"]))
        tracker._epoch.n_batches = int(saved["n_batches"])


def _facts(tracker: Recorder) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "tasks": tracker.tasks.to_list(),
        "n_samples": tracker.n_samples,
        "mode": tracker.mode,
        "width": tracker._encoder.layout.width,
        "mapped": isinstance(tracker._record, MappedHistory),
    }


def _record_state(tracker: Recorder) -> dict[str, Any]:
    record = tracker._record
    if isinstance(record, Stream):
        return record.state()
    if isinstance(record, MappedHistory):  # the folder holds the finished epochs
        return {"n_epochs": record.n_epochs}
    return {"codes": record.codes, "repeats": {epoch: vars(value) for epoch, value in record.repeats.items()}}


def _load_record(tracker: Recorder, state: dict[str, Any]) -> None:
    record = tracker._record
    if isinstance(record, Stream):
        record.load(state)
    elif isinstance(record, MappedHistory):
        record.rewind(int(state["n_epochs"]))
    else:
        record.replace(state["codes"], {int(epoch): Sightings(**sums) for epoch, sums in state["repeats"].items()})


def _to_tensors(value: Any) -> Any:
    """Return a nested structure with its arrays copied into tensors."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value))
    if isinstance(value, dict):
        return {key: _to_tensors(item) for key, item in value.items()}
    return [_to_tensors(item) for item in value] if isinstance(value, list) else value


def _to_arrays(value: Any) -> Any:
    """Return a nested structure with its tensors copied into arrays."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, Mapping):
        return {key: _to_arrays(item) for key, item in value.items()}
    return [_to_arrays(item) for item in value] if isinstance(value, (list, tuple)) else value
