"""Sparse parameter allocation (Maziarz et al., arXiv 1910.04915): units pick components in every layer.

A routed layer has K components, linear maps or convolutions. Unit u uses the mean of its active ones:

    z_uk in {0, 1} ~ sigmoid(logit_uk), one straight-through sample a step;    w_uk = z_uk / max(sum_j z_uj, 1)
    layer_u(x) = activation( sum_k w_uk component_k(x) ) = activation( (sum_k w_uk W_k) x )

Merging the weights first makes one product, or one grouped convolution, for all units.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taskgroup._validation import check_choice, check_int, check_real
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import Grouping
from taskgroup.models._base import MultiTaskModel, Units, check_hidden
from taskgroup.models._heads import TaskHeads
from taskgroup.models._routed import RoutedConv, RoutedLinear, RoutedModules
from taskgroup.models._routing import GATES, Gate, GateTable
from taskgroup.tasks import Task, TaskSet

__all__ = ["SparseAllocation"]

_OWN_GROUP, _OTHER_GROUP = 0.97, 0.5  # starting probabilities of components when gates start from the grouping


class SparseAllocation(MultiTaskModel):
    """Components in every layer, allocated to tasks or to groups by learned gates.

    Parameters
    ----------
    in_features : int
        Features that the first routed layer reads: columns, or the flattened maps of `image_shape`.
    tasks : TaskSet or sequence of Task or str
        The T tasks.
    hidden : sequence of int, default (128, 64)
        Width of every routed layer: features, or channels when `image_shape` is given.
    n_components : int, default 8
        Components K of every layer.
    gate : {"softmax", "gumbel", "dselect", "random", "all", "own"}, default "softmax"
        Dense, sampled, deterministic sparse, or a fixed control: a random choice of `n_active`, everything, component
        u modulo K for unit u.
    start : float, default 0.95
        Starting probability of every component with ``"gumbel"``, in (0, 1).
    n_active : int, default 2
        Components a unit uses with ``"dselect"`` and ``"random"``.
    total_steps : int, optional
        Training steps to come; gates stop sampling and stay at their modes after `explore` of them. Left out, a
        trainer may say it (:meth:`expect_steps`); until then gates sample throughout.
    explore : float, default 0.6
        Share of the steps with sampling.
    budget : float, default 1
        Share of a layer's components that is free; see :meth:`penalty`.
    budget_weight, entropy_weight, empty_weight : float, default 0
        Weights of the three penalties.
    components : sequence of sequences of Module, optional
        K modules for every layer, each with its own activation, in place of linear maps or convolutions: `hidden`,
        `n_components` and `strides` are then not used. A layer's modules take (N, ...) and return one shape. Their
        outputs are averaged, which costs K times as much as merged maps.
    image_shape : (channels, height, width), optional
        Shape of the features; layers are then 3x3 convolutions with group normalisation, if not `components`.
    strides : sequence of int, optional
        Stride of every convolution, 1 when left out.
    from_groups : bool, default False
        Start the gates from `grouping`: component k belongs to group k modulo the number of groups, with starting
        probability .97 for its tasks and .5 for the others.
    tower : int, default 0
        Width of each task's own hidden layer; 0 for a linear head.
    dropout : float, default 0
        Dropout after each linear layer, or after the last of other layers, in [0, 1).
    encoder : Module, optional
        Turns inputs into (B, in_features).
    units : {"task", "group"}, default "task"
        Rows of the allocation: one for each task or for each group.
    grouping : Grouping, optional
        The groups, for ``units="group"`` and `from_groups`.

    Raises
    ------
    InvalidInputError
        When an argument breaks its rule.

    Notes
    -----
    Departures from the released code: at least one component is always active; sampling stops before the end; the
    budget is counted for each layer; components are linear unless given, so that weights can be merged, with the
    activation after the mean. The temperature of the backward pass is max(.5, 50 / sqrt(step + 1)), as there.

    ``"softmax"`` is the default: on planted pairs its error was lowest (1,500 steps, two seeds: .008 against .011 of a
    shared network and .020 of ``"gumbel"``); Omniglot-20 (reduced protocol, 3,000 rounds, three seeds) is a tie at
    11.1 % against 11.2 % and 11.5 %. Its weights are no reliable map of which tasks are related. For that take
    ``gate="gumbel", start=0.9, budget=0.5, budget_weight=0.5, entropy_weight=0.02`` and enough steps (3,000 for the
    pairs).

    Sampled routing of tasks with straight-through Gumbel-Softmax is claimed in US patent 11,915,120 B2 (Google, granted
    2024). ``"dselect"`` and ``"softmax"`` do not sample. This is not legal advice.

    Examples
    --------
    >>> model = SparseAllocation(5, ["a", "b", "c"], hidden=(8, 4), n_components=4)
    >>> model.logits(torch.zeros(7, 5)).shape
    torch.Size([7, 3])
    >>> model.allocation().shape  # layers, tasks, components
    torch.Size([2, 3, 4])
    """

    def __init__(
        self,
        in_features: int,
        tasks: TaskSet | Sequence[Task | str],
        *,
        hidden: Sequence[int] = (128, 64),
        n_components: int = 8,
        gate: Gate = "softmax",
        start: float = 0.95,
        n_active: int = 2,
        total_steps: int | None = None,
        explore: float = 0.6,
        budget: float = 1.0,
        budget_weight: float = 0.0,
        entropy_weight: float = 0.0,
        empty_weight: float = 0.0,
        components: Sequence[Sequence[nn.Module]] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        strides: Sequence[int] | None = None,
        from_groups: bool = False,
        tower: int = 0,
        dropout: float = 0.0,
        encoder: nn.Module | None = None,
        units: Units = "task",
        grouping: Grouping | None = None,
    ) -> None:
        widths = check_hidden(hidden, dropout, tower)
        if not widths:
            raise InvalidInputError("`hidden` must hold a width for each of one or more routed layers; got none.")
        check_choice("gate", gate, GATES)
        check_int("n_components", n_components, low=1)
        if gate in ("dselect", "random"):
            check_int("n_active", n_active, low=1, high=n_components, high_name="n_components")
        check_real("start", start, 0.001, 0.999)
        check_real("explore", explore, 0.0, 1.0)
        for name, value in (("budget", budget), ("budget_weight", budget_weight), ("entropy_weight", entropy_weight),
                            ("empty_weight", empty_weight)):  # fmt: skip
            check_real(name, value, 0.0)
        if from_groups and grouping is None:
            raise InvalidInputError("`from_groups` needs a `grouping`; got none. Cluster the tasks first.")
        options: dict[str, Any] = {
            "hidden": widths, "n_components": n_components, "gate": gate, "start": start, "n_active": n_active,
            "total_steps": total_steps, "explore": explore, "budget": budget, "budget_weight": budget_weight,
            "entropy_weight": entropy_weight, "empty_weight": empty_weight, "components": components,
            "image_shape": image_shape, "strides": strides, "from_groups": from_groups, "tower": tower,
            "dropout": dropout,
        }  # fmt: skip
        super().__init__(in_features, tasks, encoder=encoder, units=units, grouping=grouping, options=options)
        self.gate, self.total_steps, self.explore = gate, total_steps, explore
        self.budget = budget
        self.penalty_weights = (budget_weight, entropy_weight, empty_weight)
        self.dropout = dropout
        self.steps = 0
        self.image_shape = image_shape
        if components is None:
            layers = _routed_layers(in_features, widths, n_components, image_shape, strides)
            numbers = [n_components] * len(layers)
        else:
            layers = _routed_modules(components, image_shape or (in_features,))
            numbers = [len(layer) for layer in components]
        self.layers = nn.ModuleList(layers)
        self.gates = nn.ModuleList(GateTable(gate, self._start(start, k, from_groups), n_active) for k in numbers)
        width = cast("RoutedLinear", self.layers[-1]).out_features
        self.heads = TaskHeads(self.tasks, width, tower, self.unit_of_task)

    def body(self, features: Tensor) -> Tensor:
        """Return the features of every unit, (U, B, D'), of (1, B, D) or of each unit's own input (U, B, D).

        Each call in training mode counts as a step.
        """
        if self.image_shape is not None:
            features = features.view(*features.shape[:2], *self.image_shape)
        temperature = max(0.5, 50.0 / (self.steps + 1) ** 0.5)
        sample = self.training and (self.total_steps is None or self.steps < self.explore * self.total_steps)
        self.steps += self.training
        for layer, table in zip(self.layers, self._tables(), strict=True):
            features = layer(features, table.weights(sample, temperature))
            if isinstance(layer, RoutedLinear) or layer is self.layers[-1]:
                features = F.dropout(features, self.dropout, self.training)
        return features.flatten(2)

    def expect_steps(self, total: int) -> None:
        """Hear how many training steps are to come, unless `total_steps` was given."""
        if self.options["total_steps"] is None:
            self.total_steps = total

    def penalty(self) -> Tensor:
        """Return what to add to the loss, a scalar.

        ``budget_weight * max(0, mean p - budget)`` + ``entropy_weight * entropy`` + ``empty_weight * prod(1 - p)``,
        the last averaged over units, all summed over layers; p are the gates' probabilities.
        """
        budget, entropy, empty = self.penalty_weights
        total = self.heads.bias.new_zeros(())
        for table in self._tables():
            p = table.probabilities()
            if budget:
                total = total + budget * (p.mean() - self.budget).clamp(min=0.0)
            if entropy:
                total = total + entropy * table.entropy()
            if empty:
                total = total + empty * (1.0 - p).prod(1).mean()
        return total

    @torch.no_grad()
    def allocation(self) -> Tensor:
        """Return the probability (``gumbel``) or weight of every component for every task, (layers, T, K)."""
        return torch.stack([table.probabilities()[list(self.unit_of_task)] for table in self._tables()])

    @torch.no_grad()
    def task_similarity(self) -> Tensor:
        """Return the cosine between the tasks' allocations over all layers, (T, T), in [0, 1]."""
        rows = F.normalize(self.allocation().transpose(0, 1).flatten(1))
        return rows @ rows.t()

    def _options_for(self, tasks: Sequence[int]) -> dict[str, Any]:
        return {**self.options, "components": copy.deepcopy(self.options["components"])}

    def _tables(self) -> Sequence[GateTable]:
        return cast("Sequence[GateTable]", self.gates)

    def _start(self, start: float, n_components: int, from_groups: bool) -> Tensor:
        """Return the starting probabilities, (U, K)."""
        if not from_groups or self.grouping is None:
            return torch.full((self.n_units, n_components), start)
        groups = self.grouping.labels[[self.grouping.tasks.index_of(task.name) for task in self.tasks]]
        group_of_unit = torch.zeros(self.n_units, dtype=torch.long)
        group_of_unit[list(self.unit_of_task)] = torch.from_numpy(groups)
        own = torch.arange(n_components) % self.grouping.n_groups == group_of_unit.unsqueeze(1)
        return torch.where(own, _OWN_GROUP, _OTHER_GROUP)


def _routed_modules(components: Sequence[Sequence[nn.Module]], in_shape: Sequence[int]) -> list[nn.Module]:
    if not components or not all(components):
        raise InvalidInputError("`components` must hold one or more modules for each of one or more layers; got none.")
    layers: list[nn.Module] = []
    for modules in components:
        layer = RoutedModules(modules, in_shape)
        layers.append(layer)
        in_shape = layer.out_shape
    return layers


def _routed_layers(
    in_features: int,
    widths: Sequence[int],
    n_components: int,
    image_shape: tuple[int, int, int] | None,
    strides: Sequence[int] | None,
) -> list[nn.Module]:
    if image_shape is None:
        sizes = [in_features, *widths]
        return [RoutedLinear(n_components, i, o) for i, o in zip(sizes[:-1], widths, strict=True)]
    steps = [1] * len(widths) if strides is None else [check_int("strides", stride, low=1) for stride in strides]
    channels, height, width = image_shape
    if channels * height * width != in_features or len(steps) != len(widths):
        raise InvalidInputError(
            f"`image_shape` must hold in_features={in_features} values and `strides` one for each of the "
            f"{len(widths)} layers; got {tuple(image_shape)} and {tuple(steps)}."
        )
    layers: list[nn.Module] = []
    for out_channels, stride in zip(widths, steps, strict=True):
        layer = RoutedConv(n_components, (channels, height, width), out_channels, stride)
        layers.append(layer)
        channels, height, width = layer.out_shape
    return layers
