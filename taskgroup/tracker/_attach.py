"""Recording by a forward hook, for loops whose model call cannot be edited."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import torch

from taskgroup.exceptions import InvalidInputError
from taskgroup.tracker._recorder import Recorder

__all__ = ["Attachment", "logits_of"]


class Attachment:
    """A forward hook on a model that feeds a tracker; made by ``DataMapTracker.attach``."""

    def __init__(self, tracker: Recorder, model: torch.nn.Module, output: Callable[[Any], Any] | None) -> None:
        take = output or logits_of
        reference = weakref.ref(tracker)

        def hook(module: torch.nn.Module, args: Any, result: Any) -> None:
            alive = reference()
            if alive is not None and module.training:
                _record(alive, take(result))

        handle = model.register_forward_hook(hook)
        self._remove = weakref.finalize(self, handle.remove)

    def remove(self) -> None:
        """Remove the hook; more than once is harmless."""
        self._remove()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def logits_of(result: Any) -> Any:
    """Return the attribute or key ``logits`` of a model's result when it has one, else the result."""
    if isinstance(result, Mapping) and "logits" in result:
        return result["logits"]
    return getattr(result, "logits", result)


def _record(tracker: Recorder, outputs: Any) -> None:
    announced, tracker._announced = tracker._announced, None
    if announced is None:
        raise InvalidInputError(
            "the attached model was called in training mode without an announced batch; "
            "call tracker.batch(sample_ids, targets) before each training step, or model.eval() for other passes."
        )
    sample_ids, targets, mask = announced
    tracker.update(sample_ids, outputs, targets, mask)
