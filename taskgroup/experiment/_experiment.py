"""Running an experiment: every arm with every learner, what depends on nothing first, then what starts from that."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from taskgroup._artifact import content_hash, result_versions
from taskgroup.arms import Answers, Arm, Part
from taskgroup.callbacks import Callback
from taskgroup.cost import Cost
from taskgroup.experiment._executors import Lost, RunAll
from taskgroup.experiment._store import Store
from taskgroup.experiment._work import Material, Result, Unit, run_unit, tune_unit
from taskgroup.learners import Learner, Order, Packed
from taskgroup.tasks import TaskSet

__all__ = ["Experiment", "Method"]

Progress = Callable[[str, int, int], None]

_TUNED = 12  # models of an arm that tuning looks at
_LEVEL = 30  # rows of a fold at which its mean says something


@dataclass(frozen=True, eq=False)
class Method:
    """A learner with an arm."""

    name: str  # <learner>/<arm>
    learner_name: str
    arm: Arm
    seeds: tuple[int, ...]
    scored: bool = True  # False: others only start from it


@dataclass(frozen=True, eq=False)
class _Piece:
    """A unit, and what its models give to the answers of a method."""

    unit: Unit
    parts: tuple[Part, ...]
    method: Method
    seed: int
    draw: int


@dataclass(eq=False)
class Experiment:
    """Fits the units of all methods and answers with them.

    Parameters
    ----------
    material : Material
        Rows and folds.
    learners : dict
        {name: learner}.
    methods : list of Method
        What to fit.
    store : Store
        Where finished units are kept.
    run_all : callable
        Runs units.
    answers : {"best", "mean"}
        Who answers for a task of several groups.
    random_state : int
        Seed of everything.
    progress : callable, optional
        Called as ``progress(stage, models done, models)``.
    callbacks : sequence of Callback
        Told of every unit that is fitted.
    """

    material: Material
    learners: Mapping[str, Learner]
    methods: list[Method]
    store: Store
    run_all: RunAll
    answers: Answers = "best"
    random_state: int = 0
    progress: Progress | None = None
    callbacks: Sequence[Callback] = ()
    failed: dict[str, str] = field(default_factory=dict)
    tuned: dict[str, dict[str, Any]] = field(default_factory=dict)
    _pieces: dict[str, list[_Piece]] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    _results: dict[str, Result] = field(default_factory=dict)  # without models

    def run(self) -> None:
        """Tune and fit everything that is not in the store."""
        folds, examples = self.material.folds, self.material.examples
        self._hash = content_hash(
            result_versions(), examples.schema.to_dict(), examples.inputs.raw, examples.Y, examples.tasks.to_list(),
            folds.rows, folds.fold, self.material.test,
            *(() if examples.weights is None else (np.ascontiguousarray(examples.weights),)),
        )  # fmt: skip
        tuned = self._tune()
        for method in self.methods:
            self._pieces[method.name] = list(self._make_pieces(method, tuned[method.name]))
        pieces = [piece for some in self._pieces.values() for piece in some]
        self._fit("fits", [piece for piece in pieces if piece.unit.start is None])
        self._fit("groups", [piece for piece in pieces if piece.unit.start is not None])

    @property
    def scored(self) -> list[Method]:
        """The methods that were fitted without failing, in order."""
        return [method for method in self.methods if method.scored and method.name not in self.failed]

    def predictions(self, rows: Literal["honest", "test"]) -> dict[str, dict[int | str, Packed]]:
        """Return {method: {seed: packed outputs}}; an arm of several draws has a leading axis of draws."""
        return {
            method.name: {
                seed: np.stack(draws) if len(draws) > 1 else draws[0]
                for seed in method.seeds
                for draws in [[self._combined(method, seed, draw, rows) for draw in range(len(method.arm.draws))]]
            }
            for method in self.scored
        }

    def cost(self, method: Method) -> Cost:
        """Return what one seed of a method costs, on average; the models of folds that only judge count in training."""
        total, start_paths = Cost(), set()
        for piece in self._pieces[method.name]:
            costs = Cost.total(self._results[piece.unit.path].costs)
            total += costs if piece.unit.serves else _training_only(costs)
            start_paths.add(piece.unit.start)
        for starts in self._pieces.values():
            for piece in starts:
                if piece.unit.path in start_paths:
                    total += _training_only(Cost.total(self._results[piece.unit.path].costs))
        return total.over(len(method.seeds) * len(method.arm.draws))

    def served(self, method: Method) -> list[dict[str, Any]]:
        """Return the models that answer for new rows: {"path", "model", "weights": {task: weight}} each."""
        rows: list[dict[str, Any]] = []
        total = dict.fromkeys(self.material.examples.tasks.names, 0.0)
        for piece in self._pieces[method.name]:
            if piece.unit.serves and piece.draw == 0:
                for m, part in enumerate(piece.parts):
                    rows.append({"path": piece.unit.path, "model": m, "weights": dict(part.answers)})
                    for name, weight in part.answers.items():
                        total[name] += weight
        for row in rows:
            row["weights"] = {name: weight / total[name] for name, weight in row["weights"].items()}
        return rows

    def _tune(self) -> dict[str, Learner]:
        """Return the learner of every method with tuned options; arms that share a tuning share the trial."""
        chosen: dict[str, Learner] = {}
        wanted: dict[tuple[str, str], Unit] = {}
        arm_of = {(method.learner_name, method.arm.name): method for method in self.methods}
        for method in self.methods:
            learner = self.learners[method.learner_name]
            arm = learner.tuned_on(method.arm.name)
            chosen[method.name] = learner
            model = arm_of.get((method.learner_name, arm or ""))
            if arm is not None and model is not None and (method.learner_name, arm) not in wanted:
                parts = model.arm.parts(0, soft=False)
                parts = parts[:: -(-len(parts) // _TUNED)]  # some of many models tell as much
                orders = self._orders(model, learner, 0, -1, 0, parts)
                unit = Unit(model.name, "tuning", learner, tuple(orders), 0, self._derive("rows", -1, 0))
                wanted[method.learner_name, arm] = unit
        keys = {pair: unit.key(self._hash, "tuning") for pair, unit in wanted.items()}
        new = [pair for pair, key in keys.items() if key not in self.store.tuned]
        lost: dict[str, dict[str, Any]] = {}
        results = self.run_all([(_tune_or_say, wanted[pair], None) for pair in new])
        self._report("tuning", len(wanted) - len(new), len(wanted))
        for number, pair in enumerate(new, 1):
            options = next(results)
            if isinstance(options, Lost):  # said of this run, not kept: another machine may be able to
                lost[keys[pair]] = {"failure": options.cause}
            else:
                self.store.note_tuned(keys[pair], options)
            self._report("tuning", len(wanted) - len(new) + number, len(wanted))
        for method in self.methods:
            pair = (method.learner_name, self.learners[method.learner_name].tuned_on(method.arm.name) or "")
            if pair in keys:
                options = {**self.store.tuned, **lost}[keys[pair]]
                if "failure" not in options:
                    chosen[method.name] = self.learners[method.learner_name].with_options(options)
                    self.tuned[method.name] = options
        return chosen

    def _make_pieces(self, method: Method, learner: Learner) -> Iterator[_Piece]:
        start_arm = learner.starts_from(method.arm.name)
        for seed in method.seeds:
            for fold, serves in self._fits_of(learner):
                for draw in range(len(method.arm.draws)):
                    parts = method.arm.parts(draw, soft=learner.weighs, answers=self.answers)
                    orders = self._orders(method, learner, draw, seed, fold, parts)
                    start = None
                    if start_arm is not None:
                        start = f"{method.learner_name}/{start_arm}/{_name(seed, fold, 0, 0)}"
                    n_chunks = -(-len(parts) // learner.bulk)
                    for c, chunk in enumerate(np.array_split(np.arange(len(parts)), n_chunks)):
                        unit = Unit(
                            method.name, _name(seed, fold, draw, c), learner, tuple(orders[i] for i in chunk), fold,
                            self._derive("rows", seed, "all" if fold is None else fold), start,
                            serves,
                        )  # fmt: skip
                        yield _Piece(unit, tuple(parts[i] for i in chunk), method, seed, draw)

    def _fits_of(self, learner: Learner) -> list[tuple[int | None, bool]]:
        """Return the folds that a learner is fitted without (None is all rows), and whether those models serve.

        The mean of the models of several folds answers for new rows: it is an ensemble that saw all of them. With one
        fold a learner that needs no rows to stop by is fitted again, on all rows.
        """
        folds = range(self.material.folds.n_folds)
        again = len(folds) == 1 and learner.refits
        return [*((fold, not again) for fold in folds), *([(None, True)] if again else [])]

    def _orders(
        self, method: Method, learner: Learner, draw: int, seed: int, fold: int | None, parts: Sequence[Part]
    ) -> list[Order]:
        words = (method.name, draw, seed, "all" if fold is None else fold)
        return [Order(part.tasks, self._derive(*words, g), part.weights, part.units) for g, part in enumerate(parts)]

    def _fit(self, stage: str, pieces: Sequence[_Piece]) -> None:
        total = sum(len(piece.unit.orders) for piece in pieces)
        done, jobs = 0, []
        for piece in pieces:
            unit = piece.unit
            start_key = None if unit.start is None else self._keys.get(unit.start)
            if unit.start is not None and start_key is None:
                self.failed.setdefault(unit.method, f"what it starts from, {unit.start}, has failed")
                continue
            key = unit.key(self._hash, start_key)
            if self.store.find(unit, key):
                self._keys[unit.path], self._results[unit.path] = key, self.store.get(unit)
                done += len(unit.orders)
            else:
                jobs.append((unit, key))
        self._report(stage, done, total)
        results = self.run_all(
            _Lazy([unit for unit, _ in jobs], lambda unit: None if unit.start is None else self.store.start(unit.start))
        )
        for (unit, key), result in zip(jobs, results, strict=True):
            if isinstance(result, Lost):
                self.failed.setdefault(unit.method, result.cause)
            elif result.failure:
                self.failed.setdefault(unit.method, result.failure)
            else:
                self.store.put(unit, key, result)
                self._keys[unit.path], self._results[unit.path] = key, replace(result, models=[])
            done += len(unit.orders)
            self._report(stage, done, total)
            if key == self._keys.get(unit.path):
                for callback in self.callbacks:
                    callback.on_unit(unit.path, Cost.total(result.costs), done, total)

    def _combined(self, method: Method, seed: int, draw: int, rows: Literal["honest", "test"]) -> Packed:
        """Return the packed outputs (n, n_outputs) of one repetition on the honest or on the test rows."""
        tasks, folds = self.material.examples.tasks, self.material.folds
        fold_of = folds.fold[folds.fold >= 0]
        n_rows = len(fold_of) if rows == "honest" else len(self.material.test)
        packed = np.zeros((n_rows, tasks.n_outputs), np.float32)
        shares = np.zeros((n_rows, tasks.n_outputs), np.float32)
        for piece in self._pieces[method.name]:
            if (piece.seed, piece.draw) != (seed, draw):
                continue
            result = self._results[piece.unit.path]
            outputs = result.honest if rows == "honest" else result.test
            where = slice(None) if rows == "test" else fold_of == piece.unit.fold
            for part, own in zip(piece.parts, outputs, strict=False):
                _add(packed, shares, where, tasks, part, own)
        packed /= shares
        return _level(packed, fold_of, tasks) if rows == "honest" else packed

    def _report(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None and total:
            self.progress(stage, done, total)

    def _derive(self, *words: str | int) -> int:
        """Return a seed that depends on the words and `random_state` alone."""
        codes = [zlib.crc32(str(word).encode()) for word in words]
        high, low = np.random.SeedSequence([self.random_state, *codes]).generate_state(2)
        return int(high) << 31 | int(low) >> 1


class _Lazy(Sequence[Any]):
    """Jobs whose starts are read when the job is handed over, so that not all of them are in memory at once."""

    def __init__(self, units: Sequence[Unit], start: Callable[[Unit], Any]) -> None:
        self.units, self.start = units, start

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, index: Any) -> Any:
        return (run_unit, self.units[index], self.start(self.units[index]))


def _tune_or_say(unit: Unit, material: Material) -> dict[str, Any]:
    """Return the options that tuning chose, or why it could not."""
    try:
        return tune_unit(unit, material).options()
    except Exception as error:
        return {"failure": f"{type(error).__name__}: {error}"}


def _add(packed: Packed, shares: Packed, where: Any, tasks: TaskSet, part: Part, own: Packed) -> None:
    """Add a model's weighted outputs for the tasks that it answers for, and the weights."""
    within = tasks.select(part.tasks)
    columns = tasks.output_columns(part.answers)
    weights = [weight for name, weight in part.answers.items() for _ in tasks.output_columns([name])]
    rows = np.arange(len(packed))[where]
    packed[np.ix_(rows, columns)] += own[:, within.output_columns(part.answers)] * np.array(weights, np.float32)
    shares[np.ix_(rows, columns)] += np.array(weights, np.float32)


