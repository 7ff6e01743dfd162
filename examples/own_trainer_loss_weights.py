"""Groups in a training loop of your own: loss weights from a grouping, scores and plan from your predictions.

    python examples/own_trainer_loss_weights.py

The loop below is plain PyTorch and stands for yours. Three lines are taskgroup's: the tracker that records Data Maps
while the first model trains, `grouping.loss_weights(g)` in the loss of each group's model, and `score` at the end.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from taskgroup import DataMapTracker, Grouping, group_tasks, load_table, score

EPOCHS, BATCH, GROUPS = 15, 128, 6


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    table = load_table("digits").select(range(0, 100, 4))  # 25 of the 100 tasks
    names = table.tasks.names
    x, y = (torch.from_numpy(array) for array in (table.inputs("train"), table.targets("train")))
    x_test, y_test = torch.from_numpy(table.inputs("test")), table.targets("test")

    tracker = DataMapTracker(table.tasks, n_samples=len(x), targets=table.targets("train"))
    shared = fit(network(x.shape[1], len(names)), x, y, torch.ones(len(names)), tracker)

    grouping = group_tasks(tracker.data_maps(), k=GROUPS, soft=True)
    models = []
    for g in range(grouping.n_groups):
        weights = grouping.loss_weights(g)
        models.append(fit(network(x.shape[1], len(names)), x, y, torch.tensor([weights.get(n, 0.0) for n in names])))

    with torch.no_grad():
        outputs = {
            "mtl": shared(x_test).numpy(),
            "grouped": by_membership(grouping, [m(x_test) for m in models]).numpy(),
        }
    card = score(y_test, outputs, tasks=table.tasks)
    for row in card.summary():
        print(f"{row['method']:8} mean AUC {row['mean']:.3f}  [{row['ci95'][0]:.3f}, {row['ci95'][1]:.3f}]")


def network(n_features: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_features, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, n_outputs))


def fit(
    model: nn.Module, x: Tensor, y: Tensor, task_weights: Tensor, tracker: DataMapTracker | None = None
) -> nn.Module:
    """Train a model on all tasks, each weighted in the loss, and record Data Maps when there is a tracker."""
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            logits = model(x[rows])
            losses = nn.functional.binary_cross_entropy_with_logits(logits, y[rows], reduction="none").mean(0)
            optimiser.zero_grad()
            (losses * task_weights).sum().backward()
            optimiser.step()
            if tracker is not None:
                tracker.update(rows, logits)
        if tracker is not None:
            tracker.end_epoch()
    return model


def by_membership(grouping: Grouping, logits: list[Tensor]) -> Tensor:
    """Return the mean of the group models' logits, weighted by each task's memberships (STG-MTL's rule)."""
    membership = torch.tensor(grouping.membership, dtype=torch.float32)  # (T, k)
    return torch.einsum("gnt,tg->nt", torch.stack(logits), membership)


if __name__ == "__main__":
    main()
