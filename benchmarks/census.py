"""Census-Income (KDD), three tasks: education at least bachelor, income above 50K, never married.

    python -m benchmarks.census --data DIR [--seeds 0 1 2 3 4] [--out census.json]

A 60/20/20 split of the 99,762 rows of the official test file, the same for all methods; 31 categorical fields as 4-dim
embeddings and 7 numbers (amounts as log1p), levels 128 and 64, towers 32, Adam 1e-3, batch 512. The epoch with the best
mean validation AUC is scored on the test rows. All methods have the default options above: none was tuned.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from benchmarks import public
from taskgroup.data import InputSchema
from taskgroup.models import MultiTaskModel, build_model
from taskgroup.tasks import TaskSet

TASKS = TaskSet(["education", "income", "never_married"])
METHODS = {
    "single-task": ("single-task", {"tower": 32}),
    "shared-bottom": ("shared-bottom", {"tower": 32}),
    "mmoe": ("mmoe", {"n_experts": 4}),
    "ple": ("ple", {"n_experts": 1, "n_shared": 1}),
    "cross-stitch": ("cross-stitch", {}),
    "adatt-sp": ("adatt", {"n_experts": 2}),
    "adatt": ("adatt", {"n_experts": 2, "n_shared": 1}),
}
AMOUNTS = ("wage_per_hour", "capital_gains", "capital_losses", "stock_dividends")
Data = dict[str, tuple[torch.Tensor, torch.Tensor]]


def load(path: Path) -> tuple[Data, InputSchema]:
    """Return {part: (inputs, targets)} and the schema."""
    vocabulary = json.loads(path.with_name("census_kdd_vocab.json").read_text())
    with np.load(path, allow_pickle=False) as file:
        codes, numbers, income = file["cat_test"], file["num_test"].copy(), file["income_test"]
    fields, values = vocabulary["cat"], vocabulary["values"]
    education, marital = (codes[:, fields.index(name)] for name in ("education", "marital_stat"))
    degrees = [i for i, name in enumerate(values["education"]) if name.startswith(("Bach", "Mast", "Doct", "Prof"))]
    never = next(i for i, name in enumerate(values["marital_stat"]) if name.startswith("Never"))
    Y = np.stack([np.isin(education, degrees), income == 1, marital == never], 1).astype(np.float32)
    for name in AMOUNTS:
        numbers[:, vocabulary["num"].index(name)] = np.log1p(numbers[:, vocabulary["num"].index(name)])
    inputs = [i for i, name in enumerate(fields) if name not in ("education", "marital_stat")]
    X = np.concatenate([codes[:, inputs] + 1.0, numbers], 1).astype(np.float32)
    parts = np.random.default_rng(0).permutation(len(X))
    edges = {"train": (0.0, 0.6), "valid": (0.6, 0.8), "test": (0.8, 1.0)}
    rows = {part: parts[int(a * len(X)) : int(b * len(X))] for part, (a, b) in edges.items()}
    categories = {j: tuple(map(str, values[fields[i]])) for j, i in enumerate(inputs)}
    names = tuple(fields[i] for i in inputs) + tuple(vocabulary["num"])
    schema = InputSchema.fit(X[rows["train"]], names, categories, (X.shape[1],))
    data = {
        part: (torch.from_numpy(schema.transform(X[index])), torch.from_numpy(Y[index])) for part, index in rows.items()
    }
    return data, schema


def fit(model: MultiTaskModel, data: Data, epochs: int, lr: float, weight_decay: float, seed: int) -> dict:
    """Train, keep the epoch with the best mean validation AUC, return its AUCs."""
    x, y = data["train"]
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr, weight_decay=weight_decay, fused=True)
    best, state, history = -1.0, None, []
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(x), generator=generator).split(512):
            loss = F.binary_cross_entropy_with_logits(model.logits(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        history.append(float(np.mean(auc(model, data["valid"]))))
        if history[-1] > best:
            best, state = history[-1], copy.deepcopy(model.state_dict())
    model.load_state_dict(state)
    return {"valid": auc(model, data["valid"]), "test": auc(model, data["test"]), "history": history}


@torch.no_grad()
def auc(model: MultiTaskModel, part: tuple[torch.Tensor, torch.Tensor]) -> list[float]:
    model.eval()
    x, y = part
    logits = torch.cat([model.logits(batch) for batch in x.split(4096)])
    return [float(roc_auc_score(y[:, t], logits[:, t])) for t in range(len(TASKS))]


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    (path,) = public(data, "census_kdd")
    parts, schema = load(path)
    methods = ("shared-bottom", "adatt") if quick else METHODS
    found = []
    for method in (m for m in methods if m in METHODS):
        arch, options = METHODS[method]
        start, runs = time.process_time(), []
        for seed in range(1 if quick else 5):
            model = build_model(arch, schema, TASKS, seed=seed, **options)
            runs.append(fit(model, parts, 1 if quick else 4, 1e-3, 0.0, seed)["test"])
        scores = np.array(runs)
        found.append({
            "method": method, "seeds": len(runs), "test AUC": float(scores.mean()),
            "its deviation": float(scores.mean(1).std(ddof=1)) if len(runs) > 1 else None,
            **dict(zip(TASKS.names, map(float, scores.mean(0)), strict=True)),
            "parameters": sum(p.numel() for p in model.parameters()),
            "CPU s a seed": (time.process_time() - start) / len(runs),
        })  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with census_kdd.npz")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--options", type=json.loads, default={}, help="further model arguments, as JSON")
    parser.add_argument("--out", type=Path, default=Path("census.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.data is None:
        print("skipped: needs census_kdd.npz, give its folder by --data")
        return
    data, schema = load(arguments.data / "census_kdd.npz")
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    for seed in arguments.seeds:
        for method in arguments.methods:
            settings = {"epochs": arguments.epochs, "lr": arguments.lr, "weight_decay": arguments.weight_decay,
                        "dropout": arguments.dropout, "options": arguments.options}  # fmt: skip
            key = {"method": method, "seed": seed, **settings}
            if any(all(row[k] == v for k, v in key.items()) for row in results):
                continue
            arch, options = METHODS[method]
            start = time.process_time()
            model = build_model(arch, schema, TASKS, seed=seed, dropout=arguments.dropout,
                                **{**options, **arguments.options})  # fmt: skip
            row = {**key, **fit(model, data, arguments.epochs, arguments.lr, arguments.weight_decay, seed)}
            row["params"] = sum(p.numel() for p in model.parameters())
            row["cpu_seconds"] = time.process_time() - start
            print(
                method, seed, [round(v, 4) for v in row["history"]], round(float(np.mean(row["test"])), 4), flush=True
            )
            results.append(row)
            arguments.out.write_text(json.dumps(results, indent=1))
    print(table(results))


def table(results: list[dict]) -> str:
    """Return means over seeds and 95 % t intervals of the mean AUC."""
    rows = ["| method | settings | valid | test (95 %) | education | income | never married | parameters | CPU s |",
            "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    quantile = {1: np.nan, 2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}

    def settings(row: dict) -> tuple:
        return row["method"], row["epochs"], row["lr"], row["weight_decay"], row["dropout"], json.dumps(row["options"])

    for key in dict.fromkeys(map(settings, results)):
        runs = [row for row in results if settings(row) == key]
        test = np.array([row["test"] for row in runs])
        half = quantile[min(len(runs), 5)] * test.mean(1).std(ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else np.nan
        tasks = " | ".join(f"{value:.4f}" for value in test.mean(0))
        rows.append(
            f"| {key[0]} | {key[1:]} | {np.mean([row['valid'] for row in runs]):.4f} | {test.mean():.4f} ± {half:.4f} "
            f"| {tasks} | {runs[0]['params']} | {np.mean([row['cpu_seconds'] for row in runs]):.1f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
