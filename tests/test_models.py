"""What holds for every architecture: shapes, permutations, round trips, batching over models, sizes."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.func import functional_call, stack_module_state, vmap

from taskgroup.data import InputSchema
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import Grouping
from taskgroup.models import ARCHITECTURES, PLE, AdaTT, CrossStitch, MMoE, SharedBottom, SingleTask, build_model
from taskgroup.tasks import Task, TaskSet

TASKS = TaskSet(["a", Task("b", "multiclass", 3), "c", Task("d", "regression"), "e"])
GROUPING = Grouping.from_labels(TASKS, [0, 1, 0, 2, 1])
SCHEMA = InputSchema(
    ("u", "v", "w", "x"), np.zeros(4, np.float32), np.ones(4, np.float32), {1: ("p", "q", "r"), 3: ("s", "t")}
)
EVERY = [(arch, units) for arch in ARCHITECTURES for units in ("task", "group")]
every_architecture = pytest.mark.parametrize(("arch", "units"), EVERY)


def make(arch, units="task", tasks=TASKS, grouping=GROUPING, **options):
    return build_model(arch, SCHEMA, tasks, hidden=(8, 6), units=units, grouping=grouping, **options)


def inputs(n=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator)
    x[:, 1] = torch.randint(0, 4, (n,), generator=generator).float()
    x[:, 3] = torch.randint(0, 3, (n,), generator=generator).float()
    return x


@every_architecture
def test_forward_names_every_task_and_logits_pack_them(arch, units):
    model = make(arch, units).eval()
    outputs, packed = model(inputs()), model.logits(inputs())
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {
        "a": (9,), "b": (9, 3), "c": (9,), "d": (9,), "e": (9,)
    }  # fmt: skip
    assert packed.shape == (9, model.n_outputs) == (9, 7)
    assert torch.equal(torch.cat([output.view(9, -1) for output in outputs.values()], 1), packed)


@every_architecture
def test_every_parameter_learns(arch, units):
    model = make(arch, units)
    model.logits(inputs()).square().sum().backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert not without


@every_architecture
def test_permuted_tasks_give_permuted_outputs(arch, units):
    model = make(arch, units).eval()
    order = ["d", "b", "e", "a", "c"]
    permuted = model.for_tasks(order)
    outputs, expected = permuted(inputs()), model(inputs())
    assert list(outputs) == order
    for name in order:
        torch.testing.assert_close(outputs[name], expected[name], rtol=1e-5, atol=1e-6)


@every_architecture
def test_for_tasks_keeps_weights_and_shapes(arch, units):
    model = make(arch, units).eval()
    part = model.for_tasks(["e", "b"])
    assert part.tasks.names == ("e", "b")
    assert part.logits(inputs()).shape == (9, 4)
    rows = torch.tensor([6, 1, 2, 3])
    assert torch.equal(part.heads.weight, model.heads.weight.index_select(-2, rows))
    part.logits(inputs()).sum().backward()
    assert all(p.grad is None for p in model.parameters())
    again = model.for_tasks(TASKS.names)
    assert torch.equal(again.logits(inputs()), model.logits(inputs()))


@pytest.mark.parametrize("arch", ["shared-bottom", "single-task"])
@pytest.mark.parametrize("units", ["task", "group"])
def test_for_tasks_leaves_outputs_unchanged_where_tasks_are_apart(arch, units):
    model = make(arch, units, tower=3).eval()
    part = model.for_tasks(["e", "b"])
    torch.testing.assert_close(part.logits(inputs()), model.logits(inputs())[:, [6, 1, 2, 3]])


def test_for_tasks_keeps_the_groups():
    part = make("sparse", "task", from_groups=True, gate="gumbel").for_tasks(["d", "a", "c"])
    assert part.grouping.labels.tolist() == [0, 1, 1]
    assert make("adatt", "group").for_tasks(["d", "a", "c"]).unit_of_task == (0, 1, 1)


def test_for_tasks_of_unequal_experts():
    model = AdaTT(4, TASKS, hidden=(8, 6), n_experts=(2, 1, 3), n_shared=2, units="group", grouping=GROUPING)
    part = model.for_tasks(["d", "a"])
    assert part.n_experts == (3, 2)
    first, last = part.levels[0], part.levels[-1]
    assert torch.equal(first.experts.layers[0].weight, model.levels[0].experts.layers[0].weight[[3, 4, 5, 0, 1, 6, 7]])
    assert torch.equal(last.native, model.levels[-1].native[[3, 4, 5, 0, 1]])
    own = AdaTT(4, TASKS, hidden=(8, 6), n_experts=2, own_gates=True, units="group", grouping=GROUPING)
    everything = own.for_tasks(["d", "a", "b", "c", "e"])
    torch.testing.assert_close(everything(inputs())["b"], own(inputs())["b"])


@every_architecture
def test_state_survives_a_file(arch, units, tmp_path):
    model, other = make(arch, units, seed=1).eval(), make(arch, units, seed=2).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(model.logits(inputs()), other.logits(inputs()))


@every_architecture
def test_the_seed_decides_and_the_global_generator_is_left_alone(arch, units):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, same, other = (make(arch, units, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.heads.weight, other.heads.weight)


@every_architecture
def test_models_can_be_stacked_with_vmap(arch, units):
    models = [Logits(make(arch, units, seed=seed, dropout=0.2)).eval() for seed in range(3)]
    parameters, buffers = stack_module_state(models)
    x = inputs()

    def one(parameters, buffers):
        return functional_call(models[0], (parameters, buffers), (x,))

    together = vmap(one, randomness="different")(parameters, buffers)
    torch.testing.assert_close(together, torch.stack([model(x) for model in models]), rtol=1e-4, atol=1e-5)
    models[0].train()
    dropped = vmap(one, randomness="different")(parameters, buffers)
    assert not torch.allclose(dropped, together)
    gradients = torch.autograd.grad(dropped.square().sum(), list(parameters.values()), allow_unused=True)
    assert all(g is not None for g in gradients)


class Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.logits(x)


@every_architecture
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # Dynamo's own doing
def test_compiles_without_graph_breaks(arch, units):
    # Dynamo cannot trace the state swap by which single-task runs its own encoders.
    model = make(arch, units, encoder="mlp" if arch == "single-task" else "auto").eval()
    torch._dynamo.reset()
    compiled = torch.compile(model.logits, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(inputs()), model.logits(inputs()))


@every_architecture
@pytest.mark.parametrize("n_tasks", [1, 300])
def test_one_task_and_three_hundred(arch, units, n_tasks):
    tasks = TaskSet(f"t{i}" for i in range(n_tasks))
    model = make(arch, units, tasks, Grouping.from_labels(tasks, np.arange(n_tasks) % 7))
    model.logits(inputs(4)).square().sum().backward()
    assert model.logits(inputs(1)).shape == (1, n_tasks)


def test_parameter_counts_follow_the_formulas():
    n_tasks, d, h1, h2, tower, k, m, s = 6, 10, 8, 5, 4, 2, 3, 2
    tasks = [f"t{i}" for i in range(n_tasks)]
    grouping = Grouping.from_labels(tasks, [0, 0, 0, 1, 1, 1])
    heads = n_tasks * ((h2 + 1) * tower + tower + 1)

    def size(kind, **options):
        model = kind(d, tasks, hidden=(h1, h2), tower=tower, grouping=grouping, **options)
        return sum(p.numel() for p in model.parameters()) - heads

    expert = (d + 1) * h1 + (h1 + 1) * h2
    assert size(SharedBottom) == expert
    assert size(SingleTask) == n_tasks * expert
    assert size(SingleTask, units="group") == k * expert
    assert size(CrossStitch) == n_tasks * expert + 2 * n_tasks**2
    assert size(MMoE, n_experts=m) == m * expert + (d + 1) * m * (m + n_tasks)
    assert size(MMoE, n_experts=m, units="group") == m * expert + (d + 1) * m * (m + k)
    for units, n in (("task", n_tasks), ("group", k)):
        gates = n * (m + s) * (d + 1 + h1 + 1) + (n * m + s) * (d + 1)
        assert size(PLE, units=units, n_experts=m, n_shared=s) == (n * m + s) * expert + gates
        assert size(AdaTT, units=units) == n * expert + n * n * (d + 1 + h1 + 1)
        e = n * m + s
        assert size(AdaTT, units=units, n_experts=m, n_shared=s) == (
            e * expert + (n + 1) * e * (d + 1) + n * e * (h1 + 1) + e + n * m
        )


def test_fusion_weights_are_gates_plus_native_weights():
    model = AdaTT(4, ["a", "b", "c"], hidden=(8, 6), n_experts=2, n_shared=1)
    first, last = model.fusion_weights(torch.randn(20, 4))
    assert first.shape == (4, 7)
    assert last.shape == (3, 7)
    torch.testing.assert_close(last.sum(1), torch.full((3,), 2.0))  # a softmax and two halves
    gates = last.clone()
    for u in range(3):
        gates[u, 2 * u : 2 * u + 2] -= 0.5
    assert (gates > 0).all()
    (stitch, _) = CrossStitch(4, ["a", "b", "c"]).fusion_weights()
    torch.testing.assert_close(stitch.diag(), torch.full((3,), 0.9))
    for weights in (
        MMoE(4, ["a", "b"]).fusion_weights(torch.randn(5, 4))[-1],
        PLE(4, ["a", "b"]).fusion_weights(torch.randn(5, 4))[0],
    ):
        torch.testing.assert_close(weights.sum(1), torch.ones(2))


def test_heads_start_where_they_are_told():
    model = make("shared-bottom")
    model.heads.weight.data.zero_()
    model.set_output_bias([0.5, 1, 2, 3, -1, 7, 0])
    outputs = model(inputs(2))
    assert outputs["b"].tolist() == [[1, 2, 3], [1, 2, 3]]
    assert outputs["d"].tolist() == [7, 7]
    with pytest.raises(InvalidInputError, match=r"`values` must have shape \(7\); got \(2,\)"):
        model.set_output_bias([0.0, 1.0])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"arch": "ada-tt"}, "`arch` must be one of .*Did you mean 'adatt'"),
        ({"encoder": "cn"}, "`encoder` must be one of"),
        ({"hidden": (8, 0)}, "`hidden` must be at least 1; got 0"),
        ({"dropout": 1.0}, "`dropout` must be below 1"),
        ({"tower": -1}, "`tower` must be at least 0; got -1"),
        ({"units": "tasks"}, "`units` must be one of 'task', 'group'; got 'tasks'"),
        ({"units": "group"}, '`units="group"` needs a `grouping`'),
        ({"arch": "adatt", "hidden": ()}, "`hidden` must hold a width for each of one or more levels"),
        ({"arch": "adatt", "n_experts": 0}, "`n_experts` must be at least 1; got 0"),
        ({"arch": "adatt", "n_experts": [1, 1]}, "one for each of the 5 units; got 2 numbers"),
        ({"arch": "adatt", "n_shared": -1}, "`n_shared` must be at least 0"),
        ({"arch": "ple", "n_shared": -1}, "`n_shared` must be at least 0"),
        ({"arch": "mmoe", "n_experts": 0}, "`n_experts` must be at least 1"),
        ({"arch": "cross-stitch", "keep": 2.0}, "`keep` must be between 0.0 and 1.0; got 2.0"),
        ({"units": "group", "grouping": Grouping.from_labels(["a", "z"], [0, 1])}, "no task 'b'"),
    ],
)
def test_wrong_arguments_are_refused(options, match):
    with pytest.raises(InvalidInputError, match=match):
        build_model(**{"arch": "shared-bottom", "schema": SCHEMA, "tasks": TASKS, **options})


def test_arguments_are_not_changed():
    counts, hidden = [2, 1, 3], [8, [6, 5]]
    AdaTT(4, TASKS, hidden=hidden, n_experts=counts, units="group", grouping=GROUPING).for_tasks(["a", "d"])
    assert counts == [2, 1, 3]
    assert hidden == [8, [6, 5]]
