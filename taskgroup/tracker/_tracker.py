"""The tracker that users hook into a training loop: a recorder that can be attached, stopped, merged and gathered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from taskgroup.tracker._attach import Attachment
from taskgroup.tracker._merge import gather, merge
from taskgroup.tracker._recorder import Recorder
from taskgroup.tracker._state import load_state, state_of

__all__ = ["DataMapTracker"]


class DataMapTracker(Recorder):
    """Records Data Maps while a model trains: ``update`` in every batch, ``end_epoch``, ``data_maps``.

    Parameters
    ----------
    tasks : iterable of Task or str
        The T tasks; a name alone stands for a binary task.
    n_samples : int
        Number of training samples N; sample ids are row numbers 0 .. N - 1.
    mode : {"history", "stream"}
        "history" keeps every epoch's probability in 2 bytes; "stream" keeps running sums in about 14 bytes, whatever
        the number of epochs. Both give the same statistics to the last bit; only a history can be clustered by its
        epochs and merged after the fact.
    n_epochs : int, optional
        Expected number of epochs. Room is reserved for them, so that a long history never has to be copied.
    folder : path-like, optional
        Keep the history in this folder, memory-mapped, instead of in memory. A killed process loses the unfinished
        epoch only: a new tracker with the same folder goes on after the last finished one. Under
        torch.distributed each rank uses its own sub-folder.
    targets : array-like of shape (N, T), optional
        All labels, NaN where missing. Then ``update`` may be called without targets.
    margin : bool
        Also record margins in logits, clipped to [-32, 32] and kept to 0.0005 (area under the margin).
    probability : callable, optional
        ``probability(outputs, targets)`` returns p in [0, 1] of shape (B, T) in place of the built-in formulas.
    ignore : float, optional
        A label that means "missing", for example -1 or -100; NaN always does.
    scales : mapping of task name to float, optional
        Residual scales of regression tasks; taken from the first epoch when left out.
    outputs : {"logits", "probabilities"}, optional
        What :meth:`update` is given. Left out, they are logits, and an epoch that leaves no doubt that they are
        probabilities is refused.
    mergeable : bool
        Keep the integer sums behind repeat sightings of finished epochs. Without them trackers cannot be merged after
        the fact, and sampling with replacement takes less memory.

    Notes
    -----
    One value is kept per (sample, task, epoch): the mean of a sample's sightings in the epoch, from integer sums of
    their codes. So the record depends on neither the order nor the size of the batches, nor on interruptions, nor on
    how samples are spread over processes.

    Regression is an extension of ours: p = exp(-r^2 / 2 s^2) with residual r. The scale s is 1.4826 times the median of
    the absolute residuals of the first epoch, frozen. First-epoch residuals are held until that epoch ends.

    Codes are taken on the CPU. Batches on another device are copied there, and moved in one piece when the epoch ends:
    no step waits for the device. `probability` is then given tensors on the CPU.

    Examples
    --------
    >>> tracker = DataMapTracker(["toxic", "soluble"], n_samples=3)
    >>> for epoch in range(2):
    ...     logits = torch.full((3, 2), float(epoch))
    ...     tracker.update([0, 1, 2], logits, [[1, 0], [1, float("nan")], [0, 0]])
    ...     tracker.end_epoch()
    >>> tracker.data_maps().confidence.round(3)
    array([[0.616, 0.384],
           [0.616,   nan],
           [0.384, 0.384]], dtype=float32)
    """

    def attach(self, model: torch.nn.Module, output: Callable[[Any], Any] | None = None) -> Attachment:
        """Return a context manager that records every training-mode forward pass of ``model``.

        Announce each batch by :meth:`batch` before the model is called. Passes in evaluation mode are left alone. The
        hook goes when the context ends or the attachment is garbage collected; it does not keep the tracker alive.

        Parameters
        ----------
        model : torch.nn.Module
            The module whose output holds the logits.
        output : callable, optional
            Takes the logits out of what the module returns. Left out, an attribute or key ``logits`` is used when
            there is one.

        Examples
        --------
        >>> tracker, model = DataMapTracker(["a"], n_samples=2), torch.nn.Linear(3, 1)
        >>> with tracker.attach(model):
        ...     tracker.batch([0, 1], [[1.0], [0.0]])
        ...     _ = model(torch.zeros(2, 3))
        ...     tracker.end_epoch()
        >>> tracker.n_epochs
        1
        """
        return Attachment(self, model, output)

    def state_dict(self) -> dict[str, Any]:
        """Return everything recorded so far, mid-epoch included, as tensors and plain values that torch.save takes."""
        return state_of(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave to a tracker of the same tasks, samples and mode.

        Raises
        ------
        InvalidInputError
            When the state is of another format version, other tasks, another number of samples or another mode.
        """
        load_state(self, state)

    def merge(self, other: DataMapTracker) -> None:
        """Add what another tracker recorded of the same epochs on other samples (or the same, then averaged).

        Raises
        ------
        InvalidInputError
            When the trackers differ in tasks, samples, mode, finished epochs or residual scales.
        """
        merge(self, other)

    def gather(self, group: Any = None) -> None:
        """Exchange records between the processes of torch.distributed; afterwards all hold the same, bit for bit.

        Call it in every process at the same point: before each :meth:`end_epoch` (needed for a stream, and for
        regression scales in the first epoch), or once at the end.
        """
        gather(self, group)
