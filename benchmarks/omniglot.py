"""Omniglot, 20 alphabets as 20 tasks that share no samples: one shared network, channel gates, a network per task.

    python -m benchmarks.omniglot --data DIR [--rounds 4000] [--seeds 0 1 2] [--methods shared gates] [--out rows.json]

Published for sparse allocation (arXiv 1910.04915): 6.48 % error; the aim here is 5.4 %. Per character 10 images train,
4 validate and 6 test, at 28x28. A round is a step on 16 images of every alphabet. All methods have the same
convolutions, moved and bent images, AdamW with the one-cycle schedule, and equal training. What was chosen - how images
are moved and bent, how many views answer - was chosen on validation images with seed 100.

shared        one network, a linear head per alphabet
gates         every alphabet has its own scale and shift of every map of the last two convolutions
warm gates    the same, learned only after four tenths of the rounds
single-task   a network per alphabet

The error is the mean over alphabets, of the mean answer to an image and 19 views of it that are moved and bent less
than in training ("one view": of the image alone). Convolutions are computed in bfloat16, which some processors do
twice as fast; ``--float32`` has it otherwise. A finished run is kept in the file given by --out and not run again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import Skipped, public
from taskgroup.models import CNNEncoder
from taskgroup.tasks import Task, TaskSet
from taskgroup.training import moved

ALPHABETS = """Gujarati, Sylheti, Arcadian, Tibetan, Old_Church_Slavonic, Angelic, Malay, Sanskrit, Cyrillic,
Anglo-Saxon_Futhorc, Syriac_(Estrangelo), Ge_ez, Japanese_(katakana), Keble, Manipuri, Alphabet_of_the_Magi, Gurmukhi,
Korean, Early_Aramaic, Atemayar_Qelisayer"""
METHODS = ("shared", "gates", "warm gates", "single-task")
SHAPE, WIDTHS, DROPOUT, BATCH = (1, 28, 28), (32, 64, 96, 96), 0.5, 16
LEARNING_RATE, WEIGHT_DECAY, STRENGTH, WARM = 4e-3, 1e-2, 0.25, 0.4
ROUNDS = 4000
VIEWS, VIEW_STRENGTH = 20, 0.18

Data = tuple[list[Tensor], list[Tensor], list[Tensor], TaskSet]


class Network(nn.Module):
    """Convolutions of the package's image encoder, gates of some of their maps, a linear head per task."""

    def __init__(self, tasks: TaskSet, gated: bool) -> None:
        super().__init__()
        self.tasks = tasks
        self.encoder = CNNEncoder(SHAPE, WIDTHS, DROPOUT)
        self.heads = nn.ModuleList(nn.Linear(self.encoder.out_features, task.n_outputs) for task in tasks)
        norms = [place for place, layer in enumerate(self.encoder.layers) if isinstance(layer, nn.BatchNorm2d)]
        places = norms[-2:] if gated else []
        width = {place: self.encoder.layers[place].num_features for place in places}
        self.scale = nn.ParameterDict({str(p): nn.Parameter(torch.ones(len(tasks), n)) for p, n in width.items()})
        self.shift = nn.ParameterDict({str(p): nn.Parameter(torch.zeros(len(tasks), n)) for p, n in width.items()})

    def gates(self) -> list[nn.Parameter]:
        return [*self.scale.values(), *self.shift.values()]

    def features(self, x: Tensor, task: Tensor) -> Tensor:
        """Return the features of images (n, 784) of tasks (n,)."""
        maps = x.view(-1, *SHAPE).contiguous(memory_format=torch.channels_last)
        for place, layer in enumerate(self.encoder.layers):
            maps = layer(maps)
            if str(place) in self.scale:
                scale, shift = (g[str(place)][task, :, None, None].to(maps.dtype) for g in (self.scale, self.shift))
                maps = maps * scale + shift
        return maps.float()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the logits of every task's own images (T, B, 784)."""
        task = torch.arange(len(x)).repeat_interleave(x.shape[1])
        features = self.features(x.flatten(0, 1), task).view(*x.shape[:2], -1)
        return [head(own) for head, own in zip(self.heads, features, strict=True)]


class Alone(nn.Module):
    """A network for every task."""

    def __init__(self, tasks: TaskSet) -> None:
        super().__init__()
        self.networks = nn.ModuleList(Network(tasks.select([task.name]), False) for task in tasks)

    def gates(self) -> list[nn.Parameter]:
        return []

    def forward(self, x: Tensor) -> list[Tensor]:
        return [network(own[None])[0] for network, own in zip(self.networks, x, strict=True)]


def load(path: Path) -> Data:
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


def build(method: str, tasks: TaskSet) -> Network | Alone:
    return Alone(tasks) if method == "single-task" else Network(tasks, method.endswith("gates"))


