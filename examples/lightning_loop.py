"""Record Data Maps in a Lightning Trainer: one callback. Then ``taskgroup cluster RUN`` groups the tasks.

Ten tasks on the top halves of scikit-learn's digits: is it a 0, ..., is it a 9.
"""

import argparse
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from taskgroup.integrations import DataMapCallback
from taskgroup.tracker import DataMapTracker, IndexedDataset


class Digits(LightningModule):
    """A shared network with ten heads."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Return the loss."""
        x, y, _ = batch
        return nn.functional.binary_cross_entropy_with_logits(self.net(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("taskgroup-run"), help="run directory")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()

    digits = load_digits()
    x = torch.tensor(digits.images[:, :4].reshape(-1, 32) / 16, dtype=torch.float32)
    y = nn.functional.one_hot(torch.tensor(digits.target), 10).float()

    seed_everything(0, verbose=False)
    loader = DataLoader(IndexedDataset(TensorDataset(x, y)), batch_size=64, shuffle=True)
    tracker = DataMapTracker([f"is {d}" for d in range(10)], n_samples=len(x))
    callback = DataMapCallback(tracker, module="net", save_to=arguments.out / "datamaps.safetensors")
    trainer = Trainer(
        max_epochs=arguments.epochs, callbacks=[callback], accelerator="cpu", devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Digits(), loader)
    print(f"recorded {tracker.n_epochs} epochs; next: taskgroup cluster {arguments.out}")


if __name__ == "__main__":
    main()
