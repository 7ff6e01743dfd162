"""Planted field conflict: every task depends on two fields of its own. APEM against a shared bottom of equal size.

    python -m benchmarks.field_conflict [--seeds 520 521 522 523 524]

40 categorical fields of 8 values; 20 tasks; task t reads its own two fields through scores e_f(v) ~ N(0, 1):
logit = 3 (e_f e_g + (e_f + e_g) / 2), 4,000 rows to train, 1,000 to choose on, 4,000 to test. The shared bottom has the
width that matches APEM's number of parameters, embeddings of the same width and as many epochs. It has one or two
layers and towers or none; of these four forms it takes the best on the validation rows, and each model takes the better
of two learning rates and the best epoch there. APEM selects among the fields themselves, without an attention block and
without towers. This was settled on development seeds 0 and 1.
"""

from __future__ import annotations

import argparse
import copy
import functools
import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from taskgroup.models import APEM, FieldsEncoder, MultiTaskModel, SharedBottom

N_FIELDS, N_VALUES, N_TASKS = 40, 8, 20
PARTS = {"train": slice(0, 4000), "valid": slice(4000, 5000), "test": slice(5000, 9000)}
NAMES = [f"t{t}" for t in range(N_TASKS)]
RATES = (3e-3, 1e-2)
FORMS = ((1, 0), (1, 16), (2, 0), (2, 16))  # layers and width of towers of the shared bottom
SIZES = dict.fromkeys(range(N_FIELDS), N_VALUES)


def make(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes 1 .. 8, (n, fields), and labels (n, tasks)."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, N_VALUES, (PARTS["test"].stop, N_FIELDS))
    fields = rng.permutation(N_FIELDS)[: 2 * N_TASKS].reshape(N_TASKS, 2)
    scores = rng.standard_normal((N_FIELDS, N_VALUES))
    f, g = (np.stack([scores[k][codes[:, k]] for k in fields[:, side]], 1) for side in (0, 1))
    labels = rng.random(f.shape) < 1 / (1 + np.exp(-3 * (f * g + (f + g) / 2)))
    return torch.tensor(codes + 1.0, dtype=torch.float32), torch.tensor(labels, dtype=torch.float32)


def apem(width: int) -> APEM:
    return APEM(N_FIELDS, NAMES, categories=SIZES, token_width=width, hidden=(32,), tower=0, n_blocks=0)


def shared_bottom(n_parameters: int, width: int, n_layers: int, tower: int) -> SharedBottom:
    """Return the shared bottom of equal layers whose size is nearest to ``n_parameters``."""

    def build(hidden: int) -> SharedBottom:
        encoder = FieldsEncoder(N_FIELDS, SIZES, width)
        return SharedBottom(encoder.out_features, NAMES, hidden=(hidden,) * n_layers, tower=tower, encoder=encoder)

    sizes = {hidden: abs(count(build(hidden)) - n_parameters) for hidden in range(4, 129, 2)}
    return build(min(sizes, key=sizes.__getitem__))


def count(model: MultiTaskModel) -> int:
    return sum(p.numel() for p in model.parameters())


def best_of(
    forms: Iterable[Callable[[], MultiTaskModel]], x: torch.Tensor, y: torch.Tensor, epochs: int, seed: int
) -> tuple[MultiTaskModel, float]:
    """Return the form and learning rate that are best on the validation rows, and their mean test AUC."""
    models = []
    for make_model, lr in itertools.product(forms, RATES):
        torch.manual_seed(seed)
        models.append(make_model())
        fit(models[-1], x, y, epochs, lr, seed)
    best = max(models, key=lambda model: auc(model, x, y, "valid"))
    return best, auc(best, x, y, "test")


def fit(model: MultiTaskModel, x: torch.Tensor, y: torch.Tensor, epochs: int, lr: float, seed: int) -> None:
    """Train and keep the epoch that is best on the validation rows."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr, weight_decay=1e-4, fused=True)
    best, state = -1.0, model.state_dict()
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(PARTS["train"].stop, generator=generator).split(128):
            optimiser.zero_grad()
            F.binary_cross_entropy_with_logits(model.logits(x[rows]), y[rows]).backward()
            optimiser.step()
        if (now := auc(model, x, y, "valid")) > best:
            best, state = now, copy.deepcopy(model.state_dict())
    model.load_state_dict(state)


@torch.no_grad()
def auc(model: MultiTaskModel, x: torch.Tensor, y: torch.Tensor, part: str) -> float:
    logits = model.eval().logits(x[PARTS[part]])
    return float(np.mean([roc_auc_score(y[PARTS[part], t], logits[:, t]) for t in range(N_TASKS)]))


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    return [run(seed, 8 if quick else 25, 8) for seed in ((520,) if quick else (520, 521, 522, 523, 524))]


def run(seed: int, epochs: int, width: int) -> dict[str, Any]:
    x, y = make(seed)
    model, score = best_of([lambda: apem(width)], x, y, epochs, seed)
    forms = [functools.partial(shared_bottom, count(model), width, *form) for form in FORMS]
    rival, rival_score = best_of(forms, x, y, epochs, seed)
    return {"seed": seed, "apem": score, "shared bottom": rival_score, "parameters": count(model),
            "of shared bottom": count(rival), "its layers": len(rival.options["hidden"]),
            "its towers": rival.options["tower"]}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[520, 521, 522, 523, 524])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--width", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for seed in arguments.seeds:
        row = run(seed, arguments.epochs, arguments.width)
        rows.append(row)
        print(json.dumps(row), flush=True)
    gains = [row["apem"] - row["shared bottom"] for row in rows]
    print("| APEM | shared bottom | gain | seeds with gain >= .03 |\n|---|---|---|---|")
    means = (np.mean([row[name] for row in rows]) for name in ("apem", "shared bottom"))
    print(
        "| "
        + " | ".join(f"{m:.3f}" for m in means)
        + f" | {np.mean(gains):.3f} | {sum(g >= 0.03 for g in gains)} of {len(gains)} |"
    )


if __name__ == "__main__":
    main()
