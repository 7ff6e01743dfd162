"""Fit a grouping and every control that is needed to judge it, with every learner; score them; plan."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from taskgroup._artifact import file_hash, write_json
from taskgroup._lock import writing
from taskgroup._validation import check_choice, check_int, check_type
from taskgroup.arms import DEFAULT_ARMS, Answers, Question, make_arms
from taskgroup.callbacks import Callback
from taskgroup.data import TaskTable
from taskgroup.exceptions import InvalidInputError
from taskgroup.experiment._executors import Executor, workers
from taskgroup.experiment._experiment import Experiment, Progress
from taskgroup.experiment._folds import Folds, make_folds
from taskgroup.experiment._lineup import line_up, make_learners
from taskgroup.experiment._serve import Plan
from taskgroup.experiment._store import Store
from taskgroup.experiment._work import Material
from taskgroup.grouping import Grouping
from taskgroup.learners import Examples, Packed
from taskgroup.plan import PlanChoice, Rule, foretold, judge
from taskgroup.scoring import Average, MetricChoice, Objective, Scorecard, TaskWeights

__all__ = ["RetrainResult", "retrain"]


@dataclass(frozen=True, eq=False)
class RetrainResult:
    """Scores of every method, the plan that follows, what everything cost, and the answers behind them.

    Parameters
    ----------
    scorecard : Scorecard
        Metrics of every task, method, seed and split: "honest" rows and "test" rows. The plan is one of the methods.
    plan : PlanChoice
        What should serve each task, and the answer in words.
    ledger : dict
        {"methods": {method: costs of one seed}, "left_out": {method: reason}, "failed": {method: reason}, "tuned",
        "folds", "foretold": expected beside realised gains, see :func:`taskgroup.plan.foretold`}.
    predictions : dict
        {split: {method: {seed: packed outputs}}}; random-groups has a leading axis of draws.
    folds : Folds
        Which rows the "honest" answers are for.
    run_dir : Path
        Where its files are; of a result without a run directory of its own they go with it.
    own : object, optional
        What only you can make again, see :meth:`Plan.load`.
    """

    scorecard: Scorecard
    plan: PlanChoice
    ledger: Mapping[str, Any]
    predictions: Mapping[str, Mapping[str, Mapping[int | str, Packed]]]
    folds: Folds
    run_dir: Path
    own: Any = None
    _temporary: Any = None

    @cached_property
    def serving(self) -> Plan:
        """The models of the plan, loaded when they are first asked for."""
        return Plan.load(self.run_dir, own=self.own)

    def predict(self, X: Any) -> dict[str, NDArray[Any]]:
        """Return {task: name of the class of every row, or predicted value (n,)}, see :meth:`Plan.labels`."""
        return self.serving.labels(X)

    def predict_proba(self, X: Any) -> dict[str, NDArray[np.float32]]:
        """Return {task: probabilities or values}, see :meth:`Plan.predict_proba`."""
        return self.serving.predict_proba(X)

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the page of the run directory, at `path` too where that is given, and return where it is."""
        from taskgroup.report import write_report  # loads what draws, which workers need not

        page = write_report(self.run_dir)
        return page if path is None else Path(shutil.copyfile(page, path))

    def save(self, run_dir: str | os.PathLike[str]) -> None:
        """Write scores.csv, scores.json, ledger.json and plan.json, atomically; models are where they were fitted."""
        folder = Path(run_dir)
        self.scorecard.to_csv(folder / "scores.csv")
        self.scorecard.to_json(folder / "scores.json")
        write_json(folder / "ledger.json", "ledger", self.ledger)
        self.plan.save(folder / "plan.json")

    def __repr__(self) -> str:
        return f"RetrainResult({len(self.scorecard.methods)} methods; {self.plan.verdict:.600})"

    def _repr_html_(self) -> str:
        return self.plan._repr_html_() + self.scorecard._repr_html_()


