"""Record Data Maps in a Hugging Face Trainer: one callback. Then ``taskgroup cluster RUN`` groups the tasks.

A tiny BERT from random weights (nothing is downloaded) reads made-up sentences of twelve tokens and answers eight
yes-or-no questions about each, four about its first half and four about its second.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

from taskgroup.integrations import DataMapTrainerCallback
from taskgroup.tracker import DataMapTracker, IndexedDataset

WORDS, LENGTH = 30, 12
TASKS = [f"word {word} in {half} half" for half in ("first", "second") for word in range(1, 5)]


class Sentences(Dataset):
    """Random tokens, and whether certain words occur in certain halves."""

    def __init__(self, n_samples: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.tokens = torch.randint(1, WORDS, (n_samples, LENGTH), generator=generator)
        halves = self.tokens.split(LENGTH // 2, dim=1)
        self.labels = torch.stack([(half == word).any(1) for half in halves for word in range(1, 5)], 1).float()

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.tokens[index], "labels": self.labels[index]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("taskgroup-run"), help="run directory")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--samples", type=int, default=1000)
    arguments = parser.parse_args()

    set_seed(0)
    config = BertConfig(
        vocab_size=WORDS, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        num_labels=len(TASKS), problem_type="multi_label_classification",
    )  # fmt: skip
    sentences = Sentences(arguments.samples)
    tracker = DataMapTracker(TASKS, n_samples=len(sentences))
    callback = DataMapTrainerCallback(tracker, save_to=arguments.out / "datamaps.safetensors")
    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainingArguments(
            output_dir=scratch, num_train_epochs=arguments.epochs, per_device_train_batch_size=32, learning_rate=3e-3,
            remove_unused_columns=False, save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        model = BertForSequenceClassification(config)
        Trainer(model, settings, train_dataset=IndexedDataset(sentences), callbacks=[callback]).train()
    print(f"recorded {tracker.n_epochs} epochs; next: taskgroup cluster {arguments.out}")


if __name__ == "__main__":
    main()
