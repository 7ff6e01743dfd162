"""How a network is fitted: epochs, patience, batch size, learning rate."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from taskgroup._validation import check_int, check_real

__all__ = ["DEFAULT_DROPOUT", "DEFAULT_HIDDEN", "FitSettings"]

DEFAULT_HIDDEN = (128, 64)
DEFAULT_DROPOUT = 0.2


@dataclass(frozen=True)
class FitSettings:
    """How a model is fitted, with Adam and early stopping on the validation loss.

    Parameters
    ----------
    epochs : int
        Most passes over the training rows.
    patience : int, optional
        Passes without a better validation loss after which a model stops; None never stops early. The weights of the
        best pass are kept either way, the start counting as pass 0.
    batch_size : int
        Samples per step.
    learning_rate : float
        Adam's step size.
    weight_decay : float
        L2 penalty added to the gradient.
    """

    epochs: int = 60
    patience: int | None = 5
    batch_size: int = 192
    learning_rate: float = 4e-3
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, low=1)
        if self.patience is not None:
            check_int("patience", self.patience, low=1)
        check_int("batch_size", self.batch_size, low=1)
        check_real("learning_rate", self.learning_rate, low=0.0)
        check_real("weight_decay", self.weight_decay, low=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dictionary."""
        return asdict(self)
