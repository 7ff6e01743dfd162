"""Ensembles of networks that share almost all weights, see :class:`taskgroup.models.TabM`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from taskgroup.data import InputSchema
from taskgroup.learners._base import Context, Order, Saved
from taskgroup.learners._examples import Examples
from taskgroup.learners._nets import Nets
from taskgroup.models import MultiTaskModel
from taskgroup.models import TabM as Model
from taskgroup.training import FitSettings, Network, TrainingData

__all__ = ["TabM"]

_MOST_EMBEDDED = 200  # numeric columns above which embeddings take too long
_PER_TASK_WORK = 10_000  # tasks times rows above which an ensemble per task is not tried unasked


@dataclass(frozen=True)
class TabM(Nets):
    """TabM (arXiv 2410.24210), stopped early like every network.

    Parameters
    ----------
    members : int
        Members of the ensemble.
    n_bins : int
        Bins of the piecewise-linear embeddings of numeric features; 0 reads the features as they are, and so do
        tables of more than 200 numeric columns, and those whose encoder is no "mlp" or "fields".
    d_embedding : int
        Width of the embeddings.
    """

    kind: ClassVar[str] = "tabm"
    about: ClassVar[str] = "an ensemble of networks in one (TabM)"
    steady: ClassVar[bool] = True

    arch: str = "tabm"
    hidden: tuple[int, ...] = (256, 256)
    dropout: float = 0.1
    settings: FitSettings = field(
        default_factory=lambda: FitSettings(epochs=100, patience=16, batch_size=64, learning_rate=2e-3)
    )
    start: Literal["all-in-one", "scratch"] = "scratch"
    tune_by: int = 1
    members: int = 32
    n_bins: int = 8
    d_embedding: int = 8

    def declines(self, arm: str, sizes: Sequence[int], examples: Examples, leeway: float = 1.0) -> str | None:
        """Return that an ensemble per task costs too much, where it does."""
        n_rows = len(examples.Y)
        if arm == "per-task" and len(sizes) * n_rows > leeway * _PER_TASK_WORK:
            return f"{len(sizes)} ensembles of {self.members} networks on {n_rows:,} rows each take too long"
        return None

    def _network(self, order: Order, stream: int, schema: InputSchema) -> Network:
        network = super()._network(order, stream, schema)
        numeric = _n_numeric(network.encoder, schema)
        n_bins = self.n_bins if numeric is not None and 0 < numeric <= _MOST_EMBEDDED else 0
        own = {"members": self.members, "n_bins": n_bins, "d_embedding": self.d_embedding, "n_numeric": numeric}
        return replace(network, options={**own, **network.options})

    def _model(
        self, order: Order, network: Network, data: TrainingData, start: Saved | None, context: Context
    ) -> MultiTaskModel:
        model = super()._model(order, network, data, start, context)
        if start is None and isinstance(model, Model) and model.embed is not None:
            features = model.encode(data.train.x).squeeze(0).detach()
            model.embed.set_edges(features[:, features.shape[1] - model.n_numeric :])
        return model


def _n_numeric(encoder: str, schema: InputSchema) -> int | None:
    """Return how many of the encoder's features, the last ones, are columns of numbers; None when that is not known."""
    if encoder == "auto" and not schema.categories and len(schema.input_shape) == 3:  # convolutions
        return None
    if encoder in ("auto", "fields"):
        return schema.n_inputs - len(schema.categories)
    return schema.n_inputs if encoder == "mlp" else None
