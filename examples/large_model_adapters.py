"""A large model: groups of tasks become LoRA adapters on one frozen body, served together.

    python examples/large_model_adapters.py --out my-run

The body stands for an encoder of billions of weights; here it is a tiny BERT of random weights, so that nothing is
downloaded (`--body NAME_OR_FOLDER` takes one of yours, whose tokens the sentences then are). It is never trained. An
adapter for all tasks is trained first and recorded by a tracker; its Data Maps give the groups; every group then trains
an adapter and heads of its own from that start. The body is in memory once, and one pass answers all tasks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, BertConfig, BertModel, PreTrainedModel

from taskgroup import DataMapTracker, Grouping, group_tasks, score

WORDS, LENGTH, GROUPS = 20, 10, 2
TASKS = [f"kind {kind} in {half} half" for half in ("first", "second") for kind in range(4)]
LORA = LoraConfig(r=4, lora_alpha=8, target_modules=["query", "key", "value", "dense"])
ALL = "all"


class Adapted(nn.Module):
    """A frozen body with an adapter and a linear head for every group of tasks."""

    def __init__(self, body: PreTrainedModel) -> None:
        super().__init__()
        self.width = body.config.hidden_size
        self.body: PeftModel = get_peft_model(body, LORA, adapter_name=ALL)
        self.heads = nn.ModuleDict({ALL: nn.Linear(self.width, len(TASKS))})

    def forward(self, tokens: Tensor, adapter: str) -> Tensor:
        """Return the logits (B, tasks of the adapter) of one adapter."""
        self.body.set_adapter(adapter)
        return self.heads[adapter](self.body(input_ids=tokens).last_hidden_state.mean(1))

    def add(self, adapter: str, tasks: list[int]) -> None:
        """Add an adapter for some tasks, which starts as the one for all of them."""
        self.body.add_adapter(adapter, LORA)
        set_peft_model_state_dict(self.body, get_peft_model_state_dict(self.body, adapter_name=ALL), adapter)
        self.heads[adapter] = nn.Linear(self.width, len(tasks))
        with torch.no_grad():
            self.heads[adapter].weight.copy_(self.heads[ALL].weight[tasks])
            self.heads[adapter].bias.copy_(self.heads[ALL].bias[tasks])

    def weights(self, adapter: str) -> list[nn.Parameter]:
        """Return what is trained with an adapter; nothing of the body is."""
        self.body.set_adapter(adapter)
        return [*(p for p in self.body.parameters() if p.requires_grad), *self.heads[adapter].parameters()]

    @torch.no_grad()
    def serve(self, tokens: Tensor, grouping: Grouping) -> Tensor:
        """Return the logits (B, T) of all tasks, in one pass: every group's adapter reads a copy of the batch."""
        self.eval()
        names = [name for name in self.heads if name != ALL]
        copies = [name for name in names for _ in tokens]
        hidden = self.body(input_ids=tokens.repeat(len(names), 1), adapter_names=copies).last_hidden_state.mean(1)
        answers = torch.empty(len(tokens), grouping.n_tasks)
        for g, (name, part) in enumerate(zip(names, hidden.chunk(len(names)), strict=True)):
            answers[:, grouping.labels == g] = self.heads[name](part)
        return answers

    def save(self, folder: Path) -> None:
        """Write the adapters, each in a folder of its own, and the heads; the body stays where it came from."""
        self.body.save_pretrained(folder)
        save_file(self.heads.state_dict(), folder / "heads.safetensors")

    @classmethod
    def load(cls, body: PreTrainedModel, folder: Path, grouping: Grouping) -> Adapted:
        """Return what :meth:`save` wrote, on a body that has just been loaded."""
        model = cls(body)
        for g in range(grouping.n_groups):
            model.add(f"group-{g}", [t for t in range(grouping.n_tasks) if grouping.labels[t] == g])
            model.body.load_adapter(str(folder / f"group-{g}"), f"group-{g}")
        model.heads.load_state_dict(load_file(folder / "heads.safetensors"))
        return model


def sentences(n: int, seed: int, careless: float) -> tuple[Tensor, Tensor]:
    """Return random tokens (n, LENGTH), and whether words of certain kinds occur in certain halves (n, T).

    Each half has an annotator, who got this share of the sentences wrong in all four tasks: tasks of one annotator find
    the same sentences hard, which is what their Data Maps show.
    """
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, WORDS, (n, LENGTH), generator=generator)
    labels = []
    for half in tokens.split(LENGTH // 2, dim=1):
        found = torch.stack([(half % 5 == kind).any(1) for kind in range(4)], 1)
        wrong = torch.rand(n, 1, generator=generator) < careless
        labels.append(found ^ wrong)
    return tokens, torch.cat(labels, 1).float()


def load_body(name: str | None) -> PreTrainedModel:
    """Return a pretrained body, or a tiny one of random weights, always the same."""
    if name is not None:
        return AutoModel.from_pretrained(name)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=WORDS, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=LENGTH,
    )  # fmt: skip
    return BertModel(config, add_pooling_layer=False)


def fit(
    model: Adapted, adapter: str, tokens: Tensor, labels: Tensor, epochs: int, tracker: DataMapTracker | None = None
) -> None:
    """Train an adapter and its head; the tracker's lines are the only ones that are taskgroup's."""
    optimiser = torch.optim.AdamW(model.weights(adapter), lr=5e-3)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(tokens)).split(64):
            logits = model(tokens[rows], adapter)
            if tracker is not None:
                tracker.update(rows, logits, labels[rows])
            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if tracker is not None:
            tracker.end_epoch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("taskgroup-run"), help="run directory")
    parser.add_argument("--body", default=None, help="name or folder of a pretrained encoder")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--samples", type=int, default=1000)
    arguments = parser.parse_args()

    model = Adapted(load_body(arguments.body))
    tokens, labels = sentences(arguments.samples, seed=1, careless=0.15)
    test_tokens, test_labels = sentences(1000, seed=2, careless=0.0)

    tracker = DataMapTracker(TASKS, n_samples=len(tokens))
    fit(model, ALL, tokens, labels, arguments.epochs, tracker)
    maps = tracker.data_maps()
    maps.save(arguments.out / "datamaps.safetensors")
    grouping = group_tasks(maps, k=GROUPS)
    grouping.save(arguments.out / "grouping.json")
    print(grouping)

    for g in range(grouping.n_groups):
        own = [t for t in range(grouping.n_tasks) if grouping.labels[t] == g]
        model.add(f"group-{g}", own)
        fit(model, f"group-{g}", tokens, labels[:, own], arguments.epochs)
    fit(model, ALL, tokens, labels, arguments.epochs)  # as many epochs as the others, for a fair comparison

    model.eval()
    with torch.no_grad():
        together = model(test_tokens, ALL)
    answers = {"one adapter": together.numpy(), "one per group": model.serve(test_tokens, grouping).numpy()}
    for row in score(test_labels.numpy(), answers, tasks=TASKS).summary():
        low, high = row["ci95"]
        print(f"{row['method']:14} mean AUC {row['mean']:.3f}  [{low:.3f}, {high:.3f}]")
    model.save(arguments.out)
    adapter = sum(p.numel() for p in model.weights("group-0"))
    whole = sum(p.numel() for name, p in model.body.named_parameters() if "lora_" not in name)
    print(f"body {whole:,} weights, once; {adapter:,} more for every group")


if __name__ == "__main__":
    main()
