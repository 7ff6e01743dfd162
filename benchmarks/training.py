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
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import itertools

import numpy as np
import torch
from torch import Tensor, nn

from taskgroup.data import TaskTable
from taskgroup.models import MultiTaskModel, SharedBottom
from taskgroup.training import FitSettings, TrainingData, fit_many
from taskgroup.training._losses import sample_losses, task_means
from taskgroup.training._stream import batches

STEPS, EPOCHS, REPEATS = 8, 2, 5
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
    names = [f"t{t}" for t in range(100)]
    bounds = np.cumsum((0, *GROUP_SIZES))
    groups = [names[a:b] for a, b in itertools.pairwise(bounds)]
    rows = [
        *(
            _row(f"100 single-task MLPs 64-128-64-1, batch {b}", 64, b, _mlps(64, [[n] for n in names]))
            for b in (128, 1024)
        ),
        *(_row(f"8 unequal groups, MLP 64-128-64, batch {b}", 64, b, _mlps(64, groups)) for b in (128, 512)),
        *(_row(f"8 unequal groups, CNN, batch {b}", 256, b, _cnns(groups)) for b in (128,)),
    ]
    print(
        "| what | loop, an Adam each | loop, one fused Adam | chosen engine | speed-up | largest difference of losses |"
    )
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['what']} | {row['plain_ms']:.1f} ms | {row['loop_ms']:.1f} ms | {row['auto_ms']:.1f} ms "
            f"| {row['speed_up']:.2f}x | {row['difference']:.1e} |"
        )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as handle:
            json.dump(rows, handle, indent=1)


def _row(what: str, d: int, batch: int, make: Models) -> dict[str, Any]:
    data = _data(d, batch * STEPS)
    settings = FitSettings(epochs=EPOCHS, patience=None, batch_size=batch, learning_rate=1e-3)
    times: dict[str, list[float]] = {"plain": [], "loop": [], "auto": []}
    losses = {}
    for _ in range(REPEATS):
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
    return {"what": what, **medians, "speed_up": medians["plain_ms"] / medians["auto_ms"], "difference": difference}


def _plain(models: list[MultiTaskModel], data: TrainingData, settings: FitSettings) -> list[list[float]]:
    """Return the validation losses of models trained one after the other in every step, an Adam each."""
    optimisers = [torch.optim.Adam(model.parameters(), lr=settings.learning_rate) for model in models]
    columns = [[data.tasks.index_of(name) for name in model.tasks.names] for model in models]

    def loss(m: int, part: Any, rows: Any) -> Tensor:
        y, seen = part.y[rows][:, columns[m]], part.seen[rows][:, columns[m]]
        return task_means(sample_losses(models[m].tasks, models[m].logits(part.x[rows]), y), seen).mean()

    def judge() -> None:
        with torch.no_grad():
            for m, curve in enumerate(curves):
                curve.append(float(loss(m, data.valid, slice(None))))

    curves: list[list[float]] = [[] for _ in models]
    judge()
    for epoch in range(1, settings.epochs + 1):
        for rows in batches(0, epoch, len(data.train.x), settings.batch_size):
            for m, optimiser in enumerate(optimisers):
                optimiser.zero_grad()
                loss(m, data.train, rows).backward()
                optimiser.step()
        judge()
    return curves


def _data(d: int, n: int) -> TrainingData:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n + 32, d)).astype(np.float32)
    Y = X @ rng.normal(size=(d, 100)) > 0
    split = np.repeat([0, 1, 2], [n, 16, 16])
    return TrainingData.from_table(TaskTable.from_arrays(X, Y, [f"t{t}" for t in range(100)], split))


def _mlps(d: int, groups: list[list[str]]) -> Models:
    def make() -> list[MultiTaskModel]:
        torch.manual_seed(0)
        return [SharedBottom(d, names, hidden=(128, 64)) for names in groups]

    return make


def _cnns(groups: list[list[str]]) -> Models:
    def make() -> list[MultiTaskModel]:
        torch.manual_seed(0)
        return [SharedBottom(256, names, hidden=(64,), encoder=_Convolutions()) for names in groups]

    return make


if __name__ == "__main__":
    main()