def train(model: Network | Alone, data: Data, rounds: int, seed: int, warm: float, bfloat16: bool) -> None:
    xs, ys, splits, _ = data
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    train_rows = [np.flatnonzero(split.numpy() == 0) for split in splits]
    gates = model.gates()
    others = [p for p in model.parameters() if all(p is not gate for gate in gates)]
    groups = [{"params": others}, *([{"params": gates, "weight_decay": 0.0}] if gates else [])]
    optimiser = torch.optim.AdamW(groups, LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=rounds)
    model.to(memory_format=torch.channels_last).train()
    for step in range(rounds):
        for gate in gates:
            gate.requires_grad_(step >= warm * rounds)
        chosen = [rng.choice(rows, BATCH, replace=False) for rows in train_rows]
        x = torch.stack([x[rows] for x, rows in zip(xs, chosen, strict=True)])
        x = moved(x.flatten(0, 1), SHAPE, STRENGTH, generator).view(x.shape)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = model(x)
        losses = [F.cross_entropy(z.float(), y[rows]) for z, y, rows in zip(logits, ys, chosen, strict=True)]
        optimiser.zero_grad()
        torch.stack(losses).mean().backward()
        optimiser.step()
        schedule.step()


@torch.no_grad()
def errors(model: Network | Alone, data: Data, part: int, bfloat16: bool) -> tuple[float, float]:
    """Return the mean over alphabets of the error in percent, of all views and of one."""
    model.eval()
    xs, ys, splits, _ = data
    widest = max(int((split == part).sum()) for split in splits)
    rows = [torch.nonzero(split == part)[:, 0].repeat(widest)[:widest] for split in splits]
    x = torch.stack([x[index] for x, index in zip(xs, rows, strict=True)])
    answers = []
    generator = torch.Generator().manual_seed(0)
    for view in range(VIEWS):
        seen = moved(x.flatten(0, 1), SHAPE, VIEW_STRENGTH, generator).view(x.shape) if view else x
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            parts = [model(chunk) for chunk in seen.split(16, 1)]
        answers.append([torch.softmax(torch.cat(own).float(), 1) for own in zip(*parts, strict=True)])
    found = []
    for views in (answers, answers[:1]):
        wrong = []
        for *own, y, split in zip(*views, ys, splits, strict=True):
            n = int((split == part).sum())
            wrong.append(float((sum(own)[:n].argmax(1) != y[split == part]).float().mean()))
        found.append(100 * float(np.mean(wrong)))
    return found[0], found[1]


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    (path,) = public(data, "omniglot_28")
    if quick:
        raise Skipped("takes minutes for each network; run it without --quick")
    found = load(path)
    return rows_of([
        {"method": method, "seed": seed, "rounds": ROUNDS, **run(method, found, seed, ROUNDS, True)}
        for seed in range(3) for method in METHODS
    ])  # fmt: skip


def rows_of(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for every run."""
    return [{name: value for name, value in row.items() if name != "bfloat16"} for row in kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with omniglot_28.npz")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--float32", action="store_true", help="convolutions in float32")
    parser.add_argument("--out", type=Path, default=Path("omniglot.json"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.data is None:
        print("skipped: needs omniglot_28.npz, give its folder by --data")
        return
    data = load(given.data / "omniglot_28.npz")
    results = json.loads(given.out.read_text()) if given.out.exists() else []
    for seed in given.seeds:
        for method in given.methods:
            key = {"method": method, "seed": seed, "rounds": given.rounds, "bfloat16": not given.float32}
            if any(all(row[k] == v for k, v in key.items()) for row in results):
                continue
            results.append({**key, **run(method, data, seed, given.rounds, not given.float32)})
            print(json.dumps(results[-1]), flush=True)
            given.out.write_text(json.dumps(results, indent=1))
    print(table(results))


def run(method: str, data: Data, seed: int, rounds: int, bfloat16: bool) -> dict[str, float]:
    torch.manual_seed(seed)
    start = time.process_time()
    model = build(method, data[-1])
    train(model, data, rounds, seed, WARM if method.startswith("warm") else 0.0, bfloat16)
    seconds = time.process_time() - start
    row: dict[str, float] = {"cpu_seconds": seconds, "params": sum(p.numel() for p in model.parameters())}
    for name, part in (("valid", 1), ("test", 2)):
        row[name], row[f"{name}, one view"] = errors(model, data, part, bfloat16)
    return row


def table(results: list[dict]) -> str:
    heads = "method", "rounds", "valid error %", "test error %", "test, one view", "CPU min", "parameters", "seeds"
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for key in dict.fromkeys((r["method"], r["rounds"]) for r in results):
        runs = [r for r in results if (r["method"], r["rounds"]) == key]
        valid, test, one = ([r[part] for r in runs] for part in ("valid", "test", "test, one view"))
        minutes = np.mean([r["cpu_seconds"] for r in runs]) / 60
        rows.append(
            f"| {key[0]} | {key[1]} | {np.mean(valid):.2f} ± {np.std(valid):.2f} | {np.mean(test):.2f} ± "
            f"{np.std(test):.2f} | {np.mean(one):.2f} | {minutes:.1f} | {runs[0]['params']:,} | {len(runs)} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
