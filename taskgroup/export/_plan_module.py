"""A plan as one torch module: raw rows in, what `predict` answers out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from taskgroup._display import clipped
from taskgroup.data import InputSchema
from taskgroup.experiment import Plan
from taskgroup.export._model_modules import module_of

__all__ = ["PlanModule"]


class PlanModule(nn.Module):
    """The models of a plan with their weights and calibrations.

    Parameters
    ----------
    plan : Plan
        A loaded plan.

    Attributes
    ----------
    columns : tuple of str
        What the columns of the output are: ``task:class`` for the probability of a class (of the positive one, for
        binary tasks), ``task`` for a value.

    Raises
    ------
    InvalidInputError
        When a method of the plan has no such form.
    """

    bias: Tensor

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        tasks, choice = plan.tasks, plan.choice
        self.units, self.inputs = _Units(plan.schema), _Inputs(plan.schema)
        models, shares, bias = [], [], np.zeros(tasks.n_outputs)
        for method, own in plan.methods.items():
            calibration = choice.calibration[method]
            weight = np.zeros(tasks.n_outputs)  # of the method in the plan
            for task, start in zip(tasks, tasks.first_outputs, strict=True):
                of_task = slice(start, start + task.n_outputs)
                weight[of_task] = choice.tasks[task.name]["weights"].get(method, 0.0)
                if task.kind == "binary":
                    bias[start] += weight[start] * calibration["intercept"]
                if task.kind != "regression":
                    weight[of_task] *= calibration["slope"]
            for share in own:
                if not any(weight[tasks.output_columns([name])].any() for name in share.weights):
                    continue
                mine = tasks.select(share.model.tasks)
                into = np.zeros((mine.n_outputs, tasks.n_outputs))
                for name, part in share.weights.items():
                    columns = tasks.output_columns([name])
                    into[mine.output_columns([name]), columns] = part * weight[columns]
                models.append(module_of(share.model, method))
                shares.append(torch.from_numpy(into.astype(np.float32)))
        self.models = nn.ModuleList(models)
        for number, share_of in enumerate(shares):
            self.register_buffer(f"share_{number}", share_of)
        self.register_buffer("bias", torch.from_numpy(bias.astype(np.float32)))
        self.runs = _runs([(task.kind, task.n_outputs) for task in tasks])
        self.columns = tuple(
            name
            for task in tasks
            for name in (
                [task.name] if task.kind == "regression"
                else [f"{task.name}:{c}" for c in (task.class_names[1:] if task.kind == "binary" else task.class_names)]
            )
        )  # fmt: skip
        self.eval()

    def __repr__(self) -> str:
        return f"PlanModule({len(self.models)} models; {len(self.columns):,} columns: {clipped(self.columns)})"

    def forward(self, x: Tensor) -> Tensor:
        """Return probabilities and values (n, n_outputs) of raw rows (n, d), NaN where a feature is missing."""
        x = self.units(x)
        scaled = self.inputs(x)
        total = self.bias + torch.zeros_like(x[:, :1])
        for number, model in enumerate(self.models):
            total = total + model(x, scaled) @ getattr(self, f"share_{number}")
        parts, start = [], 0
        for kind, width in self.runs:
            own = total[:, start : start + width]
            parts.append(_ANSWERS[kind](own))
            start += width
        return torch.cat(parts, 1)


class _Units(nn.Module):
    """What :meth:`Units.seen` does, of rows in the dtype of the schema."""

    origin: Tensor
    size: Tensor

    def __init__(self, schema: InputSchema) -> None:
        super().__init__()
        self.named = bool(len(schema.units.columns))
        origin, size = np.zeros(schema.n_features), np.ones(schema.n_features)
        origin[schema.units.columns], size[schema.units.columns] = schema.units.origin, schema.units.size
        self.register_buffer("origin", torch.from_numpy(origin))
        self.register_buffer("size", torch.from_numpy(size))

    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.origin) / self.size).to(torch.float32) if self.named else x


class _Inputs(nn.Module):
    """What :meth:`InputSchema.scaled` does."""

    center: Tensor
    scale: Tensor
    fill: Tensor

    def __init__(self, schema: InputSchema) -> None:
        super().__init__()
        fill = schema.center if schema.fill is None else schema.fill
        self.register_buffer("center", torch.from_numpy(schema.center.copy()))
        self.register_buffer("scale", torch.from_numpy(schema.scale.copy()))
        self.register_buffer("fill", torch.from_numpy((fill - schema.center) / schema.scale))
        self.holes = [int(j) for j in schema.holes]

    def forward(self, x: Tensor) -> Tensor:
        body = (x - self.center) / self.scale
        missing = torch.isnan(body)
        body = torch.where(missing, self.fill, body)
        return torch.cat([body, missing[:, self.holes].to(body.dtype)], 1) if self.holes else body


def _runs(kinds: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return (kind, columns), neighbours of one kind together where no softmax is between."""
    runs: list[tuple[str, int]] = []
    for kind, width in kinds:
        if runs and runs[-1][0] == kind and kind != "multiclass":
            runs[-1] = (kind, runs[-1][1] + width)
        else:
            runs.append((kind, width))
    return runs


_ANSWERS: dict[str, Callable[[Tensor], Tensor]] = {
    "binary": torch.sigmoid,
    "multiclass": lambda x: torch.softmax(x, 1),
    "regression": lambda x: x,
}
