"""The plan at work: the chosen models of a run directory, of whatever learners, answer for new samples."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from taskgroup._artifact import artefact, file_hash, read_json
from taskgroup._validation import check_finite, check_matrix
from taskgroup.data import InputSchema, read_inputs
from taskgroup.exceptions import ArtifactError
from taskgroup.experiment._store import read_models
from taskgroup.learners import Context, Fitted, Inputs, Packed, Saved, learner_class
from taskgroup.plan import PlanChoice
from taskgroup.tasks import TaskSet

__all__ = ["Plan"]


@dataclass(frozen=True, eq=False)
class _Share:
    """A model, and what its answers weigh in a method's answers: {task: weight}."""

    model: Fitted
    weights: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Plan:
    """The models that serve every task, loaded with :meth:`load`.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    schema : InputSchema
        What inputs must look like.
    choice : PlanChoice
        The weights of the methods for every task, and the answer.
    methods : dict
        {method: its models with their weights}, of the methods in use.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from taskgroup import Grouping, TaskTable, retrain
    >>> X = np.random.default_rng(0).normal(size=(90, 3))
    >>> table = TaskTable.from_arrays(X, X > 0, ["a", "b", "c"])
    >>> grouping = Grouping.from_labels(table.tasks, [0, 0, 1])
    >>> run = tempfile.TemporaryDirectory()
    >>> _ = retrain(table, grouping, learners="linear", folds=2, out=run.name)
    >>> plan = Plan.load(run.name)
    >>> plan.n_models, sorted(plan.predict_proba([[3.0, -3.0, 0.0]]))
    (6, ['a', 'b', 'c'])
    >>> plan.labels([[3.0, -3.0, 3.0]])["c"].tolist()
    ['1']
    >>> del plan  # its arrays lie in the files of the run
    >>> run.cleanup()
    """

    tasks: TaskSet
    schema: InputSchema
    choice: PlanChoice
    methods: Mapping[str, tuple[_Share, ...]]

    @classmethod
    def load(cls, run_dir: str | os.PathLike[str], *, own: Any = None, mapped: bool = True) -> Plan:
        """Return the plan of a finished run, read from its directory alone; nothing is unpickled.

        Parameters
        ----------
        run_dir : path-like
            Where :func:`~taskgroup.retrain` saved its result.
        own : object, optional
            What only you can make again: the encoder of networks that were trained with one of your own.
        mapped : bool
            Whether arrays stay in their files until they are needed; without, the files may go.

        Raises
        ------
        ArtifactError
            When a file is missing, damaged, or of another format or version, or does not fit the others.
        """
        folder = Path(run_dir)
        choice = PlanChoice.load(folder / "plan.json")
        serving = read_json(folder / "models" / "serving.json", "serving")
        with artefact(folder):
            return cls._of(folder, choice, serving, own, mapped)

    @classmethod
    def _of(cls, folder: Path, choice: PlanChoice, serving: Mapping[str, Any], own: Any, mapped: bool) -> Plan:
        tasks, schema = TaskSet.from_list(serving["tasks"]), InputSchema.from_dict(serving["schema"])
        if tuple(choice.tasks) != tasks.names:
            raise ArtifactError(f"{folder}: plan.json and models/serving.json hold different tasks; retrain again.")
        context = Context(tasks, schema, own)
        files: dict[str, list[Fitted]] = {}
        methods: dict[str, tuple[_Share, ...]] = {}
        for name in choice.methods_in_use:
            if name not in serving["methods"]:
                raise ArtifactError(f"{folder}: plan.json asks for {name!r}, which has no models; retrain again.")
            shares = []
            for row in serving["methods"][name]:
                if row["path"] not in files:
                    kind, saved = read_models(_own_file(folder, row["path"], serving["files"]))
                    if not mapped:
                        saved = [Saved({k: np.array(a) for k, a in one.arrays.items()}, one.document) for one in saved]
                    files[row["path"]] = [learner_class(kind).load(one, context) for one in saved]
                shares.append(_Share(files[row["path"]][row["model"]], row["weights"]))
            _check_answers(folder, name, shares, choice)
            methods[name] = tuple(shares)
        return cls(tasks, schema, choice, methods)

    def __repr__(self) -> str:
        return f"Plan({len(self.tasks):,} tasks, {self.n_models:,} models; {self.choice!r:.600})"

    def _repr_html_(self) -> str:
        return self.choice._repr_html_()

    @property
    def n_models(self) -> int:
        """Number of models in use."""
        return sum(len(shares) for shares in self.methods.values())

    def predict(self, X: Any) -> NDArray[np.float32]:
        """Return packed outputs (n, n_outputs), in task order, of raw inputs (n, d), a data frame or a file.

        A binary task has a logit, a multiclass task a logit per class, a regression task its value.

        Raises
        ------
        InvalidInputError
            When the inputs have another number of columns, or are infinite.
        """
        inputs = Inputs.of(self._rows(X), self.schema)
        return self.choice.blend({name: self._outputs(name, inputs) for name in self.methods}, self.tasks)

    def predict_proba(self, X: Any) -> dict[str, NDArray[np.float32]]:
        """Return {task: probability of the positive class (n,), of every class (n, C), or predicted value (n,)}."""
        packed = self.predict(X)
        found = {}
        for task in self.tasks:
            columns = packed[:, self.tasks.output_columns([task.name])]
            if task.kind == "multiclass":
                found[task.name] = softmax(columns, axis=1)
            else:
                found[task.name] = expit(columns[:, 0]) if task.kind == "binary" else columns[:, 0]
        return found

    def labels(self, X: Any) -> dict[str, NDArray[Any]]:
        """Return {task: name of the class of every row, or predicted value (n,)}.

        A binary task is positive from the probability that gave the largest F1 on honest answers.
        """
        found: dict[str, NDArray[Any]] = {}
        for name, values in self.predict_proba(X).items():
            task = self.tasks[self.tasks.index_of(name)]
            if task.kind == "regression":
                found[name] = values
                continue
            codes = values.argmax(1) if values.ndim == 2 else values >= self.choice.tasks[name].get("threshold", 0.5)
            found[name] = np.array(task.class_names)[codes.astype(int)]
        return found

    def _rows(self, X: Any) -> NDArray[Any]:
        """Return raw inputs (n, d) of an array, or of a file or data frame whose columns have the names of training."""
        if isinstance(X, (str, os.PathLike)) or hasattr(X, "columns"):
            return read_inputs(X, self.schema).X
        raw = check_matrix("X", X, (None, self.schema.n_features), self.schema.dtype)
        check_finite("X", raw, self.schema.feature_names, missing=True)
        return raw

    def _outputs(self, method: str, inputs: Inputs) -> Packed:
        packed = np.zeros((len(inputs), self.tasks.n_outputs), np.float32)
        answers: dict[int, Packed] = {}
        for share in self.methods[method]:
            if id(share.model) not in answers:
                answers[id(share.model)] = share.model.outputs(inputs)
            own = self.tasks.select(share.model.tasks)
            weights = [w for name, w in share.weights.items() for _ in self.tasks.output_columns([name])]
            columns = self.tasks.output_columns(share.weights)
            packed[:, columns] += answers[id(share.model)][:, own.output_columns(share.weights)] * np.array(
                weights, np.float32
            )
        return packed