def retrain(
    table: TaskTable,
    grouping: Grouping,
    *,
    learners: Any = "auto",
    arch: str | Sequence[str] = (),
    encoder: str | Callable[[], Any] | None = None,
    arms: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    seeds: int = 1,
    folds: int | Literal["auto"] = "auto",
    draws: int = 3,
    answers: Answers = "best",
    plan: Rule = "best",
    max_models: int | None = None,
    metric: MetricChoice = None,
    task_weights: TaskWeights = None,
    average: Average = "macro",
    random_state: int = 0,
    jobs: int = 1,
    executor: Executor | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
) -> RetrainResult:
    """Return how the grouping fares against every control, whatever is trained, and what should serve each task.

    Every learner is fitted with every arm: all tasks in one model, a model per task, our groups, random groups of the
    same sizes, groups by correlation of the labels. Choices are made on honest answers, of models that were not fitted
    to the rows they answer for; the test rows take part in nothing but the scores.

    Parameters
    ----------
    table : TaskTable
        The tasks.
    grouping : Grouping
        Of the table's tasks, hard or soft.
    learners : str, Learner, estimator, or a sequence of them
        Names of :data:`taskgroup.learners.LEARNERS`, "auto", learners, scikit-learn estimators, or "module:name" of an
        estimator or of what makes one.
    arch : str or sequence of str
        Architectures of networks, which are added to the learners; "shared-bottom" is there already, as "nets".
    encoder : str or callable, optional
        First layers of all networks, see :func:`taskgroup.models.build_model`.
    arms : sequence of str, optional
        Names of :data:`taskgroup.arms.ARMS`; those of :data:`taskgroup.arms.DEFAULT_ARMS` that are worth their cost
        when left out.
    methods : sequence of str, optional
        Of ``<learner>/<arm>``, those to fit, by name or glob.
    options : dict, optional
        {learner: its options}, for learners given by name.
    seeds : int
        Repetitions of learners that depend on luck, as networks do. The models of the folds are an ensemble already;
        more seeds tell how much a method changes when it is trained again.
    folds : int or "auto"
        See :func:`taskgroup.experiment.make_folds`.
    draws : int
        Random groupings of the same sizes.
    answers : {"best", "mean"}
        Who answers for a task of several groups: its best group, or all by membership (STG-MTL's rule).
    plan : str
        How the plan is chosen, see :func:`taskgroup.plan.make_plan`.
    max_models : int, optional
        The most models that the plan may serve.
    metric, task_weights, average
        What the plan is chosen and everything is compared by, see :func:`taskgroup.scoring.score`.
    random_state : int
        The same number gives the same result, whoever runs the work.
    jobs : int
        Local processes, one thread each.
    executor : Executor, optional
        Anything with ``submit``, instead of `jobs`.
    out : path-like, optional
        Run directory: finished units of work are kept there at once, and the result in the end. Without it files are
        kept for as long as the result is.
    resume : bool
        Go on in `out`; refuse when it was made with other inputs.
    progress : callable, optional
        Called as ``progress(stage, models done, models)``.
    callbacks : sequence of Callback
        Told of settings and groups, of every unit of work that is fitted, and of scores and plan.

    Raises
    ------
    InvalidInputError
        When the grouping is not one of the table's tasks, or an argument breaks its rule.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(90, 3))
    >>> table = TaskTable.from_arrays(X, np.c_[X[:, 0] > 0, X[:, 0] > 0.2, X[:, 1] > 0], ["a", "b", "c"])
    >>> grouping = Grouping.from_labels(table.tasks, [0, 0, 1])
    >>> result = retrain(table, grouping, learners="linear", folds=2)
    >>> result.plan.methods_in_use
    ['linear/per-task']
    >>> {task: labels.tolist() for task, labels in result.predict([[2.0, -2.0, 0.0]]).items()}
    {'a': ['1'], 'b': ['1'], 'c': ['0']}
    """
    check_type("table", table, TaskTable, "Make one with `taskgroup.load_table`.")
    check_type("grouping", grouping, Grouping, "Make one with `taskgroup.group_tasks`.")
    for name, value in (("seeds", seeds), ("draws", draws), ("jobs", jobs)):
        check_int(name, value, low=1)
    check_int("random_state", random_state, low=0)
    check_choice("answers", answers, ("best", "mean"))
    _check_inputs(table, grouping)
    Objective.of(table.tasks, metric, task_weights, average)  # refuses before hours of work, not after
    examples, held_out = Examples.from_table(table), make_folds(table, folds, random_state)
    material = Material(examples, held_out, table.rows("test"))
    made = make_arms(arms or DEFAULT_ARMS, Question(table, grouping, draws, random_state))
    chosen = make_learners(learners, options or {}, arch, encoder)
    lineup, left_out = line_up(chosen, made, examples, asked_arms=arms is not None, methods=methods, seeds=seeds)
    for callback in callbacks:
        callback.on_step(
            "retrain",
            {"learners": list(chosen), "methods": [method.name for method in lineup], "seeds": seeds,
             "folds": held_out.n_folds, "draws": draws, "answers": answers, "plan": plan, "random_state": random_state,
             "table": table.name, "n_rows": len(held_out.rows), "out": None if out is None else os.fspath(out)},
        )  # fmt: skip
        callback.on_grouping(grouping)
    temporary = _Temporary() if out is None else None
    folder = temporary.path if temporary is not None else Path(os.fspath(out or ""))
    with ExitStack() as stack:
        if out is not None:
            stack.enter_context(writing(out))
        store = Store(folder / "models", resume=resume)
        with workers(material, jobs, executor) as run_all:
            work = Experiment(material, chosen, lineup, store, run_all, answers, random_state, progress, callbacks)
            work.run()
        if not work.scored:
            name, reason = next(iter(work.failed.items()))
            raise InvalidInputError(f"every method failed; {name}: {reason}")
        predictions = {"honest": work.predictions("honest"), "test": work.predictions("test")}
        ledger = _ledger(work, left_out)
        served = {method.name: work.served(method) for method in work.scored}
        targets = {"honest": table.Y[held_out.honest], "test": table.targets("test")}
        mass = table.label_weights
        weights = None if mass is None else {"honest": mass[held_out.honest], "test": mass[table.rows("test")]}
        card, choice, extended = judge(
            targets, predictions, tasks=table.tasks, arms={m.name: m.arm.role for m in work.scored}, rule=plan,
            costs=ledger["methods"], max_models=max_models, isolated=grouping.isolated,
            n_groups=grouping.n_groups, metric=metric, task_weights=task_weights, average=average,
            sample_weight=weights, random_state=random_state,
        )  # fmt: skip
        ledger["foretold"] = foretold(card, (grouping.info.get("gain") or {}).get("expected") or {})
        own = None if isinstance(encoder, str) else encoder
        result = RetrainResult(card, choice, ledger, extended, held_out, folder, own, temporary)
        result.save(folder)
        grouping.save(folder / "grouping.json")
        _write_serving(folder / "models", table, served, choice)
    for callback in callbacks:
        callback.on_result(card, choice)
    return result


