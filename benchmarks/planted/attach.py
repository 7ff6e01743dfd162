"""Attach new tasks to known groups: python -m benchmarks.planted.attach [--data FOLDER] [--seeds 0-4].

A fifth of the tasks is kept out of the profile training. Afterwards only their heads are trained on the frozen trunk,
and each is attached to the groups of the others (true k). Right is the group that most of its own concept is in, and
"none" for a random task.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import replace

import numpy as np

from benchmarks.planted._profile import record
from benchmarks.planted._suites import Suite, suites
from taskgroup.cluster import group_tasks
from taskgroup.exceptions import OverlapWarning


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted.attach")
    parser.add_argument("--data", help="folder of the real sets, for the suite `mix`")
    parser.add_argument("--seeds", default="0-4", help="first-last")
    arguments = parser.parse_args()
    first, last = (int(part) for part in arguments.seeds.split("-"))
    warnings.simplefilter("ignore", OverlapWarning)
    print("| suite | right, of tasks with a group | none, of random tasks | seconds to attach one |\n|---|---|---|---|")
    totals = np.zeros(4)
    for name, make in suites(arguments.data).items():
        counts, seconds = np.zeros(4), 0.0
        for seed in range(first, last + 1):
            found, spent = _attach(make(np.random.default_rng(seed)), seed)
            counts, seconds = counts + found, seconds + spent
        totals += counts
        print(f"| {name} | {_share(counts[:2])} | {_share(counts[2:])} | {seconds / (counts[1] + counts[3]):.3f} |")
    print(f"| all | {_share(totals[:2])} | {_share(totals[2:])} | |")


def _attach(suite: Suite, seed: int) -> tuple[np.ndarray, float]:
    """Counts (right, tasks with a group, none, random tasks) and the CPU seconds of attaching them all."""
    rng = np.random.default_rng(seed)
    late = np.isin(np.arange(len(suite.truth)), rng.choice(len(suite.truth), len(suite.truth) // 5, replace=False))
    known = record(_part(suite, ~late), seed=seed)
    new = record(_part(suite, late), seed=seed, trunk=known.trunk, epochs=10)
    truth = suite.truth[~late]
    grouping = group_tasks(known.maps, k=len(np.unique(truth[truth >= 0])), n_splits=0)
    start = time.process_time()
    attached = grouping.attach(new.maps, known.maps)
    spent = time.process_time() - start
    counts = np.zeros(4)
    for one, concept in zip(attached, suite.truth[late], strict=True):
        if concept < 0:
            counts += [0, 0, one.group is None, 1]
        else:
            home = np.bincount(grouping.labels[truth == concept], minlength=grouping.n_groups).argmax()
            counts += [one.group == home, 1, 0, 0]
    return counts, spent


def _part(suite: Suite, columns: np.ndarray) -> Suite:
    return replace(suite, Y=suite.Y[:, columns], n_classes=suite.n_classes[columns], truth=suite.truth[columns])


def _share(pair: np.ndarray) -> str:
    return f"{pair[0] / pair[1]:.2f} ({pair[0]:.0f} of {pair[1]:.0f})" if pair[1] else "-"


if __name__ == "__main__":
    main()
