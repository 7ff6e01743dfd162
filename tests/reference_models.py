"""Slow transcriptions of the architectures' equations: a loop over units, one small module each.

Oracles for the tests and, with the same equations spelled out unit by unit, the yardstick of the speed benchmark.
"""

import torch
from torch import nn


class SlowHeads(nn.Module):
    """A tower and a linear head for each task, on the features of its unit."""

    def __init__(self, heads, tasks, unit_of_task):
        super().__init__()
        self.unit_of_task = unit_of_task
        self.towers = nn.ModuleList()
        start = 0
        for t, task in enumerate(tasks):
            rows = slice(start, start + task.n_outputs)
            tower = [] if heads.tower is None else [linear(heads.tower.weight[t], heads.tower.bias[t]), nn.ReLU()]
            self.towers.append(nn.Sequential(*tower, linear(heads.weight[rows], heads.bias[rows])))
            start = rows.stop

    def forward(self, features):
        """Features (B, U, D), or (B, 1, D) for all tasks; logits (B, n_outputs)."""
        units = [0] * len(self.towers) if features.shape[1] == 1 else self.unit_of_task
        return torch.cat([tower(features[:, u]) for tower, u in zip(self.towers, units, strict=True)], 1)


class SlowAdaTT(nn.Module):
    """Every unit: its experts, its gate over all experts, its native weights."""

    def __init__(self, model):
        super().__init__()
        counts = [*model.n_experts] + ([model.n_shared] if model.n_shared else [])
        self.counts = counts
        self.listeners = [list(range(len(counts)))] * (len(model.levels) - 1)
        self.listeners.append(model.unit_of_task if model.own_gates else list(range(model.n_units)))
        self.experts, self.gates, self.native = nn.ModuleList(), nn.ModuleList(), nn.ParameterList()
        for level, listeners in zip(model.levels, self.listeners, strict=True):
            self.experts.append(nn.ModuleList(mlps(level.experts)))
            self.gates.append(nn.ModuleList(linears(level.gates)))
            sizes = [counts[u] for u in listeners]
            native = torch.ones(sum(sizes), dtype=level.gates.weight.dtype) if level.native is None else level.native
            self.native.append(nn.Parameter(native.detach().clone(), requires_grad=level.native is not None))
        self.heads = SlowHeads(
            model.heads, model.tasks, range(len(model.tasks)) if model.own_gates else model.unit_of_task
        )

    def body(self, x):
        """Features (B, U, D) of (B, U, D)."""
        for experts, gates, native, listeners in zip(
            self.experts, self.gates, self.native, self.listeners, strict=True
        ):
            owners = [u for u, count in enumerate(self.counts) for _ in range(count)]
            everyone = torch.stack([expert(x[:, u]) for expert, u in zip(experts, owners, strict=True)], 1)  # (B, E, D)
            fused, start = [], 0
            for gate, u in zip(gates, listeners, strict=True):
                first = sum(self.counts[:u])
                padded = torch.cat([
                    native.new_zeros(first),
                    native[start : start + self.counts[u]],
                    native.new_zeros(len(owners) - first - self.counts[u]),
                ])  # fmt: skip
                start += self.counts[u]
                weights = torch.softmax(gate(x[:, u]), 1) + padded
                fused.append(torch.bmm(weights.unsqueeze(1), everyone).squeeze(1))
            x = torch.stack(fused, 1)
        return x

    def forward(self, x):
        n_units = len(self.counts)
        return self.heads(self.body(x.unsqueeze(1).expand(-1, n_units, -1)))


