"""Sparse allocation: the layer against its formulas, the gates, freezing, guards, penalties."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from taskgroup.data import TaskTable
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import Grouping
from taskgroup.models import SparseAllocation
from taskgroup.models._routed import RoutedConv, RoutedLinear, RoutedModules
from taskgroup.models._routing import GateTable
from taskgroup.training import FitSettings, TrainingData, fit_many

TASKS = ["a", "b", "c"]


def mixtures(n_units, n_components):
    return torch.rand(n_units, n_components, dtype=torch.float64).softmax(1)


@pytest.mark.parametrize("n_inputs", [1, 3])
def test_merged_linear_maps_equal_the_mean_of_components(n_inputs):
    torch.manual_seed(0)
    layer = RoutedLinear(4, 5, 6).double()
    x, mix = torch.randn(n_inputs, 7, 5, dtype=torch.float64), mixtures(3, 4)
    for u in range(3):
        own = x[u % n_inputs]
        outputs = torch.stack([F.linear(own, w, b) for w, b in zip(layer.weight, layer.bias, strict=True)])
        expected = torch.relu((mix[u, :, None, None] * outputs).sum(0))
        torch.testing.assert_close(layer(x, mix)[u], expected)


@pytest.mark.parametrize("n_inputs", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_merged_convolutions_equal_the_mean_of_components(n_inputs, stride):
    torch.manual_seed(0)
    layer = RoutedConv(4, (2, 7, 7), 8, stride).double()
    torch.nn.init.normal_(layer.scale)
    x, mix = torch.randn(n_inputs, 5, 2, 7, 7, dtype=torch.float64), mixtures(3, 4)
    output = layer(x, mix)
    assert output.shape == (3, 5, *layer.out_shape)
    for u in range(3):
        own = x[u % n_inputs]
        maps = sum(
            share * F.conv2d(own, w, b, stride, padding=1)
            for share, w, b in zip(mix[u], layer.weight, layer.bias, strict=True)
        )
        torch.testing.assert_close(output[u], torch.relu(F.group_norm(maps, 4, layer.scale, layer.shift)))


@pytest.mark.parametrize("n_inputs", [1, 3])
def test_modules_are_averaged_after_their_activation(n_inputs):
    torch.manual_seed(0)
    modules = [torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.ReLU()).double(), torch.nn.ZeroPad1d((0, 1))]
    layer = RoutedModules([module.float() for module in modules], (5,)).double()
    x, mix = torch.randn(n_inputs, 7, 5, dtype=torch.float64), mixtures(3, 2)
    for u in range(3):
        own = x[u % n_inputs]
        torch.testing.assert_close(layer(x, mix)[u], mix[u, 0] * modules[0](own) + mix[u, 1] * modules[1](own))


def test_a_network_of_given_components_trains_and_leaves_tasks_out():
    torch.manual_seed(0)
    layers = [
        [torch.nn.Sequential(torch.nn.Conv2d(1, 2, size, padding=size // 2), torch.nn.ReLU()) for size in (1, 3)],
        [torch.nn.AvgPool2d(2), torch.nn.MaxPool2d(2), torch.nn.Conv2d(2, 2, 2, stride=2)],
    ]
    model = SparseAllocation(16, TASKS, components=layers, image_shape=(1, 4, 4), gate="gumbel", dropout=0.1)
    x = torch.randn(5, 16)
    assert [tuple(table.probabilities().shape) for table in model.gates] == [(3, 2), (3, 3)]
    model.logits(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    fewer = model.eval().for_tasks(["c"])
    torch.testing.assert_close(fewer.logits(x), model.logits(x)[:, 2:])
    assert fewer.layers[0].components[0] is not layers[0][0]


def table(gate, start=0.9, n_units=3, n_components=4, n_active=2):
    torch.manual_seed(0)
    return GateTable(gate, torch.full((n_units, n_components), start), n_active)


@pytest.mark.parametrize("gate", ["gumbel", "dselect", "softmax", "random", "all", "own"])
@pytest.mark.parametrize("sample", [False, True])
def test_weights_are_a_mean(gate, sample):
    weights = table(gate, n_components=5).weights(sample, 1.0)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert (weights >= 0).all()


def test_samples_are_binary_with_the_probability_of_their_gate_and_a_relaxed_gradient():
    gates = table("gumbel", start=0.7, n_units=2000, n_components=8)
    torch.manual_seed(1)
    weights = gates.weights(True, 2.0)
    active = weights > 0
    assert active.float().mean() == pytest.approx(0.7, abs=0.01)
    shares = 1.0 / active.sum(1, keepdim=True)
    torch.testing.assert_close(weights, active * shares)


def test_gradient_of_a_sample_is_that_of_its_relaxation():
    gates, pull = table("gumbel", start=0.7), torch.randn(3, 4)
    torch.manual_seed(1)
    (gradient,) = torch.autograd.grad((gates.weights(True, 2.0) * pull).sum(), gates.logits)
    torch.manual_seed(1)
    uniform = torch.rand(3, 4)
    theta = gates.logits.detach().requires_grad_()
    noise = uniform.log() - (1 - uniform).log()
    soft = torch.sigmoid((20 * theta + noise) / 2.0)
    hard = (20 * theta + noise > 0).float()
    assert (hard.sum(1) >= 1).all()
    z = hard + soft - soft.detach()
    (expected,) = torch.autograd.grad((z / z.sum(1, keepdim=True) * pull).sum(), theta)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


def test_one_component_stays_on_when_all_gates_are_off():
    gates = table("gumbel", start=0.01)
    with torch.no_grad():
        gates.logits[1, 2] += 0.01
    weights = gates.weights(False, 1.0)
    assert weights[1].tolist() == [0, 0, 1, 0]
    assert (weights.sum(1) == 1).all()
    assert ((gates.weights(True, 1.0) > 0).sum(1) >= 1).all()


def test_gates_stand_at_their_modes_without_sampling():
    gates = table("gumbel")
    with torch.no_grad():
        gates.logits[0] = torch.tensor([1.0, -1.0, 0.1, -0.1])
    assert gates.weights(False, 1.0)[0].tolist() == [0.5, 0, 0.5, 0]


def test_dselect_selects_exactly_by_saturated_codes():
    gates = table("dselect", n_components=8)
    with torch.no_grad():
        gates.bits[0] = torch.tensor([[1.0, -1.0, 1.0], [-1.0, -1.0, -1.0]])  # codes 5 and 0, least bit first
        gates.mix[0] = torch.tensor([np.log(3.0) / 20, 0.0])
    torch.testing.assert_close(gates.weights(False, 1.0)[0], torch.tensor([0.25, 0, 0, 0, 0, 0.75, 0, 0]))
    start = table("dselect", n_components=8)
    assert start.entropy() > 1.0
    with torch.no_grad():
        start.bits.copy_(torch.sign(start.bits))
    assert start.entropy().item() == pytest.approx(0.0, abs=1e-6)


def test_dselect_pays_for_codes_that_stand_for_no_component():
    gates = table("dselect", n_components=5)  # three bits, codes 5, 6 and 7 stand for nothing
    with torch.no_grad():
        gates.bits.fill_(0.3 / 20)
    inside = table("dselect", n_components=5)
    with torch.no_grad():
        inside.bits.fill_(-0.3 / 20)
    assert gates.entropy() > inside.entropy() + 1.0
    torch.testing.assert_close(gates.weights(False, 1.0).sum(1), torch.ones(3))


def test_fixed_controls():
    assert (table("random").weights(True, 1.0) > 0).sum(1).tolist() == [2, 2, 2]
    assert table("all").weights(True, 1.0).unique().tolist() == [0.25]
    assert table("own").weights(True, 1.0).argmax(1).tolist() == [0, 1, 2]


def test_sampling_stops_after_its_share_of_the_steps():
    torch.manual_seed(0)
    model = SparseAllocation(5, TASKS, hidden=(8,), gate="gumbel", start=0.6, total_steps=10, explore=0.6)
    x = torch.randn(4, 5)
    outputs = [model.logits(x) for _ in range(10)]
    assert not any(torch.equal(outputs[0], other) for other in outputs[1:6])
    assert all(torch.equal(outputs[6], other) for other in outputs[7:])
    assert torch.equal(model.eval().logits(x), outputs[-1])
    model.train().logits(x).sum().backward()
    assert model.gates[0].logits.grad is None


def test_penalties_follow_their_formulas():
    model = SparseAllocation(
        5, TASKS, hidden=(8, 8), n_components=4, gate="gumbel", start=0.9, budget=0.5, budget_weight=2.0
    )
    assert model.penalty().item() == pytest.approx(2 * 2.0 * 0.4, rel=1e-5)
    assert SparseAllocation(5, TASKS, gate="gumbel", start=0.4, budget=0.5, budget_weight=2.0).penalty().item() == 0.0
    entropy = SparseAllocation(5, TASKS, hidden=(8,), n_components=4, gate="gumbel", start=0.9, entropy_weight=1.0)
    expected = -4 * (0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert entropy.penalty().item() == pytest.approx(expected, rel=1e-4)
    empty = SparseAllocation(5, TASKS, hidden=(8,), n_components=2, gate="gumbel", start=0.5, empty_weight=3.0)
    assert empty.penalty().item() == pytest.approx(0.75, rel=1e-5)
    softmax = SparseAllocation(5, TASKS, hidden=(8,), n_components=4, gate="softmax", start=0.5, entropy_weight=1.0)
    assert softmax.penalty().item() == pytest.approx(np.log(4), rel=1e-5)


def test_allocation_and_similarity_of_groups():
    grouping = Grouping.from_labels(TASKS, [0, 1, 0])
    model = SparseAllocation(5, TASKS, hidden=(8, 6), n_components=4, units="group", grouping=grouping)
    assert model.gates[0].logits.shape == (2, 4)
    assert model.allocation().shape == (2, 3, 4)
    torch.testing.assert_close(model.allocation()[:, 0], model.allocation()[:, 2])
    started = SparseAllocation(
        5, TASKS, hidden=(8,), n_components=4, gate="gumbel", from_groups=True, grouping=grouping
    )
    torch.testing.assert_close(
        started.allocation()[0], torch.tensor([[0.97, 0.5] * 2, [0.5, 0.97] * 2, [0.97, 0.5] * 2])
    )
    similarity = started.task_similarity()
    torch.testing.assert_close(similarity.diag(), torch.ones(3))
    assert similarity[0, 2] == pytest.approx(1.0)
    assert similarity[0, 1] < 0.9


@pytest.mark.parametrize("options", [{}, {"image_shape": (2, 4, 4), "strides": (2, 1)}])
def test_every_task_may_read_a_batch_of_its_own(options):
    torch.manual_seed(0)
    model = SparseAllocation(32, TASKS, hidden=(8, 4), gate="softmax", start=0.5, **options).eval()
    x = torch.randn(3, 6, 32)
    own = model.logits_each(x)
    assert own.shape == (6, 3)
    for t in range(3):
        torch.testing.assert_close(own[:, t], model.logits(x[t])[:, t], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gate", ["gumbel", "dselect", "softmax"])
def test_gates_and_components_learn(gate):
    torch.manual_seed(0)
    x = torch.randn(512, 8)
    y = torch.stack([x[:, 0].sin(), x[:, 0].sin(), (2 * x[:, 1]).cos(), (2 * x[:, 1]).cos()], 1)
    model = SparseAllocation(8, list("abcd"), hidden=(16, 16), gate=gate, start=0.6, total_steps=100)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    start, before = model.allocation(), F.mse_loss(model.logits(x), y).item()
    for _ in range(100):
        optimiser.zero_grad()
        F.mse_loss(model.logits(x), y).backward()
        optimiser.step()
    assert F.mse_loss(model.eval().logits(x), y).item() < 0.5 * before
    assert not torch.allclose(model.allocation(), start, atol=0.05)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"gate": "gumbl"}, "`gate` must be one of .*Did you mean 'gumbel'"),
        ({"hidden": ()}, "`hidden` must hold a width for each of one or more routed layers; got none"),
        ({"gate": "dselect", "n_active": 9}, "`n_active` must be between 1 and n_components=8; got 9"),
        ({"start": 1.0}, "`start` must be between 0.001 and 0.999; got 1.0"),
        ({"explore": 1.5}, "`explore` must be between 0.0 and 1.0; got 1.5"),
        ({"budget_weight": -1.0}, "`budget_weight` must be at least 0.0"),
        ({"from_groups": True}, "`from_groups` needs a `grouping`; got none"),
        ({"image_shape": (1, 3, 3)}, r"must hold in_features=5 values .* got \(1, 3, 3\) and \(1, 1\)"),
        ({"components": [[]]}, "`components` must hold one or more modules for each of one or more layers; got none"),
        (
            {"components": [[torch.nn.Linear(5, 2), torch.nn.Linear(5, 3)]]},
            r"must have equal output shapes for inputs \(5,\); got \(2,\) and \(3,\)",
        ),
        ({"image_shape": (5, 1, 1), "strides": (1,)}, r"one for each of the 2 layers; got \(5, 1, 1\) and \(1,\)"),
    ],
)
def test_wrong_arguments_are_refused(options, match):
    with pytest.raises(InvalidInputError, match=match):
        SparseAllocation(5, TASKS, **options)


def test_the_trainer_tells_the_steps_and_adds_the_penalty():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 5))
    data = TrainingData.from_table(TaskTable.from_arrays(X, (X[:, :3] > 0).astype(float), TASKS))
    settings = FitSettings(epochs=3, patience=None, batch_size=16, learning_rate=0.02)
    steps = 3 * -(-len(data.train.x) // 16)
    shares = {}
    for weight in (0.0, 100.0):
        torch.manual_seed(0)
        model = SparseAllocation(5, TASKS, hidden=(4,), gate="gumbel", start=0.9, budget=0.2, budget_weight=weight)
        fit_many([model], data, seeds=[0], settings=settings)
        assert model.total_steps == model.steps == steps
        shares[weight] = float(model.allocation().mean())
    assert shares[100.0] < shares[0.0] - 0.2
