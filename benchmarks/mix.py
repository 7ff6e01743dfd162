"""A heterogeneous mix of real tasks: does grouping pay, and do the groups themselves matter?

Five multi-label sets stand side by side: a row is a random row of each set, its features and labels joined. Tasks of
one set are akin, tasks of different sets share no input that matters. Training, validation and test rows are drawn from
disjoint rows of the sources.

    python benchmarks/mix.py DATA --seeds 10

DATA is a folder with yeast.npz, scene.npz, emotions.npz, birds.npz and tmc2007_500.npz (arrays X, Y and task_names;
multi-label sets of the Mulan collection). A seed draws rows, split and networks anew; it is the unit of the tests.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from taskgroup.data import TaskTable
from taskgroup.tasks import Task

SOURCES = ("yeast", "scene", "emotions", "birds", "tmc2007_500")
ROWS = {"train": 600, "valid": 200, "test": 1000}
POOLS = {"train": 0.5, "valid": 0.15, "test": 0.35}
FEWEST = {"train": 12, "valid": 4, "test": 10}  # positives and negatives of a task that is kept


def mix_table(folder: Path, seed: int) -> TaskTable:
    """Return the table of one seed; ``family`` names each task's source."""
    rng = np.random.default_rng([20, seed])
    inputs, targets, tasks = [], [], []
    for source in SOURCES:
        with np.load(folder / f"{source}.npz", allow_pickle=False) as arrays:
            X, Y, names = arrays["X"], arrays["Y"], arrays["task_names"]
        bounds = np.cumsum([int(share * len(X)) for share in POOLS.values()])
        pools = np.split(rng.permutation(len(X)), bounds)[:3]
        rows = np.concatenate(
            [rng.choice(pool, n, replace=len(pool) < n) for pool, n in zip(pools, ROWS.values(), strict=True)]
        )
        inputs.append(X[rows].astype(np.float32))
        targets.append(Y[rows].astype(np.float32))
        tasks += [Task(f"{source}:{name}", family=source) for name in names]
    split = np.repeat([0, 1, 2], list(ROWS.values()))
    Y = np.concatenate(targets, 1)
    kept = [
        t
        for t in range(len(tasks))
        if all(
            min((Y[split == part, t] == 1).sum(), (Y[split == part, t] == 0).sum()) >= least
            for part, least in enumerate(FEWEST.values())
        )
    ]
    return TaskTable.from_arrays(
        np.concatenate(inputs, 1), Y[:, kept], [tasks[t] for t in kept], split, name=f"mix-{seed}"
    )
