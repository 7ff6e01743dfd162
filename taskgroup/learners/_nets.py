"""Networks of any architecture, many at once, stopped early by rows of their own.

A network stops by 15 % of the rows that it is given, so every fit without a fold leaves its answers for that fold
honest; the mean of the fits answers for new rows. The networks of groups start from the all-in-one network of the same
rows, with the start as epoch 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from taskgroup.cost import Cost
from taskgroup.data import InputSchema
from taskgroup.learners._base import Context, Document, Fitted, Learner, Order, Saved
from taskgroup.learners._examples import Examples, Inputs, Packed
from taskgroup.learners._kept_back import kept_back
from taskgroup.models import MultiTaskModel
from taskgroup.training import FitSettings, Network, TrainingData, fit_many, load_state, predict, state_of
from taskgroup.training._data import TargetScale

__all__ = ["CANDIDATES", "Nets", "WideNets"]

CANDIDATES: tuple[tuple[float, float, float], ...] = (
    (1.0, 0.2, 1.0), (0.33, 0.3, 1.0), (0.33, 0.5, 1.0), (1.0, 0.5, 2.0), (0.33, 0.3, 0.5), (3.0, 0.2, 1.0),
)  # fmt: skip
"""(factor on the learning rate, dropout, factor on the widths), in the order in which they are tried."""

_KEPT_BACK = 0.15
_MOST_SINGLE = 200  # tasks up to which each gets a network of its own
_CONTROL_WORK = 3e9  # networks x rows x weights up to which groups that are not ours are fitted, in an epoch
_WORK = 2e10  # tasks x rows x weights up to which it does, in an epoch; seven times that took an hour


@dataclass(frozen=True)
class Nets(Learner):
    """Networks fitted by gradient descent.

    Parameters
    ----------
    arch : str
        See :data:`taskgroup.models.ARCHITECTURES`.
    hidden : tuple of int
        Widths of the hidden layers.
    dropout : float
        After every hidden layer.
    encoder : str or callable
        See :func:`taskgroup.models.build_model`.
    settings : FitSettings
        Epochs, patience, batch size, learning rate.
    start : {"all-in-one", "scratch"}
        Where the networks of groups start. Only a shared bottom can start from the all-in-one network.
    shared_layers : int
        Hidden layers, from the input, that networks of groups leave as they start.
    tune_by : int
        How many of :data:`CANDIDATES` are tried; 1 takes everything as given.
    arch_options : dict
        Further arguments of the architecture.
    """

    kind: ClassVar[str] = "nets"
    about: ClassVar[str] = "neural networks"
    refits: ClassVar[bool] = False
    steady: ClassVar[bool] = False
    bulk: ClassVar[int] = 50

    arch: str = "shared-bottom"
    hidden: tuple[int, ...] = (128, 64)
    dropout: float = 0.2
    encoder: str | Callable[[], torch.nn.Module] = "auto"
    settings: FitSettings = field(default_factory=FitSettings)
    start: Literal["all-in-one", "scratch"] = "all-in-one"
    shared_layers: int = 0
    tune_by: int = 3
    arch_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.settings, dict):  # as JSON has them
            object.__setattr__(self, "settings", FitSettings(**self.settings))

    def options(self) -> Document:
        """Return the options as a JSON-able dictionary."""
        custom = {} if isinstance(self.encoder, str) else {"encoder": "custom"}
        return {**super().options(), "settings": asdict(self.settings), **custom}

    @property
    def name(self) -> str:
        """The architecture, where it is not the shared bottom."""
        return self.kind if self.arch == "shared-bottom" else self.arch

    def with_options(self, options: Document) -> Self:
        """Return the learner with options that :meth:`options` gave; an encoder of the user's stays."""
        given = {**options, "hidden": tuple(options["hidden"]), "settings": FitSettings(**options["settings"])}
        return replace(self, **{**given, "encoder": self.encoder})

    @property
    def weighs(self) -> bool:
        """True: losses have weights."""
        return True

    @property
    def has_units(self) -> bool:
        """Whether the architecture has parts of its own for every task or group."""
        return self.arch != "shared-bottom"

    def declines(self, arm: str, sizes: Sequence[int], examples: Examples, leeway: float = 1.0) -> str | None:
        """Return that controls are fitted with shared bottoms only, or that as many networks take long."""
        most = {"per-task": _WORK, "random-groups": _CONTROL_WORK, "label-groups": _CONTROL_WORK}.get(arm)
        if most is not None:
            n_rows, n_features = examples.inputs.scaled.shape
            n_weights = sum(i * o for i, o in pairwise((n_features, *self.hidden)))
            if len(sizes) * n_rows * n_weights > most or (arm == "per-task" and len(sizes) > _MOST_SINGLE):
                return (
                    f"{len(sizes)} networks on {n_rows:,} rows of {n_features:,} features take long; ask for it with "
                    f"--arms {arm}"
                )
        if self.arch != "shared-bottom" and arm in ("per-task", "random-groups", "label-groups"):
            return "controls are fitted with shared bottoms only"
        return None

    def tuned_on(self, arm: str) -> str | None:
        """Return the arm whose tuning an arm takes over: groups that start from all-in-one networks share theirs."""
        return None if self.tune_by < 2 else "per-task" if arm == "per-task" else "all-in-one"

    def tune(self, examples: Examples, rows: NDArray[np.int64], orders: Sequence[Order], *, seed: int = 0) -> Self:
        """Return the candidate whose networks have the least mean loss on the rows that they stop by."""
        variants = [self._variant(*candidate) for candidate in CANDIDATES[: self.tune_by]]
        losses = [
            np.mean([fit.valid_loss for fit in variant.fit_many(examples, rows, orders, seed=seed)])  # type: ignore[attr-defined]
            for variant in variants
        ]
        return variants[int(np.argmin(losses))]

    def starts_from(self, arm: str) -> str | None:
        """Return "all-in-one" for groups of shared bottoms."""
        warm = self.start == "all-in-one" and self.arch in ("shared-bottom", "tabm")
        return "all-in-one" if warm and arm not in ("all-in-one", "per-task", "units") else None

    def fit_many(
        self,
        examples: Examples,
        rows: NDArray[np.int64],
        orders: Sequence[Order],
        *,
        seed: int = 0,
        start: Saved | None = None,
    ) -> list[Fitted]:
        """Return the networks, trained side by side; see :func:`taskgroup.training.fit_many`."""
        fit_rows, stop_rows = kept_back(examples, rows, _KEPT_BACK, seed)
        data = TrainingData.from_rows(
            examples.tasks, examples.schema, examples.inputs.scaled, examples.Y, fit_rows, stop_rows, examples.weights
        )
        networks = [self._network(order, seed, examples.schema) for order in orders]
        context = Context(examples.tasks, examples.schema, self._make_encoder)
        models = [
            self._model(order, network, data, start, context) for order, network in zip(orders, networks, strict=True)
        ]
        weights = [dict(zip(order.tasks, order.weights or (), strict=False)) for order in orders]
        found = fit_many(models, data, seeds=[n.stream for n in networks], weights=weights, settings=self.settings)
        fitted: list[Fitted] = []
        for network, one in zip(networks, found, strict=True):
            scale = data.target_scale.take(data.outputs_of(network.tasks))
            loss = one.valid_loss[one.best_epoch]
            fitted.append(FittedNet(one.model, network, scale, one.cost, loss))
        return fitted

    @classmethod
    def load(cls, saved: Saved, context: Context) -> FittedNet:
        """Return the network of a file.

        Raises
        ------
        ArtifactError
            When it needs an encoder that only its user can make.
        """
        arrays, document = saved
        network = Network.from_dict(document["network"])
        model = network.build(context.schema, context.tasks, context.own)
        load_state(model, {name[2:]: value for name, value in arrays.items() if name.startswith("w/")})
        scale = TargetScale(arrays["target_mean"], arrays["target_scale"])
        return FittedNet(model.eval(), network, scale, Cost(**document["cost"]))

    @property
    def _make_encoder(self) -> Callable[[], torch.nn.Module] | None:
        return None if isinstance(self.encoder, str) else self.encoder

    def _variant(self, factor: float, dropout: float, width: float) -> Self:
        settings = replace(self.settings, learning_rate=self.settings.learning_rate * factor)
        hidden = tuple(max(1, round(h * width)) for h in self.hidden)
        return replace(self, hidden=hidden, dropout=dropout, settings=settings, tune_by=1)

    def _network(self, order: Order, stream: int, schema: InputSchema) -> Network:
        return Network(
            order.tasks, self.hidden, order.seed, stream, self.arch, self.dropout,
            self.encoder if isinstance(self.encoder, str) else "custom",
            "task" if order.units is None else "group", order.units, self.arch_options,
        )  # fmt: skip

    def _model(
        self, order: Order, network: Network, data: TrainingData, start: Saved | None, context: Context
    ) -> MultiTaskModel:
        if start is not None:
            model = self.load(start, context).model.for_tasks(order.tasks)
            return _freeze(model, self.shared_layers)
        model = network.build(data.schema, data.tasks, self._make_encoder)
        model.set_output_bias(data.output_bias[data.outputs_of(order.tasks)])
        return model


