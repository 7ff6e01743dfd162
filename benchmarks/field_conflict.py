"""Planted field conflict: every task depends on two fields of its own. APEM against a shared bottom of equal size.

    python -m benchmarks.field_conflict [--seeds 300 301 302 303 304]

24 categorical fields of 8 values; 8 tasks; task t reads its own two fields through scores e_f(v) ~ N(0, 1):
logit = 2 (e_f e_g + (e_f + e_g) / 2), 3,000 rows to train, 1,000 to choose the epoch, 4,000 to test. The shared bottom
has the width that matches APEM's number of parameters, the same embeddings' width and the same number of epochs.
"""

from __future__ import annotations

import argparse
import copy
import json

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from taskgroup.models import APEM, FieldsEncoder, MultiTaskModel, SharedBottom

N_FIELDS, N_VALUES, N_TASKS = 24, 8, 8
PARTS = {"train": slice(0, 3000), "valid": slice(3000, 4000), "test": slice(4000, 8000)}
NAMES = [f"t{t}" for t in range(N_TASKS)]
SIZES = dict.fromkeys(range(N_FIELDS), N_VALUES)


def make(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes 1 .. 8, (n, fields), and labels (n, tasks)."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, N_VALUES, (PARTS["test"].stop, N_FIELDS))
    fields = rng.permutation(N_FIELDS)[: 2 * N_TASKS].reshape(N_TASKS, 2)
    scores = rng.standard_normal((N_FIELDS, N_VALUES))
    f, g = (np.stack([scores[k][codes[:, k]] for k in fields[:, side]], 1) for side in (0, 1))
    labels = rng.random(f.shape) < 1 / (1 + np.exp(-2 * (f * g + (f + g) / 2)))
    return torch.tensor(codes + 1.0, dtype=torch.float32), torch.tensor(labels, dtype=torch.float32)


def apem(width: int) -> APEM:
    return APEM(N_FIELDS, NAMES, categories=SIZES, token_width=width, hidden=(32,), tower=16, n_blocks=1)


def shared_bottom(n_parameters: int, width: int) -> SharedBottom:
    """Return the shared bottom of two equal layers whose size is nearest to ``n_parameters``."""

    def build(hidden: int) -> SharedBottom:
        encoder = FieldsEncoder(N_FIELDS, SIZES, width)
        return SharedBottom(encoder.out_features, NAMES, hidden=(hidden, hidden), tower=16, encoder=encoder)

    sizes = {hidden: abs(count(build(hidden)) - n_parameters) for hidden in range(8, 129, 4)}
    return build(min(sizes, key=sizes.__getitem__))


def count(model: MultiTaskModel) -> int:
    return sum(p.numel() for p in model.parameters())


def fit(model: MultiTaskModel, x: torch.Tensor, y: torch.Tensor, epochs: int, lr: float, seed: int) -> float:
    """Train, keep the best epoch on the validation rows, return the mean test AUC."""
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
    return auc(model, x, y, "test")


@torch.no_grad()
def auc(model: MultiTaskModel, x: torch.Tensor, y: torch.Tensor, part: str) -> float:
    logits = model.eval().logits(x[PARTS[part]])
    return float(np.mean([roc_auc_score(y[PARTS[part], t], logits[:, t]) for t in range(N_TASKS)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[300, 301, 302, 303, 304])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for seed in arguments.seeds:
        x, y = make(seed)
        torch.manual_seed(seed)
        ours = apem(arguments.width)
        rival = shared_bottom(count(ours), arguments.width)
        row = {"seed": seed, "apem": fit(ours, x, y, arguments.epochs, arguments.lr, seed), "apem size": count(ours)}
        row["shared bottom"] = fit(rival, x, y, arguments.epochs, arguments.lr, seed)
        row["shared bottom size"] = count(rival)
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
