"""What every method consists of: its networks, where each starts, and how they answer.

=================== =====================================================================================
linear              a logistic or ridge regression per task
stl                 a network per task
mtl                 one network for all tasks ("all-in-one")
mtl-ensemble        all-in-one networks, as many as the training operations of `grouped` pay for
mtl-wide            one all-in-one network with as many parameters as all networks of `grouped` together
mtl-wide-ensemble   such wide networks, as many as the training operations of `grouped` pay for, at least two
grouped             all-in-one networks of several seeds, each specialised to every group, logits averaged
random-groups       the same with tasks dealt at random to groups of the same sizes, several draws
label-groups        the same with groups found from the labels alone
grouped:ARCH        another architecture in every group, from scratch
units:ARCH          one network of another architecture whose units are the groups
=================== =====================================================================================

All of them see the same rows in the same order and stop early by the same rule. Widths, dropout and learning rate are
the same too, or tuned with the same budget for each *family*: single-task, all-in-one (and everything that starts from
it), wide all-in-one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from taskgroup.grouping import Grouping
from taskgroup.tasks import TaskSet
from taskgroup.training._data import output_columns
from taskgroup.training._network import PROFILE, Network
from taskgroup.training._settings import Recipe
from taskgroup.training._unit import Unit

__all__ = ["METHODS", "Answer", "Design", "Packed", "Share", "combine", "family_of"]

Packed = NDArray[np.float32]
"""Outputs (n, n_outputs) in task order."""

METHODS = (
    "linear", "stl", "mtl", "mtl-wide", "mtl-ensemble", "mtl-wide-ensemble", "random-groups", "label-groups", "grouped",
)  # fmt: skip
"""The methods of a scorecard, but other architectures."""

Family = Literal["stl", "mtl", "mtl-wide"]
FAMILIES: tuple[Family, ...] = ("stl", "mtl", "mtl-wide")
"""Networks that have a recipe of their own."""

_STL_CHUNK = 50  # single-task networks per unit of work


@dataclass(frozen=True)
class Share:
    """A network's part in the answers: {task name: weight of its output in the sum}."""

    path: str
    weights: Mapping[str, float]


Answer = tuple[Share, ...]
"""How a method answers: for every task the weighted sum of some networks' outputs."""


