"""A small profile training: one MLP with a head per task, every epoch's probability of the true label recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from benchmarks.planted._suites import Suite
from taskgroup.datamaps import DataMaps, encode_probability
from taskgroup.tasks import Task, TaskSet


@dataclass(frozen=True)
class Recording:
    maps: DataMaps
    gradient_cosine: np.ndarray  # (T, T), mean over epochs
    lookahead: np.ndarray  # (T, T), mean over epochs: share of j's loss that a step on i takes off
    heads: np.ndarray  # (T, hidden * outputs) final head weights
    trunk: nn.Module


class Net(nn.Module):
    def __init__(self, n_features: int, n_outputs: int, hidden: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.head = nn.Linear(hidden, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


def record(
    suite: Suite,
    *,
    epochs: int = 20,
    hidden: int = 64,
    batch: int = 128,
    lr: float = 2e-3,
    seed: int = 0,
    rivals: bool = False,
    trunk: nn.Module | None = None,
) -> Recording:
    """Train and record; with a ``trunk`` only new heads are trained on it, for tasks called new0000, new0001, ..."""
    torch.manual_seed(seed)
    n_samples, n_tasks = suite.Y.shape
    tasks = task_set(suite.n_classes, "t" if trunk is None else "new")
    X, Y = torch.from_numpy(suite.X), torch.from_numpy(suite.Y)
    loss_of = Losses(suite.n_classes)
    net = Net(X.shape[1], loss_of.n_outputs, hidden)
    if trunk is not None:
        net.trunk = trunk.requires_grad_(False)
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr)
    history = np.empty((epochs, n_samples, n_tasks), np.uint16)
    cosine, lookahead = np.zeros((2, n_tasks, n_tasks))
    for epoch in range(epochs):
        for rows in torch.randperm(n_samples).split(batch):
            log_p = loss_of(net(X[rows]), Y[rows])  # (B, T), NaN where missing
            history[epoch, rows.numpy()] = encode_probability(log_p.detach().exp().numpy())
            optimiser.zero_grad()
            (-log_p).nanmean().mul(n_tasks).backward()
            optimiser.step()
        if rivals and epoch % 4 == 3:
            rows = torch.randperm(n_samples)[:512]
            each = affinities(net, loss_of, X[rows], Y[rows])
            cosine, lookahead = cosine + each[0], lookahead + each[1]
    maps = DataMaps.from_history(tasks, history, targets=suite.Y)
    return Recording(maps, cosine, lookahead, loss_of.head_vectors(net.head.weight.detach()), net.trunk)


def task_set(n_classes: np.ndarray, prefix: str = "t") -> TaskSet:
    binary = n_classes == 2
    return TaskSet(
        Task(f"{prefix}{t:04d}") if binary[t] else Task(f"{prefix}{t:04d}", "multiclass", int(c))
        for t, c in enumerate(n_classes)
    )


class Losses:
    """Log probability of the true label per (sample, task), from packed logits; all tasks have as many classes."""

    def __init__(self, n_classes: np.ndarray) -> None:
        (self.classes,) = set(n_classes.tolist())
        self.n_tasks = len(n_classes)
        self.n_outputs = self.n_tasks * (1 if self.classes == 2 else self.classes)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        known = targets.nan_to_num()
        if self.classes == 2:
            log_p = nn.functional.logsigmoid(logits * (2 * known - 1))
        else:
            packed = logits.unflatten(1, (self.n_tasks, self.classes)).log_softmax(2)
            log_p = packed.gather(2, known.long()[..., None])[..., 0]
        return torch.where(targets.isnan(), torch.nan, log_p)

    def head_vectors(self, weight: Tensor) -> np.ndarray:
        return weight.unflatten(0, (self.n_tasks, -1)).flatten(1).numpy()


def affinities(net: Net, loss_of: Losses, x: Tensor, y: Tensor, step: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Gradient cosine and TAG's look-ahead affinity on the trunk (Fifty et al., arXiv 2109.04617, equation 3)."""
    names, trunk = zip(*net.trunk.named_parameters(), strict=True)
    with torch.no_grad():
        fixed = {f"head.{name}": value.detach() for name, value in net.head.named_parameters()}

    def task_losses(parameters: tuple[Tensor, ...]) -> Tensor:
        state = {f"trunk.{name}": value for name, value in zip(names, parameters, strict=True)} | fixed
        return (-loss_of(functional_call(net, state, (x,)), y)).nanmean(0)  # (T,)

    losses = task_losses(trunk)
    gradients = torch.autograd.grad(losses, trunk, torch.eye(len(losses)), is_grads_batched=True)
    flat = torch.cat([g.flatten(1) for g in gradients], 1)
    unit = nn.functional.normalize(flat, dim=1)
    norm = flat.norm(dim=1).mean()
    with torch.no_grad():
        scale = step / norm  # one step length for all tasks, in units of the mean gradient norm
        moved = tuple(p - scale * g for p, g in zip(trunk, gradients, strict=True))
        after = vmap(lambda *p: task_losses(p), chunk_size=16)(*moved)  # (T moved, T losses)
        return (unit @ unit.T).numpy(), (1 - after / losses).numpy()
