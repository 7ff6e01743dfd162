"""Classes and labels that a part of the rows does not hold: refused where nothing can be learned, else defined."""

import numpy as np
import pandas as pd
import pytest

from taskgroup import Grouping, TaskTable, load_table, retrain
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import Task

TASKS = [Task("a"), Task("b"), Task("m", kind="multiclass", n_classes=3)]
TRAIN, VALID, TEST = range(3)


def make_labels():
    """Return X (180, 4), Y (180, 3) and the part of every row."""
    X = np.random.default_rng(0).normal(size=(180, 4))
    Y = np.stack([X[:, 0] > 0, X[:, 1] > 0, (X[:, 2] > 0) * 1 + (X[:, 2] > 1)], 1).astype(float)
    return X, Y, np.arange(180) % 3


def without(part, task, label, instead):
    """Return the table with a label of a task replaced in a part, or in all parts but one (-1 - part)."""
    X, Y, split = make_labels()
    inside = split == part if part >= 0 else split != -1 - part
    Y[inside & ((Y[:, task] == label) | (label is None)), task] = instead
    return TaskTable.from_arrays(X, Y, TASKS, split)


def fitted(table):
    grouping = Grouping.from_labels(table.tasks, [0, 0, 1])
    return retrain(table, grouping, learners=["linear", "boosting"], arms=["per-task"], folds=2)


def metric(result, task, name):
    """Return a test metric of the plan."""
    [row] = [row for row in result.scorecard.rows()
             if (row.method, row.task, row.metric, row.split) == ("plan", task, name, "test")]  # fmt: skip
    return row.value


@pytest.mark.parametrize(
    ("part", "label", "reason"),
    [
        (TRAIN, 1, r"one class only \(0\) in the training rows"),  # only in validation and test rows
        (-1 - TEST, 1, r"one class only \(0\) in the training rows"),  # only in test rows
        (TRAIN, None, "no labelled training row"),
    ],
)
def test_a_task_without_two_classes_in_training_is_refused_by_name(part, label, reason):
    table = without(part, 0, label, 0.0 if label else np.nan)
    with pytest.raises(InvalidInputError, match=f"task 'a' cannot be learned: {reason}"):
        fitted(table)


@pytest.mark.parametrize("label", [1, None])
def test_a_task_that_no_test_row_can_judge_is_served_and_has_no_score(label):
    result = fitted(without(-1 - TRAIN, 0, label, np.nan))
    assert metric(result, "a", "auc") is None
    assert metric(result, "b", "auc") > 0.9
    mean = next(row["mean"] for row in result.scorecard.summary() if row["method"] == "plan")
    assert np.isfinite(mean)
    assert result.predict_proba(np.eye(4))["a"][0] > 0.6


@pytest.mark.parametrize("part", [TRAIN, VALID, TEST])
def test_a_class_that_only_one_part_holds_has_a_probability(part):
    result = fitted(without(-1 - part, 2, 2.0, 1.0))
    proba = result.predict_proba(np.eye(4) * 3)["m"]
    assert proba.shape == (4, 3)
    assert proba.sum(1) == pytest.approx(1.0, abs=1e-5)
    assert np.isfinite(proba).all()
    if part == TEST:
        assert proba[:, 2].max() < 0.2


def test_reading_says_which_classes_no_training_row_has(tmp_path):
    X, Y, split = make_labels()
    frame = pd.DataFrame(
        {**{f"x{j}": X[:, j] for j in range(4)}, "y_m": np.array(["low", "mid", "top"])[Y[:, 2].astype(int)]}
    )
    frame["split"] = np.where((split == TRAIN) & (frame.y_m == "top"), TEST, split)
    table = load_table(frame, targets=["y_m"], split="split")
    assert any("no training row holds class 'top' of task 'y_m'" in str(note) for note in table.reading.notes)
