"""A unit of work: some networks of one method and seed, trained together, whoever runs it and wherever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from taskgroup._artifact import content_hash
from taskgroup.models import MultiTaskModel
from taskgroup.training._cost import Cost
from taskgroup.training._data import TargetScale, TrainingData
from taskgroup.training._fit import fit_many, predict
from taskgroup.training._linear import fit_linear
from taskgroup.training._network import MakeEncoder, Network, State, load_state, state_of
from taskgroup.training._settings import FitSettings

__all__ = ["Starts", "Trained", "Unit", "outputs_of", "restore", "run_unit"]

Starts = Mapping[str, tuple[Network, State]]
"""Networks, with their weights, that others start from, by path."""


@dataclass(frozen=True)
class Unit:
    """Networks that one worker trains in one go.

    Parameters
    ----------
    name : str
        ``<method>/<seed>/<chunk>``.
    networks : tuple of Network
        What to train.
    settings : FitSettings
        How.
    how : {"network", "linear"}
        Gradient descent, or the solvers of scikit-learn.
    """

    name: str
    networks: tuple[Network, ...]
    settings: FitSettings
    how: Literal["network", "linear"] = "network"

    @property
    def starts(self) -> list[str]:
        """Paths of the networks that those of the unit start from."""
        return sorted({network.start for network in self.networks if network.start is not None})

    def key(self, data_hash: str, starts: Starts) -> str:
        """Return a hash of everything that the result depends on."""
        weights = [array for path in self.starts for _, array in sorted(starts[path][1].items())]
        networks = [network.to_dict() for network in self.networks]
        return content_hash(data_hash, self.how, networks, self.settings.to_dict(), *weights)


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Parameters
    ----------
    network : Network
        What it is.
    state : dict
        Its weights.
    outputs : dict
        {"valid", "test"}: packed outputs (n, n_outputs) of its own tasks, regression targets in their units.
    cost : Cost
        What it cost to train.
    history : dict
        {"valid_loss", "best_epoch"}.
    """

    network: Network
    state: State
    outputs: Mapping[str, NDArray[np.float32]]
    cost: Cost
    history: Mapping[str, Any] = field(default_factory=dict)


def run_unit(unit: Unit, data: TrainingData, starts: Starts, make_encoder: MakeEncoder | None = None) -> list[Trained]:
    """Return the trained networks of a unit; the same arguments give the same result."""
    models = [_model(network, data, starts, make_encoder) for network in unit.networks]
    if unit.how == "linear":
        return [_solve(network, model, data) for network, model in zip(unit.networks, models, strict=True)]
    fitted = fit_many(
        models,
        data,
        seeds=[network.stream for network in unit.networks],
        weights=[dict(zip(network.tasks, network.weights or (), strict=False)) for network in unit.networks],
        settings=unit.settings,
    )
    return [
        Trained(
            network, state_of(fit.model), outputs_of(fit.model, data), fit.cost,
            {"valid_loss": fit.valid_loss, "best_epoch": fit.best_epoch},
        )
        for network, fit in zip(unit.networks, fitted, strict=True)
    ]  # fmt: skip


def restore(network: Network, state: State, data: TrainingData, make_encoder: MakeEncoder | None) -> MultiTaskModel:
    """Return the model of a network with the given weights."""
    model = network.build(data.schema, data.tasks, make_encoder)
    load_state(model, state)
    return model.eval()


def _model(network: Network, data: TrainingData, starts: Starts, make_encoder: MakeEncoder | None) -> MultiTaskModel:
    if network.start is not None:
        model = restore(*starts[network.start], data, make_encoder).for_tasks(network.tasks)
        return _freeze(model, network.frozen)
    model = network.build(data.schema, data.tasks, make_encoder)
    model.set_output_bias(data.output_bias[data.outputs_of(network.tasks)])
    return model


def _freeze(model: MultiTaskModel, n_layers: int) -> MultiTaskModel:
    """Keep the encoder and the first hidden layers of a shared bottom as they are."""
    if n_layers:
        trunk = [module for module in model.trunk.modules() if isinstance(module, nn.Linear)]  # type: ignore[union-attr]
        for module in [model.encoder, *trunk[:n_layers]]:
            if module is not None:
                module.requires_grad_(False)
    return model


def _solve(network: Network, model: MultiTaskModel, data: TrainingData) -> Trained:
    state, cost, strengths = fit_linear(data, network.tasks)
    load_state(model, state)
    return Trained(network, state, outputs_of(model, data), cost, {"strength": strengths})


def outputs_of(model: MultiTaskModel, data: TrainingData) -> dict[str, NDArray[np.float32]]:
    """Return the model's packed outputs on the validation and test rows, in target units."""
    columns = data.outputs_of(model.tasks.names)
    scale = TargetScale(data.target_scale.mean[columns], data.target_scale.scale[columns])
    return {
        split: scale.restore(predict(model, part.x).numpy())
        for split, part in (("valid", data.valid), ("test", data.test))
    }
