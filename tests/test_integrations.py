"""The tracker inside real training loops: by hook, in Lightning and in the Hugging Face Trainer."""

import gc
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import taskgroup
import taskgroup.integrations
from taskgroup import DataMaps
from taskgroup.exceptions import ArtifactError, InvalidInputError, MissingDependencyError
from taskgroup.integrations import announced, split_batch
from taskgroup.tracker import DataMapTracker, IndexedDataset

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TASKS = ["a", "b", "c"]
N = 22


def table():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, 5, generator=generator)
    return x, (x[:, :3] > 0).float()


# Hooks.


def test_an_attached_tracker_records_training_passes_only_and_leaves_with_the_context():
    x, y = table()
    model = nn.Linear(5, 3)
    hooked, direct = DataMapTracker(TASKS, N), DataMapTracker(TASKS, N)
    with hooked.attach(model):
        for rows in torch.arange(N).split(6):
            hooked.batch(rows, y[rows])
            logits = model(x[rows])
            direct.update(rows, logits, y[rows])
        model.eval()
        model(x)
        model.train()
        hooked.end_epoch()
    direct.end_epoch()
    model(x)  # no announced batch is needed any more
    assert not model._forward_hooks
    assert hooked.data_maps().content_hash() == direct.data_maps().content_hash()


def test_a_training_pass_without_an_announced_batch_is_refused():
    model = nn.Linear(5, 3)
    tracker = DataMapTracker(TASKS, N)
    with (
        tracker.attach(model),
        pytest.raises(InvalidInputError, match=r"without an announced batch; call tracker\.batch"),
    ):
        model(torch.zeros(2, 5))
    assert not model._forward_hooks


def test_the_hook_goes_with_its_attachment_and_does_not_keep_the_tracker():
    model = nn.Linear(5, 3)
    tracker = DataMapTracker(TASKS, N)
    attachment = tracker.attach(model)
    assert len(model._forward_hooks) == 1
    del tracker
    gc.collect()
    model(torch.zeros(2, 5))  # nobody listens
    del attachment
    gc.collect()
    assert not model._forward_hooks


@pytest.mark.parametrize("wrap", [lambda z: {"logits": z}, lambda z: SimpleNamespace(logits=z), lambda z: z])
def test_logits_are_found_in_what_models_return(wrap):
    class Model(nn.Module):
        def forward(self, x):
            return wrap(x)

    model, tracker = Model(), DataMapTracker(TASKS, 2)
    with tracker.attach(model):
        tracker.batch([0, 1], torch.ones(2, 3))
        model(torch.zeros(2, 3))
    tracker.end_epoch()
    assert (tracker.data_maps().count == 1).all()


def test_the_caller_may_say_where_the_logits_are():
    class Model(nn.Module):
        def forward(self, x):
            return x, {"hidden": x}

    model, tracker = Model(), DataMapTracker(TASKS, 2)
    with tracker.attach(model, output=lambda result: result[0]):
        tracker.batch([0, 1], torch.ones(2, 3), mask=[True, False])
        model(torch.zeros(2, 3))
    tracker.end_epoch()
    assert tracker.data_maps().count[:, 0].tolist() == [1, 0]


# Datasets and batches that say which sample is which.


@dataclass
class Sample:
    x: float
    sample_id: int = -1


@dataclass
class Nameless:
    x: float


def test_an_indexed_dataset_numbers_every_kind_of_sample():
    assert IndexedDataset([(1, 2), (3, 4)])[1] == (3, 4, 1)
    assert IndexedDataset([[1, 2], [3, 4]])[0] == (1, 2, 0)
    assert IndexedDataset(["x", "y"])[1] == ("y", 1)
    assert IndexedDataset([{"x": 1}], key="row")[0] == {"x": 1, "row": 0}
    assert IndexedDataset([Sample(0.5), Sample(1.5)])[1] == Sample(1.5, 1)
    loader = DataLoader(IndexedDataset(TensorDataset(*table())), batch_size=4)
    assert [batch[-1].tolist() for batch in loader][:2] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(IndexedDataset("abc")) == 3


def test_what_cannot_be_numbered_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            yield 1

    with pytest.raises(InvalidInputError, match="must be map-style, with __getitem__; got Stream"):
        IndexedDataset(Stream())
    with pytest.raises(InvalidInputError, match="the dataclass Nameless needs a field 'sample_id'"):
        IndexedDataset([Nameless(1.0)])[0]
    with pytest.raises(InvalidInputError, match="must not have the key 'sample_id' already"):
        IndexedDataset([{"sample_id": 7}])[0]


def test_batches_are_split_into_ids_targets_and_rest():
    assert split_batch(("x", "y", "i")) == ("i", "y", ("x", "y"))
    assert split_batch({"x": 1, "labels": 2, "sample_id": 3}) == (3, 2, {"x": 1, "labels": 2})
    assert split_batch({"x": 1, "sample_id": 3}) == (3, None, {"x": 1})
    with pytest.raises(InvalidInputError, match=r"got keys \['x'\]. Give a function of your own"):
        split_batch({"x": 1})
    with pytest.raises(InvalidInputError, match="got a int"):
        split_batch(3)


