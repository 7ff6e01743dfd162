"""Omniglot, 20 alphabets as 20 tasks that share no samples: sparse allocation and its controls.

    python -m benchmarks.omniglot --data DIR [--rounds 3000] [--seeds 0 1 2] [--strength 0.15] [--out rows.json]

The reduced protocol: 28x28 images, stem conv5x5/2 -> 32, three routed layers of eight 3x3 convolutions (strides 2, 1,
2), dropout .5, a linear head per alphabet, batch 16 per task, Adam 2e-3 with a cosine, shifts of up to 2 pixels; per
character 10 images train, 4 validate and 6 test. --strength adds turning, shearing and scaling; .15 was chosen on the
validation rows of seed 100. A finished run is kept in the file given by --out and not run again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from taskgroup.grouping import Grouping
from taskgroup.models import MultiTaskModel, SparseAllocation
from taskgroup.tasks import Task, TaskSet

ALPHABETS = """Gujarati, Sylheti, Arcadian, Tibetan, Old_Church_Slavonic, Angelic, Malay, Sanskrit, Cyrillic,
Anglo-Saxon_Futhorc, Syriac_(Estrangelo), Ge_ez, Japanese_(katakana), Keble, Manipuri, Alphabet_of_the_Magi, Gurmukhi,
Korean, Early_Aramaic, Atemayar_Qelisayer"""
METHODS = {
    "single-task": {"gate": "own", "n_components": 20},
    "shared": {"gate": "all", "n_components": 1},
    "all": {"gate": "all"},
    "softmax": {"gate": "softmax"},
    "dselect": {"gate": "dselect"},
    "gumbel": {"gate": "gumbel"},
    "random": {"gate": "random", "n_active": 4},
}
BATCH = 16


class Stem(nn.Module):
    """Convolution 5x5 with stride 2 to 32 maps, group normalisation, ReLU."""

    out_features = 32 * 14 * 14

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 32, 5, stride=2, padding=2)
        self.norm = nn.GroupNorm(4, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.convolution(x.view(-1, 1, 28, 28)))).flatten(1)


def load(path: Path) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor], TaskSet]:
    """Return images (n, 784), characters and split (0 train, 1 valid, 2 test) of every alphabet."""
    with np.load(path, allow_pickle=False) as file:
        images, alphabet, character, drawer = (file[k] for k in ("images", "alphabet", "character", "drawer"))
        names = [str(name) for name in file["alphabet_names"]]
    wanted = [name.strip() for name in ALPHABETS.replace("\n", " ").split(",")]
    rng = np.random.default_rng(0)
    xs, ys, splits, tasks = [], [], [], []
    for name in wanted:
        rows = alphabet == next(i for i, full in enumerate(names) if full.startswith(name))
        labels = np.unique(character[rows], return_inverse=True)[1]
        x = images[rows].reshape(rows.sum(), -1).astype(np.float32)
        parts = np.repeat([0, 1, 2], [10, 4, 6])[np.stack([rng.permutation(20) for _ in range(labels.max() + 1)])]
        xs.append(torch.from_numpy(x / max(x.max(), 1.0)))
        ys.append(torch.from_numpy(labels))
        splits.append(torch.from_numpy(parts[labels, drawer[rows] - drawer.min()]))
        tasks.append(Task(name, "multiclass", int(labels.max()) + 1))
    return xs, ys, splits, TaskSet(tasks)


def build(method: str, tasks: TaskSet, rounds: int, options: dict) -> SparseAllocation:
    grouping = Grouping.from_labels(tasks, np.zeros(len(tasks), int))
    arguments = {"hidden": (32, 32, 32), "strides": (2, 1, 2), "image_shape": (32, 14, 14), "dropout": 0.5,
                 "total_steps": rounds, **METHODS[method], **options}  # fmt: skip
    return SparseAllocation(Stem.out_features, tasks, encoder=Stem(), grouping=grouping, **arguments)


def train(
    model: MultiTaskModel, data: tuple, rounds: int, rng: np.random.Generator, lr: float, strength: float
) -> None:
    xs, ys, splits, tasks = data
    train_rows = [np.flatnonzero(split.numpy() == 0) for split in splits]
    optimiser = torch.optim.Adam(model.parameters(), lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, rounds)
    sizes = [task.n_outputs for task in tasks]
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 30)))
    model.train()
    for _ in range(rounds):
        chosen = [rng.choice(rows, BATCH) for rows in train_rows]
        x = moved(torch.stack([x[rows] for x, rows in zip(xs, chosen, strict=True)]), strength, generator)
        logits = torch.split(model.logits_each(x), sizes, 1)
        losses = [F.cross_entropy(z, y[rows]) for z, y, rows in zip(logits, ys, chosen, strict=True)]
        optimiser.zero_grad()
        (torch.stack(losses).mean() + model.penalty()).backward()
        optimiser.step()
        schedule.step()


def moved(x: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Return images (T, B, 784) shifted by up to two pixels, and turned, sheared and scaled by up to ``strength``."""
    images = x.view(-1, 1, 28, 28)
    draw = 2 * torch.rand(len(images), 6, generator=generator) - 1
    matrix = strength * draw[:, :4].view(-1, 2, 2) + torch.eye(2)
    shifts = (2 * draw[:, 4:]).round() / 14
    grid = F.affine_grid(torch.cat([matrix, shifts.unsqueeze(2)], 2), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).view(x.shape)


