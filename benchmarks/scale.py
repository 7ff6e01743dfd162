"""What the steps cost as tasks and rows grow: CPU time, memory, fitted exponents, and whole runs of wide tables.

    python -m benchmarks scale [--quick]
    python -m benchmarks.scale --one STEP TASKS ROWS

Tables are drawn: families of ten binary tasks share most of a direction in 30 features. Every cell runs in a process
and thread of its own; the memory is the peak of the whole process, libraries and table included. "record" is an epoch
of `DataMapTracker` in batches of 1,024; "cluster" is `group_tasks` by measured gain; the others are `retrain` of one
learner with the families as groups (a model per task for linear models and boosting), five folds up to 10,000
development rows and one beyond, scores included. The exponents are those of a power law through the three largest
sizes along tasks (at the fewest rows) and along rows (at the fewest tasks); the last column takes the dearest cell from
there by both. Beside each time stands the mean test AUC of what was fitted, for clusters the adjusted Rand index with
the families.

Whole runs are `taskgroup run` with its defaults and two processes: 600 tasks x 2,000 rows of 50 features, and wide
sparse 0/1 features: 160 tasks x 4,000 rows of 1,836, and 509 tasks x 8,000 rows of 1,024 with 71 % of labels missing.
Their memory is the largest sum over all processes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from taskgroup.data import TaskTable
from taskgroup.grouping import Grouping
from taskgroup.tasks import Task

LEARNERS = ("linear", "extra-trees", "random-forest", "boosting", "nets")
TASKS = {"record": (10, 100, 1000, 3000), "cluster": (30, 100, 300, 1000)}
ROWS = {"record": (1_000, 10_000, 100_000, 1_000_000), "cluster": (1_000, 3_000, 10_000, 30_000)}
LEARNER_TASKS, LEARNER_ROWS = (10, 30, 100, 300), (1_000, 3_000, 10_000, 30_000)
WHOLE = {"600 x 2,000, 50 features": (600, 2000, 50, 1.0, 0.0),
         "160 x 4,000, 1,836 sparse features": (160, 4000, 1836, 0.02, 0.0),
         "509 x 8,000, 1,024 sparse features, 71 % missing": (509, 8000, 1024, 0.05, 0.71)}  # fmt: skip


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for step in ("record", "cluster", *(LEARNERS[:2] if quick else LEARNERS)):
        tasks, counts = TASKS.get(step, LEARNER_TASKS), ROWS.get(step, LEARNER_ROWS)
        last = 2 if quick else None
        cells = [(t, counts[0]) for t in tasks[:last]] + [(tasks[0], n) for n in counts[1:last]]
        found += [_in_a_process(step, *cell) for cell in cells]
    found += list(exponents(found))
    return found if quick else found + [whole(name, *size) for name, size in WHOLE.items()]


def rows_of(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of cells and whole runs that were kept, with the exponents between them."""
    cells = [row for row in kept if "step" in row]
    return [*cells, *exponents(cells), *(row for row in kept if "run" in row)]


