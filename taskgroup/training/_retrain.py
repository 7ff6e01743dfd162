"""Fit a grouping and every control that is needed to judge it, on the same rows and seeds; score them; plan.

The order of work: what depends on nothing (single-task, all-in-one and linear models), then the networks that start
from all-in-one networks (groups, random groups), then as many further members of the ensembles as the groups' training
operations pay for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from taskgroup._artifact import write_json
from taskgroup._validation import check_choice, check_int
from taskgroup.data import TaskTable
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import Grouping
from taskgroup.models import ARCHITECTURES
from taskgroup.scoring import PlanChoice, Scorecard, judge
from taskgroup.training._bench import Bench
from taskgroup.training._data import TrainingData
from taskgroup.training._executors import Executor, workers
from taskgroup.training._methods import FAMILIES, METHODS, Design, Packed
from taskgroup.training._network import MakeEncoder
from taskgroup.training._profile import Profile, Progress
from taskgroup.training._settings import FitSettings, Recipe
from taskgroup.training._store import Store
from taskgroup.training._tuning import CANDIDATES

__all__ = ["RetrainResult", "retrain"]

_ADDS = {"task": ("grouped",), "group": ("units",), "both": ("grouped", "units")}  # methods of an architecture


@dataclass(frozen=True, eq=False)
class RetrainResult:
    """Scores of every method, the plan that follows, what everything cost, and the networks.

    Parameters
    ----------
    scorecard : Scorecard
        Metrics of every task, method, seed and split.
    plan : PlanChoice
        Which method should serve each task, and the verdict.
    ledger : dict
        {"methods": {method: costs of one seed, on average}, "profile": costs and share of one all-in-one training}.
    predictions : dict
        {split: {method: {seed: packed outputs}}}; random-groups has a leading axis of draws.
    """

    scorecard: Scorecard
    plan: PlanChoice
    ledger: Mapping[str, Any]
    predictions: Mapping[str, Mapping[str, Mapping[int | str, Packed]]]
    _bench: Bench

    def save(self, run_dir: str | os.PathLike[str]) -> None:
        """Write scores.csv, scores.json, plan.json, ledger.json and the networks below ``models/``, atomically."""
        folder = Path(run_dir)
        self._bench.save(folder / "models")
        self.scorecard.to_csv(folder / "scores.csv")
        self.scorecard.to_json(folder / "scores.json")
        write_json(folder / "ledger.json", "ledger", self.ledger)
        self.plan.save(folder / "plan.json")


def retrain(
    table: TaskTable,
    grouping: Grouping,
    *,
    profile: Profile | None = None,
    arch: str | Sequence[str] = "shared-bottom",
    units: Literal["task", "group", "both"] = "task",
    encoder: str | MakeEncoder = "auto",
    seeds: int = 3,
    random_state: int = 0,
    hidden: Sequence[int] | None = None,
    dropout: float | None = None,
    settings: FitSettings | None = None,
    members: int = 3,
    start: Literal["members", "profile", "scratch"] = "members",
    soft: Literal["best", "mean"] = "best",
    shared_layers: int = 0,
    draws: int = 3,
    tune: int = 3,
    jobs: int = 1,
    executor: Executor | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    methods: Sequence[str] | None = None,
    max_models: int | None = None,
    max_flops: float | None = None,
    progress: Progress | None = None,
) -> RetrainResult:
    """Return how the grouping fares against every control, and which method should serve each task.

    Parameters
    ----------
    table : TaskTable
        The tasks.
    grouping : Grouping
        Of the table's tasks, hard or soft.
    profile : Profile, optional
        For ``start="profile"``, and for the ledger.
    arch : str or sequence of str
        Architectures. Each one but "shared-bottom" adds methods of its own, see `units`.
    units : {"task", "group", "both"}
        "task" fits one model per group, whose units are its tasks (``grouped:<arch>``); "group" fits one model for all
        tasks, whose units are the groups (``units:<arch>``).
    encoder : {"auto", "mlp", "fields"} or callable
        See :func:`taskgroup.models.build_model`.
    seeds : int
        Repetitions of everything but the linear models.
    random_state : int
        The same number gives the same result, whoever runs the work.
    hidden, dropout
        Of every network; the profile's when groups start from it.
    settings : FitSettings, optional
        Epochs, patience, batch size, learning rate of every network.
    members : int
        All-in-one networks that are specialised to the groups; their logits are averaged.
    start : {"members", "profile", "scratch"}
        Where the groups' networks start. With "members" and "profile" the start counts as epoch 0, so that on
        validation data a group is never worse than what it started from.
    soft : {"best", "mean"}
        Who answers for a task of several groups: its best group, or all by membership (STG-MTL's rule).
    shared_layers : int
        Hidden layers, from the input, that all groups share: group networks keep those of the all-in-one network that
        they start from and learn the rest, a branch for each group.
    draws : int
        Random groupings of the same sizes.
    tune : int
        Candidates of learning rate, dropout and width that are tried, on validation data, for each family of networks:
        single-task, all-in-one with all that starts from it, wide. 1 takes everything as given. With
        ``start="profile"`` the all-in-one recipe is the profile's.
    jobs : int
        Local processes, one thread each.
    executor : Executor, optional
        Anything with ``submit``, instead of `jobs`.
    out : path-like, optional
        Run directory: finished units of work are kept there at once, and the result in the end.
    resume : bool
        Go on in `out`; refuse when it was made with other inputs.
    methods : sequence of str, optional
        Some of :data:`METHODS`; all of them when left out.
    max_models, max_flops
        Budget of the plan, see :func:`taskgroup.scoring.make_plan`.
    progress : callable, optional
        Called as ``progress(stage, networks done, networks)``.

    Raises
    ------
    InvalidInputError
        When the grouping is not one of the table's tasks, or an argument breaks its rule.

    Notes
    -----
    Defaults were chosen on validation scores of development seeds (``python -m benchmarks.fitting``), here with the
    training operations of one seed in 10^9:

    ============================  ============  ===========  ===========
    grouped                       digits        mix          yeast
    ============================  ============  ===========  ===========
    from scratch                  .9437  (22)   .6873  (22)  .6898   (3)
    from scratch, 3 members       .9456  (63)   .7049  (67)  .6878  (10)
    warm                          .9452  (12)   .7038  (23)  .6936   (4)
    warm from the profile         .9466  (13)   .7091  (16)  .6992   (2)
    warm, 3 members (default)     .9485  (40)   .7152  (67)  .6985  (11)
    warm, 5 members               .9493  (66)   .7175 (110)  .7039  (18)
    ... 3, half as wide           .9416  (18)   .7202  (39)  .7019   (5)
    ... 3, twice as wide          .9528  (94)   .7063 (122)  .7075  (29)
    ... 3, first layer shared     .9474  (34)   .6979  (49)  .6979   (9)
    soft, best group answers      .9474  (42)   .7048  (67)  .6979   (9)
    soft, all by membership       .9473  (42)   .7074  (67)  .6980  (11)
    ensemble of all-in-one        .9430  (43)   .6960  (60)  .7033  (11)
    ============================  ============  ===========  ===========

    Warm beats scratch and three warm members beat one on every set; two more gain .001 to .005 for two thirds more
    operations. Which width is best depends on the set: a fourth candidate of `tune` is the first that is wider.
    """
    make_encoder = None if isinstance(encoder, str) else encoder
    recipe = _recipe(profile if start == "profile" else None, hidden, dropout, settings)
    design = Design(
        table.tasks,
        recipes=dict.fromkeys(FAMILIES, recipe),
        members=check_int("members", members, low=1),
        start=check_choice("start", start, ("members", "profile", "scratch")),
        soft=check_choice("soft", soft, ("best", "mean")),
        shared_layers=check_int("shared_layers", shared_layers, low=0, high=len(recipe.hidden)),
        encoder=encoder if isinstance(encoder, str) else "custom",
        random_state=check_int("random_state", random_state, low=0),
    )
    check_int("seeds", seeds, low=1)
    check_int("draws", draws, low=1)
    check_int("jobs", jobs, low=1)
    check_int("tune", tune, low=1, high=len(CANDIDATES))
    _check_inputs(table, grouping, profile, start)
    archs = [arch] if isinstance(arch, str) else list(arch)
    wanted = _wanted(methods, archs, check_choice("units", units, tuple(_ADDS)), grouping)
    data = TrainingData.from_table(table)
    store = Store(None if out is None else Path(out) / "models", resume=resume)
    with workers(data, make_encoder, jobs, executor) as run_all:
        bench = Bench(table, data, design, store, run_all, make_encoder, progress)
        bench.run(wanted, grouping, range(seeds), draws=draws, n_candidates=tune, profile=profile)
    predictions = {split: bench.predictions(split) for split in ("valid", "test")}
    ledger = bench.ledger(profile)
    card, plan = judge(
        {split: table.targets(split) for split in ("valid", "test")}, predictions,
        tasks=table.tasks, costs=ledger["methods"], isolated=grouping.isolated,
        max_models=max_models, max_flops=max_flops, random_state=random_state,
    )  # fmt: skip
    result = RetrainResult(card, plan, ledger, predictions, bench)
    if out is not None:
        result.save(out)
    return result


def _recipe(
    profile: Profile | None, hidden: Sequence[int] | None, dropout: float | None, settings: FitSettings | None
) -> Recipe:
    given = Recipe() if profile is None else Recipe(profile.network.hidden, profile.network.dropout)
    return Recipe(
        given.hidden if hidden is None else tuple(hidden),
        given.dropout if dropout is None else dropout,
        given.settings if settings is None else settings,
    )


def _wanted(methods: Sequence[str] | None, archs: Sequence[str], units: str, grouping: Grouping) -> list[str]:
    """Return the methods to fit; one group leaves nothing to deal at random or to find from labels."""
    idle = ("random-groups", "label-groups") if grouping.n_groups == 1 else ()
    if methods is None:
        chosen = [name for name in METHODS if name not in idle]
    else:
        chosen = [check_choice("methods", name, METHODS) for name in dict.fromkeys(methods)]
    for arch in archs:
        check_choice("arch", arch, tuple(ARCHITECTURES))
        if arch != "shared-bottom":
            chosen += [f"{added}:{arch}" for added in _ADDS[units]]
    return chosen


def _check_inputs(table: TaskTable, grouping: Grouping, profile: Profile | None, start: str) -> None:
    if grouping.tasks.names != table.tasks.names:
        odd = next((name for name in grouping.tasks.names if name not in table.tasks.names), "in another order")
        raise InvalidInputError(
            f"`grouping` must be one of the table's {len(table.tasks)} tasks, in the same order; got "
            f"{len(grouping.tasks)} tasks ({odd}). Cluster this table's profile."
        )
    unusable = table.degenerate_tasks()
    if unusable:
        name, reason = next(iter(unusable.items()))
        raise InvalidInputError(f"task {name!r} cannot be learned: {reason}. Leave it out with `table.select`.")
    if start == "profile" and profile is None:
        raise InvalidInputError('`start="profile"` needs a `profile`; got None. Give one, or use start="members".')
