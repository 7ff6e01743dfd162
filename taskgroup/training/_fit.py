"""Fit many models at once on the same table.

Single-task baselines, group models, controls and ensemble members are hundreds of small independent trainings. They
share the table, so one call fits them all, with one of two engines that give the same result:

loop
    Each model in turn makes its gradients, then ONE fused Adam steps all parameters. Any architecture.
stack
    Shared-bottom networks of equal hidden widths become one network of batched matrices
    (:mod:`taskgroup.training._stack`).

Every model keeps its own batch order, dropout, early stopping and best weights, drawn from its own seed: which other
models are fitted beside it changes nothing but rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from taskgroup._display import brief, clipped
from taskgroup._validation import check_choice
from taskgroup.cost import Cost
from taskgroup.exceptions import InvalidInputError, LearnerError
from taskgroup.models import MultiTaskModel
from taskgroup.training._checkpoint import Checkpoint
from taskgroup.training._data import TrainingData
from taskgroup.training._device import device_of, kept_random_state
from taskgroup.training._flops import count_flops, n_parameters
from taskgroup.training._loop import fit_loop
from taskgroup.training._settings import FitSettings
from taskgroup.training._stack import fit_stack, stackable, stacks
from taskgroup.training._state import Job, Observer

__all__ = ["LOWER_RATE", "Engine", "Fitted", "fit_many", "predict"]

LOWER_RATE = 0.1
"""Share of the learning rate at which a model that diverged is tried once more."""

Engine = Literal["auto", "loop", "stack"]


@brief
@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Parameters
    ----------
    model : MultiTaskModel
        With its best weights, in evaluation mode.
    valid_loss : list of float
        Weighted mean loss over its tasks on the validation rows, before training and after every epoch.
    best_epoch : int
        The epoch whose weights were kept; 0 is the start.
    cost : Cost
        What it cost to fit.
    """

    model: MultiTaskModel
    valid_loss: list[float]
    best_epoch: int
    cost: Cost


def fit_many(
    models: Sequence[MultiTaskModel],
    data: TrainingData,
    *,
    seeds: Sequence[int],
    settings: FitSettings | None = None,
    weights: Sequence[Mapping[str, float]] | None = None,
    engine: Engine = "auto",
    observer: Observer | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Fitted]:
    """Return the fitted models, in order; the modules given are trained in place, on the device of the settings.

    Parameters
    ----------
    models : sequence of MultiTaskModel
        Each holds some of the tasks of ``data``.
    data : TrainingData
        The table.
    seeds : sequence of int
        Seed of each model's batch order and dropout. Models of equal seed share both.
    settings : FitSettings, optional
        Epochs, patience, batch size, learning rate, augmentation.
    weights : sequence of dict, optional
        {task name: weight of its loss} for each model; 1 where left out.
    engine : {"auto", "loop", "stack"}
        "stack" demands that every model can be stacked; "auto" stacks where it was measured to pay.
    observer : Observer, optional
        Told of every batch and epoch; needs the loop.
    checkpoint : Checkpoint, optional
        Where the training of an observer is kept while it goes on.
    progress : callable, optional
        Called with the number of models that have finished.

    Raises
    ------
    InvalidInputError
        When numbers of models, seeds and weights differ, or ``engine="stack"`` is impossible.
    LearnerError
        When a model diverged: its loss became infinite or NaN, and again at a tenth of the learning rate, from its best
        weights. An observer sees one training only, so with one nothing is tried again.
    """
    settings = (settings or FitSettings()).resolved(data.schema.input_shape)
    check_choice("engine", engine, ("auto", "loop", "stack"))
    jobs = _jobs(models, data, seeds, weights)
    to_stack = stacks(jobs, data, settings) if engine != "loop" and observer is None else []
    if engine == "stack" and sum(map(len, to_stack)) < len(jobs):
        odd = next((job.model for job in jobs if not stackable(job)), models[0])
        raise InvalidInputError(
            '`engine="stack"` needs SharedBottom models without encoder or towers, tasks of one output, and no '
            f'observer; got {type(odd).__name__}. Use engine="auto".'
        )
    device = torch.device(settings.device)
    data = data.to(device)
    for job in jobs:
        job.model.to(device)
        job.columns, job.weights = job.columns.to(device), job.weights.to(device)
    with kept_random_state(device):
        for stack in to_stack:
            with _timed(stack):
                fit_stack(stack, data, settings)
            if progress is not None:
                progress(sum(job.finished for job in jobs))
        rest = [job for job in jobs if not job.finished]
        with _timed(rest):
            fit_loop(rest, data, settings, observer, checkpoint)
        again = [job for job in jobs if job.diverged and observer is None]
        for job in again:
            job.start_again()
        with _timed(again):
            fit_loop(again, data, replace(settings, learning_rate=settings.learning_rate * LOWER_RATE))
        if progress is not None:
            progress(len(jobs))
    _check_converged(jobs, settings)
    return [_fitted(job, data) for job in jobs]


@torch.no_grad()
def predict(model: MultiTaskModel, x: Tensor, *, rows: int = 4096) -> Tensor:
    """Return the packed outputs (n, n_outputs) of scaled inputs (n, d), on the CPU, some rows at a time."""
    model.eval()
    device = device_of(model)
    return torch.cat([model.logits(part.to(device)).cpu() for part in torch.split(x, rows)])


def _jobs(
    models: Sequence[MultiTaskModel],
    data: TrainingData,
    seeds: Sequence[int],
    weights: Sequence[Mapping[str, float]] | None,
) -> list[Job]:
    if len(seeds) != len(models) or (weights is not None and len(weights) != len(models)):
        found = "none" if weights is None else len(weights)
        raise InvalidInputError(
            f"`seeds` and `weights` must have one entry for each of {len(models)} models; got {len(seeds)} and {found}."
        )
    jobs = []
    for m, (model, seed) in enumerate(zip(models, seeds, strict=True)):
        columns = torch.tensor([data.tasks.index_of(name) for name in model.tasks.names])
        given = {} if weights is None else weights[m]
        own = torch.tensor([given.get(name, 1.0) for name in model.tasks.names])
        jobs.append(Job(m, model, columns, own / own.sum(), seed))
    return jobs


def _check_converged(jobs: Sequence[Job], settings: FitSettings) -> None:
    for job in jobs:
        if job.diverged:
            raise LearnerError(
                f"the network of {clipped(job.model.tasks.names)} diverged: its loss was {job.valid_loss[-1]} after "
                f"epoch {job.epoch}, at a learning rate of {settings.learning_rate:g} and lower. Lower "
                "`learning_rate`, or look for extreme values in features and targets."
            )


@contextmanager
def _timed(jobs: Sequence[Job]) -> Iterator[None]:
    """Share the CPU time of a block equally between the jobs."""
    start = time.process_time()
    yield
    for job in jobs:
        job.seconds += (time.process_time() - start) / len(jobs)


def _fitted(job: Job, data: TrainingData) -> Fitted:
    forward, backward = count_flops(job.model, data.train.x.shape[1])
    examples = job.epoch * len(data.train.x)
    judged = len(job.valid_loss) * len(data.valid.x)
    cost = Cost(
        n_models=1,
        params=n_parameters(job.model),
        bytes=sum(value.numel() * value.element_size() for value in job.model.state_dict().values()),
        train_flops=examples * (forward + backward) + judged * forward,
        train_seconds=job.seconds,
        train_examples=examples,
        inference_flops=forward,
    )
    return Fitted(job.model, job.valid_loss, job.best_epoch, cost)