class _Temporary:
    """A folder that goes with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="taskgroup-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _ledger(work: Experiment, left_out: Mapping[str, str]) -> dict[str, Any]:
    """Return what every method cost, what was tuned, and what was left out or failed."""
    methods = {}
    for method in work.scored:
        cost = work.cost(method)
        methods[method.name] = {
            **cost.to_dict(),
            "inference_flops_per_task": cost.inference_flops / len(work.material.examples.tasks),
            "groups": [list(part.tasks) for part in method.arm.parts(0, soft=False)],
        }
    folds = work.material.folds
    return {
        "methods": methods,
        "left_out": dict(left_out),
        "failed": dict(work.failed),
        "tuned": work.tuned,
        "folds": {"n_folds": folds.n_folds, "n_honest": len(folds.honest), "n_development": len(folds.rows)},
    }


def _write_serving(
    folder: Path, table: TaskTable, served: Mapping[str, Sequence[Mapping[str, Any]]], choice: PlanChoice
) -> None:
    """Write what a fresh process needs to answer: the tasks, what inputs look like, and the models of every method."""
    used = {name: served[name] for name in choice.methods_in_use}
    paths = {path: folder / f"{path}.safetensors" for rows in used.values() for path in (row["path"] for row in rows)}
    files = {path: {"sha256": file_hash(file), "bytes": file.stat().st_size} for path, file in paths.items()}
    write_json(
        folder / "serving.json", "serving",
        {"tasks": table.tasks.to_list(), "schema": table.schema.to_dict(), "methods": used, "files": files},
    )  # fmt: skip


def _check_inputs(table: TaskTable, grouping: Grouping) -> None:
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
