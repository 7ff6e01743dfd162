"""What a step of AdaTT costs: against the loop over units of the public formulation, and against a shared bottom.

    python -m benchmarks adatt

Batch 256, 128 features, levels 128 and 64, towers of 32, binary tasks, float32, one thread; forward and backward. The
loop is tests/reference_models.py: the same equations and weights, one small module a unit, so outputs must agree. The
shared bottom has as many parameters as AdaTT on eight groups. CPU time, medians of turns that are taken alternately.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from taskgroup.grouping import Grouping
from taskgroup.models import AdaTT, SharedBottom
from tests.reference_models import SlowAdaTT

BATCH, FEATURES, WIDTHS, TOWER, GROUPS = 256, 128, (128, 64), 32, 8


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    turns = {3: 9, 10: 9, 30: 5, 100: 3, 300: 1}
    return [row(n_tasks, n) for n_tasks, n in turns.items() if n_tasks <= 30 or not quick]


def row(n_tasks: int, turns: int) -> dict[str, Any]:
    torch.manual_seed(0)
    names = [f"t{t}" for t in range(n_tasks)]
    grouping = Grouping.from_labels(names, np.arange(n_tasks) % min(GROUPS, n_tasks))
    own = AdaTT(FEATURES, names, hidden=WIDTHS, tower=TOWER)
    grouped = AdaTT(FEATURES, names, hidden=WIDTHS, tower=TOWER, units="group", grouping=grouping)
    bottom = equal_size(names, size(grouped))
    loop = SlowAdaTT(own)
    x = torch.randn(BATCH, FEATURES)
    with torch.no_grad():
        difference = float((own.logits(x) - loop(x)).abs().max())
    models = {"loop": (loop, loop), "ours": (own, own.logits), "grouped": (grouped, grouped.logits),
              "shared bottom": (bottom, bottom.logits)}  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(turns + 1):
        for name, (model, call) in models.items():
            model.zero_grad()
            begin = time.process_time()
            call(x).square().mean().backward()
            times[name].append(1e3 * (time.process_time() - begin))
    ms = {name: float(np.median(values[1:])) for name, values in times.items()}
    return {
        "tasks": n_tasks,
        "loop, ms": ms["loop"],
        "ours, ms": ms["ours"],
        "loop / ours": ms["loop"] / ms["ours"],
        "outputs differ by": difference,
        "8 groups, ms": ms["grouped"],
        "shared bottom of equal size, ms": ms["shared bottom"],
        "groups / shared bottom": ms["grouped"] / ms["shared bottom"],
        "parameters": size(grouped),
    }


def equal_size(names: list[str], n_parameters: int) -> SharedBottom:
    """Return the shared bottom whose first layer is as wide as makes it this large."""
    narrow, wide = (size(SharedBottom(FEATURES, names, hidden=(w, WIDTHS[1]), tower=TOWER)) for w in (1, 2))
    width = max(1, round(1 + (n_parameters - narrow) / (wide - narrow)))
    return SharedBottom(FEATURES, names, hidden=(width, WIDTHS[1]), tower=TOWER)


def size(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
