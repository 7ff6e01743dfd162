"""The Data Map tracker: three lines inside a training loop.

It records what Dataset Cartography (Swayamdipta et al., EMNLP 2020, arXiv 2009.10795, section 2) and STG-MTL (Sherif
et al., arXiv 2307.03374, section 3) define: the probability p[t, i, e] that the training-mode forward pass of epoch e
gave, for task t, to the true label of sample i, before the update of that step.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from taskgroup._display import clipped
from taskgroup._validation import check_choice, check_int
from taskgroup.datamaps import UNSEEN, DataMaps
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import Task, TaskSet
from taskgroup.tracker._encode import Encoded, Encoder, signed_logits
from taskgroup.tracker._epoch import Epoch, Sightings
from taskgroup.tracker._held import Held, elsewhere
from taskgroup.tracker._history import History, MappedHistory
from taskgroup.tracker._kernel import address, codes_of
from taskgroup.tracker._layout import Layout
from taskgroup.tracker._pending import Pending
from taskgroup.tracker._regression import given_scales
from taskgroup.tracker._stream import Stream
from taskgroup.tracker._targets import Targets

__all__ = ["Mode", "Recorder"]

Mode = Literal["history", "stream"]
_USUAL = torch.int64, torch.float32, torch.float32
_MODES: tuple[Mode, ...] = ("history", "stream")


class Recorder:
    """What records the Data Maps of a multi-task training; see :class:`taskgroup.DataMapTracker` for its parameters."""

    def __init__(
        self,
        tasks: TaskSet | list[Task | str] | list[str],
        n_samples: int,
        mode: Mode = "history",
        *,
        n_epochs: int | None = None,
        folder: str | os.PathLike[str] | None = None,
        targets: ArrayLike | None = None,
        margin: bool = False,
        probability: Callable[[Any, Any], Any] | None = None,
        ignore: float | None = None,
        scales: Mapping[str, float] | None = None,
        mergeable: bool = True,
        outputs: Literal["logits", "probabilities"] | None = None,
    ) -> None:
        self.tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
        self.n_samples = check_int("n_samples", n_samples, 1)
        self.mode: Mode = check_choice("mode", mode, _MODES)
        self.mergeable = mergeable
        if outputs is not None:
            check_choice("outputs", outputs, ("logits", "probabilities"))
        if n_epochs is not None:
            check_int("n_epochs", n_epochs, 1)
        if margin and probability is not None:
            raise InvalidInputError("`margin` needs logits; with `probability` it must be False.")
        layout = Layout(self.tasks, margin, probability is not None)
        self._encoder = Encoder(layout, given_scales(self.tasks, scales), probability, ignore, outputs)
        given = None if targets is None else self._encoder.given(targets, n_samples)
        self._targets = Targets(self.tasks, n_samples, given)
        self._record: History | Stream
        if mode == "stream":
            if folder is not None:
                raise InvalidInputError("`folder` needs mode='history'; a stream is saved by state_dict().")
            self._record = Stream(layout, n_samples)
        elif folder is not None:
            self._record = MappedHistory(layout, n_samples, folder)
            self._resume(self._record)
        else:
            self._record = History(layout, n_samples, n_epochs)
        self._epoch: Epoch | None = None
        self._held = Held()
        self._width = (len(self.tasks),)
        self._pending = Pending(len(self.tasks))
        self._waiting: list[tuple[NDArray[np.int64], NDArray[np.uint16], NDArray[np.float32]]] = []
        self._shared = 0  # finished epochs that every process holds alike
        self._sealed = False  # the open epoch has been gathered
        self._announced: tuple[Any, Any, Any] | None = None
        self._at_once = False  # batches may be recorded by one compiled call: nothing else is to be learned from them

    def __repr__(self) -> str:
        known = 1.0 - float(np.isnan(self._targets.labels()).mean())
        batches = (self._epoch.n_batches if self._epoch else 0) + len(self._held)
        return (
            f"{type(self).__name__}({len(self.tasks):,} tasks: {clipped(self.tasks.names)}; {self.n_samples:,} "
            f"samples, mode {self.mode!r}; saw {self.n_epochs} whole epochs and {batches} batches of the next; "
            f"labels of {known:.1%} of the cells)"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a tracker of its own, with the same record; that of a recording in a folder is in memory."""
        self._catch_up()
        copied = object.__new__(type(self))
        memo[id(self)] = copied
        rest = {name: value for name, value in vars(self).items() if name != "_epoch"}
        vars(copied).update(copy.deepcopy(rest, memo), _epoch=None)
        if self._epoch is not None:  # it writes into the record, and knows where that lies
            codes = copied._record.open()
            codes[:] = self._epoch.seen_codes
            copied._epoch = Epoch.reopen(codes, copy.deepcopy(self._epoch.repeats))
            copied._epoch.n_batches = self._epoch.n_batches
        return copied

    @property
    def n_epochs(self) -> int:
        """Number of finished epochs; the index of the epoch that is being recorded."""
        return self._record.n_epochs

    def update(self, sample_ids: Any, outputs: Any, targets: Any = None, mask: Any = None) -> None:
        """Record one batch. Tensors are detached; nothing is recorded when an error is raised.

        Parameters
        ----------
        sample_ids : tensor, array or list of B integers
            Row numbers, which may repeat.
        outputs : tensor of shape (B, T), mapping, or list
            Logits (predictions for regression) in any floating type. A multiclass task has one column per class.
            As a mapping {task: (B,) or (B, C)} tasks may be absent from a batch; as a list there is one entry per task.
        targets : tensor or array of shape (B, T), or mapping {task: (B,)}, optional
            Labels, NaN where missing. May be left out when the tracker was given all targets.
        mask : tensor or array of bool of shape (B, T) or (B,), or mapping, optional
            True where the label counts.

        Raises
        ------
        InvalidInputError
            When an id is outside 0 .. N - 1, a shape is wrong, a label is not of its task's kind or not the one that
            the sample had in an earlier epoch, or a logit of a labelled sample is not finite. The message names the
            batch and the task. Tensors on another device than the CPU are looked at when the epoch ends, or when 64 MiB
            of them are held.
        """
        if self._record_at_once(sample_ids, outputs, targets, mask):
            return
        if self._sealed:
            raise InvalidInputError(
                f"{self._where()}: this epoch has been gathered; call end_epoch() before the next update."
            )
        if not elsewhere(sample_ids, outputs, targets, mask):
            self._update(sample_ids, outputs, targets, mask)
        elif self._held.keep(sample_ids, outputs, targets, mask):
            self._fetch()

    def end_epoch(self) -> None:
        """Finish the epoch: the next update belongs to the next one.

        Raises
        ------
        InvalidInputError
            When no batch was recorded since the last call, or outputs look like probabilities.
        """
        self._catch_up()
        if self._epoch is None:
            raise InvalidInputError(f"epoch {self.n_epochs} has no batch; call update() before end_epoch().")
        self._encoder.check_outputs()
        if self._waiting:
            self._settle_residuals(self._epoch)
        repeats = self._epoch.close()
        keep = repeats if self.mergeable else Sightings.none(repeats.total.shape[1])
        self._record.close(keep, self._info(), self._targets.values if self._targets.changed.any() else None)
        if isinstance(self._record, MappedHistory):
            self._targets.changed[:] = False
        self._targets.settle()
        self._epoch = None
        if self._sealed:
            self._sealed, self._shared = False, self.n_epochs

    def data_maps(self, ddof: int = 0) -> DataMaps:
        """Return the Data Maps over the finished epochs: after epoch e, STG-MTL's cumulative snapshot of 0 .. e.

        Parameters
        ----------
        ddof : {0, 1}
            Divisor of the variability, count - ddof: 0 as in Dataset Cartography, 1 as in STG-MTL.

        Raises
        ------
        InvalidInputError
            When no epoch is finished.
        """
        check_int("ddof", ddof, 0, 1)
        if not self.n_epochs:
            raise InvalidInputError("there is no finished epoch to map; call end_epoch() first.")
        info = {**self._info(), "n_epochs": self.n_epochs}
        return self._record.maps(targets=self._targets.labels(), ddof=ddof, info=info)

    def batch(self, sample_ids: Any, targets: Any = None, mask: Any = None) -> None:
        """Announce the ids and labels of the batch that an attached model sees next; one forward pass uses them up."""
        self._announced = (sample_ids, targets, mask)

    @property
    def waits(self) -> bool:
        """Whether a batch was announced that no forward pass has used up."""
        return self._announced is not None

    def close(self) -> None:
        """Let another tracker record into the folder; a history in memory and a stream have nothing to close."""
        if isinstance(self._record, MappedHistory):
            self._record.release()

    def _update(self, sample_ids: Any, outputs: Any, targets: Any, mask: Any) -> None:
        where = self._where()
        rows = self._rows(sample_ids, where)
        if not len(rows):
            return
        if targets is None:
            if not self._targets.given:
                raise InvalidInputError(f"{where}: `targets` must be given here or to the tracker; got None.")
            targets = self._targets.labels(rows)
        n_batches = self._epoch.n_batches if self._epoch else 0
        batch = self._encoder(outputs, targets, mask, len(rows), where)
        if self.n_epochs and _is_power(n_batches):  # batches 0, 1, 2, 4, 8, ...: mistaken ids show at once
            self._targets.check(rows, batch.labels, where)
        if batch.codes is None:
            self._keep_binary(rows, batch, where)
        elif batch.residuals is None:
            self._open().add(rows, batch.codes)
        else:
            self._waiting.append((rows, batch.codes, batch.residuals))
        self._open().n_batches += 1
        self._targets.record(rows, batch.labels, batch.partial)
        self._at_once = self._encoder.settled and self._targets.complete

    def _where(self) -> str:
        return f"batch {self._epoch.n_batches if self._epoch else 0} of epoch {self.n_epochs}"

    def _catch_up(self) -> None:
        """Record everything that waits, on a device or to be encoded."""
        self._fetch()
        self._settle()

    def _fetch(self) -> None:
        """Record the batches that are held on a device."""
        for batch in self._held.drain():
            self._update(*batch)

    def _open(self) -> Epoch:
        if self._epoch is None:
            self._epoch = Epoch(self._record.open())
        return self._epoch

    def _record_at_once(self, sample_ids: Any, outputs: Any, targets: Any, mask: Any) -> bool:
        """Return whether the batch was the usual one of binary tasks, and recorded by one compiled call.

        A training step leaves nothing of the tracker in the processor's caches: what counts is how little code runs.
        """
        epoch = self._epoch
        if epoch is None or not self._at_once or self._sealed or mask is not None or _is_power(epoch.n_batches):
            return False
        addresses = []
        for x, dtype in zip((sample_ids, outputs, targets), _USUAL, strict=True):
            if not (isinstance(x, torch.Tensor) and x.dtype is dtype and x.is_cpu and x.is_contiguous()):
                return False
            addresses.append(x.data_ptr())
        shape = outputs.shape
        if shape != targets.shape or shape[1:] != self._width or shape[:1] != sample_ids.shape:
            return False
        usual = epoch.record(addresses, shape[0])
        epoch.n_batches += usual
        return usual

    def _keep_binary(self, rows: NDArray[np.int64], batch: Encoded, where: str) -> None:
        """Record a batch of binary tasks at once if it is a usual one, else check it and let it wait."""
        assert batch.logits is not None
        arrays: tuple[NDArray[Any], ...] = rows, batch.logits, batch.labels
        in_one_piece = self._epoch is not None and all(array.flags.c_contiguous for array in arrays)
        if in_one_piece and self._epoch is not None and self._epoch.record(tuple(map(address, arrays)), len(rows)):
            return
        if not self._pending.fits(len(rows)):
            self._settle()
        signed_logits(batch.logits, batch.labels, self.tasks.names, where, self._pending.room(len(rows)))
        self._pending.keep(rows)

    def _settle(self) -> None:
        """Encode and record the batches that are pending."""
        if len(self._pending):
            rows, values = self._pending.drain()
            self._open().add(rows, codes_of(values))

    def _rows(self, sample_ids: Any, where: str) -> NDArray[np.int64]:
        """Return checked row numbers."""
        array = sample_ids.numpy(force=True) if isinstance(sample_ids, torch.Tensor) else np.asarray(sample_ids)
        if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
            raise InvalidInputError(
                f"{where}: `sample_ids` must be B integers; got shape {array.shape} of {array.dtype}."
            )
        rows = array.astype(np.int64, copy=False)
        if len(rows) and np.maximum.reduce(rows.view(np.uint64)) >= self.n_samples:  # a negative id is a huge one
            at = int(np.flatnonzero((array < 0) | (array >= self.n_samples))[0])
            raise InvalidInputError(
                f"{where}: `sample_ids` must be between 0 and n_samples-1={self.n_samples - 1}; got {array[at]} "
                f"at position {at}. Number the training rows from 0, or wrap the dataset in IndexedDataset."
            )
        return rows

    def _settle_residuals(self, epoch: Epoch) -> None:
        """Freeze the scales that are still unknown and record the batches that waited for them."""
        self._encoder.freeze_scales(np.concatenate([residuals for _, _, residuals in self._waiting]))
        for rows, codes, residuals in self._waiting:
            late = self._encoder.from_residuals(residuals)
            codes[:, : len(self.tasks)] = np.where(late == UNSEEN, codes[:, : len(self.tasks)], late)
            epoch.add(rows, codes)
        self._waiting = []

    def _info(self) -> dict[str, Any]:
        regression = {task.name: float(s) for task, s in zip(self.tasks, self._encoder.scales, strict=True) if s == s}
        return {"mode": self.mode, **({"scales": regression} if regression else {})}

    def _resume(self, record: MappedHistory) -> None:
        """Take over the scales and targets that the folder holds."""
        for name, value in record.info.get("scales", {}).items():
            self._encoder.scales[self.tasks.index_of(name)] = value
        found = record.targets()
        if found is not None and not self._targets.given:
            self._targets.load(found)


def _is_power(n: int) -> bool:
    """Return whether n is 0 or a power of 2."""
    return not n & (n - 1)
