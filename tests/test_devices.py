"""Networks and the tracker on any device: a GPU where there is one, else the CPU; never a step that waits for it.

Fake tensors of PyTorch stand for a GPU on machines without one: they know shapes, types and devices, refuse operations
that mix devices, and refuse to be read.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from taskgroup import DataMapTracker, Task, TaskTable, profile
from taskgroup.exceptions import InvalidInputError
from taskgroup.learners import Examples, make_learner
from taskgroup.models import build_model
from taskgroup.tasks import TaskSet
from taskgroup.tracker import _held
from taskgroup.training import FitSettings, TrainingData, _loop, _stack, fit_many, predict
from taskgroup.training._device import kept_random_state, resolve_device, seed_device
from taskgroup.training._fit import _jobs

DEVICE = resolve_device("auto")
TASKS = TaskSet(["a", Task("b", "multiclass", 3), Task("c", "regression"), "d"])


def table(tasks=TASKS, n=160):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 6))
    columns = {"a": X[:, 0] > 0, "b": np.digitize(X[:, 1], [-0.4, 0.4]), "c": 3 * X[:, 2] + 7, "d": X[:, 3] > 0}
    Y = np.stack([columns[task.name].astype(float) for task in tasks], 1)
    Y[rng.random(Y.shape) < 0.1] = np.nan
    return TaskTable.from_arrays(X, Y, tasks)


# What a device is called.


def test_auto_is_a_device_that_is_there():
    assert FitSettings().device == DEVICE
    assert FitSettings(device="cpu").to_dict()["device"] == "cpu"
    assert torch.zeros(1, device=DEVICE).device.type == DEVICE


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "must be auto, cpu, cuda, cuda:N or mps; got 'gpu'"),
        ("cuda:99", "that this machine has, .*got 'cuda:99'"),
    ],
)
def test_a_device_that_is_none_or_not_there_is_refused(name, message):
    with pytest.raises(InvalidInputError, match=message):
        FitSettings(device=name)


def test_drawing_on_a_device_leaves_the_random_state_as_it_was():
    device = torch.device(DEVICE)
    torch.manual_seed(3)
    expected = torch.rand(2), torch.rand(2, device=device)
    torch.manual_seed(3)
    with kept_random_state(device):
        seed_device(device, 7)
        torch.rand(5), torch.rand(5, device=device)
    assert torch.equal(torch.rand(2), expected[0])
    assert torch.equal(torch.rand(2, device=device), expected[1])


# Training.


@pytest.mark.parametrize("learner", ["nets", "tabm"])
def test_networks_of_any_device_answer_like_those_of_the_cpu(learner):
    examples = Examples.from_table(table())
    rows = np.arange(120)
    answers = []
    for device in ("cpu", DEVICE):
        settings = FitSettings(epochs=3, batch_size=40, device=device)
        made = make_learner(learner, dropout=0.0, settings=settings, tune_by=1)
        fitted = made.fit(examples, TASKS.names, rows)
        loaded = type(made).load(fitted.save(), _context(examples))
        answers.append(fitted.outputs(examples.inputs))
        np.testing.assert_allclose(loaded.outputs(examples.inputs), answers[-1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-2, atol=1e-2)


def _context(examples):
    from taskgroup.learners import Context

    return Context(examples.tasks, examples.schema, None)


def test_a_profile_of_any_device_records_like_that_of_the_cpu():
    maps = [
        profile(table(), epochs=2, hidden=(8,), dropout=0.0, settings=FitSettings(device=device)).maps
        for device in ("cpu", DEVICE)
    ]
    assert (maps[0].count == maps[1].count).all()
    np.testing.assert_allclose(maps[1].confidence, maps[0].confidence, atol=5e-3)


@pytest.mark.parametrize("arch", ["shared-bottom", "adatt", "ple", "mmoe", "cross-stitch", "sparse", "apem", "tabm"])
def test_a_step_of_every_architecture_stays_on_its_device(arch):
    """Tensors of the CPU that get into a step raise, and so does every look at a value."""
    model = build_model(arch, table().schema, TASKS, hidden=(8, 8))
    model.expect_steps(4)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        jobs, data = fake(mode, [model])
        optimiser = torch.optim.AdamW(model.parameters())
        _loop._epoch(jobs, data, FitSettings(batch_size=50), 1, optimiser, None, None)
        assert {p.device.type for p in model.parameters()} == {"meta"}
        assert optimiser.state
        with pytest.raises(DataDependentOutputException):  # the judgement of an epoch looks, once
            _loop._valid_loss(jobs[0], data.valid)


@pytest.mark.parametrize("kind", ["binary", "mixed"])
def test_a_step_of_stacked_networks_stays_on_its_device(kind, monkeypatch):
    adam = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda parameters, fused, **options: adam(parameters, **options))
    tasks = TaskSet(
        [task for task in TASKS if task.kind == "binary" or (kind == "mixed" and task.kind == "regression")]
    )
    models = [build_model("shared-bottom", table(tasks).schema, tasks, hidden=(8,), dropout=0.2) for _ in "xy"]
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        jobs, data = fake(mode, models, tasks)
        stack = _stack._Stack(jobs, data, FitSettings(batch_size=50).resolved((6,)))
        stack.train(1)
        with pytest.raises(DataDependentOutputException):
            stack.judge()


def fake(mode, models, tasks=TASKS):
    """Return jobs of models, whose weights are replaced, and data, all of them fakes of a GPU's tensors."""
    data = TrainingData.from_table(table(tasks))
    jobs = _jobs(models, data, list(range(len(models))), None)

    def moved(tensor):
        return mode.from_tensor(tensor.detach()).to("meta")

    for module in (module for model in models for module in model.modules()):
        for name, value in module._parameters.items():
            module._parameters[name] = None if value is None else torch.nn.Parameter(moved(value))
        for name, value in module._buffers.items():
            module._buffers[name] = None if value is None else moved(value)
    for job in jobs:
        job.columns, job.weights = moved(job.columns), moved(job.weights)
    parts = [type(part)(*map(moved, part)) for part in (data.train, data.valid)]
    return jobs, replace(data, train=parts[0], valid=parts[1])