def exponents(cells: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the exponents of the CPU time in tasks and in rows, of every step, and what 10,000 x 10^7 would take."""
    for step in dict.fromkeys(cell["step"] for cell in cells):
        own = [cell for cell in cells if cell["step"] == step]
        least = {size: min(cell[size] for cell in own) for size in ("tasks", "rows")}
        powers = {}
        for size, other in (("tasks", "rows"), ("rows", "tasks")):
            line = sorted((cell[size], cell["CPU s"]) for cell in own if cell[other] == least[other])[-3:]
            x, y = np.log(np.array(line)).T
            powers[size] = float(np.polyfit(x, y, 1)[0])
        largest = max(own, key=lambda cell: cell["tasks"])
        widest = max(own, key=lambda cell: cell["rows"])
        cell = max((largest, widest), key=lambda cell: cell["CPU s"])
        grown = (10_000 / cell["tasks"]) ** max(powers["tasks"], 0.0)
        if step != "cluster":  # judged on no more rows than these
            grown *= (1e7 / cell["rows"]) ** max(powers["rows"], 0.0)
        yield {"of": step, "exponent of tasks": powers["tasks"], "exponent of rows": powers["rows"],
               "CPU hours at 10,000 tasks x 10^7 rows": cell["CPU s"] * grown / 3600}  # fmt: skip


def drawn(n_tasks: int, n_rows: int, n_features: int = 30, density: float = 1.0, missing: float = 0.0) -> TaskTable:
    """Return a table of families of ten tasks."""
    rng = np.random.default_rng([41, n_tasks, n_rows])
    X = rng.normal(size=(n_rows, n_features)) if density == 1 else rng.random((n_rows, n_features)) < density
    X = X.astype(np.float32)
    shape = (-(-n_tasks // 10), n_features)
    centres = rng.normal(size=shape) * (rng.random(shape) < max(0.1, 8 / n_features))
    Y = np.empty((n_rows, n_tasks), np.float32)
    for t in range(n_tasks):
        w = centres[t // 10]
        score = X @ (w + 0.4 * rng.normal(size=n_features) * (w != 0)).astype(np.float32)
        score += rng.normal(size=n_rows).astype(np.float32) * score.std()
        Y[:, t] = score > np.quantile(score, rng.uniform(0.6, 0.9))
    Y[rng.random(Y.shape) < missing] = np.nan
    return TaskTable.from_arrays(X, Y, [Task(f"t{t}") for t in range(n_tasks)], None, name="drawn")


def cell(step: str, n_tasks: int, n_rows: int) -> dict[str, Any]:
    """Return what one step costs at one size; in a process of its own."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    quality: float | None = None
    if step == "record":
        seconds = _record(n_tasks, n_rows)
    else:
        table = drawn(n_tasks, n_rows)
        families = [t // 10 for t in range(n_tasks)]
        start = time.process_time()
        if step == "cluster":
            from sklearn.metrics import adjusted_rand_score

            from taskgroup.cluster import group_tasks
            from taskgroup.training import profile

            maps = profile(table, epochs=10).maps
            start = time.process_time()
            quality = float(adjusted_rand_score(families, group_tasks(maps, table=table).labels))
        else:
            from taskgroup.experiment import retrain

            grouping = Grouping.from_labels(table.tasks, families)
            arm = "per-task" if step in ("linear", "boosting") else "all-in-one" if n_tasks == 10 else "grouped"
            card = retrain(table, grouping, learners=step, methods=[f"{step}/{arm}"]).scorecard
            quality = float(card.main["test"][f"{step}/{arm}"].by_seed.mean())
        seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"step": step, "tasks": n_tasks, "rows": n_rows, "CPU s": float(f"{seconds:.3g}"), "peak, MiB": round(peak),
            "AUC or ARI": quality}  # fmt: skip


def _record(n_tasks: int, n_rows: int) -> float:
    """Return the CPU time of an epoch after the first: the mean of as many as take a fifth of a second."""
    import torch

    from taskgroup import DataMapTracker

    tracker = DataMapTracker([f"t{t}" for t in range(n_tasks)], n_samples=n_rows)
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(1024, n_tasks)).astype(np.float32))
    labels = torch.from_numpy((rng.random((1024, n_tasks)) < 0.5).astype(np.float32))
    spent, epochs = 0.0, -1
    while epochs < 1 or spent < 0.2:
        order = torch.from_numpy(rng.permutation(n_rows))
        start = time.process_time()
        for ids in order.split(1024):
            tracker.update(ids, logits[: len(ids)], labels[ids % 1024])
        tracker.end_epoch()
        epochs += 1
        spent += time.process_time() - start if epochs else 0.0
    return spent / epochs


def whole(name: str, n_tasks: int, n_rows: int, n_features: int, density: float, missing: float) -> dict[str, Any]:
    """Return what a whole run of the command line takes."""
    with tempfile.TemporaryDirectory() as folder:
        table = drawn(n_tasks, n_rows, n_features, density, missing)
        path, run = Path(folder) / "table.npz", Path(folder) / "run"
        np.savez(path, X=table.X, Y=table.Y, task_names=table.tasks.names)
        del table
        before, start, most = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0.0
        process = subprocess.Popen(
            [sys.executable, "-c", "from taskgroup_cli.main import main; main()", "run", path, "--out", run],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while process.poll() is None:
            most = max(most, _resident(process.pid))
            time.sleep(0.5)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            raise RuntimeError(f"`taskgroup run` of {name} ended with exit code {process.returncode}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
        return {"run": name, "wall s": round(seconds), "CPU s": round(cpu), "peak of all processes, MiB": round(most),
                "plan, test AUC": plan["test"]["mean"]}  # fmt: skip


def _resident(pid: int) -> float:
    """Return the resident memory of a process and all below it, in MiB."""
    import psutil

    total = 0
    try:
        for one in (process := psutil.Process(pid), *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total / 2**20


def _in_a_process(*given: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale", "--one", *map(str, given)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=3, metavar=("STEP", "TASKS", "ROWS"), help="one cell, as a line of JSON")
    parser.add_argument("--whole", choices=WHOLE, help="one whole run, as a line of JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(cell(given.one[0], int(given.one[1]), int(given.one[2]))))
    if given.whole:
        print(json.dumps(whole(given.whole, *WHOLE[given.whole])))


if __name__ == "__main__":
    main()
