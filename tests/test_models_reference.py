"""Batched models equal loops over units written from the equations: outputs and every gradient, in float64."""

import numpy as np
import pytest
import torch
from reference_models import REFERENCES

from taskgroup.grouping import Grouping
from taskgroup.models import ARCHITECTURES
from taskgroup.tasks import Task, TaskSet

TASKS = TaskSet(["a", Task("b", "multiclass", 3), "c", Task("d", "regression"), "e"])
GROUPING = Grouping.from_labels(TASKS, [0, 1, 0, 2, 1])
CASES = [
    ("shared-bottom", {}),
    ("single-task", {}),
    ("cross-stitch", {}),
    ("mmoe", {"n_experts": 3}),
    ("mmoe", {"n_experts": 3, "hidden": ((7, 6),)}),
    ("ple", {}),
    ("ple", {"n_experts": 2, "n_shared": 3}),
    ("ple", {"n_experts": 2, "n_shared": 0}),
    ("adatt", {}),
    ("adatt", {"n_shared": 1}),
    ("adatt", {"n_experts": 2, "n_shared": 2, "hidden": ((7, 6), 5, 4)}),
]


@pytest.mark.parametrize("tower", [0, 4])
@pytest.mark.parametrize("units", ["task", "group"])
@pytest.mark.parametrize(("arch", "options"), CASES)
def test_equals_the_equations(arch, options, units, tower):
    torch.manual_seed(0)
    arguments = {"hidden": (7, 6), **options}
    model = ARCHITECTURES[arch](5, TASKS, tower=tower, units=units, grouping=GROUPING, **arguments).double()
    assert_equal_to_reference(arch, model)


@pytest.mark.parametrize("own_gates", [False, True])
def test_adatt_with_unequal_experts_and_gates_of_tasks(own_gates):
    torch.manual_seed(0)
    model = ARCHITECTURES["adatt"](
        5, TASKS, hidden=(7, 6), n_experts=(2, 1, 3), n_shared=2, own_gates=own_gates, units="group", grouping=GROUPING
    ).double()
    assert_equal_to_reference("adatt", model)


def assert_equal_to_reference(arch, model):
    reference = REFERENCES[arch](model)
    inputs = torch.randn(9, 5, dtype=torch.float64)
    weights = torch.randn(9, model.n_outputs, dtype=torch.float64)
    results = []
    for network, call in ((model, model.logits), (reference, reference)):
        x = inputs.clone().requires_grad_()
        logits = call(x)
        network.zero_grad()
        (logits * weights).sum().backward()
        # Weights are laid out differently: sums of squares and of values of all gradients compare them whole.
        gradients = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        results.append((logits.detach(), x.grad, gradients.sort().values))
    for batched, slow in zip(*results, strict=True):
        torch.testing.assert_close(batched, slow, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("arch", "options"), [case for case in CASES if len(case[1]) != 1])
def test_gradients_are_those_of_finite_differences(arch, options):
    torch.manual_seed(1)
    model = ARCHITECTURES[arch](3, ["a", "b"], tower=2, **{"hidden": (3, 2), **options}).double()
    names = [name for name, _ in model.named_parameters()]

    def logits(x, *values):
        return torch.func.functional_call(
            _Logits(model), dict(zip([f"model.{n}" for n in names], values, strict=True)), x
        )

    inputs = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(logits, (inputs, *model.parameters()))


class _Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.logits(x)


def test_reference_itself_runs_the_grouping_given():
    model = ARCHITECTURES["adatt"](5, TASKS, hidden=(7, 6), units="group", grouping=GROUPING)
    assert model.unit_of_task == (0, 1, 0, 2, 1)
    assert np.prod([len(level) for level in REFERENCES["adatt"](model).gates]) == 9
