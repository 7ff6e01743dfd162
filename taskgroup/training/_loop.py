"""The base engine: any models, one after the other in every step, and one fused AdamW over all their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from taskgroup.training._augment import moved
from taskgroup.training._checkpoint import Checkpoint
from taskgroup.training._data import Part, TrainingData
from taskgroup.training._device import seed_device
from taskgroup.training._losses import sample_losses, task_means
from taskgroup.training._settings import FitSettings
from taskgroup.training._state import Job, Observer
from taskgroup.training._stream import batches, step_seed

__all__ = ["fit_loop"]

Schedule = torch.optim.lr_scheduler.LRScheduler

_VALID_ROWS = 4096  # validation rows per pass, which bounds memory


def fit_loop(
    jobs: Sequence[Job],
    data: TrainingData,
    settings: FitSettings,
    observer: Observer | None = None,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Fit the jobs' models in place and leave each with its best weights, in evaluation mode.

    A model that has finished makes no more gradients, and AdamW skips parameters without one. With a checkpoint the
    training goes on from there, and ends as it would have without.
    """
    if not jobs:
        return
    n_steps = settings.epochs * -(-len(data.train.x) // settings.batch_size)
    optimiser = torch.optim.AdamW(
        [parameter for job in jobs for parameter in job.model.parameters() if parameter.requires_grad],
        lr=settings.learning_rate, weight_decay=settings.weight_decay or 0.0, fused=True,
    )  # fmt: skip
    schedule = None
    if settings.schedule == "one-cycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=n_steps)
    for job in jobs:
        job.model.expect_steps(n_steps)
    best = {job: _snapshot(job) for job in jobs}
    found = None if checkpoint is None else checkpoint.load()
    if found is None:
        for job in jobs:
            job.record(_valid_loss(job, data.valid), settings.patience)
    else:
        _restore(found, jobs, optimiser, schedule, best)
    for epoch in range(1 if found is None else found["epoch"] + 1, settings.epochs + 1):
        active = [job for job in jobs if not job.finished]
        if not active:
            break
        _epoch(active, data, settings, epoch, optimiser, schedule, observer)
        for job in active:
            if job.record(_valid_loss(job, data.valid), settings.patience):
                best[job] = _snapshot(job)
        if observer is not None:
            observer.on_epoch_end(epoch, [job.valid_loss[-1] for job in jobs])
        if checkpoint is not None:
            checkpoint.save(partial(_state, epoch, jobs, optimiser, schedule, best))
    for job, state in best.items():
        job.model.load_state_dict(state)
        job.model.eval()
        job.finished = True


def _epoch(
    jobs: Sequence[Job],
    data: TrainingData,
    settings: FitSettings,
    epoch: int,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    observer: Observer | None,
) -> None:
    for job in jobs:
        job.model.train()
    seeds = list(dict.fromkeys(job.seed for job in jobs))
    orders = {seed: batches(seed, epoch, len(data.train.x), settings.batch_size, data.train.x.device) for seed in seeds}
    for step in range(-(-len(data.train.x) // settings.batch_size)):
        rows = {seed: next(orders[seed]) for seed in seeds}
        inputs = {seed: _batch(data, rows[seed], settings, step_seed(seed, epoch, step)) for seed in seeds}
        for job in jobs:
            seed_device(data.train.x.device, step_seed(job.seed, epoch, step))
            outputs = job.model.member_logits(inputs[job.seed].x)  # (k, B, n_outputs)
            if observer is not None:
                observer.on_batch(job.index, rows[job.seed], job.model.merged(outputs.detach()))
            loss = _task_losses(job, outputs, inputs[job.seed]).dot(job.weights) + job.model.penalty()
            loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if schedule is not None:
            schedule.step()


def _batch(data: TrainingData, rows: Tensor, settings: FitSettings, seed: int) -> Part:
    """Return the training rows of a batch, images moved by draws of the seed."""
    x, y, seen = (tensor[rows] for tensor in data.train)
    if settings.augment:
        x = moved(x, data.schema.input_shape, settings.augment, torch.Generator().manual_seed(seed))
    return Part(x, y, seen)


def _task_losses(job: Job, outputs: Tensor, part: Part) -> Tensor:
    """Return the mean loss of each of the model's tasks over the members and the labelled samples, shape (K,).

    Outputs are (k, B, n_outputs), of k members.
    """
    y, seen = (tensor[:, job.columns].repeat(len(outputs), 1) for tensor in (part.y, part.seen))
    return task_means(sample_losses(job.model.tasks, outputs.flatten(0, 1), y), seen)


@torch.no_grad()
def _valid_loss(job: Job, part: Part) -> float:
    job.model.eval()
    outputs = torch.cat([job.model.logits(x) for x in torch.split(part.x, _VALID_ROWS)])
    return float(_task_losses(job, outputs.unsqueeze(0), part).dot(job.weights))


def _state(
    epoch: int,
    jobs: Sequence[Job],
    optimiser: torch.optim.Optimizer,
    schedule: Schedule | None,
    best: Mapping[Job, dict[str, Tensor]],
) -> dict[str, Any]:
    """Return what the next epoch depends on, as tensors and plain values."""
    models = [
        {"model": job.model.state_dict(), "best": best[job], "valid_loss": job.valid_loss, "best_epoch": job.best_epoch,
         "finished": job.finished, "diverged": job.diverged}
        for job in jobs
    ]  # fmt: skip
    state = {"epoch": epoch, "models": models, "optimiser": optimiser.state_dict()}
    return state if schedule is None else {**state, "schedule": schedule.state_dict()}


def _restore(
    state: Mapping[str, Any],
    jobs: Sequence[Job],
    optimiser: torch.optim.Optimizer,
    schedule: Schedule | None,
    best: dict[Job, dict[str, Tensor]],
) -> None:
    """Restore what :func:`_state` gave."""
    optimiser.load_state_dict(dict(state["optimiser"]))
    if schedule is not None:
        schedule.load_state_dict(dict(state["schedule"]))
    for job, own in zip(jobs, state["models"], strict=True):
        job.model.load_state_dict(own["model"])
        best[job] = own["best"]
        job.valid_loss, job.best_epoch = list(own["valid_loss"]), own["best_epoch"]
        job.finished, job.diverged = own["finished"], own["diverged"]


def _snapshot(job: Job) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in job.model.state_dict().items()}
