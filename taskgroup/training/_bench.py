"""Running a design: what depends on nothing, then groups, then the rest of the ensembles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from taskgroup._artifact import content_hash, write_json
from taskgroup.data import TaskTable
from taskgroup.grouping import Grouping
from taskgroup.training._controls import label_grouping, n_weights, wide_hidden
from taskgroup.training._cost import Cost
from taskgroup.training._data import TrainingData
from taskgroup.training._executors import RunAll
from taskgroup.training._methods import Answer, Design, Packed, combine, family_of
from taskgroup.training._network import PROFILE, MakeEncoder, Network, State, state_of
from taskgroup.training._profile import Profile
from taskgroup.training._store import Store
from taskgroup.training._tuning import tune
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
        self.trials: dict[str, Any] = {}
        self.answers: dict[str, dict[int, list[Answer]]] = {}

    def run(
        self,
        methods: Sequence[str],
        grouping: Grouping,
        seeds: Sequence[int],
        *,
        draws: int,
        n_candidates: int,
        profile: Profile | None,
    ) -> None:
        """Train every network of the methods; `answers` then says how each method and seed answers."""
        if profile is not None:
            self.given = {PROFILE: (profile.network, state_of(profile.model))}
        self.answers = {method: {} for method in methods}
        self.design, self.trials = self._designed(methods, grouping, n_candidates)
        self._train("baselines", self._independent(methods, grouping, seeds))
        self._train("groups", self._from_members(methods, grouping, seeds, draws))
        self._train("ensembles", self._ensembles(methods, seeds))

    def _designed(self, methods: Sequence[str], grouping: Grouping, n_candidates: int) -> tuple[Design, dict[str, Any]]:
        """Return the design with tuned recipes; groups that start from the profile model keep its recipe."""
        needed = {family for family in map(family_of, methods) if family is not None}
        if self.design.start == "profile":
            needed.discard("mtl")
        if n_candidates < 2 or not needed:
            return self._widened(self.design, grouping), {}
        return tune(self.design, needed, n_candidates, lambda d: self._widened(d, grouping), self._losses_of)

    def _losses_of(self, trials: list[list[Unit]]) -> list[float]:
        """Return the mean least validation loss of each trial's networks; the store remembers finished trials."""
        keys = [content_hash(*(unit.key(self.data_hash, {}) for unit in units)) for units in trials]
        new = [(key, units) for key, units in zip(keys, trials, strict=True) if key not in self.store.trials]
        results = self.run_all([(unit, {}) for _, units in new for unit in units])
        self._report("tuning", len(trials) - len(new), len(trials))
        for number, (key, units) in enumerate(new, 1):
            least = [min(item.history["valid_loss"]) for _ in units for item in next(results)]
            self.store.note_trial(key, float(np.mean(least)))
            self._report("tuning", len(trials) - len(new) + number, len(trials))
        return [self.store.trials[key] for key in keys]

    def predictions(self, split: Literal["valid", "test"]) -> dict[str, dict[int | str, Packed]]:
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
        recipes = {family: recipe.to_dict() for family, recipe in self.design.recipes.items()}
        ledger: dict[str, Any] = {"methods": methods, "recipes": recipes, "tuning": self.trials}
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
        from_members = design.start == "members" and any(method in methods for method in _GROUP_METHODS)
        members = design.members if from_members else int("mtl" in methods or "mtl-ensemble" in methods)
        for seed in seeds:
            if "stl" in methods:
                own, answer = design.single(seed)
                units += own
                self.answers["stl"][seed] = [answer]
            units += design.all_in_one(seed, range(members))
            if "mtl" in methods:
                self.answers["mtl"][seed] = [design.ensemble(seed, 1)]
            if "mtl-wide" in methods or "mtl-wide-ensemble" in methods:
                units += design.all_in_one(seed, [0], wide=True)
            if "mtl-wide" in methods:
                self.answers["mtl-wide"][seed] = [design.ensemble(seed, 1, wide=True)]
            for method in methods:
                kind, _, arch = method.partition(":")
                if arch:
                    make = design.grouped_arch if kind == "grouped" else design.units_arch
                    own, answer = make(arch, seed, grouping)
                    units += own
                    self.answers[method][seed] = [answer]
        return units

    def _from_members(self, methods: Sequence[str], grouping: Grouping, seeds: Sequence[int], draws: int) -> list[Unit]:
        """Return the units of all groupings."""
        design, units = self.design, []
        fixed = {"grouped": [grouping]}
        if "label-groups" in methods:
            fixed["label-groups"] = [label_grouping(self.table, grouping.n_groups, design.random_state)]
        for seed in seeds:
            for method in filter(methods.__contains__, _GROUP_METHODS):
                groupings = fixed.get(method) or design.random_groupings(grouping, seed, draws)
                unit, self.answers[method][seed] = design.groups(method, seed, groupings)
                units.append(unit)
        return units

    def _ensembles(self, methods: Sequence[str], seeds: Sequence[int]) -> list[Unit]:
        """Return the missing members of the ensembles, whose sizes are the same for every seed."""
        design, units = self.design, []
        for wide, method in ((False, "mtl-ensemble"), (True, "mtl-wide-ensemble")):
            if method in methods:
                size = self._members_for_equal_compute(seeds, wide, least=2 if wide else design.members)
                for seed in seeds:
                    missing = [
                        n for n in range(size) if design.member_path(seed, n, wide=wide) not in self.store.trained
                    ]
                    units += design.all_in_one(seed, missing, wide=wide)
                    self.answers[method][seed] = [design.ensemble(seed, size, wide=wide)]
        return units

    def _members_for_equal_compute(self, seeds: Sequence[int], wide: bool, least: int) -> int:
        """Return how many all-in-one networks cost at least the training operations of `grouped`."""
        if not self.answers.get("grouped"):
            return least
        first = [self.store.trained[self.design.member_path(seed, 0, wide=wide)].cost for seed in seeds]
        one = Cost.total(first).over(len(first)).train_flops
        return min(max(least, math.ceil(self.cost("grouped").train_flops / one)), MOST_MEMBERS)

    def _widened(self, design: Design, grouping: Grouping) -> Design:
        """Return the design whose wide network has as many parameters as all networks of `grouped` together."""
        tasks, recipe = self.data.tasks, design.recipes["mtl"]
        unit, _ = design.groups("grouped", 0, [grouping])
        in_features = unit.networks[0].build(self.data.schema, tasks, self.make_encoder).in_features
        total = sum(
            n_weights(in_features, network.hidden, sum(tasks[tasks.index_of(name)].n_outputs for name in network.tasks))
            for network in unit.networks
        )
        hidden = wide_hidden(in_features, recipe.hidden, len(self.data.output_bias), total)
        return replace(
            design, recipes={**design.recipes, "mtl-wide": replace(design.recipes["mtl-wide"], hidden=hidden)}
        )

    def _train(self, stage: str, units: Sequence[Unit]) -> None:
        """Train the units that the store does not hold already."""
        total = sum(len(unit.networks) for unit in units)
        done = 0
        orders = []
        for unit in units:
            starts = {path: self._start(path) for path in unit.starts}
            key = unit.key(self.data_hash, starts)
            if self.store.find(unit, key, self.data, self.make_encoder):
                done += len(unit.networks)
            else:
                orders.append((unit, key, starts))
        self._report(stage, done, total)
        results = self.run_all([(unit, starts) for unit, _, starts in orders])
        for (unit, key, _), trained in zip(orders, results, strict=True):
            self.store.put(unit, key, trained)
            done += len(unit.networks)
            self._report(stage, done, total)

    def _start(self, path: str) -> tuple[Network, State]:
        if path in self.given:
            return self.given[path]
        trained = self.store.trained[path]
        return trained.network, trained.state

    def _output(self, answer: Answer, split: Literal["valid", "test"]) -> Packed:
        """Return the packed outputs (n, n_outputs) of an answer."""
        trained = {share.path: self.store.trained[share.path] for share in answer}
        tasks = self.data.tasks
        outputs = {path: (tasks.select(item.network.tasks), item.outputs[split]) for path, item in trained.items()}
        return combine(tasks, answer, outputs)

    def _served_together(self, method: str) -> list[list[str]]:
        """Return the tasks that some models of the method serve alone, where its models do not share tasks."""
        groups: dict[tuple[str, ...], None] = {}
        for answers in self.answers[method].values():
            groups = dict.fromkeys(tuple(share.weights) for share in answers[0])
            break
        names = self.design.tasks.names
        return [list(group) for group in groups] if sum(map(len, groups)) == len(names) else [list(names)]

    def _answer_cost(self, answer: Answer) -> Cost:
        """Return what the networks of an answer cost, and the training of those they start from."""
        networks = [self.store.trained[share.path] for share in answer]
        starts = {trained.network.start for trained in networks} - {None, PROFILE}
        training = [self.store.trained[str(path)].cost for path in sorted(map(str, starts))]
        only = [replace(cost, n_models=0, params=0, inference_flops=0) for cost in training]
        return Cost.total([*(trained.cost for trained in networks), *only])

    def _report(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None and total:
            self.progress(stage, done, total)
