"""What a run tells its callbacks, and the experiment trackers that listen: MLflow and TensorBoard, in local stores."""

import json
import warnings

import click
import numpy as np
import pytest
from taskgroup_cli.main import taskgroup as command_line

from taskgroup import Callback, Grouping, TaskTable, profile, retrain
from taskgroup.exceptions import InvalidInputError, MissingDependencyError
from taskgroup.integrations import MLflowLogger, RunLogger, TensorBoardLogger, run_logger

NAMES = ["a", "b (%)", "c"]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    return TaskTable.from_arrays(X, X[:, [0, 0, 1]] + 0.5 * rng.normal(size=(120, 3)) > 0, NAMES, name="planted")


def run(table, callbacks, epochs=3, out=None, resume=False):
    grouping = Grouping.from_labels(table.tasks, [0, 0, 1])
    found = profile(table, epochs=epochs, hidden=(4,), callbacks=callbacks)
    result = retrain(
        table, grouping, learners="linear", arms=["per-task", "grouped"], folds=2, callbacks=callbacks, out=out,
        resume=resume,
    )  # fmt: skip
    return found, result


class Notes(Callback):
    def __init__(self):
        self.heard = []

    def on_step(self, step, settings):
        self.heard.append(("step", step, settings))

    def on_epoch(self, epoch, values):
        self.heard.append(("epoch", epoch, values))

    def on_grouping(self, grouping):
        self.heard.append(("grouping", grouping))

    def on_unit(self, unit, cost, done, total):
        self.heard.append(("unit", unit, cost, done, total))

    def on_result(self, scorecard, plan):
        self.heard.append(("result", scorecard, plan))


def test_a_callback_hears_of_every_step_epoch_and_unit_in_order(table, tmp_path):
    notes = Notes()
    found, result = run(table, [notes], out=tmp_path)
    kinds = [kind for kind, *_ in notes.heard]
    units = [event for event in notes.heard if event[0] == "unit"]
    assert kinds == ["step", *["epoch"] * 3, "step", "grouping", *["unit"] * len(units), "result"]
    losses = [values["valid_loss"] for kind, _, values in notes.heard[1:4]]
    assert losses == [row["valid_loss"] for row in found.history[1:]]
    assert [epoch for _, epoch, _ in notes.heard[1:4]] == [1, 2, 3]
    assert notes.heard[0][2]["epochs"] == 3
    assert {unit.rsplit("/", 1)[0] for _, unit, *_ in units} == {"linear/per-task"} == set(result.ledger["methods"])
    assert units[-1][3] == units[-1][4]
    assert all(cost.train_seconds > 0 for _, _, cost, *_ in units)
    assert notes.heard[-1][1:] == (result.scorecard, result.plan)
    again = Notes()
    run(table, [again], out=tmp_path, resume=True)
    assert "unit" not in [kind for kind, *_ in again.heard]  # they were finished before


def test_the_callbacks_of_a_run_change_nothing(table):
    (maps, result), (plain_maps, plain) = run(table, [Notes()]), run(table, [])
    assert maps.maps.content_hash() == plain_maps.maps.content_hash()
    assert result.plan.tasks == plain.plan.tasks