def _level(packed: Packed, fold_of: np.ndarray[Any, Any], tasks: TaskSet) -> Packed:
    """Return honest outputs with the mean of every fold moved to the mean of all, for classification.

    Models of different folds differ by a constant that is luck; rows of different folds are compared with each other by
    ranking metrics, and for models of small spread that constant would decide (strongly shrunk logistic regressions
    seem .02 of AUC worse than they are). Rows are dealt to folds at random, so that means differ by little else.
    """
    names = [task.name for task in tasks if task.kind != "regression"]
    columns = np.array(tasks.output_columns(names), np.int64)
    mean = packed[:, columns].mean(0, dtype=np.float64)
    for fold in np.unique(fold_of):
        rows = np.flatnonzero(fold_of == fold)
        if len(rows) >= _LEVEL:
            where = np.ix_(rows, columns)
            packed[where] += (mean - packed[where].mean(0, dtype=np.float64)).astype(np.float32)
    return packed


def _training_only(cost: Cost) -> Cost:
    return replace(cost, n_models=0, params=0, bytes=0, inference_flops=0)


def _name(seed: int, fold: int | None, draw: int, chunk: int) -> str:
    """Return the name of a unit.

    >>> _name(0, 2, 0, 1), _name(0, None, 0, 0)
    ('s0-f2-d0-p1', 's0-all-d0-p0')
    """
    return f"s{seed}-" + ("all" if fold is None else f"f{fold}") + f"-d{draw}-p{chunk}"
