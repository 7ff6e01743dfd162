"""Print how well every method recovers planted groups: python -m benchmarks.planted [--data FOLDER] [--seeds 100-104].

Per suite and seed two profile trainings are made, which differ in initial weights and batch order. ARI is the adjusted
Rand index against the truth: at the true k over the tasks that have a group; with k by stability over all tasks, each
task without a group being a group of its own; with k by measured gain over the tasks that have a group, since the
others join where they lose least. "Seed to seed" is the index between the groups of the two trainings, at the true k.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

from benchmarks.planted._profile import Recording, record, task_set
from benchmarks.planted._rivals import RIVALS
from benchmarks.planted._suites import Suite, noise, suites
from taskgroup.cluster import METHODS, group_tasks
from taskgroup.data import TaskTable
from taskgroup.exceptions import OverlapWarning
from taskgroup.features import KINDS

Labels = Callable[[Recording, int, int], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted", description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with yeast.npz, emotions.npz, scene.npz, birds.npz, for the suite `mix`")
    parser.add_argument(
        "--seeds", default="0-4", help="first-last, or one; 0-4 were used in development (default), 100-104 not"
    )
    parser.add_argument("--rows", choices=("default", "ours", "all"), default="all", help="all: with the rivals")
    parser.add_argument("--no-gain", action="store_true", help="leave out the groups by measured gain")
    parser.add_argument("--suites", help="names, separated by commas; all when left out")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    warnings.simplefilter("ignore", OverlapWarning)  # two suites hide labels on purpose
    start = time.process_time()
    chosen = suites(arguments.data)
    if "mix" not in chosen:
        print("suite `mix` skipped: give --data FOLDER with yeast, emotions, scene and birds.npz\n")
    if arguments.suites is not None:
        chosen = {name: chosen[name] for name in arguments.suites.split(",")}
    methods = _methods(arguments.rows)
    results = {name: _suite(make, methods, seeds, not arguments.no_gain) for name, make in chosen.items()}
    _print(results, methods)
    print("\npure noise, k by stability: " + _noise(seeds))
    print(f"CPU {time.process_time() - start:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def _methods(rows: str) -> dict[str, Labels]:
    """The default first; then other kinds with the default method, other methods with the default kind, rivals."""

    def ours(**options: str) -> Labels:
        return lambda recording, k, seed: group_tasks(
            recording.maps, k=k, n_splits=0, random_state=seed, **options
        ).labels  # fmt: skip

    table: dict[str, Labels] = {"default (abs-corr, spectral)": ours()}
    if rows == "default":
        return table
    table |= {f"kind {kind}": ours(kind=kind) for kind in KINDS if kind != "abs-corr"}
    table |= {f"method {method}": ours(method=method) for method in METHODS if method != "spectral"}
    return table | (RIVALS if rows == "all" else {})


def _suite(make: Callable[[np.random.Generator], Suite], methods: dict[str, Labels], seeds: range, gain: bool) -> dict:
    """{method: {"ari": [per seed], "agreement": [...]}}; under "stability" and "gain", {"ari": [...], "k": [...]}."""
    out: dict = {name: {"ari": [], "agreement": []} for name in methods}
    out |= {by: {"ari": [], "k": []} for by in ("stability", "gain")}
    for seed in seeds:
        suite = make(np.random.default_rng(seed))
        recordings = [
            record(suite, seed=1000 * seed + training, rivals="TAG look-ahead" in methods) for training in (0, 1)
        ]
        grouped, k = suite.truth >= 0, int(suite.truth.max()) + 1
        for name, method in methods.items():
            labels = [method(recording, k, 1000 * seed + i)[grouped] for i, recording in enumerate(recordings)]
            out[name]["ari"].append(float(np.mean([adjusted_rand_score(suite.truth[grouped], one) for one in labels])))
            out[name]["agreement"].append(float(adjusted_rand_score(*labels)))
        for recording in recordings:
            grouping = group_tasks(recording.maps, k="stability", random_state=seed)
            out["stability"]["ari"].append(float(adjusted_rand_score(_alone(suite.truth), grouping.labels)))
            out["stability"]["k"].append(grouping.n_groups)
        if gain:
            tasks = task_set(suite.n_classes)
            table = TaskTable.from_arrays(suite.X, suite.Y, tasks, valid=0.1, test=0.05, random_state=seed)
            found = group_tasks(recordings[0].maps, k="gain", table=table, random_state=seed)
            out["gain"]["ari"].append(float(adjusted_rand_score(suite.truth[grouped], found.labels[grouped])))
            out["gain"]["k"].append(found.n_groups)
        out["stability"]["true_k"] = len(np.unique(_alone(suite.truth)))
        out["gain"]["true_k"] = k
    return out


def _alone(truth: np.ndarray) -> np.ndarray:
    return np.where(truth < 0, truth.max() + 1 + np.arange(len(truth)), truth)


def _noise(seeds: range) -> str:
    found = [group_tasks(record(noise(np.random.default_rng(seed)), seed=seed).maps, k="stability") for seed in seeds]
    return f"{[grouping.n_groups for grouping in found]} groups of 20 tasks; says {found[0].info['message']!r}"


def _print(results: dict[str, dict], methods: dict[str, Labels]) -> None:
    print("| ARI | " + " | ".join(results) + " | mean | min | seed to seed |")
    print("|---" * (len(results) + 4) + "|")
    for name in methods:
        row = [float(np.mean(results[suite][name]["ari"])) for suite in results]
        agreement = float(np.mean([np.mean(results[suite][name]["agreement"]) for suite in results]))
        cells = " | ".join(f"{value:.2f}" for value in row)
        print(f"| {name} | {cells} | {np.mean(row):.3f} | {min(row):.2f} | {agreement:.2f} |")
    for by in ("stability", "gain"):
        if not all(result[by]["ari"] for result in results.values()):
            continue
        row = [float(np.mean(result[by]["ari"])) for result in results.values()]
        cells = " | ".join(f"{v:.2f}" for v in row)
        print(f"| k by {by} | {cells} | {np.mean(row):.3f} | {min(row):.2f} | |")
    for by in ("stability", "gain"):
        found = "; ".join(f"{suite} {result[by]['k']} ({result[by]['true_k']})" for suite, result in results.items())
        print(f"\nk by {by} (true): {found}")


if __name__ == "__main__":
    main()