def test_an_announced_loader_records_a_loop_that_cannot_be_edited():
    x, y = table()
    model, tracker = nn.Linear(5, 3), DataMapTracker(TASKS, N)

    def foreign_loop(loader):
        for inputs, _ in loader:
            model(inputs)

    with tracker.attach(model):
        foreign_loop(announced(tracker, DataLoader(IndexedDataset(TensorDataset(x, y)), batch_size=5, shuffle=True)))
        tracker.end_epoch()
        foreign_loop(announced(tracker, [{"x": x, "i": np.arange(N)}], lambda b: (b["i"], y, (b["x"], None))))
        tracker.end_epoch()
    maps = tracker.data_maps()
    assert (maps.count == 2).all()
    np.testing.assert_array_equal(maps.targets, y)
    assert maps.variability.max() == 0


# Frameworks.


@pytest.mark.parametrize(("name", "framework"), taskgroup.integrations._OPTIONAL.items())
def test_an_absent_framework_is_named_with_its_extra(monkeypatch, name, framework):
    monkeypatch.setitem(sys.modules, framework, None)
    with pytest.raises(MissingDependencyError, match=rf"{name} needs {framework}; install the extra"):
        getattr(taskgroup.integrations, name)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'KerasCallback'"):
        _ = taskgroup.integrations.KerasCallback


@pytest.fixture
def lightning():
    import lightning.pytorch

    return lightning.pytorch


def lightning_run(lightning, tmp_path, tracker, max_epochs, module="net", resume=None, save_to=None):
    """Train for some epochs; return the own record that training_step made, and the number of forward passes."""
    from taskgroup.integrations import DataMapCallback

    x, y = table()
    own, passes = DataMapTracker(TASKS, N), []

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(5, 3)
            self.net.register_forward_hook(lambda *_: passes.append(self.training))

        def training_step(self, batch, batch_idx):
            inputs, labels, rows = batch
            logits = self.net(inputs)
            own.update(rows, logits, labels)
            return nn.functional.binary_cross_entropy_with_logits(logits, labels)

        def validation_step(self, batch, batch_idx):
            self.net(batch[0])

        def on_train_epoch_end(self):
            own.end_epoch()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.5)

    lightning.seed_everything(0, verbose=False)
    data = IndexedDataset(TensorDataset(x, y))
    loader = DataLoader(data, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(1))
    checkpoint = lightning.callbacks.ModelCheckpoint(tmp_path, save_top_k=-1, filename="{epoch}")
    trainer = lightning.Trainer(
        max_epochs=max_epochs, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[DataMapCallback(tracker, module=module, save_to=save_to), checkpoint],
    )  # fmt: skip
    trainer.fit(Module(), loader, DataLoader(data, batch_size=8), ckpt_path=resume)
    return own, sum(passes)


def ignoring_lightning(test):
    """Let pass what Lightning warns of itself: its deprecated pytree check, few workers, a folder used again."""
    messages = (
        "isinstance.treespec, LeafSpec.*:FutureWarning",
        "does not have many workers:UserWarning",
        "Checkpoint directory .* exists and is not empty:UserWarning",
    )
    for message in messages:
        test = pytest.mark.filterwarnings(f"ignore:.*{message}")(test)
    return test


@ignoring_lightning
def test_lightning_records_two_epochs_without_a_second_pass_and_resumes(lightning, tmp_path):
    tracker = DataMapTracker(TASKS, N)
    own, passes = lightning_run(lightning, tmp_path, tracker, 2, save_to=tmp_path / "run" / "datamaps.safetensors")
    maps = tracker.data_maps()
    assert passes == 2 * 3
    assert (maps.count == 2).all()
    np.testing.assert_array_equal(maps.history, own.data_maps().history)
    assert DataMaps.load(tmp_path / "run" / "datamaps.safetensors").content_hash() == maps.content_hash()

    resumed = DataMapTracker(TASKS, N)
    lightning_run(lightning, tmp_path, resumed, 3, resume=tmp_path / "epoch=0.ckpt")
    assert resumed.n_epochs == 3
    np.testing.assert_array_equal(resumed.data_maps().history[0], maps.history[0])


@ignoring_lightning
def test_lightning_says_so_when_the_module_named_is_not_called(lightning, tmp_path):
    with pytest.raises(InvalidInputError, match=r"did not call the LightningModule itself, .*name the sub-module"):
        lightning_run(lightning, tmp_path, DataMapTracker(TASKS, N), 1, module="")


@pytest.fixture
def transformers():
    import transformers

    return transformers


class Records:
    """Feature vectors with labels, as mappings."""

    def __len__(self):
        return N

    def __getitem__(self, index):
        x, y = table()
        return {"x": x[index], "labels": y[index]}


