"""The record of every epoch as 16-bit codes, in memory or in files that survive the death of the process."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import distributed

from taskgroup._artifact import read_arrays, read_json, write_arrays, write_json
from taskgroup.datamaps import UNSEEN, DataMaps
from taskgroup.exceptions import ArtifactError
from taskgroup.tracker._epoch import Sightings
from taskgroup.tracker._layout import Layout, margin_of

try:
    import fcntl
except ImportError:  # Windows: no advisory locks
    fcntl = None  # type: ignore[assignment]

__all__ = ["History", "MappedHistory"]

Codes = NDArray[np.uint16]

_RESERVE = 1 << 30  # bytes of address space reserved for epochs to come; memory is used only as they are written


class History:
    """Codes of the finished epochs, (n_epochs, N, width), in memory.

    Parameters
    ----------
    layout : Layout
        What the columns hold.
    n_samples : int
        Number of rows N.
    n_epochs : int, optional
        Number of epochs to make room for; the room doubles when it is full.
    """

    def __init__(self, layout: Layout, n_samples: int, n_epochs: int | None = None) -> None:
        self.layout = layout
        self.n_epochs = 0
        self.repeats: dict[int, Sightings] = {}
        size = max(2 * n_samples * layout.width, 1)
        self._codes = self._allocate(n_epochs or min(max(_RESERVE // size, 1), 256), n_samples)

    def open(self) -> Codes:
        """Return the array (N, width) that the next epoch is to be written into."""
        if self.n_epochs == len(self._codes):
            grown = self._allocate(2 * len(self._codes), self._codes.shape[1])
            grown[: self.n_epochs] = self._codes
            self._codes = grown
        codes: Codes = self._codes[self.n_epochs]
        return codes

    def close(self, repeats: Sightings, info: dict[str, Any], targets: NDArray[Any] | None) -> None:
        """Count the opened epoch as finished; ``repeats`` are the sums behind its means."""
        if len(repeats.rows):
            self.repeats[self.n_epochs] = repeats
        self.n_epochs += 1

    def sums(self, epoch: int) -> Sightings:
        """Return the sums behind the repeat sightings of a finished epoch."""
        return self.repeats.get(epoch, Sightings.none(self.layout.width))

    @property
    def codes(self) -> Codes:
        """The finished epochs, read-only."""
        view: Codes = self._codes[: self.n_epochs]
        view.flags.writeable = False
        return view

    def replace(self, codes: Codes, repeats: dict[int, Sightings]) -> None:
        """Put other finished epochs in the place of these; views given out before keep what they show."""
        room = self._allocate(max(len(self._codes), len(codes)), self._codes.shape[1])
        room[: len(codes)] = codes
        self._codes, self.repeats, self.n_epochs = room, dict(repeats), len(codes)

    def maps(self, **fields: Any) -> DataMaps:
        """Return the Data Maps of the finished epochs; ``fields`` are passed on."""
        codes, layout = self.codes, self.layout
        if layout.margin:
            fields["margin"] = _mean_margin(codes[..., layout.margins])
        right = codes[..., layout.right] if layout.many else None
        return DataMaps.from_history(layout.tasks, codes[..., : len(layout.tasks)], right=right, **fields)

    def _allocate(self, n_epochs: int, n_samples: int) -> Codes:
        return np.empty((n_epochs, n_samples, self.layout.width), np.uint16)


class MappedHistory(History):
    """The same in a folder: ``codes.u16`` memory-mapped, ``recording.json`` naming the finished epochs.

    The JSON file is replaced atomically when an epoch ends. Whatever kills the process in between, the next one finds
    the finished epochs and records the unfinished one anew.

    Parameters
    ----------
    layout, n_samples
        As for :class:`History`.
    folder : path-like
        Created when missing; a recording of other tasks or another number of samples is refused.
    """

    def __init__(self, layout: Layout, n_samples: int, folder: str | os.PathLike[str]) -> None:
        self.layout = layout
        self.repeats = {}
        self.folder = _own_folder(Path(folder))
        self._n_samples = n_samples
        self._facts: dict[str, Any] = {
            "tasks": layout.tasks.to_list(), "n_samples": n_samples, "width": layout.width
        }  # fmt: skip
        self.info: dict[str, Any] = {}
        self._release = weakref.finalize(self, os.close, _lock(self.folder))
        self.n_epochs = self._find()

    def open(self) -> Codes:
        """Return the mapped array (N, width) that the next epoch is to be written into."""
        codes: Codes = self._map(self.n_epochs + 1, "r+")[-1]
        return codes

    def close(self, repeats: Sightings, info: dict[str, Any], targets: NDArray[Any] | None) -> None:
        """Commit the opened epoch, with the targets when they have changed."""
        if targets is not None:
            write_arrays(self.folder / "targets.safetensors", "targets", {"targets": targets})
        if len(repeats.rows):
            write_arrays(self._repeats_path(self.n_epochs), "repeats", vars(repeats))
        self.n_epochs += 1
        self.info = info
        self._commit()

    def sums(self, epoch: int) -> Sightings:
        """Return the sums behind the repeat sightings of a finished epoch."""
        path = self._repeats_path(epoch)
        return Sightings(**read_arrays(path, "repeats")[0]) if path.exists() else super().sums(epoch)

    @property
    def codes(self) -> Codes:
        """The finished epochs, mapped read-only."""
        if not self.n_epochs:
            return np.empty((0, self._n_samples, self.layout.width), np.uint16)
        return self._map(self.n_epochs, "r")

    def replace(self, codes: Codes, repeats: dict[int, Sightings]) -> None:
        """Put other finished epochs in the place of these."""
        self.rewind(0)
        for epoch, values in enumerate(codes):
            self.open()[:] = values
            self.close(repeats.get(epoch, Sightings.none(self.layout.width)), self.info, None)

    def targets(self) -> NDArray[Any] | None:
        """Return the targets found in the folder."""
        path = self.folder / "targets.safetensors"
        return np.array(read_arrays(path, "targets")[0]["targets"]) if self.n_epochs and path.exists() else None

    def rewind(self, n_epochs: int) -> None:
        """Forget the epochs from ``n_epochs`` on."""
        if n_epochs > self.n_epochs:
            raise ArtifactError(
                f"{self.folder}: holds {self.n_epochs} finished epochs; the state to load needs {n_epochs}. "
                "Give the folder that the state was saved with."
            )
        for epoch in range(n_epochs, self.n_epochs):
            self._repeats_path(epoch).unlink(missing_ok=True)
        self.n_epochs = n_epochs
        self._commit()

    def release(self) -> None:
        """Let another tracker record into the folder."""
        self._release()

    def _find(self) -> int:
        """Return the number of finished epochs in the folder, after checking what they are."""
        path = self.folder / "recording.json"
        if not path.exists():
            return 0
        document = read_json(path, "recording")
        for name, value in self._facts.items():
            if document.get(name) != value:
                raise ArtifactError(
                    f"{path}: was recorded with another `{name}`; record into an empty folder, or delete this one."
                )
        n_epochs, self.info = int(document["n_epochs"]), dict(document["info"])
        size, needed = self._size(), n_epochs * self._epoch_bytes
        if size < needed:
            raise ArtifactError(
                f"{self._path()}: holds {size} bytes, {n_epochs} epochs need {needed}; it is truncated."
            )
        return n_epochs

    def _map(self, n_epochs: int, mode: Any) -> Codes:
        """Return the mapped epochs; the file grows by epochs that are to be recorded, never by finished ones."""
        finished, needed = self.n_epochs * self._epoch_bytes, n_epochs * self._epoch_bytes
        size = self._size()
        if size < finished:
            raise ArtifactError(
                f"{self._path()}: holds {size} bytes, {self.n_epochs} epochs need {finished}; it was removed or "
                "cut off while they were recorded."
            )
        if size < needed:
            with open(self._path(), "ab") as handle:
                handle.truncate(needed)
        shape = (n_epochs, self._n_samples, self.layout.width)
        return np.memmap(self._path(), np.dtype("<u2"), mode, shape=shape)

    def __deepcopy__(self, memo: Any) -> History:
        """Return the finished epochs in memory: the folder stays with this one."""
        copied = History(self.layout, self._n_samples, max(self.n_epochs, 1))
        repeats = {epoch: self.sums(epoch) for epoch in range(self.n_epochs)}
        copied.replace(np.array(self.codes), {epoch: sums for epoch, sums in repeats.items() if len(sums.rows)})
        return copied

    def _size(self) -> int:
        return self._path().stat().st_size if self._path().exists() else 0

    def _commit(self) -> None:
        document = {**self._facts, "n_epochs": self.n_epochs, "info": self.info}
        write_json(self.folder / "recording.json", "recording", document)

    @property
    def _epoch_bytes(self) -> int:
        return 2 * self._n_samples * self.layout.width

    def _path(self) -> Path:
        return self.folder / "codes.u16"

    def _repeats_path(self, epoch: int) -> Path:
        return self.folder / f"repeats-{epoch:05d}.safetensors"


def _own_folder(folder: Path) -> Path:
    """Return the folder of this process: under torch.distributed each rank has its own."""
    if distributed.is_available() and distributed.is_initialized():
        rank, size = distributed.get_rank(), distributed.get_world_size()
    else:
        rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    return folder / f"rank-{rank:05d}" if size > 1 else folder


def _lock(folder: Path) -> int:
    """Return the descriptor of a lock on the folder, which the system drops when the process dies, however it dies."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise ArtifactError(
                f"{folder}: is being recorded into by another tracker; close() that one, or give each its own folder."
            ) from None
    return descriptor


def _mean_margin(codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the mean over epochs of margin codes (n_epochs, N, T), in logits."""
    total, count = np.zeros(codes.shape[1:]), np.zeros(codes.shape[1:])
    for epoch in codes:
        seen = epoch != UNSEEN
        total += np.where(seen, epoch, 0)
        count += seen
    with np.errstate(invalid="ignore"):
        return margin_of(total / count)