@dataclass(frozen=True)
class Design:
    """Everything that is the same for all methods, and the networks that follow.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    recipes : dict
        {family: :class:`Recipe`}, see :data:`FAMILIES`.
    members : int
        All-in-one networks of different seeds that are specialised to the groups.
    start : {"members", "profile", "scratch"}
        Where group networks start: from those all-in-one networks, from the profile model, or from fresh weights.
    soft : {"best", "mean"}
        Who answers for a task of several groups: its best group, or all by membership (STG-MTL's rule).
    shared_layers : int
        Hidden layers, from the input, that group networks leave as they start: a trunk for all groups, a branch each.
    encoder : str
        Name of the encoder; "custom" for a callable.
    random_state : int
        Seed of everything.
    """

    tasks: TaskSet
    recipes: Mapping[Family, Recipe]
    members: int
    start: Literal["members", "profile", "scratch"]
    soft: Literal["best", "mean"]
    shared_layers: int = 0
    encoder: str = "auto"
    random_state: int = 0
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def linear(self) -> tuple[Unit, Answer]:
        """Return the linear models of all tasks as one network without a hidden layer."""
        network = Network(
            "linear/0/all", self.tasks.names, (), seed=0, stream=0,
            encoder="custom" if self.encoder == "custom" else "mlp",
        )  # fmt: skip
        return Unit("linear/0/all", (network,), self.recipes["mtl"].settings, "linear"), _average([network])

    def single(self, seed: int) -> tuple[list[Unit], Answer]:
        """Return a network per task."""
        width = len(str(len(self.tasks) - 1))
        networks = [
            self._network(f"stl/{seed}/t{t:0{width}d}", (name,), seed, family="stl")
            for t, name in enumerate(self.tasks.names)
        ]
        n_units = -(-len(networks) // _STL_CHUNK)
        parts = np.array_split(np.arange(len(networks)), n_units)
        units = [self._unit(f"stl/{seed}/part{p}", [networks[i] for i in part], "stl") for p, part in enumerate(parts)]
        return units, tuple(Share(n.path, dict.fromkeys(n.tasks, 1.0)) for n in networks)

    def all_in_one(self, seed: int, numbers: Iterable[int], *, wide: bool = False) -> list[Unit]:
        """Return all-in-one networks as one unit; number 0 is the single one, the others complete the ensemble."""
        family: Family = "mtl-wide" if wide else "mtl"
        paths = {number: self.member_path(seed, number, wide=wide) for number in numbers}
        networks = [
            self._network(path, self.tasks.names, seed, member=number, family=family) for number, path in paths.items()
        ]
        return [self._unit(networks[0].path, networks, family)] if networks else []

    @staticmethod
    def member_path(seed: int, number: int, *, wide: bool = False) -> str:
        """Return the path of an all-in-one network."""
        method = ("mtl-wide" if wide else "mtl") + ("-ensemble" if number else "")
        return f"{method}/{seed}/m{number}"

    def ensemble(self, seed: int, size: int, *, wide: bool = False) -> Answer:
        """Return the mean of all-in-one networks."""
        share = dict.fromkeys(self.tasks.names, 1.0 / size)
        return tuple(Share(self.member_path(seed, number, wide=wide), share) for number in range(size))

    def groups(self, method: str, seed: int, groupings: Sequence[Grouping]) -> tuple[Unit, list[Answer]]:
        """Return the networks of some groupings fitted alike, as one unit, and how each grouping answers."""
        networks: list[Network] = []
        answers: list[Answer] = []
        for draw, grouping in enumerate(groupings):
            shares = []
            prefix = f"{method}/{seed}/" + (f"d{draw}-" if len(groupings) > 1 else "")
            for member in range(1 if self.start == "profile" else self.members):
                for g in range(grouping.n_groups):
                    losses = grouping.loss_weights(g)
                    if not losses:
                        continue
                    network = self._network(
                        f"{prefix}m{member}-g{g}", tuple(losses), seed, member=member,
                        weights=tuple(losses.values()) if grouping.soft else None, start=self._start(seed, member),
                        frozen=self.shared_layers,
                    )  # fmt: skip
                    networks.append(network)
                    shares.append(Share(network.path, self._answers(grouping, g)))
            answers.append(_normalised(shares))
        return self._unit(f"{method}/{seed}/all", networks), answers

    def grouped_arch(self, arch: str, seed: int, grouping: Grouping) -> tuple[list[Unit], Answer]:
        """Return a network of another architecture for every group, from scratch."""
        units, shares = [], []
        for g, names in enumerate(grouping.groups):
            if names:
                network = self._network(f"grouped:{arch}/{seed}/g{g}", names, seed, arch=arch)
                units.append(self._unit(network.path, [network]))
                shares.append(Share(network.path, dict.fromkeys(names, 1.0)))
        return units, tuple(shares)

    def units_arch(self, arch: str, seed: int, grouping: Grouping) -> tuple[list[Unit], Answer]:
        """Return one network of another architecture with the groups as its units."""
        labels = tuple(int(label) for label in grouping.labels)
        network = self._network(
            f"units:{arch}/{seed}/all", self.tasks.names, seed, arch=arch, labels=labels, units="group"
        )
        return [self._unit(network.path, [network])], _average([network])

    def random_groupings(self, grouping: Grouping, seed: int, draws: int) -> list[Grouping]:
        """Return groupings of the same sizes and memberships with the tasks dealt anew."""
        generator = np.random.default_rng(self._derive("random-groups", seed))
        return [Grouping(self.tasks, grouping.membership[generator.permutation(len(self.tasks))]) for _ in range(draws)]

    def _unit(self, name: str, networks: Sequence[Network], family: Family = "mtl") -> Unit:
        return Unit(name, tuple(networks), self.recipes[family].settings)

    def _network(
        self, path: str, tasks: tuple[str, ...], seed: int, *, member: int = 0, family: Family = "mtl", **changes: Any
    ) -> Network:
        recipe = self.recipes[family]
        fields: dict[str, Any] = {
            "hidden": recipe.hidden, "dropout": recipe.dropout, "encoder": self.encoder,
            "seed": self._derive(path), "stream": self._derive("stream", seed, member),
            "options": self.options.get(changes.get("arch", "shared-bottom"), {}),
        }  # fmt: skip
        return Network(path, tasks, **(fields | changes))

    def _start(self, seed: int, member: int) -> str | None:
        starts = {"members": self.member_path(seed, member), "profile": PROFILE, "scratch": None}
        return starts[self.start]

    def _answers(self, grouping: Grouping, group: int) -> dict[str, float]:
        if self.soft == "mean":
            return grouping.loss_weights(group)
        return dict.fromkeys(grouping.groups[group], 1.0)

    def _derive(self, *words: str | int) -> int:
        """Return a seed that depends on the words and `random_state` alone."""
        codes = [zlib.crc32(str(word).encode()) for word in words]
        high, low = np.random.SeedSequence([self.random_state, *codes]).generate_state(2)
        return int(high) << 31 | int(low) >> 1


def family_of(method: str) -> Family | None:
    """Return the family whose recipe the networks of a method have; linear models have none."""
    special: dict[str, Family | None] = {
        "linear": None, "stl": "stl", "mtl-wide": "mtl-wide", "mtl-wide-ensemble": "mtl-wide"
    }  # fmt: skip
    return special.get(method, "mtl")


def combine(tasks: TaskSet, answer: Answer, outputs: Mapping[str, tuple[TaskSet, Packed]]) -> Packed:
    """Return the packed outputs (n, n_outputs) of all tasks, from each network's own tasks and packed outputs."""
    n_samples = len(next(iter(outputs.values()))[1])
    packed = np.zeros((n_samples, sum(task.n_outputs for task in tasks)), np.float32)
    for share in answer:
        own_tasks, own_outputs = outputs[share.path]
        weights = [weight for name, weight in share.weights.items() for _ in output_columns(tasks, [name])]
        part = own_outputs[:, output_columns(own_tasks, share.weights)]
        packed[:, output_columns(tasks, share.weights)] += part * np.array(weights, np.float32)
    return packed


def _average(networks: Sequence[Network]) -> Answer:
    return tuple(Share(n.path, dict.fromkeys(n.tasks, 1.0 / len(networks))) for n in networks)


def _normalised(shares: Sequence[Share]) -> Answer:
    """Return the shares that answer for some task, scaled to sum to 1 over each task."""
    total: dict[str, float] = {}
    for share in shares:
        for name, weight in share.weights.items():
            total[name] = total.get(name, 0.0) + weight
    return tuple(
        Share(share.path, {name: weight / total[name] for name, weight in share.weights.items()})
        for share in shares
        if share.weights
    )
