"""One function that builds any architecture for a table's inputs, with its seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import nn

from taskgroup._validation import check_choice
from taskgroup.data import InputSchema
from taskgroup.grouping import Grouping
from taskgroup.models._adatt import AdaTT
from taskgroup.models._apem import APEM
from taskgroup.models._base import MultiTaskModel, Units
from taskgroup.models._cross_stitch import CrossStitch
from taskgroup.models._encoders import FieldsEncoder, encoder_width
from taskgroup.models._images import CNNEncoder, ResNet18Encoder
from taskgroup.models._mmoe import MMoE
from taskgroup.models._ple import PLE
from taskgroup.models._shared_bottom import SharedBottom
from taskgroup.models._single_task import SingleTask
from taskgroup.models._sparse import SparseAllocation
from taskgroup.models._tabm import TabM
from taskgroup.tasks import Task, TaskSet

__all__ = ["ARCHITECTURES", "Encoder", "build_model"]

Encoder = Literal["auto", "mlp", "fields", "cnn", "resnet18"] | Callable[[], nn.Module]
_ENCODERS = ("auto", "mlp", "fields", "cnn", "resnet18")

ARCHITECTURES: dict[str, Callable[..., MultiTaskModel]] = {
    "shared-bottom": SharedBottom,
    "single-task": SingleTask,
    "cross-stitch": CrossStitch,
    "mmoe": MMoE,
    "ple": PLE,
    "adatt": AdaTT,
    "apem": APEM,
    "sparse": SparseAllocation,
    "tabm": TabM,
}
"""Architecture names and their classes."""


def build_model(
    arch: str,
    schema: InputSchema,
    tasks: TaskSet | Sequence[Task | str],
    *,
    encoder: Encoder = "auto",
    hidden: Sequence[int] = (128, 64),
    dropout: float = 0.0,
    seed: int = 0,
    grouping: Grouping | None = None,
    units: Units = "task",
    **options: Any,
) -> MultiTaskModel:
    """Return a new model for inputs of ``schema``; the same seed gives the same weights.

    Parameters
    ----------
    arch : str
        One of :data:`ARCHITECTURES`.
    schema : InputSchema
        What the inputs look like; ``schema.transform`` makes them.
    tasks : TaskSet or sequence of Task or str
        The T tasks.
    encoder : {"auto", "mlp", "fields", "cnn", "resnet18"} or callable
        How inputs become features: the columns as they are (``"mlp"``), embeddings of the categorical columns beside
        the numeric ones (``"fields"``), or convolutions. A callable without arguments returns a module that turns
        (B, d) into (B, D). ``"auto"`` is ``"fields"`` when the table has categories, ``"cnn"`` when its samples are
        images, else ``"mlp"``.
    hidden : sequence of int
        Widths of the hidden layers, or of the fusion levels.
    dropout : float
        Dropout after each hidden layer, in [0, 1).
    seed : int
        Seed of the initial weights; the global generator is left as it was.
    grouping : Grouping, optional
        The groups of the tasks.
    units : {"task", "group"}
        What has its own parts.
    **options
        Further arguments of the architecture's class.

    Raises
    ------
    InvalidInputError
        When a name is not known or an argument breaks its rule.

    Examples
    --------
    >>> import numpy as np
    >>> schema = InputSchema(("a", "b"), np.zeros(2, np.float32), np.ones(2, np.float32))
    >>> model = build_model("shared-bottom", schema, ["t1", "t2"], hidden=(8,))
    >>> model(torch.zeros(4, 2))["t1"].shape
    torch.Size([4])
    """
    kind = ARCHITECTURES[check_choice("arch", arch, tuple(ARCHITECTURES))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = _make_encoder(encoder, schema, dropout)
        if kind is APEM and (body is None or isinstance(body, FieldsEncoder)):  # its tokens are the fields themselves
            body, options = None, {"categories": _category_counts(schema), **options}
        width = schema.n_inputs if body is None else encoder_width(body, schema.n_inputs)
        return kind(
            width, tasks, encoder=body, hidden=hidden, dropout=dropout, units=units, grouping=grouping, **options
        )


def _make_encoder(encoder: Encoder, schema: InputSchema, dropout: float) -> nn.Module | None:
    if callable(encoder):
        return encoder()
    name = check_choice("encoder", encoder, _ENCODERS)
    if name == "auto":
        name = "fields" if schema.categories else "cnn" if len(schema.input_shape) == 3 else "mlp"
    if name == "mlp":
        return None
    if name == "cnn":
        return CNNEncoder(schema.input_shape, dropout=dropout)
    if name == "resnet18":
        return ResNet18Encoder(schema.input_shape)
    return FieldsEncoder(schema.n_inputs, _category_counts(schema))


def _category_counts(schema: InputSchema) -> dict[int, int]:
    return {column: len(names) for column, names in schema.categories.items()}
