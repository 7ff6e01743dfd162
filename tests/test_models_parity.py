"""Outputs and input gradients equal those of independent implementations, recorded in float64."""

from pathlib import Path

import numpy as np
import pytest
import torch

from taskgroup.models import PLE, AdaTT, CrossStitch, MMoE

TASKS = ["a", "b", "c"]
SHARED = 3  # number of the shared unit in the recording


class Case:
    """Weights and tensors of one recorded case."""

    def __init__(self, name):
        with np.load(Path(__file__).parent / "data" / "mtl_parity.npz", allow_pickle=False) as file:
            prefix = f"{name}/"
            self.values = {
                key.removeprefix(prefix): torch.from_numpy(file[key]) for key in file.files if key.startswith(prefix)
            }

    def __getitem__(self, key):
        return self.values[key]

    def stacked(self, keys):
        return torch.stack([self.values[key] for key in keys])

    def load_experts(self, mlp, owners):
        """Fill a BatchedMLP from ``level/unit/expert`` prefixes, in order."""
        for depth, layer in enumerate(mlp.layers):
            layer.weight.copy_(self.stacked([f"{owner}/W{depth}" for owner in owners]))
            layer.bias.copy_(self.stacked([f"{owner}/b{depth}" for owner in owners]))

    def load_gates(self, gates, names):
        gates.weight.copy_(self.stacked([f"{name}_W" for name in names]))
        gates.bias.copy_(self.stacked([f"{name}_b" for name in names]))


def assert_parity(model, case):
    inputs = case["input"].clone().requires_grad_()
    features = inputs.unsqueeze(0) if inputs.ndim == 2 else inputs.transpose(0, 1)
    output = model.body(features).transpose(0, 1)
    (gradient,) = torch.autograd.grad((output * case["loss_weight"]).sum(), inputs)
    assert output.dtype == torch.float64
    torch.testing.assert_close(output, case["output"], rtol=0, atol=1e-10)
    torch.testing.assert_close(gradient, case["input_grad"], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "hidden", "n_experts", "n_shared"),
    [
        ("adatt_sp_m1", (6, 4), 1, 0),
        ("adatt_sp_m2", ((6, 6), 4), 2, 0),
        ("adatt_general_1_1", (6, 4), 1, 1),
        ("adatt_general_mixed", (6, 5, 4), (2, 1, 3), 2),
    ],
)
@torch.no_grad()
def test_adatt(name, hidden, n_experts, n_shared):
    case = Case(name)
    model = AdaTT(5, TASKS, hidden=hidden, n_experts=n_experts, n_shared=n_shared, tower=0).double()
    counts = [*model.n_experts, n_shared]
    for number, level in enumerate(model.levels):
        experts = [f"level{number}/unit{u}/expert{e}" for u, count in enumerate(counts) for e in range(count)]
        case.load_experts(level.experts, experts)
        units = range(4 if n_shared and number < len(hidden) - 1 else 3)
        case.load_gates(level.gates, [f"level{number}/unit{u}/gate" for u in units])
        native = torch.cat([case[f"level{number}/unit{u}/native"] for u in units])
        if level.native is None:
            assert (native == 1).all()
        else:
            level.native.copy_(native)
    with torch.enable_grad():
        assert_parity(model, case)


@torch.no_grad()
def test_ple():
    case = Case("ple_2_2")
    model = PLE(5, TASKS, hidden=(6, 4), n_experts=2, n_shared=2, tower=0).double()
    for number, level in enumerate(model.levels):
        case.load_experts(level.experts, [f"level{number}/unit{u}/expert{e}" for u in range(4) for e in range(2)])
        case.load_gates(level.gates, [f"level{number}/unit{u}/gate" for u in range(3)])
        if level.shared_gate is not None:
            case.load_gates(level.shared_gate, [f"level{number}/unit{SHARED}/gate"])
    with torch.enable_grad():
        assert_parity(model, case)


@torch.no_grad()
def test_multi_level_mmoe():
    case = Case("ml_mmoe_4")
    model = MMoE(5, TASKS, hidden=(6, 4), n_experts=4, tower=0).double()
    for number, (experts, gates) in enumerate(zip(model.experts, model.gates, strict=True)):
        case.load_experts(experts, [f"level{number}/expert{e}" for e in range(4)])
        case.load_gates(gates, [f"level{number}/gate{g}" for g in range(len(gates.weight))])
    with torch.enable_grad():
        assert_parity(model, case)


@torch.no_grad()
def test_cross_stitch():
    case = Case("cross_stitch")
    model = CrossStitch(5, TASKS, hidden=(6, 4), tower=0).double()
    for number, (column, stitch) in enumerate(zip(model.columns, model.stitches, strict=True)):
        case.load_experts(column, [f"level{number}/task{t}" for t in range(3)])
        stitch.copy_(case[f"level{number}/stitch"])
    with torch.enable_grad():
        assert_parity(model, case)