def test_an_mlflow_run_holds_settings_losses_scores_groups_and_answer(table, tmp_path, monkeypatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    place = str(tmp_path / "mlruns")
    with MLflowLogger(place, name="first") as logger:
        found, result = run(table, [logger])
    client = MlflowClient(tracking_uri=place)
    kept = client.get_run(logger.run_id)
    assert kept.info.status == "FINISHED"
    assert kept.info.run_name == "first"
    assert kept.data.params["profile.epochs"] == "3"
    assert kept.data.params["retrain.table"] == "planted"
    assert kept.data.params["n_groups"] == "2"
    history = client.get_metric_history(logger.run_id, "profile/valid_loss")
    assert [(one.step, one.value) for one in history] == [
        (row["epoch"], pytest.approx(row["valid_loss"])) for row in found.history[1:]
    ]
    for name, interval in result.scorecard.means.items():
        assert kept.data.metrics[f"test/{name}"] == pytest.approx(interval.mean)
    best = result.scorecard.means["linear/per-task"]
    assert best.ci95 == pytest.approx([kept.data.metrics[f"test.{end}/linear/per-task"] for end in ("low", "high")])
    assert kept.data.metrics["plan/b ___"] == pytest.approx(result.plan.tasks["b (%)"]["test"])
    assert kept.data.metrics["retrain/train_seconds"] > 0
    folder = tmp_path / "mlruns" / kept.info.experiment_id / logger.run_id / "artifacts"
    assert json.loads((folder / "groups.json").read_text()) == {"group 0": ["a", "b (%)"], "group 1": ["c"]}
    assert (folder / "answer.md").read_text() == str(result.plan.answer)
    with pytest.raises(KeyError), MLflowLogger(place) as second:
        raise KeyError
    assert client.get_run(second.run_id).info.status == "FAILED"
    assert client.get_run(second.run_id).info.experiment_id == kept.info.experiment_id


def test_event_files_hold_the_same_for_tensorboard(table, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with TensorBoardLogger(str(tmp_path), name="first") as logger:
        found, result = run(table, [logger])
    events = EventAccumulator(str(tmp_path / "first"))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("profile/valid_loss")] == [
        (row["epoch"], pytest.approx(row["valid_loss"])) for row in found.history[1:]
    ]
    for name, interval in result.scorecard.means.items():
        assert events.Scalars(f"test/{name}")[0].value == pytest.approx(interval.mean)
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert "| epochs | 3 |" in texts["settings/profile/text_summary"]
    assert "| n_groups | 2 |" in texts["settings/tasks/text_summary"]
    assert result.plan.verdict in texts["answer.md/text_summary"]
    with pytest.raises(KeyError), TensorBoardLogger(str(tmp_path), name="second"):
        raise KeyError
    events = EventAccumulator(str(tmp_path / "second"))
    events.Reload()
    assert events.Tags()["tensors"] == ["status/text_summary"]


class Failing(RunLogger):
    tried = 0

    def params(self, values):
        self.tried += 1
        raise ConnectionError("no server")

    metrics = text = params


def test_a_tracker_that_fails_costs_a_warning_and_not_the_run(table):
    logger = Failing()
    with pytest.warns(UserWarning, match="Failing failed, and the run goes on without it: ConnectionError: no server"):
        _, result = run(table, [logger])
    assert logger.tried == 1
    assert result.plan.methods_in_use


def test_long_settings_are_cut():
    class Kept(RunLogger):
        def params(self, values):
            self.values = values

    logger = Kept()
    logger.on_step("retrain", {"methods": ["m" * 700], "out": None})
    assert logger.values["retrain.out"] == "null"
    assert len(logger.values["retrain.methods"]) == 503


@pytest.mark.parametrize("where", ["mlflow", "mlflow:", "wandb:here"])
def test_a_place_that_is_none_is_refused(where):
    with pytest.raises(InvalidInputError, match="must"):
        run_logger(where)
    with pytest.raises(click.BadParameter, match=r"must look like mlflow:URI or tensorboard:FOLDER; got"):
        command_line.main(["run", "nosuch.csv", "--log-to", where], standalone_mode=False)


def test_a_tracker_that_is_not_installed_is_named_before_any_work(monkeypatch):
    def no_module(name):
        raise ImportError(name)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("importlib.import_module", no_module)
    with pytest.raises(MissingDependencyError, match=r"needs tensorboard; install the extra: .*\[tensorboard\]"):
        TensorBoardLogger("here")
    with pytest.raises(click.BadParameter, match=r"mlflow is not installed; install the extra \[mlflow\]"):
        command_line.main(["profile", "--log-to", "mlflow:here"], standalone_mode=False)


def test_the_command_line_logs_the_steps_of_a_run_to_one_place(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3))
    labels = (x[:, [0, 0, 1]] > 0).astype(int)
    np.savetxt("data.csv", np.c_[x, labels], delimiter=",", header="p,q,r,y_1,y_2,y_3", comments="", fmt="%.4g")
    words = "--k 2 --learners linear --epochs 2 --folds 1 --jobs 1 --out my-run --log-to tensorboard:logs -q"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        command_line.main(["run", "data.csv", "--targets", "y_*", *words.split()], standalone_mode=False)
    events = EventAccumulator(str(tmp_path / "logs" / "my-run"))
    events.Reload()
    assert [one.step for one in events.Scalars("profile/valid_loss")] == [1, 2]
    assert events.Scalars("plan/y_3")[0].value > 0.5
