import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from taskgroup.exceptions import ArtifactError, InvalidInputError
from taskgroup.grouping import Grouping, canonical_labels
from taskgroup.tasks import Task, TaskSet

NAMES = ["a", "b", "c", "d"]


@given(st.lists(st.integers(-3, 8), min_size=1, max_size=30))
def test_canonical_labels_keep_the_partition_and_count_up(values):
    labels = canonical_labels(values)
    same = np.equal.outer(values, values)
    np.testing.assert_array_equal(np.equal.outer(labels, labels), same)
    first = [labels[i] for i in range(len(labels)) if labels[i] not in labels[:i]]
    assert first == list(range(len(first)))


def test_groups_are_in_order_of_their_first_task():
    soft = Grouping(TaskSet(NAMES), [[0.2, 0.8, 0.0], [0.7, 0.3, 0.0], [0.1, 0.9, 0.0], [0.6, 0.4, 0.0]])
    assert soft.groups == (("a", "c"), ("b", "d"), ())
    np.testing.assert_allclose(soft.membership[0], [0.8, 0.2, 0.0])
    assert soft.soft
    assert soft.loss_weights(1) == pytest.approx({"a": 0.2, "b": 0.7, "c": 0.1, "d": 0.6})
    assert soft.loss_weights(2) == {}
    assert soft.harden().groups == (("a", "c"), ("b", "d"))
    assert not soft.harden().soft


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, st.tuples(st.just(4), st.integers(1, 5)), elements=st.floats(0.01, 1)))
def test_a_saved_grouping_is_the_same_grouping(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("grouping") / "grouping.json"
    tasks = TaskSet(["a", Task("b", "multiclass", 3), Task("c", "regression", family="f"), "d"])
    rows = [{"k": 2, "stability": 0.5, "eigengap": None}]
    grouping = Grouping(tasks, raw / raw.sum(1, keepdims=True), ["b"], 0.25, rows, {"method": "ward"})
    grouping.save(path)
    again = Grouping.load(path)
    np.testing.assert_array_equal(again.membership, grouping.membership)
    assert again.tasks == grouping.tasks
    assert (again.isolated, again.stability, again.selection, again.info) == (
        grouping.isolated, grouping.stability, grouping.selection, grouping.info,
    )  # fmt: skip
    assert again.content_hash() == grouping.content_hash()


def test_the_bytes_of_the_format_are_pinned(tmp_path):
    Grouping.from_labels(["a", "b"], [1, 0], info={"k": 2}).save(tmp_path / "g.json")
    assert json.loads((tmp_path / "g.json").read_text()) == {
        "format": "taskgroup.grouping",
        "format_version": 1,
        "n_groups": 2,
        "soft": False,
        "groups": [["a"], ["b"]],
        "isolated": [],
        "stability": None,
        "selection": [],
        "info": {"k": 2},
        "tasks": [{"name": "a", "kind": "binary"}, {"name": "b", "kind": "binary"}],
        "membership": [[1.0, 0.0], [0.0, 1.0]],
    }


@pytest.mark.parametrize(
    "membership", [[[0.5, 0.4]] * 4, [[1.5, -0.5]] * 4, [[float("nan"), 1.0]] * 4], ids=["sum", "negative", "nan"]
)
def test_memberships_that_are_none_are_refused(membership):
    with pytest.raises(InvalidInputError, match="non-negative and sum to 1"):
        Grouping(TaskSet(NAMES), membership)


def test_bad_shapes_and_groups_are_named():
    with pytest.raises(InvalidInputError, match=r"`membership` must have shape \(4, any\); got \(2, 2\)"):
        Grouping(TaskSet(NAMES), np.eye(2))
    with pytest.raises(InvalidInputError, match=r"`labels` must have shape \(4\)"):
        Grouping.from_labels(NAMES, [0, 1])
    with pytest.raises(InvalidInputError, match="`group` must be between 0 and n_groups - 1=1; got 2"):
        Grouping.from_labels(NAMES, [0, 0, 1, 1]).loss_weights(2)


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "grouping.json"
    with pytest.raises(ArtifactError, match="no such file"):
        Grouping.load(path)
    path.write_text('{"format": "taskgroup.grouping", "format_version": 99}')
    with pytest.raises(ArtifactError, match="format_version must be 1; got 99"):
        Grouping.load(path)
    path.write_text('{"format"')
    with pytest.raises(ArtifactError, match="not valid JSON"):
        Grouping.load(path)
