"""How the verdict, the plan and the intervals behave where the truth is known.

Scores are drawn from a binormal model: the logit of a sample is q y + noise, with noise shared by all methods, noise of
a method's own, and of each seed; q moves with the method, with the task and a little with the seed. The true AUC is
then Phi(q / sqrt(2 s^2 + v)) for noise variance s^2 and variance v of q between seeds. Nothing is trained.

    python benchmarks/verdicts.py [--repeats 100] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from taskgroup.scoring import judge

METHODS = (
    "linear", "stl", "mtl", "mtl-wide", "mtl-ensemble", "mtl-wide-ensemble", "random-groups", "label-groups", "grouped"
)  # fmt: skip
NETWORKS = METHODS[2:]
ENSEMBLES = ("mtl-ensemble", "mtl-wide-ensemble")
GROUPS = ("random-groups", "label-groups", "grouped")

SHARED, TASKWISE, OWN, SEED = 0.3, 0.8, 0.4, 0.3  # standard deviations of the noise of a logit
SEED_MEAN, SEED_TASK = 0.01, 0.05  # of q between seeds: common to all tasks, and of each task

# what a method adds to q, and the spread over tasks of what it adds
SCENARIOS: dict[str, dict[str, Any]] = {
    "no difference": {},
    "shuffled labels": {"quality": 0.0},
    "methods differ by task only": {"spread": 0.1},
    "grouping adds .020": {"add": {"grouped": 0.1}},
    "grouping adds .010": {"add": {"grouped": 0.05}},
    "any groups add .020": {"add": dict.fromkeys(GROUPS, 0.1)},
    "ensembles and groups add .020": {"add": dict.fromkeys(ENSEMBLES + GROUPS, 0.1)},
    "sharing adds .020": {"add": dict.fromkeys(NETWORKS, 0.1)},
    "sharing costs .020": {"add": dict.fromkeys(NETWORKS, -0.1) | {"linear": -0.1}},
    "grouping adds .020, by task": {"add": {"grouped": 0.1}, "spread": 0.1},
}
SIZES = {
    "100 tasks, 360 samples": (100, 360),
    "12 tasks, 1,500 samples": (12, 1500),
    "12 tasks, 150 samples": (12, 150),
}


def simulate(
    rng: np.random.Generator,
    n_tasks: int,
    n_samples: int,
    *,
    quality: float = 1.0,
    add: dict[str, float] | None = None,
    spread: float = 0.0,
    n_seeds: int = 3,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]:
    """Labels, predictions by split, and the true AUC of every method and task."""
    q = {m: quality + (add or {}).get(m, 0.0) + spread * rng.normal(size=n_tasks) for m in METHODS}
    if quality == 0.0:
        q = {m: np.zeros(n_tasks) for m in METHODS}
    shifts = {
        m: SEED_MEAN * rng.normal(size=(n_seeds, 1)) + SEED_TASK * rng.normal(size=(n_seeds, n_tasks)) for m in METHODS
    }
    variance = 2 * (SHARED**2 + TASKWISE**2 + OWN**2 + SEED**2) + SEED_MEAN**2 + SEED_TASK**2
    truth = {m: norm.cdf(q[m] / np.sqrt(variance)) for m in METHODS}
    labels, predictions = {}, {}
    for split in ("valid", "test"):
        y = (rng.random((n_samples, n_tasks)) < 0.3).astype(np.float32)
        common = SHARED * rng.normal(size=(n_samples, 1)) + TASKWISE * rng.normal(size=y.shape)
        labels[split], predictions[split] = y, {}
        for method in METHODS:
            own = common + OWN * rng.normal(size=y.shape)
            by_seed = {}
            for seed in range(1 if method == "linear" else n_seeds):
                signal = (q[method] + (shifts[method][seed] if method != "linear" else 0.0)) * y + own
                n_draws = 3 if method == "random-groups" else 1
                by_seed[seed] = np.stack([signal + SEED * rng.normal(size=y.shape) for _ in range(n_draws)])
            predictions[split][method] = by_seed
    return labels, predictions, truth


def study(scenario: dict[str, Any], n_tasks: int, n_samples: int, repeats: int) -> dict[str, Any]:
    """Decisions, the plan's distance from the best single method in truth, and the coverage of intervals."""
    decisions: Counter[str] = Counter()
    regrets, lifts, covered, claimed = [], [], [], []
    for stream in np.random.SeedSequence(0).spawn(repeats):
        labels, predictions, truth = simulate(np.random.default_rng(stream), n_tasks, n_samples, **scenario)
        card, plan = judge(labels, predictions)
        decisions[plan.decision] += 1
        mean = {m: values.mean() for m, values in truth.items()}
        planned = np.mean([truth[row["method"]][t] for t, row in enumerate(plan.tasks.values())])
        regrets.append(planned - max(mean.values()))
        lifts.append(planned - mean[plan.reference])
        gain = plan.gains["stl"]
        covered.append(gain["ci95"][0] <= planned - mean["stl"] <= gain["ci95"][1])
        row = next(c for c in card.comparisons if (c.method, c.baseline) == ("grouped", "stl"))
        claimed.append(row.difference.low <= mean["grouped"] - mean["stl"] <= row.difference.high)
    return {
        "decisions": {name: count / repeats for name, count in decisions.most_common()},
        "plan - best method": float(np.mean(regrets)),
        "worst": float(np.min(regrets)),
        "plan - reference": float(np.mean(lifts)),
        "coverage, plan - stl": float(np.mean(covered)),
        "coverage, grouped - stl": float(np.mean(claimed)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--size", choices=list(SIZES), help="one size only")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    print(
        "| size | scenario | decisions | plan - best method (worst) | plan - reference | cover plan | cover grouped |"
    )
    print("|---|---|---|---|---|---|---|")
    for size in [arguments.size] if arguments.size else SIZES:
        for name, scenario in SCENARIOS.items():
            found = study(scenario, *SIZES[size], arguments.repeats)
            results.setdefault(size, {})[name] = found
            shares = ", ".join(f"{decision} {share:.0%}" for decision, share in found["decisions"].items())
            print(
                f"| {size} | {name} | {shares} | {found['plan - best method']:+.4f} ({found['worst']:+.4f}) | "
                f"{found['plan - reference']:+.4f} | {found['coverage, plan - stl']:.0%} | "
                f"{found['coverage, grouped - stl']:.0%} |",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
