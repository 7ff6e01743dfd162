"""Many tasks, few labels: what profile, cluster and retrain take in memory; by hand.

``python tests/chaos/soak.py --tasks 2000 --rows 3000 -- --learners linear,extra-trees`` makes a table of families of
tasks of which 5 % of the labels are there, profiles it in this process with the resident memory after every epoch, and
runs the commands in processes of their own, with the peak of each and of its workers. What follows ``--`` goes to
``retrain``. The exit code is 1 when a command fails or takes more than ``--most`` megabytes.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

COMMAND = (sys.executable, "-c", "from taskgroup_cli.main import main; main()")


def main():
    """Make the table and run the steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--most", type=float, default=3000, help="megabytes that a command may take")
    parser.add_argument("retrain", nargs="*", help="options of retrain")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "table.npz", Path(folder) / "run"
        make_sparse_table(data, given.tasks, given.rows)
        by_epoch(data, given.epochs)
        steps = (
            ("profile", data, "--out", run, "--epochs", given.epochs), ("cluster", run),
            ("retrain", run, "--jobs", 1, *given.retrain), ("report", run),
        )  # fmt: skip
        peaks = [peak(step) for step in steps]
    sys.exit(max(peaks) > given.most)


def make_sparse_table(path, n_tasks, n_rows, n_features=20, families=20, seen=0.05):
    """Write families of binary tasks that share most of a direction; a twentieth of the labels is there."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    centres = rng.normal(size=(families, n_features))
    directions = centres[np.arange(n_tasks) % families] + 0.3 * rng.normal(size=(n_tasks, n_features))
    logits = X @ directions.T / np.sqrt(n_features)
    Y = (logits + rng.logistic(size=logits.shape) * 0.3 > 0).astype(np.int8)
    Y[rng.random(Y.shape) >= seen] = -1
    np.savez(path, X=X, Y=Y, task_names=[f"t{i}" for i in range(n_tasks)])


def by_epoch(data, epochs):
    """Profile in this process and print the resident memory after each epoch, and what the record holds of it."""
    from taskgroup import load_table, profile

    table, process, sizes = load_table(data), psutil.Process(), []
    profile(table, epochs=epochs, progress=lambda stage, done, total: sizes.append(process.memory_info().rss / 1e6))
    record = 2 * len(table.rows("train")) * table.n_tasks / 1e6  # 16 bits a cell
    print(
        f"profile, MB after each epoch: {' '.join(f'{size:.0f}' for size in sizes)}; the record takes {record:.1f} each"
    )


def peak(step):
    """Run a command and return the most megabytes that it and its workers took together."""
    began, most = time.monotonic(), 0.0
    process = psutil.Popen([*COMMAND, *map(str, step)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        most = max(most, _resident(process))
        time.sleep(0.2)
    print(f"{step[0]:8s} {most:5.0f} MB at most, {time.monotonic() - began:.0f} s", flush=True)
    if process.returncode:
        sys.exit(f"exit code {process.returncode}: {process.stderr.read().decode()[-500:]}")
    return most


def _resident(process):
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


if __name__ == "__main__":
    main()
