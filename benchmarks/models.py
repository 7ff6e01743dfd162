"""Milliseconds a step and peak memory of every architecture, forward and backward, and ratios to slow loops.

    python -m benchmarks.models [--sizes 3 10 30 100] [--reference] [--out models.json]

Batch 1024, 128 features, levels 128 and 64, towers of 32, binary tasks, float32, one thread. Every configuration runs
in a process of its own; times are medians of CPU time, memory is the peak above the process's start. --reference also
times the loops over tasks of tests/reference_models.py for the largest size: the same equations, one small module a
unit.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from taskgroup.grouping import Grouping
from taskgroup.models import ARCHITECTURES, MultiTaskModel

BATCH, WIDTH = 1024, 128
GROUPS = 8
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "shared-bottom": ("shared-bottom", {}),
    "single-task": ("single-task", {}),
    "cross-stitch": ("cross-stitch", {}),
    "mmoe": ("mmoe", {}),
    "ple": ("ple", {}),
    "adatt sp, m=1": ("adatt", {}),
    "adatt general, 1+1": ("adatt", {"n_shared": 1}),
    "sparse, softmax": ("sparse", {"gate": "softmax"}),
    "sparse, gumbel": ("sparse", {"gate": "gumbel"}),
    "apem": ("apem", {"n_tokens": 16}),
}


def build(method: str, n_tasks: int, units: str) -> MultiTaskModel:
    arch, options = METHODS[method]
    names = [f"t{t}" for t in range(n_tasks)]
    grouping = Grouping.from_labels(names, np.arange(n_tasks) % min(GROUPS, n_tasks))
    return ARCHITECTURES[arch](WIDTH, names, tower=32, units=units, grouping=grouping, **options)


def measure(method: str, n_tasks: int, units: str, reference: bool, repeats: int) -> dict[str, float]:
    """Return milliseconds a step and megabytes, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model: torch.nn.Module = build(method, n_tasks, units)
    call = model.logits
    if reference:
        from tests.reference_models import REFERENCES

        model = call = REFERENCES[METHODS[method][0]](model)
    x = torch.randn(BATCH, WIDTH)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(repeats):
        model.zero_grad()
        begin = time.process_time()
        call(x).square().mean().backward()
        times.append(time.process_time() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"ms": 1e3 * float(np.median(times[1:])), "mb": (peak - start) / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[3, 10, 30, 100])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("fork")
    results: dict[str, dict[str, float]] = {}

    def run(method: str, n_tasks: int, units: str, reference: bool, repeats: int) -> dict[str, float]:
        with context.Pool(1) as pool:
            return pool.apply(measure, (method, n_tasks, units, reference, repeats))

    print("| architecture | units | " + " | ".join(f"T={n}" for n in arguments.sizes) + " |")
    print("|---|---|" + "---|" * len(arguments.sizes))
    for method in arguments.methods:
        for units in ("task", "group"):
            cells = []
            for n_tasks in arguments.sizes:
                row = run(method, n_tasks, units, False, arguments.repeats)
                results[f"{method}, {units}, {n_tasks}"] = row
                cells.append(f"{row['ms']:.1f} ms, {row['mb']:.0f} MB")
            print(f"| {method} | {units} | " + " | ".join(cells) + " |", flush=True)
    n_tasks = max(arguments.sizes)
    if arguments.reference:
        for method in ("adatt sp, m=1", "adatt general, 1+1"):
            slow = run(method, n_tasks, "task", True, 2)
            results[f"{method}, loop, {n_tasks}"] = slow
            fast = results[f"{method}, task, {n_tasks}"]
            compare(f"{method}, T={n_tasks}: loop over tasks against ours", slow, fast)
    if {"adatt sp, m=1", "shared-bottom"} <= set(arguments.methods):
        grouped, bottom = (results[f"{name}, {n_tasks}"] for name in ("adatt sp, m=1, group", "shared-bottom, task"))
        compare(f"T={n_tasks}: AdaTT on {GROUPS} groups against shared bottom", grouped, bottom)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1))


def compare(what: str, one: dict[str, float], other: dict[str, float]) -> None:
    print(f"{what}: {one['ms']:.0f} ms / {other['ms']:.0f} ms = {one['ms'] / other['ms']:.2f}")


if __name__ == "__main__":
    main()
