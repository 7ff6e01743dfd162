"""Many models at once against a plain loop with an optimiser each: CPU time of a step on one thread, and the losses.

    python -m benchmarks.training [--json FILE]

Rows: 100 single-task networks 64-128-64-1 at batch 128 and 1,024; 8 group models of unequal numbers of tasks at batch
128 and 512; 8 small convolutional networks. Runs are interleaved, medians are given, and losses must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import itertools

import numpy as np
import torch
from torch import Tensor, nn

from taskgroup.data import TaskTable
from taskgroup.models import MultiTaskModel, SharedBottom
from taskgroup.training import FitSettings, TrainingData, fit_many
from taskgroup.training._stream import batches

STEPS, EPOCHS = 8, 4
GROUP_SIZES = (30, 20, 15, 12, 9, 7, 5, 2)

Models = Callable[[], list[MultiTaskModel]]


class _Convolutions(nn.Module):
    """Two convolutions over 16 x 16 images."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten()
        )

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x.view(-1, 1, 16, 16))
        return features


def main() -> None:
    """Print a table, and write it as JSON when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="write the rows to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| what | batch | loop, an Adam each | one fused Adam | chosen engine | speed-up | losses differ by at most |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    rows = []
    for what, d, batch, make in _work():
        row = _row(what, d, batch, make)
        print(
            f"| {what} | {batch} | {row['plain_ms']:.1f} ms | {row['loop_ms']:.1f} ms | {row['auto_ms']:.1f} ms "
            f"| {row['speed_up']:.2f}x | {row['difference']:.0e} |", flush=True,
        )  # fmt: skip
        rows.append(row)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as handle:
            json.dump(rows, handle, indent=1)


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    return [_row(*one) for one in (_work()[:3:2] if quick else _work())]


def _work() -> list[tuple[str, int, int, Models]]:
    names = [f"t{t}" for t in range(100)]
    groups = [names[a:b] for a, b in itertools.pairwise(np.cumsum((0, *GROUP_SIZES)))]
    single = _mlps([[name] for name in names])
    return [
        ("100 single-task MLPs 64-128-64-1", 64, 128, single), ("100 single-task MLPs 64-128-64-1", 64, 1024, single),
        ("8 unequal groups, MLP 64-128-64", 64, 128, _mlps(groups)),
        ("8 unequal groups, MLP 64-128-64", 64, 512, _mlps(groups)),
        ("8 unequal groups, CNN", 256, 128, _cnns(groups)),
    ]  # fmt: skip


def _row(what: str, d: int, batch: int, make: Models) -> dict[str, Any]:
    data = _data(d, batch * STEPS)
    settings = FitSettings(epochs=EPOCHS, patience=None, batch_size=batch, learning_rate=1e-3)
    times: dict[str, list[float]] = {"plain": [], "loop": [], "auto": []}
    losses = {}
    for _ in range(3 if batch > 512 else 5):
        for name in times:
            models = make()
            start = time.process_time()
            if name == "plain":
                losses[name] = _plain(models, data, settings)
            else:
                fitted = fit_many(models, data, seeds=[0] * len(models), settings=settings, engine=name)  # type: ignore[arg-type]
                losses[name] = [f.valid_loss for f in fitted]
            times[name].append((time.process_time() - start) / (STEPS * EPOCHS) * 1e3)
    medians = {f"{name}_ms": statistics.median(values) for name, values in times.items()}
    difference = max(float(np.abs(np.subtract(losses["plain"], losses[name])).max()) for name in ("loop", "auto"))
    return {
        "what": what,
        "batch": batch,
        **medians,
        "speed_up": medians["plain_ms"] / medians["auto_ms"],
        "difference": difference,
    }


def _plain(models: list[MultiTaskModel], data: TrainingData, settings: FitSettings) -> list[list[float]]:
    """Return the validation losses of models trained one after the other in every step, an Adam each."""
    optimisers = [torch.optim.Adam(model.parameters(), lr=settings.learning_rate) for model in models]
    columns = [torch.tensor([data.tasks.index_of(name) for name in model.tasks.names]) for model in models]
    loss = nn.functional.binary_cross_entropy_with_logits

    def judge() -> None:
        with torch.no_grad():
            for model, own, curve in zip(models, columns, curves, strict=True):
                curve.append(float(loss(model.logits(data.valid.x), data.valid.y[:, own])))

    curves: list[list[float]] = [[] for _ in models]
    judge()
    for epoch in range(1, settings.epochs + 1):
        for rows in batches(0, epoch, len(data.train.x), settings.batch_size):
            x, y = data.train.x[rows], data.train.y[rows]
            for model, own, optimiser in zip(models, columns, optimisers, strict=True):
                optimiser.zero_grad()
                loss(model.logits(x), y[:, own]).backward()
                optimiser.step()
        judge()
    return curves


def _data(d: int, n: int) -> TrainingData:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n + 32, d)).astype(np.float32)
    Y = X @ rng.normal(size=(d, 100)) > 0
    split = np.repeat([0, 1, 2], [n, 16, 16])
    return TrainingData.from_table(TaskTable.from_arrays(X, Y, [f"t{t}" for t in range(100)], split))


def _mlps(groups: list[list[str]]) -> Models:
    def make() -> list[MultiTaskModel]:
        torch.manual_seed(0)
        return [SharedBottom(64, names, hidden=(128, 64)) for names in groups]

    return make


def _cnns(groups: list[list[str]]) -> Models:
    def make() -> list[MultiTaskModel]:
        torch.manual_seed(0)
        return [SharedBottom(256, names, hidden=(64,), encoder=_Convolutions()) for names in groups]

    return make


if __name__ == "__main__":
    main()
