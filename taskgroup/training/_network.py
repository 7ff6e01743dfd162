"""What a network is but its weights, and its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from taskgroup._artifact import read_arrays, write_arrays
from taskgroup._display import brief
from taskgroup.data import InputSchema
from taskgroup.exceptions import ArtifactError
from taskgroup.grouping import Grouping
from taskgroup.models import MultiTaskModel, build_model
from taskgroup.tasks import TaskSet

__all__ = ["MakeEncoder", "Network", "State", "load_network", "load_state", "state_of"]

State = dict[str, NDArray[Any]]
"""Weights and buffers of a network by name."""

MakeEncoder = Callable[[], nn.Module]


@brief
@dataclass(frozen=True)
class Network:
    """What is needed to build a network anew, but its weights.

    Parameters
    ----------
    tasks : tuple of str
        Names of the tasks whose heads it has.
    arch : str
        Name of the architecture.
    hidden : tuple of int
        Widths of its hidden layers; none for a linear model.
    dropout : float
        Of its hidden layers.
    seed : int
        Of its initial weights and its dropout.
    stream : int
        Seed of batch order and dropout masks.
    encoder : str
        Name of the encoder; "custom" for a callable.
    units : {"task", "group"}
        What has parts of its own, see :class:`~taskgroup.models.MultiTaskModel`.
    labels : tuple of int, optional
        Group of each task, for ``units="group"``.
    """

    tasks: tuple[str, ...]
    hidden: tuple[int, ...]
    seed: int
    stream: int
    arch: str = "shared-bottom"
    dropout: float = 0.0
    encoder: str = "auto"
    units: str = "task"
    labels: tuple[int, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, schema: InputSchema, tasks: TaskSet, make_encoder: MakeEncoder | None = None) -> MultiTaskModel:
        """Return the network with fresh weights.

        Raises
        ------
        ArtifactError
            When it needs an encoder that only its user can make.
        """
        if self.encoder == "custom" and make_encoder is None:
            raise ArtifactError(
                "the network was trained with an encoder of your own; pass `encoder=` to make it again."
            )
        own = tasks.select(self.tasks)
        return build_model(
            self.arch, schema, own,
            encoder=make_encoder if make_encoder is not None and self.encoder == "custom" else self.encoder,  # type: ignore[arg-type]
            hidden=self.hidden, dropout=self.dropout, seed=self.seed, units=self.units,  # type: ignore[arg-type]
            grouping=None if self.labels is None else Grouping.from_labels(own, self.labels), **self.options,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return the network as a JSON-able dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Network:
        """Return the network that :meth:`to_dict` wrote."""
        tuples = {name: tuple(document[name]) for name in ("tasks", "hidden", "labels") if document[name] is not None}
        return cls(**{**document, **tuples})

    def save(self, path: Path, state: State, **facts: Any) -> None:
        """Write the network with its weights, and further JSON-able facts, atomically."""
        write_arrays(path, "network", state, {"network": self.to_dict(), **facts})


def load_network(path: Path) -> tuple[Network, State, dict[str, Any]]:
    """Return the network saved at ``path``, its weights, and the facts written with them.

    Raises
    ------
    ArtifactError
        When the file is missing, damaged, or of another format or version.
    """
    arrays, document = read_arrays(path, "network")
    return Network.from_dict(document["network"]), arrays, document


def state_of(model: nn.Module) -> State:
    """Return a model's weights and buffers as arrays of their own."""
    return {name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items()}


def load_state(model: nn.Module, state: State) -> None:
    """Put arrays into a model."""
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
