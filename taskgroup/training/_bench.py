"""Running a design: what depends on nothing, then groups, then the rest of the ensembles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._artifact import write_json
from taskgroup.data import TaskTable
from taskgroup.grouping import Grouping
from taskgroup.training._controls import label_grouping, wide_hidden
from taskgroup.training._cost import Cost
from taskgroup.training._data import TrainingData
from taskgroup.training._executors import RunAll
from taskgroup.training._methods import Answer, Design
from taskgroup.training._network import PROFILE, MakeEncoder, state_of
from taskgroup.training._profile import Profile
from taskgroup.training._store import Store
from taskgroup.training._unit import Starts, Unit

__all__ = ["Bench"]

Progress = Callable[[str, int, int], None]

MOST_MEMBERS = 12
"""All-in-one networks of an ensemble at most, even where equal compute would pay for more."""

_GROUP_METHODS = ("random-groups", "label-groups", "grouped")


class Bench:
    """Trains the networks of all methods and answers with them.

    Parameters
    ----------
    table : TaskTable
        The tasks.
    data : TrainingData
        The table as tensors.
    design : Design
        Widths, settings and seeds.
    store : Store
        Where networks are kept.
    run_all : callable
        Runs units of work.
    make_encoder : callable, optional
        Makes an encoder of the user's own.
    progress : callable, optional
        Called as ``progress(stage, networks done, networks)``.
    """

    def __init__(
        self,
        table: TaskTable,
        data: TrainingData,
        design: Design,
        store: Store,
        run_all: RunAll,
        make_encoder: MakeEncoder | None,
        progress: Progress | None,
    ) -> None:
        self.table, self.data, self.design, self.store = table, data, design, store
        self.run_all, self.make_encoder, self.progress = run_all, make_encoder, progress
        self.data_hash = table.content_hash()
        self.given: Starts = {}
        self.answers: dict[str, dict[int, list[Answer]]] = {}

    def run(
        self, methods: Sequence[str], grouping: Grouping, seeds: Sequence[int], draws: int, profile: Profile | None
    ) -> None:
        """Train every network of the methods; `answers` then says how each method and seed answers."""
        if profile is not None:
            self.given = {PROFILE: (profile.network, state_of(profile.model))}
        self.answers = {method: {} for method in methods}
        self._train("baselines", self._independent(methods, grouping, seeds))
        self._train("groups", self._from_members(methods, grouping, seeds, draws))
        self._train("ensembles", self._ensembles(methods, seeds))

    def predictions(self, split: str) -> dict[str, dict[int, NDArray[np.float32]]]:
        """Return {method: {seed: packed outputs}}; random-groups has a leading axis of draws."""
        return {
            method: {
                seed: np.stack(outputs) if method == "random-groups" else outputs[0]
                for seed, outputs in (
                    (seed, [self._output(answer, split) for answer in answers]) for seed, answers in by_seed.items()
                )
            }
            for method, by_seed in self.answers.items()
        }

    def cost(self, method: str) -> Cost:
        """Return what one seed of a method costs on average, the networks that it starts from included."""
        costs = [self._answer_cost(answer) for answers in self.answers[method].values() for answer in answers]
        return Cost.total(costs).over(len(costs))

    def ledger(self, profile: Profile | None) -> dict[str, Any]:
        """Return the costs of every method, and of the profile as a share of one all-in-one training."""
        methods = {}
        for method in self.answers:
            cost = self.cost(method)
            methods[method] = {
                **cost.to_dict(),
                "inference_flops_per_task": cost.inference_flops / len(self.design.tasks),
                "groups": self._served_together(method),
            }
        ledger: dict[str, Any] = {"methods": methods}
        if profile is not None:
            ledger["profile"] = profile.cost.to_dict()
            if "mtl" in self.answers:
                ledger["profile"]["share_of_mtl"] = profile.cost.train_flops / self.cost("mtl").train_flops
        return ledger

    def save(self, folder: Path) -> None:
        """Write the networks, how each method answers with them, and what their inputs look like."""
        self.store.save(folder)
        for method, by_seed in self.answers.items():
            for seed, answers in by_seed.items():
                rows = [[{"path": share.path, "weights": dict(share.weights)} for share in a] for a in answers]
                write_json(folder / method / str(seed) / "answers.json", "answers", {"draws": rows})
        write_json(
            folder / "inputs.json", "inputs",
            {
                "tasks": self.data.tasks.to_list(), "schema": self.data.schema.to_dict(),
                "target_mean": self.data.target_scale.mean, "target_scale": self.data.target_scale.scale,
            },
        )  # fmt: skip

    def _independent(self, methods: Sequence[str], grouping: Grouping, seeds: Sequence[int]) -> list[Unit]:
        """Return the units that start from fresh weights."""
        design, units = self.design, []
        if "linear" in methods:
            unit, answer = design.linear()
            units.append(unit)
            self.answers["linear"][0] = [answer]
        grouped = any(method in methods for method in _GROUP_METHODS)
        members = design.members if grouped and design.start == "members" else 1
        wide = wide_hidden(self.data, design, grouping, self.make_encoder)
        for seed in seeds:
            if "stl" in methods:
                own, answer = design.single(seed)
                units += own
                self.answers["stl"][seed] = [answer]
            units += design.all_in_one(seed, range(members))
            if "mtl" in methods:
                self.answers["mtl"][seed] = [design.ensemble(seed, 1)]
            if "mtl-wide" in methods:
                units += design.all_in_one(seed, [0], wide=wide)
                self.answers["mtl-wide"][seed] = [design.ensemble(seed, 1, wide=True)]
            for method in methods:
                kind, _, arch = method.partition(":")
                if arch:
                    make = design.grouped_arch if kind == "grouped" else design.units_arch
                    own, answer = make(arch, seed, grouping)
                    units += own
                    self.answers[method][seed] = [answer]
        self.wide = wide
        return units
