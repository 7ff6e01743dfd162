"""Joining what several trackers, or several processes, recorded of the same epochs.

What is exchanged are integer sums of codes keyed by (epoch, sample), not statistics. A sample that two processes saw,
as DistributedSampler makes them to even out its shards, is averaged within its epoch, just as in one process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.exceptions import InvalidInputError
from taskgroup.tracker._epoch import Epoch, Sightings
from taskgroup.tracker._recorder import Recorder
from taskgroup.tracker._stream import Stream

__all__ = ["gather", "merge"]


@dataclass
class _Part:
    """What one tracker recorded since the trackers last held the same."""

    facts: dict[str, Any]
    finished: list[Sightings]
    unfinished: Sightings | None
    waiting: list[Any]
    labelled: NDArray[np.int64]
    labels: NDArray[Any]


def merge(tracker: Recorder, other: Recorder) -> None:
    """Add the record of ``other`` to ``tracker``."""
    shared = max(tracker._shared, other._shared)
    _join(tracker, [_part(other, shared)], shared)


def gather(tracker: Recorder, group: Any = None) -> None:
    """Give every process of the group the records of all."""
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        raise InvalidInputError("gather() needs torch.distributed; call init_process_group() first, or do not gather.")
    if tracker._sealed:
        raise InvalidInputError("this epoch has been gathered already; call end_epoch() before the next gather().")
    parts: list[Any] = [None] * distributed.get_world_size(group)
    distributed.all_gather_object(parts, _part(tracker, tracker._shared), group=group)
    _join(tracker, [part for rank, part in enumerate(parts) if rank != distributed.get_rank(group)], tracker._shared)
    tracker._sealed = tracker._epoch is not None
    tracker._shared = tracker.n_epochs
    tracker._targets.changed[:] = False


def _part(tracker: Recorder, shared: int) -> _Part:
    tracker._catch_up()
    epoch = tracker._epoch
    rows = np.flatnonzero(tracker._targets.changed)
    return _Part(
        facts=_facts(tracker, shared),
        finished=[_reopened(tracker, e).sightings() for e in range(shared, tracker.n_epochs)],
        unfinished=None if epoch is None else epoch.sightings(),
        waiting=tracker._waiting,
        labelled=rows,
        labels=tracker._targets.values[rows],
    )


def _join(tracker: Recorder, parts: list[_Part], shared: int) -> None:
    _check(tracker, parts, shared)
    tracker._catch_up()
    epochs = [_reopened(tracker, e) for e in range(shared, tracker.n_epochs)]
    for part in parts:
        for epoch, sightings in zip(epochs, part.finished, strict=True):
            epoch.merge(sightings)
        if part.unfinished is not None:
            tracker._open().merge(part.unfinished)
        tracker._waiting += part.waiting
        tracker._targets.merge(part.labelled, part.labels)
    if epochs and not isinstance(tracker._record, Stream):
        record = tracker._record
        codes = np.array(record.codes)
        repeats = {e: record.sums(e) for e in range(shared)}
        for e, epoch in enumerate(epochs, start=shared):
            repeats[e] = epoch.close()
            codes[e] = epoch.codes
        record.replace(codes, {e: sums for e, sums in repeats.items() if len(sums.rows)})


def _reopened(tracker: Recorder, epoch: int) -> Epoch:
    if isinstance(tracker._record, Stream):
        raise InvalidInputError(
            "a stream does not keep its finished epochs, so they cannot be joined; "
            "call gather() or merge() before each end_epoch(), or record with mode='history'."
        )
    if not tracker.mergeable:
        raise InvalidInputError("this tracker forgot its repeat sightings; join trackers made with mergeable=True.")
    return Epoch.reopen(np.array(tracker._record.codes[epoch]), tracker._record.sums(epoch))


def _facts(tracker: Recorder, shared: int) -> dict[str, Any]:
    scales = {name: f"{s:.9g}" for name, s in zip(tracker.tasks.names, tracker._encoder.scales, strict=True)}
    return {
        "tasks": tracker.tasks.to_list(),
        "n_samples": tracker.n_samples,
        "mode": tracker.mode,
        "width": tracker._encoder.layout.width,
        "finished epochs": tracker.n_epochs,
        "residual scales": scales,
        "shared epochs": shared,
    }


def _check(tracker: Recorder, parts: list[_Part], shared: int) -> None:
    mine = _facts(tracker, shared)
    for part in parts:
        for name, value in mine.items():
            if part.facts[name] != value:
                hint = " Call gather() before the first end_epoch(), or give `scales`." if "scales" in name else ""
                raise InvalidInputError(
                    f"trackers to be joined must agree in their {name}; got {value!r} and {part.facts[name]!r}.{hint}"
                )
