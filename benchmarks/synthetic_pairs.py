"""Planted pairs: two pairs of regression tasks; tasks of a pair are related, pairs are not. Do related tasks share?

    python -m benchmarks.synthetic_pairs [--seeds 210 211 212 213 214] [--relatedness 1.0]

The generator of the mixture-of-experts paper (Ma et al., KDD 2018, section 3.2): u1, u2 orthonormal, w1 = u1,
w2 = r u1 + sqrt(1 - r^2) u2, y = w.x + sum_{i <= m} sin(i w.x + (i - 1)^2) + N(0, .01^2). The two pairs read
different halves of the input; three layers of 8, four components each. Test error is the mean squared error over the
variance of the target. The gumbel gate's budget and entropy weight were chosen on development seeds 0 to 2.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from taskgroup.grouping import Grouping
from taskgroup.models import MultiTaskModel, SharedBottom, SingleTask, SparseAllocation
from taskgroup.tasks import Task, TaskSet

TASKS = TaskSet(Task(name, "regression") for name in ("a1", "a2", "b1", "b2"))
PAIRS = Grouping.from_labels(TASKS, [0, 0, 1, 1])
HIDDEN = (8, 8, 8)
METHODS = {
    "single-task": lambda d, steps: SingleTask(d, TASKS, hidden=HIDDEN),
    "shared-bottom": lambda d, steps: SharedBottom(d, TASKS, hidden=HIDDEN),
    "softmax": lambda d, steps: sparse(d, steps, gate="softmax"),
    "dselect": lambda d, steps: sparse(d, steps, gate="dselect"),
    "gumbel": lambda d, steps: sparse(
        d, steps, gate="gumbel", start=0.9, budget=0.5, budget_weight=0.5, entropy_weight=0.02
    ),
    "true groups": lambda d, steps: SingleTask(d, TASKS, hidden=HIDDEN, units="group", grouping=PAIRS),
}


def sparse(d: int, steps: int, **options) -> SparseAllocation:
    return SparseAllocation(d, TASKS, hidden=HIDDEN, n_components=4, total_steps=steps, **options)


def make(rng: np.random.Generator, n: int, relatedness: float, d: int = 16, m: int = 2) -> tuple:
    """Return inputs (n, 2 d) and targets (n, 4)."""
    x = rng.standard_normal((n, 2 * d)) / np.sqrt(d)
    y = []
    for half in (x[:, :d], x[:, d:]):
        u1, u2 = np.linalg.qr(rng.standard_normal((d, 2)))[0].T * np.sqrt(d)
        for w in (u1, relatedness * u1 + np.sqrt(1 - relatedness**2) * u2):
            z = half @ w
            y.append(z + sum(np.sin(i * z + (i - 1) ** 2) for i in range(1, m + 1)) + 0.01 * rng.standard_normal(n))
    return torch.tensor(x * np.sqrt(d), dtype=torch.float32), torch.tensor(np.stack(y, 1), dtype=torch.float32)


def fit(model: MultiTaskModel, x: torch.Tensor, y: torch.Tensor, steps: int, lr: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    model.train()
    for _ in range(steps):
        rows = torch.randint(0, len(x), (128,), generator=generator)
        optimiser.zero_grad()
        (F.mse_loss(model.logits(x[rows]), y[rows]) + model.penalty()).backward()
        optimiser.step()
        schedule.step()


def run(seed: int, relatedness: float, steps: int, lr: float, n: int, methods: list[str]) -> dict[str, dict]:
    rng = np.random.default_rng(seed)
    x, y = make(rng, n + 2000, relatedness)
    y = (y - y[:n].mean(0)) / y[:n].std(0)
    out = {}
    for method in methods:
        torch.manual_seed(seed)
        model = METHODS[method](x.shape[1], steps)
        fit(model, x[:n], y[:n], steps, lr, seed)
        with torch.no_grad():
            error = float(F.mse_loss(model.eval().logits(x[n:]), y[n:]))
        out[method] = {"error": error}
        if isinstance(model, SparseAllocation):
            similarity = model.task_similarity().numpy()
            within = (similarity[0, 1] + similarity[2, 3]) / 2
            out[method] |= {"within": float(within), "across": float(similarity[:2, 2:].mean())}
    return out


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    seeds, steps = ((210,), 300) if quick else ((210, 211, 212, 213, 214), 3000)
    return [
        {"seed": seed, "method": method, "error": found["error"], "cosine within": found.get("within"),
         "across": found.get("across")}
        for seed in seeds
        for method, found in run(seed, 1.0, steps, 2e-3, 2000, list(METHODS)).items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[210, 211, 212, 213, 214])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--relatedness", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--lr", type=float, default=2e-3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    for seed in arguments.seeds:
        results[seed] = run(seed, arguments.relatedness, arguments.steps, arguments.lr, arguments.samples,
                            arguments.methods)  # fmt: skip
        print(
            seed,
            json.dumps({k: {n: round(v, 3) for n, v in row.items()} for k, row in results[seed].items()}),
            flush=True,
        )
    print("| method | error, mean | below shared bottom | cosine within | across | within - across, each seed |")
    print("|---|---|---|---|---|---|")
    for method in arguments.methods:
        rows = [result[method] for result in results.values()]
        wins = sum(
            result[method]["error"] < result.get("shared-bottom", {"error": 0})["error"] for result in results.values()
        )
        line = f"| {method} | {np.mean([row['error'] for row in rows]):.3f} | {wins} of {len(rows)} |"
        if "within" in rows[0]:
            gaps = ", ".join(f"{row['within'] - row['across']:.2f}" for row in rows)
            within, across = (np.mean([row[k] for row in rows]) for k in ("within", "across"))
            line += f" {within:.2f} | {across:.2f} | {gaps} |"
        else:
            line += " | | |"
        print(line)


if __name__ == "__main__":
    main()
