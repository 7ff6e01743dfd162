"""A Hugging Face Trainer callback that records Data Maps from the forward passes of training, without a second pass."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback

from taskgroup._artifact import atomic_path
from taskgroup.exceptions import ArtifactError, InvalidInputError
from taskgroup.tracker import Attachment, DataMapTracker

__all__ = ["DataMapTrainerCallback"]


class DataMapTrainerCallback(TrainerCallback):  # type: ignore[misc]
    """Hugging Face Trainer callback that feeds a tracker; ``Trainer(callbacks=[DataMapTrainerCallback(tracker)])``.

    The inputs carry the sample ids (wrap the dataset in ``IndexedDataset``); they are taken out before the model sees
    them. The tracker's state is saved in each checkpoint folder and restored by ``resume_from_checkpoint=True``. With
    several processes their records are gathered before each epoch ends.

    Parameters
    ----------
    tracker : DataMapTracker
        The tracker to feed.
    ids : str
        Name of the input that holds the sample ids.
    targets : str or callable
        Name of the input that holds the labels, or a function that makes them of the inputs. When the inputs hold
        none, the tracker must have been given all targets.
    output : callable, optional
        Takes the logits out of what the model returns; its attribute ``logits`` when left out.
    save_to : path-like, optional
        Where to save the Data Maps when training ends, for example ``run/datamaps.safetensors``.

    Notes
    -----
    The Trainer drops inputs that the model does not know, hence ``TrainingArguments(remove_unused_columns=False)``.
    """

    def __init__(
        self,
        tracker: DataMapTracker,
        *,
        ids: str = "sample_id",
        targets: str | Callable[[dict[str, Any]], Any] = "labels",
        output: Callable[[Any], Any] | None = None,
        save_to: str | os.PathLike[str] | None = None,
    ) -> None:
        self.tracker = tracker
        self.ids = ids
        self.targets = targets
        self.output = output
        self.save_to = save_to
        self._attachment: Attachment | None = None
        self._announcer: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Attach to the model; restore the tracker when training is resumed."""
        if args.remove_unused_columns:
            raise InvalidInputError(
                f"the Trainer would drop the input {self.ids!r}; set TrainingArguments(remove_unused_columns=False)."
            )
        if state.global_step > 0:
            path = self._checkpoint(args, state)
            if not path.is_file():
                raise ArtifactError(f"{path}: no such file; resume from a checkpoint that this callback has seen.")
            self.tracker.load_state_dict(torch.load(path, weights_only=True))
        model = kwargs["model"]
        self._announcer = model.register_forward_pre_hook(self._announce, with_kwargs=True)
        self._attachment = self.tracker.attach(model, self.output)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Finish the epoch."""
        if args.world_size > 1:
            self.tracker.gather()
        self.tracker.end_epoch()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save the tracker's state beside the model, one file per process."""
        with atomic_path(self._checkpoint(args, state)) as temporary:
            torch.save(self.tracker.state_dict(), temporary)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove the hooks and save the maps."""
        if self._attachment is not None:
            self._attachment.remove()
            self._announcer.remove()
        if self.save_to is not None and state.is_world_process_zero:
            self.tracker.data_maps().save(self.save_to)

    def _announce(self, module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        inputs = dict(kwargs)
        sample_ids = inputs.pop(self.ids, None)
        if module.training:
            if sample_ids is None:
                raise InvalidInputError(
                    f"the inputs must hold {self.ids!r}; got {sorted(inputs)}. Wrap the dataset in IndexedDataset."
                )
            targets = self.targets(inputs) if callable(self.targets) else inputs.get(self.targets)
            self.tracker.batch(sample_ids, targets)
        return args, inputs

    def _checkpoint(self, args: Any, state: Any) -> Path:
        rank = distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0
        return Path(args.output_dir, f"checkpoint-{state.global_step}", f"datamap-tracker-{rank}.pt")
