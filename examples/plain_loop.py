"""Record Data Maps in a plain PyTorch loop: three lines. Then ``taskgroup cluster RUN`` groups the tasks.

Twenty tasks on the top halves of scikit-learn's digits: is it a 0, ..., is it a 9, and ten properties of the digit.
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

from taskgroup import DataMapTracker

PROPERTIES = {
    "even": (0, 2, 4, 6, 8), "prime": (2, 3, 5, 7), "loop": (0, 6, 8, 9), "above 4": (5, 6, 7, 8, 9),
    "multiple of 3": (0, 3, 6, 9), "square": (0, 1, 4, 9), "power of 2": (1, 2, 4, 8), "straight": (1, 4, 7),
    "round": (0, 3, 6, 8, 9), "flat top": (5, 7),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("taskgroup-run"), help="run directory")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()

    digits = load_digits()
    x = torch.tensor(digits.images[:, :4].reshape(-1, 32) / 16, dtype=torch.float32)
    tasks = {f"is {d}": (d,) for d in range(10)} | PROPERTIES
    y = torch.stack([torch.tensor([d in which for d in digits.target]) for which in tasks.values()], 1).float()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, len(tasks)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    tracker = DataMapTracker(list(tasks), n_samples=len(x))  # 1
    for _ in range(arguments.epochs):
        for rows in torch.randperm(len(x)).split(64):
            logits = model(x[rows])
            tracker.update(rows, logits, y[rows])  # 2
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(logits, y[rows]).backward()
            optimizer.step()
        tracker.end_epoch()  # 3

    maps = tracker.data_maps()
    maps.save(arguments.out / "datamaps.safetensors")
    for name, mu, sigma in zip(tasks, maps.confidence.mean(0), maps.variability.mean(0), strict=True):
        print(f"{name:>14}  confidence {mu:.3f}  variability {sigma:.3f}")
    print(f"next: taskgroup cluster {arguments.out}")


if __name__ == "__main__":
    main()