@dataclass(frozen=True)
class WideNets(Nets):
    """All-in-one networks four times as wide: what the width of several networks is worth without groups."""

    kind: ClassVar[str] = "wide-nets"
    about: ClassVar[str] = "neural networks, four times as wide"

    hidden: tuple[int, ...] = (512, 256)

    def declines(self, arm: str, sizes: Sequence[int], examples: Examples, leeway: float = 1.0) -> str | None:
        """Return that only the all-in-one network is a control of width."""
        return None if arm == "all-in-one" else "a control of width, for one model only"


@dataclass(eq=False)
class FittedNet(Fitted):
    """A fitted network."""

    model: MultiTaskModel
    network: Network
    scale: TargetScale
    cost: Cost
    valid_loss: float | None = None

    @property
    def tasks(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of its tasks."""
        return self.network.tasks

    def outputs(self, inputs: Inputs) -> Packed:
        """Return packed outputs (n, n_outputs); regression answers are in target units."""
        x = torch.from_numpy(np.ascontiguousarray(inputs.scaled))
        return self.scale.restore(predict(self.model, x).numpy())

    def save(self) -> Saved:
        """Return the weights, the scale of the targets, and how to build the network."""
        arrays = {f"w/{name}": value for name, value in state_of(self.model).items()}
        arrays |= {"target_mean": self.scale.mean, "target_scale": self.scale.scale}
        return Saved(arrays, {"network": self.network.to_dict(), "cost": self.cost.to_dict()})


def _freeze(model: MultiTaskModel, n_layers: int) -> MultiTaskModel:
    """Keep the encoder and the first hidden layers of a shared bottom as they are."""
    if n_layers:
        trunk = [module for module in model.trunk.modules() if isinstance(module, torch.nn.Linear)]  # type: ignore[union-attr]
        for module in [model.encoder, *trunk[:n_layers]]:
            if module is not None:
                module.requires_grad_(False)
    return model
