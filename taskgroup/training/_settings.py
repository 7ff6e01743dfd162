"""How a network is fitted: epochs, patience, batch size, step size and its schedule, augmentation of images."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from taskgroup._validation import check_choice, check_int, check_real
from taskgroup.training._device import resolve_device

__all__ = ["DEFAULT_DROPOUT", "DEFAULT_HIDDEN", "FitSettings", "Schedule"]

DEFAULT_HIDDEN = (128, 64)
DEFAULT_DROPOUT = 0.2

Schedule = Literal["constant", "one-cycle"]

_IMAGES: dict[str, Any] = {"schedule": "one-cycle", "weight_decay": 0.01, "augment": 0.25}
_OTHERS: dict[str, Any] = {"schedule": "constant", "weight_decay": 0.0, "augment": 0.0}


@dataclass(frozen=True)
class FitSettings:
    """How a model is fitted, with AdamW and early stopping on the validation loss.

    What is None depends on the inputs (:meth:`resolved`): images have the one-cycle schedule, weight decay .01, and are
    moved at random; tables have a constant step size, no decay, and nothing is moved.

    Parameters
    ----------
    epochs : int
        Most passes over the training rows.
    patience : int, optional
        Passes without a better validation loss after which a model stops; None never stops early. The weights of the
        best pass are kept either way, the start counting as pass 0. A one-cycle schedule is always run to its end.
    batch_size : int
        Samples per step.
    learning_rate : float
        AdamW's step size; with the one-cycle schedule its peak.
    weight_decay : float, optional
        Share of the weights that a step of size 1 would take away.
    schedule : {"constant", "one-cycle"}, optional
        Step size over the training: as it is, or up over three tenths of the steps and down to nothing (Smith and
        Topin, arXiv 1708.07120).
    augment : float, optional
        Strength in [0, 1] by which training images are turned, sheared, scaled, shifted and bent; see
        :func:`taskgroup.training.moved`.
    device : str
        Where it is fitted: "auto", "cpu", "cuda", "cuda:1", "mps", ...; "auto" is replaced by what this machine has.
    """

    epochs: int = 60
    patience: int | None = 5
    batch_size: int = 192
    learning_rate: float = 4e-3
    weight_decay: float | None = None
    schedule: Schedule | None = None
    augment: float | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", resolve_device(self.device))
        check_int("epochs", self.epochs, low=1)
        if self.patience is not None:
            check_int("patience", self.patience, low=1)
        check_int("batch_size", self.batch_size, low=1)
        check_real("learning_rate", self.learning_rate, low=0.0)
        if self.weight_decay is not None:
            check_real("weight_decay", self.weight_decay, low=0.0)
        if self.schedule is not None:
            check_choice("schedule", self.schedule, ("constant", "one-cycle"))
        if self.augment is not None:
            check_real("augment", self.augment, low=0.0, high=1.0)

    def resolved(self, input_shape: tuple[int, ...]) -> Self:
        """Return the settings with a value for everything, for samples of this shape."""
        usual = _IMAGES if len(input_shape) == 3 else _OTHERS
        settings = replace(self, **{name: value for name, value in usual.items() if getattr(self, name) is None})
        return replace(settings, patience=None) if settings.schedule == "one-cycle" else settings

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dictionary."""
        return asdict(self)