def _own_file(folder: Path, name: str, files: Mapping[str, Mapping[str, Any]]) -> Path:
    """Return the file of some models after checking that it is the one that the run wrote."""
    path = folder / "models" / f"{name}.safetensors"
    if ".." in path.parts or os.path.isabs(name):
        raise ArtifactError(f"{folder}: models/serving.json names {name!r}, which is not in the run directory.")
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file; retrain again.")
    known = files.get(name)
    if known is None or path.stat().st_size != known["bytes"] or file_hash(path) != known["sha256"]:
        raise ArtifactError(f"{path}: is not the file that models/serving.json is about; retrain again.")
    return path


def _check_answers(folder: Path, method: str, shares: Sequence[_Share], choice: PlanChoice) -> None:
    """Raise unless models of a method answer for every task that the plan uses it for, with weights summing to 1."""
    total: dict[str, float] = {}
    for share in shares:
        for task, weight in share.weights.items():
            if task not in share.model.tasks or weight < 0:
                raise ArtifactError(f"{folder}: a model of {method!r} has no answer for task {task!r}; retrain again.")
            total[task] = total.get(task, 0.0) + weight
    for task, row in choice.tasks.items():
        if row["weights"].get(method) and not abs(total.get(task, 0.0) - 1) < 1e-6:
            raise ArtifactError(
                f"{folder}: weights of the models of {method!r} for task {task!r} must sum to 1; got "
                f"{total.get(task, 0.0):g}; retrain again."
            )
