"""Bad input is refused with the batch and the task named, and leaves the tracker as it was."""

import copy

import numpy as np
import pytest
import torch

from taskgroup import Task
from taskgroup.exceptions import InvalidInputError
from taskgroup.tracker import DataMapTracker

NAN, INF = float("nan"), float("inf")
TASKS = ["a", Task("m", kind="multiclass", n_classes=3), Task("r", kind="regression")]
GOOD = torch.zeros(2, 5)
LABELS = [[1, 2, 0.5], [0, 0, -1.0]]


def same(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, torch.Tensor):
        return np.array_equal(first.numpy(), second.numpy(), equal_nan=first.is_floating_point())
    return first == second


def changed(value, row, column):
    out = torch.zeros(2, 5)
    out[row, column] = value
    return out


@pytest.mark.parametrize("mode", ["history", "stream"])
@pytest.mark.parametrize(
    ("ids", "outputs", "targets", "mask", "message"),
    [
        ([0, -1], GOOD, LABELS, None, r"batch 1 of epoch 1: `sample_ids` must be between 0 and n_samples-1=4; got -1"),
        ([5, 0], GOOD, LABELS, None, "got 5 at position 0"),
        ([0.0, 1.0], GOOD, LABELS, None, "must be B integers; got shape .* of float64"),
        ([True, False], GOOD, LABELS, None, "must be B integers; got shape .* of bool"),
        ([[0, 1]], GOOD, LABELS, None, r"must be B integers; got shape \(1, 2\)"),
        (3, GOOD, LABELS, None, r"must be B integers; got shape \(\)"),
        ([0, 1, 2], GOOD, LABELS, None, r"`targets` must have shape \(B, T\) = \(3, 3\); got \(2, 3\)"),
        ([0, 1], torch.zeros(5, 2), LABELS, None, "They look transposed: pass outputs.T"),
        ([0, 1], torch.zeros(2, 3), LABELS, None, "A multiclass task needs one logit per class"),
        ([0, 1], torch.zeros(2, 4), LABELS, None, r"`outputs` must have shape \(2, 5\).*got \(2, 4\)"),
        ([0, 1], [torch.zeros(2)] * 2, LABELS, None, "must hold one head per task, 3; got 2"),
        ([0, 1], {"a": torch.zeros(2), "b": torch.zeros(2)}, LABELS, None, "no task .*'b'"),
        ([0, 1], {"a": torch.zeros(3)}, LABELS, None, r"task 'a': `outputs` must have shape \(2,\); got \(3,\)"),
        ([0, 1], {"m": torch.zeros(2)}, LABELS, None, r"task 'm': `outputs` must have shape \(2, 3\); got \(2,\)"),
        ([0, 1], GOOD, {"x": [1, 0]}, None, "no task .*'x'"),
        ([0, 1], GOOD, {"a": [1, 0, 1]}, None, r"task 'a': `targets` must have shape \(2,\); got \(3,\)"),
        ([0, 1], GOOD, None, None, "`targets` must be given here or to the tracker"),
        ([0, 1], GOOD, LABELS, [[True]], r"`mask` must have shape \(B, T\) = \(2, 3\) or \(B,\); got \(1, 1\)"),
        ([0, 1], GOOD, LABELS, {"x": [1, 0]}, "no task .*`mask`.*'x'"),
        ([0, 1], changed(NAN, 1, 0), LABELS, None, "task 'a': logits must be finite; got nan in row 1"),
        ([0, 1], changed(INF, 0, 0), LABELS, None, "batch 1 of epoch 1, task 'a': logits must be finite; got inf"),
        ([0, 1], changed(-INF, 0, 2), LABELS, None, "task 'm': logits must be finite; got -inf in row 0"),
        ([0, 1], changed(NAN, 1, 4), LABELS, None, "task 'r': predictions must be finite; got nan in row 1"),
        (
            [0, 1],
            GOOD,
            [[2, 0, 0], [1, 0, 0]],
            None,
            r"task 'a': labels must be 0 or 1, or NaN where missing; got 2 in row 0",
        ),
        ([0, 1], GOOD, [[1, 0, 0], [0.5, 0, 0]], None, "task 'a': labels must be 0 or 1.*; got 0.5 in row 1"),
        ([0, 1], GOOD, [[NAN, 0, 0], [-1, 0, 0]], None, "task 'a': labels must be 0 or 1.*; got -1 in row 1"),
        ([0, 1], GOOD, [[1, 3, 0], [0, 0, 0]], None, "task 'm': labels must be integers from 0 to 2.*; got 3 in row 0"),
        ([0, 1], GOOD, [[1, 1.5, 0], [0, 0, 0]], None, "task 'm': labels must be integers from 0 to 2.*; got 1.5"),
        ([0, 1], GOOD, [[1, -1, 0], [0, 0, 0]], None, "task 'm': labels must be integers from 0 to 2.*; got -1"),
        ([0, 1], GOOD, [[1, 1, INF], [0, 0, 0]], None, "task 'r': labels must be finite.*; got inf in row 0"),
    ],
)
def test_a_bad_batch_is_refused_and_nothing_of_it_recorded(mode, ids, outputs, targets, mask, message):
    tracker = DataMapTracker(TASKS, 5, mode=mode)
    tracker.update([0, 1, 2, 3, 4], torch.ones(5, 5), [[1, 1, 1]] * 5)
    tracker.end_epoch()
    tracker.update([3], torch.ones(1, 5), [[1, 1, 1]])
    before = copy.deepcopy(tracker.state_dict())
    with pytest.raises(InvalidInputError, match=message):
        tracker.update(ids, outputs, targets, mask)
    assert same(before, tracker.state_dict())