@torch.no_grad()
def error(model: MultiTaskModel, data: tuple, part: int) -> float:
    """Return the mean over alphabets of the error in percent."""
    model.eval()
    xs, ys, splits, tasks = data
    widest = max(int((split == part).sum()) for split in splits)
    rows = [torch.nonzero(split == part)[:, 0].repeat(widest)[:widest] for split in splits]
    x = torch.stack([x[index] for x, index in zip(xs, rows, strict=True)])
    logits = torch.cat([model.logits_each(batch) for batch in x.split(64, 1)])
    errors = []
    for z, y, split in zip(torch.split(logits, [task.n_outputs for task in tasks], 1), ys, splits, strict=True):
        n = int((split == part).sum())
        errors.append(float((z[:n].argmax(1) != y[split == part]).float().mean()))
    return 100 * float(np.mean(errors))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with omniglot_28.npz")
    parser.add_argument("--rounds", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--strength", type=float, default=0.15, help="of turning, shearing and scaling")
    parser.add_argument("--options", type=json.loads, default={}, help="further model arguments, as JSON")
    parser.add_argument("--out", type=Path, default=Path("omniglot.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.data is None:
        print("skipped: needs omniglot_28.npz, give its folder by --data")
        return
    data = load(arguments.data / "omniglot_28.npz")
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    for seed in arguments.seeds:
        for method in arguments.methods:
            key = {"method": method, "seed": seed, "rounds": arguments.rounds, "lr": arguments.lr,
                   "strength": arguments.strength, "options": arguments.options}  # fmt: skip
            if any(all(row[k] == v for k, v in key.items()) for row in results):
                continue
            torch.manual_seed(seed)
            start = time.process_time()
            model = build(method, data[-1], arguments.rounds, arguments.options)
            train(model, data, arguments.rounds, np.random.default_rng(seed), arguments.lr, arguments.strength)
            row = {**key, "valid": error(model, data, 1), "test": error(model, data, 2), "train": error(model, data, 0),
                   "cpu_seconds": time.process_time() - start}  # fmt: skip
            print(json.dumps(row), flush=True)
            results.append(row)
            arguments.out.write_text(json.dumps(results, indent=1))
    print(table(results))


def table(results: list[dict]) -> str:
    rows = ["| method | rounds | valid error % | test error % | seeds |", "|---|---|---|---|---|"]
    for key in dict.fromkeys((r["method"], r["rounds"], r["lr"], json.dumps(r["options"])) for r in results):
        runs = [r for r in results if (r["method"], r["rounds"], r["lr"], json.dumps(r["options"])) == key]
        name = key[0] + (f" {key[3]}" if key[3] != "{}" else "")
        valid, test = ([r[part] for r in runs] for part in ("valid", "test"))
        rows.append(
            f"| {name} | {key[1]} | {np.mean(valid):.2f} ± {np.std(valid):.2f} "
            f"| {np.mean(test):.2f} ± {np.std(test):.2f} | {len(runs)} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