def transformers_run(transformers, folder, tracker, *, resume=None, epochs=2, ids=True, **settings):
    """Train for some epochs; return the number of training passes."""
    from taskgroup.integrations import DataMapTrainerCallback

    passes = []

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(5, 3)
            self.drop = nn.Dropout(0.2)

        def forward(self, x, labels):
            passes.append(self.training)
            logits = self.head(self.drop(x))
            return {"loss": nn.functional.binary_cross_entropy_with_logits(logits, labels), "logits": logits}

    transformers.set_seed(0)
    data = IndexedDataset(Records()) if ids else Records()
    arguments = {"save_strategy": "no", "remove_unused_columns": False, **settings}
    args = transformers.TrainingArguments(
        output_dir=folder, num_train_epochs=epochs, per_device_train_batch_size=6, per_device_eval_batch_size=6,
        report_to="none", disable_tqdm=True, use_cpu=True, eval_strategy="epoch", logging_strategy="no",
        learning_rate=0.1, **arguments,
    )  # fmt: skip
    callback = DataMapTrainerCallback(tracker, save_to=folder / "run" / "datamaps.safetensors")
    trainer = transformers.Trainer(Model(), args, train_dataset=data, eval_dataset=data, callbacks=[callback])
    trainer.train(resume_from_checkpoint=resume)
    assert not trainer.model._forward_hooks
    assert not trainer.model._forward_pre_hooks
    return sum(passes)


def test_transformers_records_two_epochs_without_a_second_pass_and_resumes_in_mid_epoch(transformers, tmp_path):
    tracker = DataMapTracker(TASKS, N)
    passes = transformers_run(transformers, tmp_path, tracker, save_strategy="steps", save_steps=6)
    maps = tracker.data_maps()
    assert passes == 2 * 4
    assert (maps.count == 2).all()
    assert maps.variability.max() > 0
    assert DataMaps.load(tmp_path / "run" / "datamaps.safetensors").content_hash() == maps.content_hash()

    resumed = DataMapTracker(TASKS, N)
    passes = transformers_run(transformers, tmp_path, resumed, resume=str(tmp_path / "checkpoint-6"))
    assert passes == 2
    np.testing.assert_array_equal(resumed.data_maps().history, maps.history)

    (tmp_path / "checkpoint-6" / "datamap-tracker-0.pt").unlink()
    with pytest.raises(ArtifactError, match=r"datamap-tracker-0.pt: no such file; resume from a checkpoint"):
        transformers_run(transformers, tmp_path, DataMapTracker(TASKS, N), resume=str(tmp_path / "checkpoint-6"))


def test_transformers_inputs_must_carry_their_ids(transformers, tmp_path):
    with pytest.raises(InvalidInputError, match=r"set TrainingArguments\(remove_unused_columns=False\)"):
        transformers_run(transformers, tmp_path, DataMapTracker(TASKS, N), remove_unused_columns=True)
    with pytest.raises(InvalidInputError, match=r"must hold 'sample_id'; got \['labels', 'x'\]. Wrap the dataset"):
        transformers_run(transformers, tmp_path, DataMapTracker(TASKS, N), ids=False)


@ignoring_lightning
@pytest.mark.parametrize(
    ("name", "more"), [("plain_loop", []), ("lightning_loop", []), ("hf_trainer", ["--samples", "64"])]
)
def test_examples_leave_a_run_that_can_be_clustered(name, more, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--out", str(tmp_path), "--epochs", "2", *more])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert f"next: taskgroup cluster {tmp_path}" in capsys.readouterr().out
    maps = DataMaps.load(tmp_path / "datamaps.safetensors")
    assert len(maps.history) == 2
    assert (maps.count == 2).all()
    assert maps.targets is not None


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_groups_become_adapters_of_one_frozen_body_and_are_served_together(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["adapters", "--out", str(tmp_path), "--epochs", "2", "--samples", "128"])
    example = runpy.run_path(str(EXAMPLES / "large_model_adapters.py"), run_name="__main__")
    assert "more for every group" in capsys.readouterr().out
    grouping = taskgroup.Grouping.load(tmp_path / "grouping.json")
    assert DataMaps.load(tmp_path / "datamaps.safetensors").count.max() == 2

    body = example["load_body"](None)
    before = {name: value.clone() for name, value in body.state_dict().items()}
    served = example["Adapted"].load(body, tmp_path, grouping)
    tokens, _ = example["sentences"](5, seed=3, careless=0.0)
    answers = served.serve(tokens, grouping)
    for g in range(grouping.n_groups):  # one pass for all groups answers as a pass for each
        alone = served(tokens, f"group-{g}").detach()
        torch.testing.assert_close(answers[:, grouping.labels == g], alone, rtol=1e-4, atol=1e-5)
        assert (served(tokens, "all").detach()[:, grouping.labels == g] - alone).abs().max() > 1e-3
    frozen = {name.removeprefix("base_model.model.").replace(".base_layer", ""): value
              for name, value in served.body.state_dict().items() if "lora_" not in name}  # fmt: skip
    assert frozen.keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in frozen.items())