def test_the_fast_path_names_task_and_batch_too():
    tracker = DataMapTracker([f"t{i}" for i in range(4)], 8)
    tracker.update([0], torch.zeros(1, 4), torch.ones(1, 4))
    logits = torch.zeros(2, 4)
    logits[1, 2] = NAN
    with pytest.raises(
        InvalidInputError, match="batch 1 of epoch 0, task 't2': logits must be finite; got nan in row 1"
    ):
        tracker.update([1, 2], logits, torch.ones(2, 4))
    with pytest.raises(InvalidInputError, match=r"task 't3': labels must be 0 or 1.*; got 3 in row 0"):
        tracker.update([1, 2], torch.zeros(2, 4), torch.tensor([[1, 1, 0, 3], [0, 0, 0, 0]]))


def test_custom_probabilities_are_checked():
    wide = DataMapTracker(["a"], 2, probability=lambda outputs, targets: outputs)
    with pytest.raises(InvalidInputError, match=r"task 'a': probabilities must be in \[0, 1\]; got 1.5 in row 1"):
        wide.update([0, 1], torch.tensor([[0.5], [1.5]]), torch.ones(2, 1))
    with pytest.raises(InvalidInputError, match=r"`probability` must return shape \(B, T\) = \(2, 1\); got \(3, 1\)"):
        wide.update([0, 1], torch.zeros(3, 1), torch.ones(2, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "`n_samples` must be at least 1; got 0"),
        ({"n_samples": 2.5}, "`n_samples` must be an integer"),
        ({"n_samples": 2, "mode": "ram"}, "`mode` must be one of 'history', 'stream'; got 'ram'"),
        ({"n_samples": 2, "n_epochs": 0}, "`n_epochs` must be at least 1"),
        ({"n_samples": 2, "mode": "stream", "folder": "x"}, "`folder` needs mode='history'"),
        ({"n_samples": 2, "scales": {"a": 1.0}}, "must be positive numbers for regression tasks; got 1.0 for 'a'"),
        ({"n_samples": 2, "scales": {"r": 0.0}}, "must be positive numbers for regression tasks; got 0.0 for 'r'"),
        ({"n_samples": 2, "scales": {"q": 1.0}}, "no task 'q'"),
        ({"n_samples": 2, "targets": [[1, 1, 1]]}, r"`targets` must have shape \(B, T\) = \(2, 3\)"),
        ({"n_samples": 2, "targets": [[2, 1, 1], [0, 0, 0]]}, "task 'a': labels must be 0 or 1.*; got 2 in row 0"),
        ({"n_samples": 2, "margin": True, "probability": max}, "`margin` needs logits"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        DataMapTracker(TASKS, **arguments)


def test_maps_need_a_finished_epoch():
    tracker = DataMapTracker(["a"], 1)
    with pytest.raises(InvalidInputError, match="no finished epoch to map; call end_epoch"):
        tracker.data_maps()
    tracker.update([0], torch.zeros(1, 1), [[1]])
    with pytest.raises(InvalidInputError, match="no finished epoch"):
        tracker.data_maps()
    tracker.end_epoch()
    with pytest.raises(InvalidInputError, match="epoch 1 has no batch"):
        tracker.end_epoch()
    with pytest.raises(InvalidInputError, match="`ddof` must be between 0 and 1"):
        tracker.data_maps(ddof=2)


def test_one_label_that_is_almost_1_among_many_is_refused():
    labels = np.ones((2000, 50), np.float32)
    labels[1234, 7] = 0.9999
    tracker = DataMapTracker([f"t{i}" for i in range(50)], 2000)
    with pytest.raises(InvalidInputError, match=r"task 't7': labels must be 0 or 1.*; got 0.9999 in row 1234"):
        tracker.update(np.arange(2000), np.zeros((2000, 50)), labels)


def test_probabilities_handed_over_as_logits_are_noticed():
    rng = np.random.default_rng(0)
    p, y = rng.random((40, 2)).astype(np.float32), rng.integers(0, 2, (40, 2))
    tracker = DataMapTracker(["a", "b"], 40)
    tracker.update(np.arange(40), p, y)
    with pytest.raises(InvalidInputError, match=r'all 80 outputs so far are between .* Say outputs="probabilities"'):
        tracker.end_epoch()
    told, logits = (DataMapTracker(["a", "b"], 40, outputs=kind) for kind in ("probabilities", "logits"))
    told.update(np.arange(40), p, y)
    logits.update(np.arange(40), p, y)
    for one in (told, logits):
        one.end_epoch()
    assert np.allclose(told.data_maps().confidence, np.where(y == 1, p, 1 - p), atol=1e-4)
    assert not np.allclose(logits.data_maps().confidence, told.data_maps().confidence, atol=1e-2)
    with pytest.raises(InvalidInputError, match=r"probabilities must be in \[0, 1\]; got 1.5"):
        told.update([0], torch.tensor([[1.5, 0.5]]), [[1, 0]])
    with pytest.raises(InvalidInputError, match="`outputs` must be one of 'logits', 'probabilities'"):
        DataMapTracker(["a"], 4, outputs="odds")


def test_probabilities_of_classes_and_values_beside_them():
    tasks = [Task("m", kind="multiclass", n_classes=3), Task("r", kind="regression")]
    tracker = DataMapTracker(tasks, 2, outputs="probabilities", scales={"r": 1.0})
    outputs = torch.tensor([[0.2, 0.5, 0.3, 7.0], [0.1, 0.1, 0.8, -3.0]])
    tracker.update([0, 1], outputs, [[1, 7.0], [0, -3.0]])
    tracker.end_epoch()
    assert tracker.data_maps().confidence == pytest.approx(np.array([[0.5, 1.0], [0.1, 1.0]]), abs=1e-4)


def test_labels_that_change_between_epochs_are_noticed():
    tracker = DataMapTracker(TASKS, 5)
    tracker.update([0, 1], GOOD, LABELS)
    tracker.end_epoch()
    tracker.update([1, 0], GOOD, [[NAN, 0, -1.0], LABELS[0]])  # missing is no contradiction
    tracker.end_epoch()
    with pytest.raises(InvalidInputError, match="task 'm': sample 0 had the label 2 before and now has 0, one of"):
        tracker.update([0, 1], GOOD, [[1, 0, 0.5], LABELS[1]])
    tracker.update([0, 1], GOOD, LABELS)
