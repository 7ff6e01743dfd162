"""Exported plans answer as the plan does, in whatever reads them; what cannot be exported is refused by name."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from _synthetic_run import write_synthetic_run
from sklearn.naive_bayes import GaussianNB

from taskgroup import Grouping, Plan, load_table, retrain
from taskgroup.exceptions import ArtifactError, InvalidInputError
from taskgroup.export import FORMATS, PlanModule, export_run
from taskgroup.training import FitSettings

OPTIONS = {
    "nets": {"tune_by": 1, "hidden": (8,), "settings": FitSettings(epochs=3)},
    "extra-trees": {"trees": 7},
    "random-forest": {"trees": 7},
    "boosting": {"rounds": 6, "min_samples_leaf": 2, "max_features": 1.0},
    "linear": {"strengths": (0.3,)},
}


@pytest.fixture(scope="module")
def table():
    """Tasks of all three kinds, on numbers with holes, zeros and words; one task lacks half of its labels."""
    rng, n = np.random.default_rng(0), 150
    frame = pd.DataFrame({f"x{j}": rng.normal(size=n) for j in range(3)})
    frame["bits"] = (rng.random(n) < 0.2) * 1.0
    frame["where"] = rng.choice(["north", "south", "east"], n)
    signal = frame.x0 + (frame["where"] == "south")
    frame["tox"] = np.where(signal + 0.3 * rng.normal(size=n) > 0.3, "yes", "no")
    frame["dose"] = 10 * signal + rng.normal(size=n) + 50
    frame["grade"] = pd.cut(signal + 0.3 * rng.normal(size=n), [-9, 0, 1, 9], labels=["low", "mid", "high"]).astype(str)
    frame["herg"] = np.where(signal + frame.x1 > 0, "yes", "no")
    frame.loc[::2, "herg"] = None
    frame.loc[::9, "x1"] = np.nan
    return load_table(frame, targets=["tox", "dose", "grade", "herg"])


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    """Make a run whose plan is one method, or a blend."""

    def make(*methods, learner=None, plan="single"):
        out = tmp_path_factory.mktemp("run")
        learners = [learner or name for name in dict.fromkeys(method.split("/")[0] for method in methods)]
        grouping = Grouping.from_labels(table.tasks, [0, 1, 0, 0])
        options = {name: given for name, given in OPTIONS.items() if name in learners}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            retrain(
                table, grouping, learners=learners, methods=list(methods), options=options, folds=2, plan=plan, out=out
            )
        return out

    return make


def answers(path, x):
    """Return what the plan answers, as columns."""
    plan = Plan.load(path)
    found = plan.predict_proba(x)
    return np.hstack([found[task.name].reshape(len(x), -1) for task in plan.tasks])


@pytest.fixture(scope="module")
def inputs(table):
    x = table.X[:40].copy()
    x[0], x[1, 4] = np.nan, 0  # holes everywhere; a word that no training row has
    x[1, np.isnan(x[1])] = 0.0
    return x


@pytest.mark.parametrize(
    "methods",
    [("linear/per-task",), ("extra-trees/grouped",), ("random-forest/all-in-one",), ("nets/all-in-one",),
     ("boosting/all-in-one",), ("boosting/per-task", "extra-trees/per-task", "nets/grouped")],
    ids="+".join,
)  # fmt: skip
def test_torchscript_answers_as_the_plan(methods, run, inputs, tmp_path):
    path = run(*methods, plan="single" if len(methods) == 1 else "best")
    [file, about] = export_run(path, "torchscript", tmp_path / "plan.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(str(file))
    found = module(torch.from_numpy(inputs)).detach().numpy()
    np.testing.assert_allclose(found, answers(path, inputs), rtol=1e-4, atol=1e-4)
    document = json.loads(about.read_text())
    assert document["columns"] == ["tox:yes", "dose", "grade:high", "grade:low", "grade:mid", "herg:yes"]
    assert document["categories"] == {"where": ["east", "north", "south"]}
    assert set(document["thresholds"]) == {"tox", "herg"}


def test_onnx_answers_as_the_plan_for_any_number_of_rows(run, inputs, tmp_path):
    import onnxruntime

    path = run("linear/per-task", "extra-trees/grouped", "nets/all-in-one", plan="blend")
    export_run(path, "onnx", tmp_path / "plan.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "plan.onnx"))
    for rows in (1, 40):
        [found] = session.run(None, {"X": inputs[:rows]})
        np.testing.assert_allclose(found, answers(path, inputs[:rows]), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_linear_plan_is_pipelines_of_scikit_learn(run, inputs, tmp_path):
    from skops import io

    path = run("linear/per-task")
    *files, about = export_run(path, "sklearn", tmp_path / "pipelines")
    trusted = json.loads(about.read_text())["trusted"]
    assert trusted in ([], ["numpy.dtype"])
    plan, x = Plan.load(path), np.nan_to_num(inputs, nan=0.5)
    x[2:9, 1] = np.nan  # the column that had holes in training
    expected = plan.predict_proba(x)
    for task, file in zip(plan.tasks, files, strict=True):
        pipeline = io.load(file, trusted=trusted)
        if task.kind == "regression":
            found = pipeline.predict(x)
        else:
            assert list(pipeline.classes_) == list(task.class_names)
            found = pipeline.predict_proba(x)
            found = found[:, 1] if task.kind == "binary" else found
        np.testing.assert_allclose(found, expected[task.name], rtol=1e-3, atol=1e-4)


def test_tables_say_what_the_artefacts_say(tmp_path):
    source = write_synthetic_run(tmp_path / "run", n_samples=40)
    paths = export_run(source, "csv", tmp_path / "tables")
    assert [path.name for path in paths] == ["plan.csv", "groups.csv", "scores.csv", "datamaps.csv"]
    plan, groups = pd.read_csv(tmp_path / "tables" / "plan.csv"), pd.read_csv(tmp_path / "tables" / "groups.csv")
    assert plan.groupby("task").weight.sum().to_numpy() == pytest.approx(np.ones(12))
    grouping = Grouping.load(source / "grouping.json")
    assert dict(zip(groups.task, groups.group, strict=True)) == dict(
        zip(grouping.tasks.names, grouping.labels.tolist(), strict=True)
    )
    early = write_synthetic_run(tmp_path / "early", n_samples=40, upto="profile")
    assert [path.name for path in export_run(early, "csv", tmp_path / "few")] == ["datamaps.csv"]


def test_what_cannot_be_exported_is_refused_with_the_method_in_the_way(run, table, tmp_path):
    forest = run("extra-trees/all-in-one")
    with pytest.raises(InvalidInputError, match="'extra-trees/all-in-one' has no form of scikit-learn's own"):
        export_run(forest, "sklearn", tmp_path / "p")
    binary = table.select(["tox", "herg"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        retrain(binary, Grouping.from_labels(binary.tasks, [0, 1]), learners=GaussianNB(), folds=2,
                methods=["*/per-task"], out=tmp_path / "own")  # fmt: skip
    with pytest.raises(InvalidInputError, match="'estimator/per-task' cannot be exported"):
        export_run(tmp_path / "own", "torchscript", tmp_path / "p")
    with pytest.raises(InvalidInputError, match="`to` must be one of 'csv', 'sklearn'"):
        export_run(forest, "pmml", tmp_path / "p")
    with pytest.raises(ArtifactError):
        export_run(write_synthetic_run(tmp_path / "no-models", n_samples=30), "onnx", tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_an_export_that_answers_otherwise_is_not_written(run, tmp_path, monkeypatch):
    path = run("linear/per-task")
    right = PlanModule.forward
    monkeypatch.setattr(PlanModule, "forward", lambda self, x: right(self, x) * 0.9)
    with pytest.raises(InvalidInputError, match="otherwise than the plan"):
        export_run(path, "torchscript", tmp_path / "plan.pt")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_has_the_same_forms():
    from taskgroup_cli import export

    assert export.FORMATS == FORMATS