class SlowPLE(nn.Module):
    """Every unit: a gate over its own and the shared experts; the shared unit: a gate over all."""

    def __init__(self, model):
        super().__init__()
        self.n_units, self.m = model.n_units, model.n_experts
        self.experts = nn.ModuleList(nn.ModuleList(mlps(level.experts)) for level in model.levels)
        self.gates = nn.ModuleList(nn.ModuleList(linears(level.gates)) for level in model.levels)
        self.shared_gates = nn.ModuleList(
            linears(level.shared_gate)[0] for level in model.levels if level.shared_gate is not None
        )
        self.heads = SlowHeads(model.heads, model.tasks, model.unit_of_task)

    def forward(self, x):
        units = [x] * (self.n_units + 1)
        for number, (experts, gates) in enumerate(zip(self.experts, self.gates, strict=True)):
            n_own = self.n_units * self.m
            outputs = [expert(units[min(e // self.m, self.n_units)]) for e, expert in enumerate(experts)]
            mixed = []
            for u, gate in enumerate(gates):
                seen = torch.stack(outputs[u * self.m : (u + 1) * self.m] + outputs[n_own:], 1)
                mixed.append((torch.softmax(gate(units[u]), 1).unsqueeze(2) * seen).sum(1))
            if number < len(self.shared_gates):
                weights = torch.softmax(self.shared_gates[number](units[-1]), 1)
                mixed.append((weights.unsqueeze(2) * torch.stack(outputs, 1)).sum(1))
            units = mixed
        return self.heads(torch.stack(units[: self.n_units], 1))


class SlowMMoE(nn.Module):
    """Every gate reads the raw input."""

    def __init__(self, model):
        super().__init__()
        self.experts = nn.ModuleList(nn.ModuleList(mlps(level)) for level in model.experts)
        self.gates = nn.ModuleList(nn.ModuleList(linears(level)) for level in model.gates)
        self.heads = SlowHeads(model.heads, model.tasks, model.unit_of_task)

    def forward(self, x):
        inputs = [x] * len(self.experts[0])
        for experts, gates in zip(self.experts, self.gates, strict=True):
            outputs = torch.stack([expert(each) for expert, each in zip(experts, inputs, strict=True)], 1)
            inputs = [(torch.softmax(gate(x), 1).unsqueeze(2) * outputs).sum(1) for gate in gates]
        return self.heads(torch.stack(inputs, 1))


class SlowCrossStitch(nn.Module):
    """A column for each unit, mixed after each level."""

    def __init__(self, model):
        super().__init__()
        self.columns = nn.ModuleList(nn.ModuleList(mlps(level)) for level in model.columns)
        self.stitches = nn.ParameterList(stitch.detach().clone() for stitch in model.stitches)
        self.heads = SlowHeads(model.heads, model.tasks, model.unit_of_task)

    def forward(self, x):
        units = [x] * len(self.columns[0])
        for column, stitch in zip(self.columns, self.stitches, strict=True):
            own = [layer(each) for layer, each in zip(column, units, strict=True)]
            units = [sum(weight * each for weight, each in zip(row, own, strict=True)) for row in stitch]
        return self.heads(torch.stack(units, 1))


class SlowSharedBottom(nn.Module):
    """One trunk and the heads."""

    def __init__(self, model):
        super().__init__()
        self.trunk = model.trunk
        self.heads = SlowHeads(model.heads, model.tasks, model.unit_of_task)

    def forward(self, x):
        return self.heads(self.trunk(x).unsqueeze(1))


class SlowSingleTask(nn.Module):
    """A network for each unit."""

    def __init__(self, model):
        super().__init__()
        self.trunks = nn.ModuleList(mlps(model.trunks))
        self.heads = SlowHeads(model.heads, model.tasks, model.unit_of_task)

    def forward(self, x):
        return self.heads(torch.stack([trunk(x) for trunk in self.trunks], 1))


def linear(weight, bias):
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def linears(batched):
    """One Linear for each map of a BatchedLinear."""
    return [linear(weight, bias) for weight, bias in zip(batched.weight, batched.bias, strict=True)]


def mlps(batched):
    """One Sequential for each network of a BatchedMLP."""
    layers = [linears(layer) for layer in batched.layers]
    return [
        nn.Sequential(*(module for layer in layers for module in (layer[n], nn.ReLU()))) for n in range(len(layers[0]))
    ]


REFERENCES = {
    "shared-bottom": SlowSharedBottom,
    "single-task": SlowSingleTask,
    "cross-stitch": SlowCrossStitch,
    "mmoe": SlowMMoE,
    "ple": SlowPLE,
    "adatt": SlowAdaTT,
}
