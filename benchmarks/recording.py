"""What recording costs: per epoch, per training step, in memory. ``python -m benchmarks.recording [--json FILE]``.

One thread. CPU time (process_time); the step and its recording are timed in turn in one loop.
The largest error against a float64 reference stands beside the time, so that faster but wrong would show.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from taskgroup.tracker import DataMapTracker

N_SAMPLES, N_TASKS = 50_000, 100
TASKS = [f"task {i}" for i in range(N_TASKS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--part", choices=["epoch", "step", "memory"], action="append", help="only some parts")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.memory_of:
        print(json.dumps(memory(arguments.memory_of)))
        return
    # A virtual machine is slow to provide memory that it never used: touch half a GiB first and give it back.
    np.ones(1 << 26)
    parts = arguments.part or ["epoch", "step", "memory"]
    figures: dict[str, list[dict[str, Any]]] = {}
    if "epoch" in parts:
        figures["epoch"] = [epoch(mode, size) for size in (256, 1024) for mode in ("history", "stream", "folder")]
    if "step" in parts:
        figures["step"] = [step(name) for name in ("MLP-64", "MLP-512", "CNN")]
    if "memory" in parts:
        figures["memory"] = [_memory_in_a_fresh_process(mode) for mode in ("history", "stream")]
    for part, rows in figures.items():
        print(f"\n{HEADINGS[part]}\n\n{_markdown(rows)}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)


HEADINGS = {
    "epoch": f"Recording one epoch, T={N_TASKS}, N={N_SAMPLES:,}",
    "step": f"Share of a training step, T={N_TASKS}, B=128 (the ends of epochs of N={N_SAMPLES:,} included)",
    "memory": f"Peak memory beyond the stored arrays, T={N_TASKS}, N={N_SAMPLES:,}, 10 epochs of B=256",
}


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    np.ones(1 << 26)  # a virtual machine is slow to provide memory that it never used
    found = [epoch(mode, 256, 3 if quick else 5) for mode in ("history", "stream", "folder")]
    found += [step(name, repetitions=100 if quick else 400) for name in ("MLP-64", "MLP-512", "CNN")]
    return found + [_memory_in_a_fresh_process(mode) for mode in ("history", "stream")]


def epoch(mode: str, batch_size: int, repetitions: int = 9) -> dict[str, Any]:
    """Return the CPU time of recording one epoch of random batches, the first epoch apart."""
    rng = np.random.default_rng(0)
    labels = torch.from_numpy((rng.random((N_SAMPLES, N_TASKS)) < 0.3).astype(np.float32))
    logits = torch.from_numpy(3 * rng.standard_normal((N_SAMPLES, N_TASKS), dtype=np.float32))
    with tempfile.TemporaryDirectory() as folder:
        tracker = _tracker(mode, folder)
        times = []
        for _ in range(repetitions + 1):
            order = torch.from_numpy(rng.permutation(N_SAMPLES))
            ids = order.split(batch_size)
            batches = [(rows, logits[rows], labels[rows]) for rows in ids]
            start = time.process_time()
            for rows, outputs, targets in batches:
                tracker.update(rows, outputs, targets)
            tracker.end_epoch()
            times.append(time.process_time() - start)
        signs = 2 * labels.numpy().astype(np.float64) - 1
        error = np.abs(tracker.data_maps().confidence - 1 / (1 + np.exp(-signs * logits.numpy()))).max()
    milliseconds = 1e3 * statistics.median(times[1:])
    return {
        "mode": mode,
        "B": batch_size,
        "ms per epoch": round(milliseconds, 2),
        "first epoch, ms": round(1e3 * times[0], 2),
        "ns per (sample, task)": round(1e6 * milliseconds / (N_SAMPLES * N_TASKS), 2),
        "largest error": float(f"{error:.1e}"),
    }


def step(name: str, batch_size: int = 128, repetitions: int = 760) -> dict[str, Any]:
    """Return the CPU time of a training step and of recording it in either mode."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model, shape = MODELS[name]()
    optimizer = torch.optim.Adam(model.parameters())
    loss_of = nn.BCEWithLogitsLoss()
    trackers = {mode: _tracker(mode, "") for mode in ("history", "stream")}
    times: dict[str, list[float]] = {key: [] for key in ("step", *trackers)}
    order = rng.permutation(N_SAMPLES)
    labels = torch.from_numpy(rng.integers(0, 2, (N_SAMPLES, N_TASKS)).astype(np.float32))
    for tracker in trackers.values():  # the first epoch also records the labels
        tracker.update(order, torch.zeros(N_SAMPLES, N_TASKS), labels[order])
        tracker.end_epoch()
    modes = list(trackers)
    for i in range(repetitions):
        rows = torch.from_numpy(order[i // 2 * batch_size :][:batch_size])
        x = torch.randn(batch_size, *shape)
        y = labels[rows]

        def train(x: torch.Tensor = x, y: torch.Tensor = y) -> torch.Tensor:
            logits: torch.Tensor = model(x)
            optimizer.zero_grad()
            loss_of(logits, y).backward()
            optimizer.step()
            return logits

        logits, spent = _timed(train)
        times["step"].append(spent)
        mode = modes[i % 2]  # each mode records every second step, so that neither finds the other's caches warm
        times[mode].append(_timed(partial(trackers[mode].update, rows, logits, y))[1])
    # Means, not medians: every tenth update or so encodes for those before it.
    means = {key: 1e6 * statistics.fmean(values[20:]) for key, values in times.items()}
    for mode, tracker in trackers.items():
        ends = []
        for _ in range(7):
            tracker.update(rows, logits, y)
            ends.append(_timed(tracker.end_epoch)[1])
        means[mode] += 1e6 * statistics.median(ends) / (N_SAMPLES / batch_size)
    return {
        "model": name,
        "step, us": round(means["step"]),
        "history, us": round(means["history"], 1),
        "stream, us": round(means["stream"], 1),
        "history, %": round(100 * means["history"] / means["step"], 2),
        "stream, %": round(100 * means["stream"] / means["step"], 2),
    }


def memory(mode: str, n_epochs: int = 10) -> dict[str, Any]:
    """Return the peak memory of this process while recording, beyond what it held before."""
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 2, (N_SAMPLES, N_TASKS), dtype=np.int8))
    warm = DataMapTracker(TASKS, 256)
    warm.update(range(256), labels[:256].float(), labels[:256])
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # forget the highest resident size so far
    before = _highest()
    tracker = _tracker(mode, "", n_epochs)
    for _ in range(n_epochs):
        for rows in torch.from_numpy(rng.permutation(N_SAMPLES)).split(256):
            tracker.update(rows, 2 * labels[rows].float(), labels[rows].float())
        tracker.end_epoch()
    peak = _highest()
    state = tracker.state_dict()
    stored = _megabytes(state["record"]) + _megabytes(state["targets"])
    if mode == "stream":  # which also keeps the codes of one epoch
        stored += 2 * N_SAMPLES * N_TASKS / 2**20
    return {
        "mode": mode,
        "stored, MiB": round(stored, 1),
        "peak, MiB": round(peak - before, 1),
        "beyond, %": round(100 * (peak - before - stored) / stored, 1),
    }