def test_answers_come_back_to_the_cpu():
    source = table()
    data = TrainingData.from_table(source)
    models = [build_model("shared-bottom", source.schema, TASKS, hidden=(8,)) for _ in "xy"]
    fitted = fit_many(models, data, seeds=[0, 1], settings=FitSettings(epochs=1, device=DEVICE))
    outputs = predict(fitted[0].model, data.valid.x)
    assert outputs.device.type == "cpu"
    assert outputs.shape == (len(data.valid.x), TASKS.n_outputs)


# The tracker.


def record(tracker, device, *, epochs=2, lists=False, size=16):
    generator = torch.Generator().manual_seed(0)
    source = table()
    targets = torch.from_numpy(source.targets("train"))
    for _ in range(epochs):
        outputs = torch.randn(len(targets), TASKS.n_outputs, generator=generator)
        for rows in torch.randperm(len(targets), generator=generator).split(size):
            found = outputs[rows].to(device)
            if lists:
                found = [part.squeeze(1) for part in found.split([task.n_outputs for task in TASKS], 1)]
                found[1] = outputs[rows][:, 1:4].to(device)
            tracker.update(rows.to(device), found, targets[rows].to(device), mask=(rows % 7 > 0).to(device))
            del found
        tracker.end_epoch()
    return tracker.data_maps()


def tracker(**options):
    return DataMapTracker(TASKS, len(table().rows("train")), **options)


@pytest.fixture
def held(monkeypatch):
    """Hold tensors of the CPU too, where there is no other device; count transfers."""
    transfers = []
    to_cpu = _held.to_cpu

    def counted(tensors):
        transfers.append(len(tensors))
        return to_cpu(tensors)

    monkeypatch.setattr(_held, "to_cpu", counted)
    if DEVICE == "cpu":
        monkeypatch.setattr("taskgroup.tracker._recorder.elsewhere", lambda *values: True)
    return transfers


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("mode", ["history", "stream"])
def test_batches_of_a_device_are_moved_once_an_epoch_and_recorded_alike(mode, lists, held, monkeypatch):
    found = record(tracker(mode=mode), DEVICE, lists=lists)
    batches = -(-found.count.shape[0] // 16)
    assert held == [batches * (7 if lists else 4)] * 2  # ids, four heads or one, labels, mask: one call an epoch
    monkeypatch.undo()
    assert record(tracker(mode=mode), "cpu", lists=lists).content_hash() == found.content_hash()


def test_batches_are_moved_before_they_fill_the_device(held, monkeypatch):
    monkeypatch.setattr(_held, "_BYTES", 1000)
    found = record(tracker(), DEVICE)
    assert len(held) > 4
    monkeypatch.undo()
    assert record(tracker(), "cpu").content_hash() == found.content_hash()


def test_what_is_held_is_a_copy(held):
    mine = DataMapTracker(["a"], 2)
    logits = torch.tensor([[2.0], [-2.0]], device=DEVICE)
    mine.update(torch.arange(2, device=DEVICE), logits, torch.ones(2, 1, device=DEVICE))
    logits.zero_()
    assert "saw 0 whole epochs and 1 batches of the next" in repr(mine)
    mine.end_epoch()
    np.testing.assert_allclose(mine.data_maps().confidence[:, 0], [0.881, 0.119], atol=1e-3)


def test_state_merge_and_copy_take_what_is_held_along(held):
    def half(rows):
        mine = DataMapTracker(["a"], 4)
        mine.update(torch.tensor(rows, device=DEVICE), torch.ones(2, 1, device=DEVICE), torch.ones(2, 1, device=DEVICE))
        return mine

    import copy

    first, second = half([0, 1]), half([2, 3])
    restored, copied = DataMapTracker(["a"], 4), copy.deepcopy(first)
    restored.load_state_dict(first.state_dict())
    restored.merge(second)
    copied.merge(half([2, 3]))
    for mine in (restored, copied):
        mine.end_epoch()
        assert (mine.data_maps().count == 1).all()


def test_a_bad_batch_of_a_device_is_named_when_the_epoch_ends(held):
    mine = DataMapTracker(["a"], 2)
    ones = torch.ones(1, 1, device=DEVICE)
    mine.update(torch.tensor([0], device=DEVICE), ones, ones)
    mine.update(torch.tensor([5], device=DEVICE), ones, ones)
    with pytest.raises(InvalidInputError, match="batch 1 of epoch 0: `sample_ids` must be between 0 and"):
        mine.end_epoch()


def test_recording_reads_nothing_of_a_device():
    with FakeTensorMode():
        mine = DataMapTracker(["a", "b"], 8)
        for rows in torch.arange(8, device="meta").split(4):
            mine.update(rows, torch.randn(4, 2, device="meta"), torch.ones(4, 2, device="meta"))
        assert len(mine._held) == 2
