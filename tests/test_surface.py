"""The Python surface: short texts, frames and HTML, defaults that the command line shares, and what to pass instead."""

import dataclasses
import importlib
import inspect
import pkgutil
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from taskgroup_cli.main import taskgroup as command_line

import taskgroup
from taskgroup import (
    DataMapTracker,
    Grouping,
    Plan,
    TaskGroupClassifier,
    TaskTable,
    group_tasks,
    load_table,
    profile,
    retrain,
    task_features,
    write_report,
)  # fmt: skip
from taskgroup.arms import DEFAULT_ARMS, Question, make_arms
from taskgroup.cost import Cost
from taskgroup.datamaps import DataMaps, encode_probability
from taskgroup.exceptions import InvalidInputError
from taskgroup.experiment import RetrainResult, make_folds
from taskgroup.features import explain
from taskgroup.learners import ARCHITECTURES, LEARNERS, Examples, Order, make_learner
from taskgroup.models import build_model
from taskgroup.plan import judge
from taskgroup.tasks import Task, TaskSet
from taskgroup.training import Network, Profile

T, N = 100, 200
NAMES = [f"<{t}>_is_a_task_whose_name_is_rather_long_and_says_little" for t in range(T)]

# Public dataclasses whose text cannot grow; every other one has a repr of its own.
SMALL = {
    "Calibration", "Claim", "Comparison", "Cost", "FitSettings", "Ignored", "Interval", "Needed", "Note", "ScoreRow",
}  # fmt: skip


