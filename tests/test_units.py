"""Features far from zero, or of a tiny spread, tell models as much as others; what is served agrees with scores."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from taskgroup import Grouping, TaskTable, load_table, retrain
from taskgroup.data import InputSchema
from taskgroup.data._units import needs_64_bits
from taskgroup.experiment import Plan
from taskgroup.export import export_run
from taskgroup.export._sklearn import task_pipelines
from taskgroup.gain._forest import ForestJudge
from taskgroup.learners import AUTO

WAYS = {"far": (1e8, 1.0), "tiny": (0.0, 1e-12), "far and tiny": (-3.0, 1e-12), "below 32 bits": (0.0, 1e-50)}


def make_rows(offset=0.0, size=1.0):
    """Return X (240, 4), of which two columns, one with holes, hold all signal; Y (240, 2); parts."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(240, 4)), np.empty((240, 2))
    Y[:, 0] = X[:, 0] + 0.5 * rng.normal(size=240) > 0
    Y[:, 1] = X[:, 1] + 0.5 * rng.normal(size=240) > 0.3
    X[rng.random(240) < 0.1, 1] = np.nan
    X[:, :2] = offset + size * X[:, :2]
    return X, Y, np.arange(240) % 3


def fitted(X, Y, split, learner):
    table = TaskTable.from_arrays(X, Y, ["a", "b"], split)
    options = {"nets": {"tune_by": 1}, "wide-nets": {"tune_by": 1}}
    return retrain(table, Grouping.from_labels(table.tasks, [0, 1]), learners=learner, arms=["per-task"], folds=2,
                   options={name: options[name] for name in options if name == learner})  # fmt: skip


def auc_of(result):
    """Return the mean test AUC of the plan."""
    return next(row["mean"] for row in result.scorecard.summary() if row["method"] == "plan")


@pytest.mark.parametrize(
    ("values", "needs"),
    [
        (1e8 + np.linspace(0, 1, 50), True),
        ([1e8, 1e8, 1e8, 1e8 + 1], True),
        (np.linspace(0, 1e-50, 50), True),
        (np.linspace(0, 1e-12, 50), False),
        (np.random.default_rng(0).normal(size=5000), False),
        (1000 + np.random.default_rng(0).normal(size=5000), False),
        (np.exp(9 * np.random.default_rng(0).normal(size=5000)), False),
        (np.where(np.arange(9000) == 4321, 1e8 + 1, 1e8), True),
        ([np.nan, np.nan], False),
        (np.full(99, 0.1), False),
        (np.arange(100_000), False),
    ],
)
def test_a_column_needs_64_bits_where_32_would_make_its_values_equal(values, needs):
    assert needs_64_bits(np.asarray(values, float)) == needs


def test_only_columns_that_need_it_have_units_and_others_are_as_they_came():
    X, _, _ = make_rows(1e8)
    schema = InputSchema.fit(X, tuple("abcd"), {}, (4,))
    assert schema.units.columns.tolist() == [0, 1]
    assert (schema.units.seen(X)[:, 2:] == X[:, 2:].astype(np.float32)).all()
    plain, _, _ = make_rows()
    assert np.abs(schema.transform(X) - InputSchema.fit(plain, tuple("abcd"), {}, (4,)).transform(plain)).max() < 1e-4
    again = InputSchema.from_dict(schema.to_dict())
    assert (again.transform(X) == schema.transform(X)).all()


@pytest.mark.parametrize("value", [1e8, 0.1, 1e-30, 1e300])
def test_rounding_of_a_constant_is_no_spread(value):
    X = value * (1 + 1e-16 * np.random.default_rng(0).integers(-2, 3, size=(60, 1)))
    schema = InputSchema.fit(X, ("a",), {}, (1,))
    assert np.abs(schema.transform(X)).max() < 1e-3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("learner", AUTO)
def test_every_learner_sees_what_is_far_or_tiny(learner):
    expected = auc_of(fitted(*make_rows(), learner))
    assert expected > 0.8
    for offset, size in WAYS.values():
        X, Y, split = make_rows(offset, size)
        result = fitted(X, Y, split, learner)
        assert auc_of(result) == pytest.approx(expected, abs=0.02), (offset, size)
        served = result.serving.predict(X[split == 2])
        assert served == pytest.approx(result.predictions["test"]["plan"][0], abs=1e-4)


@pytest.mark.parametrize(("offset", "size"), WAYS.values())
def test_groups_are_judged_by_what_is_far_or_tiny(offset, size):
    honest = []
    for X, Y, split in (make_rows(), make_rows(offset, size)):
        judge = ForestJudge(TaskTable.from_arrays(X, Y, ["a", "b"], split), n_trees=16)
        outputs = judge.outputs([0]).mean(0)[:, 0]
        honest.append(roc_auc_score(judge.targets[:, 0], outputs))
    assert honest[1] == pytest.approx(honest[0], abs=0.01)


def test_files_are_served_as_they_were_read(tmp_path):
    X, Y, split = make_rows(1e8)
    frame = pd.DataFrame({**dict(zip("abcd", X.T, strict=True)), "y_1": Y[:, 0], "y_2": Y[:, 1], "split": split})
    frame.to_csv(tmp_path / "t.csv", index=False)
    np.savez(tmp_path / "t.npz", X=X, Y=Y, split=split, feature_names=list("abcd"), task_names=["y_1", "y_2"])
    table = load_table(tmp_path / "t.csv", targets=["y_1", "y_2"], split="split")
    assert table.X.dtype == np.float64
    assert load_table(tmp_path / "t.npz").content_hash() == table.content_hash()
    retrain(table, Grouping.from_labels(table.tasks, [0, 1]), learners="linear", folds=2, out=tmp_path / "run")
    plan = Plan.load(tmp_path / "run")
    expected = plan.predict(table.X)
    for source in (frame, tmp_path / "t.csv"):
        assert (plan.predict(source) == expected).all()
    assert roc_auc_score(Y[:, 0], expected[:, 0]) > 0.9


@pytest.mark.filterwarnings("ignore")
def test_exports_take_rows_as_they_are(tmp_path):
    import torch

    X, Y, split = make_rows(1e8)
    table = TaskTable.from_arrays(X, Y, ["a", "b"], split)
    run = tmp_path / "run"
    retrain(table, Grouping.from_labels(table.tasks, [0, 1]), learners="linear", folds=2, out=run)
    expected = Plan.load(run).predict_proba(X)
    path, _ = export_run(run, to="torchscript", out=tmp_path / "plan.pt")
    answers = torch.jit.load(str(path))(torch.from_numpy(X)).numpy()
    assert answers[:, 0] == pytest.approx(expected["a"], abs=1e-5)
    pipeline = task_pipelines(Plan.load(run))["a"]
    assert pipeline.predict_proba(X)[:, 1] == pytest.approx(expected["a"], abs=1e-5)
