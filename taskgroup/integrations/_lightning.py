"""A Lightning callback that records Data Maps from the forward passes of training, without a second pass."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback

from taskgroup.exceptions import InvalidInputError
from taskgroup.integrations._loop import split_batch
from taskgroup.tracker import Attachment, DataMapTracker

__all__ = ["DataMapCallback"]


class DataMapCallback(Callback):  # type: ignore[misc]
    """Lightning callback that feeds a tracker; ``Trainer(callbacks=[DataMapCallback(tracker)])``.

    Its state goes into Lightning's checkpoints, so a resumed run goes on where the record stopped. With several devices
    the ranks' records are gathered before each epoch ends.

    Parameters
    ----------
    tracker : DataMapTracker
        The tracker to feed.
    module : str
        Dotted name of the sub-module whose output holds the logits; the LightningModule itself when empty. Its
        ``training_step`` must call that module exactly once.
    split : callable, optional
        Returns (sample_ids, targets, rest) of a batch; :func:`~taskgroup.integrations.split_batch` when left out.
    output : callable, optional
        Takes the logits out of what the module returns.
    save_to : path-like, optional
        Where to save the Data Maps when training ends, for example ``run/datamaps.safetensors``.
    """

    def __init__(
        self,
        tracker: DataMapTracker,
        *,
        module: str = "",
        split: Callable[[Any], tuple[Any, Any, Any]] | None = None,
        output: Callable[[Any], Any] | None = None,
        save_to: str | os.PathLike[str] | None = None,
    ) -> None:
        self.tracker = tracker
        self.module = module
        self.split = split or split_batch
        self.output = output
        self.save_to = save_to
        self._attachment: Attachment | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach to the module."""
        self._attachment = self.tracker.attach(pl_module.get_submodule(self.module), self.output)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Announce the batch."""
        sample_ids, targets, _ = self.split(batch)
        self.tracker.batch(sample_ids, targets)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """See that the batch was recorded."""
        if self.tracker.waits:
            raise InvalidInputError(
                f"training_step did not call {self.module or 'the LightningModule itself'}, so batch {batch_idx} was "
                "not recorded; name the sub-module it calls, as in DataMapCallback(tracker, module='net')."
            )

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Finish the epoch."""
        if trainer.world_size > 1:
            self.tracker.gather()
        self.tracker.end_epoch()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Save the maps."""
        if self.save_to is not None and trainer.is_global_zero:
            self.tracker.data_maps().save(self.save_to)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Remove the hook."""
        if self._attachment is not None:
            self._attachment.remove()

    def state_dict(self) -> dict[str, Any]:
        """Return the tracker's state, for Lightning's checkpoint."""
        return self.tracker.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the tracker from a checkpoint."""
        self.tracker.load_state_dict(state_dict)
