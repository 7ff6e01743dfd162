"""The profile: one multi-task training, watched by a Data Map tracker."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taskgroup._artifact import artefact, content_hash, json_ready, result_versions, write_text
from taskgroup._validation import check_int, check_type
from taskgroup.callbacks import Callback
from taskgroup.cost import Cost
from taskgroup.data import TaskTable
from taskgroup.datamaps import DataMaps
from taskgroup.exceptions import ArtifactError, InvalidInputError, LearnerError
from taskgroup.models import MultiTaskModel
from taskgroup.tracker import DataMapTracker
from taskgroup.training._checkpoint import Checkpoint
from taskgroup.training._data import TrainingData
from taskgroup.training._fit import LOWER_RATE, Fitted, fit_many
from taskgroup.training._network import MakeEncoder, Network, load_network, load_state, state_of
from taskgroup.training._settings import DEFAULT_DROPOUT, DEFAULT_HIDDEN, FitSettings

__all__ = ["Profile", "profile"]

_MODEL = Path("profile") / "model.safetensors"  # below the run directory

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Profile:
    """What one multi-task training taught about the tasks.

    Parameters
    ----------
    maps : DataMaps
        Data Maps of the training rows; ``sample_ids`` are row numbers of the table.
    model : MultiTaskModel
        The model with its best weights, in evaluation mode.
    history : list of dict
        {"epoch", "valid_loss"} for every epoch, 0 being the start.
    network : Network
        How to build the model.
    cost : Cost
        What the training cost.
    """

    maps: DataMaps
    model: MultiTaskModel
    history: list[dict[str, Any]]
    network: Network
    cost: Cost

    def __repr__(self) -> str:
        losses = [row["valid_loss"] for row in self.history if row["valid_loss"] is not None]
        best = f", least validation loss {min(losses):.4g}" if losses else ""
        return f"Profile({self.maps!r}{best})"

    def save(self, run_dir: str | os.PathLike[str]) -> None:
        """Write ``datamaps.safetensors``, ``profile/model.safetensors`` and ``profile/history.jsonl`` atomically."""
        folder = Path(run_dir)
        self.maps.save(folder / "datamaps.safetensors")
        self.network.save(folder / _MODEL, state_of(self.model), cost=self.cost.to_dict())
        lines = "".join(json.dumps(json_ready(row)) + "\n" for row in self.history)
        write_text(folder / "profile" / "history.jsonl", lines)

    @classmethod
    def load(cls, run_dir: str | os.PathLike[str], table: TaskTable, *, encoder: MakeEncoder | None = None) -> Profile:
        """Return the profile saved in a run directory; the table tells the model what its inputs look like.

        Raises
        ------
        ArtifactError
            When a file is missing, damaged, or of another format or version.
        """
        folder = Path(run_dir)
        with artefact(folder / _MODEL):
            network, state, document = load_network(folder / _MODEL)
            model = network.build(table.schema, table.tasks, encoder)
            load_state(model, state)
            cost = Cost(**document["cost"])
        path = folder / "profile" / "history.jsonl"
        if not path.is_file():
            raise ArtifactError(f"{path}: no such file; run `taskgroup profile` first.")
        with artefact(path):
            history = [{"epoch": row["epoch"], "valid_loss": row["valid_loss"]}
                       for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())]  # fmt: skip
        return cls(DataMaps.load(folder / "datamaps.safetensors"), model.eval(), history, network, cost)


def profile(
    table: TaskTable,
    *,
    epochs: int = 20,
    repeats: int = 1,
    hidden: Sequence[int] = DEFAULT_HIDDEN,
    dropout: float = DEFAULT_DROPOUT,
    encoder: str | MakeEncoder = "auto",
    settings: FitSettings | None = None,
    random_state: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
) -> Profile:
    """Return the Data Maps of all tasks and the model that was trained to record them.

    One shared-bottom network is trained on all tasks for a fixed number of epochs. Maps hold the probabilities of its
    training-mode forward passes, each before the step it led to; the weights kept are those of the epoch that was best
    on the validation rows.

    Parameters
    ----------
    table : TaskTable
        The tasks.
    epochs : int
        Passes over the training rows, all of which are recorded.
    repeats : int
        Networks of different seeds, trained one after the other and recorded as if they were further epochs.
        Where training rows are few, the chance of one network blurs which tasks are akin: with 600 rows and 50 tasks,
        five repeats raised the adjusted Rand index of five known groups from .80 to .89. The first model is kept.
    hidden : sequence of int
        Widths of the trunk.
    dropout : float
        After every hidden layer.
    encoder : {"auto", "mlp", "fields"} or callable
        See :func:`taskgroup.models.build_model`.
    settings : FitSettings, optional
        Batch size, learning rate, weight decay, device; its `epochs` and `patience` are not used.
    random_state : int
        Seed of weights, order and dropout.
    checkpoint : path-like, optional
        File in which the training is kept while it goes on, every ten seconds or so, at the end of an epoch. A call
        with the same arguments goes on from there and gives what it would have given undisturbed. Not for repeats.
    progress : callable, optional
        Called as ``progress("profile", epochs done, epochs)``.
    callbacks : sequence of Callback
        Told of the settings and of every epoch.

    Raises
    ------
    LearnerError
        When the training diverged, and again at a tenth of the learning rate.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 3))
    >>> table = TaskTable.from_arrays(X, X[:, :2] > 0, ["a", "b"])
    >>> found = profile(table, epochs=2, hidden=(4,))
    >>> found.maps.confidence.shape, len(found.history)
    ((36, 2), 3)
    """
    check_type("table", table, TaskTable, "Make one with `taskgroup.load_table`.")
    check_int("epochs", epochs, low=1)
    check_int("repeats", repeats, low=1)
    if checkpoint is not None and repeats > 1:
        raise InvalidInputError(f"`checkpoint` is for one training; got repeats={repeats}.")
    data = TrainingData.from_table(table)
    if not data.valid.seen.any():
        raise InvalidInputError(
            f"{table.name}: the {len(data.valid.x):,} validation rows hold no label, so nothing says which epoch was "
            "best; give a larger validation part."
        )
    make_encoder = None if isinstance(encoder, str) else encoder
    settings = replace(settings or FitSettings(), epochs=epochs, patience=None)
    seeds = [random_state] + [
        int(np.random.SeedSequence([random_state, repeat]).generate_state(1)[0]) for repeat in range(1, repeats)
    ]
    networks = [
        Network(
            table.tasks.names, tuple(hidden), seed=seed, stream=seed, dropout=dropout,
            encoder=encoder if isinstance(encoder, str) else "custom",
        )
        for seed in seeds
    ]  # fmt: skip

    for callback in callbacks:
        facts = {**networks[0].to_dict(), **settings.to_dict()}
        del facts["tasks"]
        callback.on_step("profile", {**facts, "repeats": repeats, "table": table.name, "n_rows": len(data.train.x)})

    def train(settings: FitSettings) -> tuple[DataMaps, list[Fitted]]:
        recorder = _Recorder(table, data, epochs * repeats, progress, callbacks, settings.device)
        kept = None
        if checkpoint is not None:
            key = content_hash(table.content_hash(), settings.to_dict(), networks[0].to_dict(), result_versions())
            kept = Checkpoint(checkpoint, key, recorder.tracker)
        fitted: list[Fitted] = []
        for network in networks:
            model = network.build(data.schema, data.tasks, make_encoder)
            model.set_output_bias(data.output_bias)
            fitted += fit_many(
                [model], data, seeds=[network.seed], settings=settings, observer=recorder, checkpoint=kept
            )
        return replace(recorder.tracker.data_maps(), sample_ids=table.rows("train")), fitted

    try:
        maps, fitted = train(settings)
    except LearnerError:
        maps, fitted = train(replace(settings, learning_rate=settings.learning_rate * LOWER_RATE))
    history = [{"epoch": epoch, "valid_loss": loss} for epoch, loss in enumerate(fitted[0].valid_loss)]
    cost = Cost.total(one.cost for one in fitted)
    return Profile(maps, fitted[0].model, history, networks[0], cost)


class _Recorder:
    """Hands every batch to a tracker, in the units of the targets."""

    def __init__(
        self,
        table: TaskTable,
        data: TrainingData,
        epochs: int,
        progress: Progress | None,
        callbacks: Sequence[Callback],
        device: str,
    ) -> None:
        targets = table.targets("train")
        self.tracker = DataMapTracker(table.tasks, len(targets), n_epochs=epochs, targets=targets, outputs="logits")
        scale = data.target_scale
        self.mean, self.scale = (torch.from_numpy(values).to(device) for values in (scale.mean, scale.scale))
        self.epochs, self.progress, self.callbacks = epochs, progress, callbacks

    def on_batch(self, model: int, rows: Tensor, outputs: Tensor) -> None:
        self.tracker.update(rows, outputs * self.scale + self.mean)

    def on_epoch_end(self, epoch: int, valid_loss: Sequence[float]) -> None:
        self.tracker.end_epoch()
        for callback in self.callbacks:
            callback.on_epoch(self.tracker.n_epochs, {"valid_loss": valid_loss[0]})
        if self.progress is not None:
            self.progress("profile", self.tracker.n_epochs, self.epochs)
