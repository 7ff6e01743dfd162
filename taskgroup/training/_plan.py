"""The plan at work: the chosen networks of a run directory answer for new samples."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax

from taskgroup._artifact import read_json
from taskgroup._validation import check_finite, check_matrix
from taskgroup.data import InputSchema
from taskgroup.models import MultiTaskModel
from taskgroup.scoring import PlanChoice
from taskgroup.tasks import TaskSet
from taskgroup.training._data import TargetScale, output_columns
from taskgroup.training._fit import predict
from taskgroup.training._methods import Answer, Share, combine
from taskgroup.training._network import MakeEncoder, load_network, load_state

__all__ = ["Plan"]

_SEED = 0  # the repetition whose networks are served


@dataclass(frozen=True, eq=False)
class Plan:
    """The networks that serve every task, loaded with :meth:`load`.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    schema : InputSchema
        What inputs must look like.
    choice : PlanChoice
        The method of every task, and the verdict.
    models : dict
        {path: model} of the networks in use.
    answer : tuple of Share
        What each network gives to which task.
    target_scale : TargetScale
        Puts regression outputs in the units of the targets.
    """

    tasks: TaskSet
    schema: InputSchema
    choice: PlanChoice
    models: Mapping[str, MultiTaskModel]
    answer: Answer
    target_scale: TargetScale

    @classmethod
    def load(cls, run_dir: str | os.PathLike[str], *, encoder: MakeEncoder | None = None) -> Plan:
        """Return the plan of a finished run, read from its directory alone.

        Parameters
        ----------
        run_dir : path-like
            Where :func:`~taskgroup.training.retrain` saved its result.
        encoder : callable, optional
            Makes the encoder, when the networks were trained with one of your own.

        Raises
        ------
        ArtifactError
            When a file is missing, damaged, or of another format or version.
        """
        folder = Path(run_dir) / "models"
        choice = PlanChoice.load(Path(run_dir) / "plan.json")
        inputs = read_json(folder / "inputs.json", "inputs")
        tasks, schema = TaskSet.from_list(inputs["tasks"]), InputSchema.from_dict(inputs["schema"])
        scale = TargetScale(*(np.array(inputs[name], np.float32) for name in ("target_mean", "target_scale")))
        answer = _chosen(folder, choice)
        models = {share.path: _load(folder, share.path, schema, tasks, encoder) for share in answer}
        return cls(tasks, schema, choice, models, answer, scale)

    @property
    def n_models(self) -> int:
        """Number of networks in use, each of which passes over an input once."""
        return len(self.models)

    def predict(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return packed outputs (n, n_outputs), in task order, of raw inputs (n, d).

        A binary task has a logit, a multiclass task a logit per class, a regression task its value.

        Raises
        ------
        InvalidInputError
            When the inputs have another number of columns, or are infinite.
        """
        raw = check_matrix("X", X, (None, self.schema.n_features), np.float32)
        check_finite("X", raw, self.schema.feature_names, missing=True)
        inputs = torch.from_numpy(np.ascontiguousarray(self.schema.transform(raw)))
        outputs = {path: (model.tasks, predict(model, inputs).numpy()) for path, model in self.models.items()}
        packed = combine(self.tasks, self.answer, outputs)
        return self.target_scale.restore(packed)

    def predict_proba(self, X: ArrayLike) -> dict[str, NDArray[np.float32]]:
        """Return {task: probability of the positive class (n,), of every class (n, C), or predicted value (n,)}."""
        packed = self.predict(X)
        found = {}
        for task in self.tasks:
            columns = packed[:, output_columns(self.tasks, [task.name])]
            if task.kind == "multiclass":
                found[task.name] = softmax(columns, axis=1)
            else:
                found[task.name] = expit(columns[:, 0]) if task.kind == "binary" else columns[:, 0]
        return found


def _chosen(folder: Path, choice: PlanChoice) -> Answer:
    """Return the parts of the networks that serve a task, cut down to the tasks that they serve."""
    shares = []
    for method, names in choice.methods.items():
        document = read_json(folder / method / str(_SEED) / "answers.json", "answers")
        for row in document["draws"][0]:
            weights = {name: weight for name, weight in row["weights"].items() if name in names}
            if weights:
                shares.append(Share(row["path"], weights))
    return _merged(shares)


def _merged(shares: list[Share]) -> Answer:
    """Return the shares with one entry per network; methods serve different tasks, so that weights never clash."""
    merged: dict[str, dict[str, float]] = {}
    for share in shares:
        merged.setdefault(share.path, {}).update(share.weights)
    return tuple(Share(path, weights) for path, weights in merged.items())


def _load(folder: Path, path: str, schema: InputSchema, tasks: TaskSet, encoder: MakeEncoder | None) -> MultiTaskModel:
    network, state, _ = load_network(folder, path)
    model = network.build(schema, tasks, encoder)
    load_state(model, state)
    return model.eval()