@pytest.fixture(scope="module")
def big():
    """Every public object of a case of 100 tasks, as far as nothing has to be trained for it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 20))
    Y = np.where(rng.random((N, T)) < 0.05, np.nan, X[:, np.arange(T) % 20] + rng.normal(size=(N, T)) > 0)
    tasks = TaskSet([Task(name, classes=("absent in the sample", "present in the sample")) for name in NAMES])
    table = TaskTable.from_arrays(X, Y, tasks, name="x" * 400)
    seen = table.targets("train")
    maps = DataMaps.from_history(tasks, encode_probability(rng.uniform(size=(3, *seen.shape))), targets=seen)
    grouping = Grouping.from_labels(tasks, np.arange(T) % 40, stability=0.5, isolated=NAMES[:50])
    folds, examples = make_folds(table, 2), Examples.from_table(table)
    network = Network(tasks.names, (8,), 0, 0)
    model = network.build(table.schema, tasks)
    methods = ["linear/per-task", "nets/grouped", "nets/all-in-one"]
    truth = {"honest": table.Y[folds.honest], "test": table.targets("test")}
    answers = {
        part: {m: {0: rng.normal(size=y.shape).astype(np.float32) + np.nan_to_num(y)} for m in methods}
        for part, y in truth.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        card, choice, predictions = judge(truth, answers, tasks=tasks)
    tracker = DataMapTracker(tasks, n_samples=N)
    tracker.update(np.arange(N), torch.randn(N, T), Y)
    tracker.end_epoch()
    linear = make_learner("linear").fit(examples, NAMES, folds.rows)
    return {
        "table": table, "maps": maps, "grouping": grouping, "tasks": tasks,
        "task": Task("m", "multiclass", T, classes=tuple(NAMES)),
        "schema": table.schema, "folds": folds, "examples": examples, "inputs": examples.inputs, "network": network,
        "model": model, "card": card, "choice": choice, "answer": choice.answer, "tracker": tracker, "linear": linear,
        "result": RetrainResult(card, choice, {}, predictions, folds, None),
        "plan": Plan(tasks, table.schema, choice, {}), "profile": Profile(maps, model, [], network, Cost()),
        "features": task_features(maps), "why": explain(maps, NAMES[:40], top=100),
        "question": (question := Question(table, grouping, 3, 0)), "order": Order(tasks.names, 0, (0.5,) * T),
        "arms": make_arms(DEFAULT_ARMS, question), "reading": load_table("digits").reading,
        "chosen": make_learner("linear").with_options({"strengths": [1.0], "chosen": dict.fromkeys(NAMES, 1.0)}),
        "measured": card.main["test"]["nets/grouped"], "estimator": TaskGroupClassifier(arms=NAMES),
        **{f"learner {name}": make_learner(name) for name in (*LEARNERS, *ARCHITECTURES) if name != "estimator"},
        **{arch: build_model(arch, table.schema, TaskSet(NAMES[:60]), hidden=(8,)) for arch in ("adatt", "ple")},
    }  # fmt: skip


def test_every_public_object_has_a_short_text(big):
    for name, one in big.items():
        for each in one.values() if isinstance(one, dict) else [one]:
            assert 5 < len(repr(each)) < 1500, name
    assert "saw 1 whole epochs and 0 batches of the next; labels of 95" in repr(big["tracker"])
    assert "100 tasks in 40 groups, stability 0.50" in repr(big["grouping"])
    assert "200 rows (" in repr(big["table"])
    assert "20 features, 100 tasks" in repr(big["table"])


def test_public_dataclasses_that_can_grow_have_a_text_of_their_own():
    plain = set()
    for module in pkgutil.iter_modules(taskgroup.__path__):
        if module.name.startswith("_") or module.name == "integrations":  # no dataclass, and heavy to import
            continue
        package = importlib.import_module(f"taskgroup.{module.name}")
        classes = [one for name in getattr(package, "__all__", ()) if inspect.isclass(one := getattr(package, name))]
        plain |= {one.__name__ for one in classes if dataclasses.is_dataclass(one) and _is_generated(one.__repr__)}
    assert plain == SMALL


def _is_generated(text):
    return hasattr(text, "__wrapped__")  # dataclass wraps its own, against recursion


@pytest.mark.parametrize("name", ["table", "maps", "grouping", "card", "choice", "plan", "result"])
def test_what_is_shown_in_a_notebook_is_short_and_escaped(name, big):
    page = big[name]._repr_html_()
    assert page.count("<table>") == page.count("</table>") >= 1
    assert len(page) < 60_000
    assert "<0>" not in page
    assert "&lt;0&gt;" in page or name == "card"


def test_frames_hold_what_the_objects_hold(big):
    grouping = big["grouping"].to_frame()
    assert grouping.group.tolist() == big["grouping"].labels.tolist()
    assert grouping.isolated.sum() == 50
    plan = big["choice"].to_frame().set_index("task")
    assert plan[big["choice"].methods_in_use].sum(axis=1).to_numpy() == pytest.approx(np.ones(T))
    card = big["card"].to_frame()
    one = card.set_index(["method", "split", "metric", "task"]).value["nets/grouped", "test", "auc", NAMES[7]]
    assert one == pytest.approx(big["card"].value(NAMES[7], "nets/grouped"), nan_ok=True)
    table = big["table"].to_frame()
    assert table.shape == (N, 20 + T)
    assert table[NAMES[3]].isna().sum() == np.isnan(big["table"].Y[:, 3]).sum()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda big: profile("digits"), "`table` must be a TaskTable; got str. Make one with `taskgroup.load_table`."),
        (lambda big: profile(pd.DataFrame()), "`table` must be a TaskTable; got DataFrame"),
        (lambda big: group_tasks(big["table"]), "must be a DataMaps or TaskFeatures; got TaskTable. Record maps with"),
        (lambda big: group_tasks(big["profile"]), r"got Profile\. Pass its `\.maps`\."),
        (lambda big: group_tasks(big["maps"], table="digits"), "`table` must be a TaskTable; got str"),
        (lambda big: task_features(big["profile"]), r"`maps` must be a DataMaps; got Profile\. Pass its `\.maps`\."),
        (lambda big: retrain("digits", big["grouping"]), "`table` must be a TaskTable; got str"),
        (lambda big: retrain(big["table"], big["maps"]), "`grouping` must be a Grouping; got DataMaps. Make one with"),
        (lambda big: write_report(big["result"]), "`run_dir` must be a str or PathLike; got RetrainResult"),
    ],
)  # fmt: skip
def test_what_is_passed_by_mistake_is_named_with_what_to_pass(call, message, big):
    with pytest.raises(InvalidInputError, match=message):
        call(big)


def test_group_tasks_of_few_tasks_needs_no_number(big):
    maps = big["maps"].select(NAMES[:6])
    assert group_tasks(maps).n_tasks == 6


def test_python_and_the_command_line_share_their_defaults():
    run = command_line.commands["run"]
    options = run.make_context("run", []).params  # as when nothing is said
    nets = {name: getattr(make_learner("nets"), name) for name in ("start", "shared_layers")} | {
        "tune": make_learner("nets").tune_by
    }
    of = {
        group_tasks: {"k": "k", "method": "method", "kind": "kind", "soft": "soft", "min_size": "min_size",
                      "max_size": "max_size", "max_groups": "max_groups"},
        profile: {"epochs": "epochs", "random_state": "seed"},
        retrain: {"learners": "learners", "arms": "arms", "methods": "methods", "seeds": "seeds", "draws": "draws",
                  "answers": "answers", "plan": "rule", "max_models": "max_models", "random_state": "seed"},
        load_table: {"valid": "valid", "test": "test", "random_state": "seed", "deduplicate": "deduplicate"},
    }  # fmt: skip
    for function, names in of.items():
        parameters = inspect.signature(function).parameters
        for mine, theirs in names.items():
            assert parameters[mine].default == options[theirs], (function.__name__, mine)
    for name, value in nets.items():
        assert options[name] == value
    assert inspect.signature(TaskGroupClassifier).parameters["k"].default == options["k"]
    assert (options["folds"], options["hidden"], options["encoder"]) == (None, "auto", "auto")


def test_a_result_serves_and_reports_without_a_folder_of_its_own(tmp_path):
    X = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    Y = np.c_[X[:, 0] > 0, X[:, 1] > 0, X[:, 0] * 3]
    table = TaskTable.from_arrays(X, Y, ["a", "b", Task("c", "regression")])
    grouping = Grouping.from_labels(table.tasks, [0, 1, 0])
    result = retrain(table, grouping, learners="linear", folds=2)
    folder = result.run_dir
    assert folder.is_dir()
    labels, shares = result.predict(X), result.predict_proba(X)
    assert set(labels["a"]) == {"0", "1"}
    cut = result.plan.tasks["a"]["threshold"]
    assert ((shares["a"] >= cut) == (labels["a"] == "1")).all()
    assert (labels["c"] == shares["c"]).all()
    frame = pd.DataFrame(X, columns=table.feature_names)
    np.testing.assert_array_equal(result.predict(frame[["x2", "x0", "x1"]])["b"], labels["b"])
    page = result.report(tmp_path / "page.html")
    assert "model per task" in page.read_text()
    del result
    assert not folder.exists()
    kept = retrain(table, grouping, learners="linear", folds=2, out=tmp_path / "run")
    assert kept.run_dir == tmp_path / "run"
    np.testing.assert_array_equal(Plan.load(tmp_path / "run").labels(X)["a"], labels["a"])