def _memory_in_a_fresh_process(mode: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.recording", "--memory-of", mode]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(out))


def _megabytes(value: Any) -> float:
    """Return the size of the tensors in a nested structure, in MiB."""
    if isinstance(value, dict):
        return sum(map(_megabytes, value.values()))
    return value.nbytes / 2**20 if isinstance(value, torch.Tensor) else 0.0


def _highest() -> float:
    """Return the highest resident size of this process since it was last reset, in MiB (Linux)."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def _tracker(mode: str, folder: str, n_epochs: int | None = None) -> DataMapTracker:
    if mode == "folder":
        return DataMapTracker(TASKS, N_SAMPLES, folder=folder)
    return DataMapTracker(TASKS, N_SAMPLES, mode=mode, n_epochs=n_epochs)  # type: ignore[arg-type]


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def _mlp(width: int) -> tuple[nn.Module, tuple[int, ...]]:
    layers = [nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, N_TASKS)]
    return nn.Sequential(*layers), (64,)


def _cnn() -> tuple[nn.Module, tuple[int, ...]]:
    layers = [
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 64, N_TASKS),
    ]  # fmt: skip
    return nn.Sequential(*layers), (3, 32, 32)


MODELS = {"MLP-64": lambda: _mlp(64), "MLP-512": lambda: _mlp(512), "CNN": _cnn}


def _markdown(rows: list[dict[str, Any]]) -> str:
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(row[key]) for key in head) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
