"""What the tracker records: one value per (sample, task, epoch), for every kind of task and every form of input."""

import math
import tracemalloc

import numpy as np
import pytest
import torch

from taskgroup import DataMaps, Task
from taskgroup.datamaps import UNSEEN, decode_probability, encode_probability
from taskgroup.tracker import DataMapTracker

NAN = float("nan")
STEP = 0.5 / 65534 + 1e-6  # half a code, and float32


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, np.float64)))


def test_binary_tasks_record_the_probability_of_the_true_label():
    rng = np.random.default_rng(0)
    logits, labels = 5 * rng.normal(size=(7, 40, 3)), rng.integers(0, 2, (40, 3))
    tracker = DataMapTracker(["a", "b", "c"], 40)
    for epoch in logits:
        tracker.update(np.arange(40), torch.tensor(epoch, dtype=torch.float32), torch.tensor(labels))
        tracker.end_epoch()
    maps = tracker.data_maps()
    p = np.where(labels == 1, sigmoid(logits), sigmoid(-logits))
    right = p > 0.5
    np.testing.assert_allclose(decode_probability(maps.history), p, atol=STEP)
    np.testing.assert_allclose(maps.confidence, p.mean(0), atol=STEP)
    np.testing.assert_allclose(maps.variability, p.std(0), atol=STEP)
    np.testing.assert_allclose(maps.aleatoric, (p * (1 - p)).mean(0), atol=STEP)
    np.testing.assert_allclose(maps.correctness, right.mean(0), atol=1e-7)
    np.testing.assert_array_equal(maps.forgetting, (right[:-1] & ~right[1:]).sum(0))
    np.testing.assert_allclose(tracker.data_maps(ddof=1).variability, p.std(0, ddof=1), atol=STEP)
    np.testing.assert_array_equal(maps.targets, labels)
    assert (maps.count == 7).all()
    assert maps.coverage.tolist() == [1.0, 1.0, 1.0]


def test_multiclass_tasks_record_softmax_and_whether_the_prediction_was_right():
    rng = np.random.default_rng(1)
    logits, labels = 3 * rng.normal(size=(5, 30, 4)), rng.integers(0, 4, 30)
    binary = rng.normal(size=(5, 30))
    tracker = DataMapTracker([Task("m", kind="multiclass", n_classes=4), Task("b")], 30)
    for many, one in zip(logits, binary, strict=True):
        outputs = {"m": torch.tensor(many), "b": torch.tensor(one)}
        tracker.update(list(range(30)), outputs, {"m": labels, "b": torch.ones(30)})
        tracker.end_epoch()
    maps = tracker.data_maps()
    weight = np.exp(logits)
    p = np.take_along_axis(weight / weight.sum(-1, keepdims=True), labels[None, :, None], -1)[..., 0]
    right = logits.argmax(-1) == labels
    assert ((p < 0.5) & right).any(), "some right predictions below one half, or the test shows nothing"
    np.testing.assert_allclose(maps.confidence, np.stack([p.mean(0), sigmoid(binary).mean(0)], 1), atol=STEP)
    np.testing.assert_allclose(maps.correctness[:, 0], right.mean(0), atol=1e-7)
    np.testing.assert_array_equal(maps.forgetting[:, 0], (right[:-1] & ~right[1:]).sum(0))
    np.testing.assert_allclose(maps.correctness[:, 1], (binary > 0).mean(0), atol=1e-7)


def test_regression_uses_a_robust_scale_of_the_first_epoch_and_keeps_it():
    rng = np.random.default_rng(2)
    labels, outputs = rng.normal(size=(20, 2)).astype("f4"), rng.normal(size=(3, 20, 2)).astype("f4")
    tracker = DataMapTracker([Task("r", kind="regression"), Task("s", kind="regression")], 20)
    for epoch in outputs:
        for rows in np.array_split(rng.permutation(20), 3):
            tracker.update(rows, torch.tensor(epoch[rows]), labels[rows])
        tracker.end_epoch()
    maps = tracker.data_maps()
    residuals = (outputs - labels).astype(np.float64)
    scale = 1.4826 * np.median(np.abs(residuals[0]), axis=0)
    assert maps.info["scales"] == pytest.approx({"r": scale[0], "s": scale[1]})
    p = np.exp(-(residuals**2) / (2 * scale**2))
    np.testing.assert_allclose(maps.confidence, p.mean(0), atol=STEP)
    assert maps.correctness is None
    given = DataMapTracker([Task("r", kind="regression")], 20, scales={"r": scale[0]})
    given.update(range(20), torch.tensor(outputs[1, :, :1]), labels[:, :1])
    given.end_epoch()
    np.testing.assert_allclose(given.data_maps().confidence[:, 0], p[1, :, 0], atol=STEP)


@pytest.mark.parametrize(
    ("residuals", "scale"),
    [([0, 0, 0, 2.0], 1.0), ([0, 0, 0, 0], 1.0), ([1, 1, 1, 9], 1.4826)],
    ids=["root mean square", "all zero", "median"],
)
def test_regression_scale_of_degenerate_residuals(residuals, scale):
    tracker = DataMapTracker([Task("r", kind="regression")], 4)
    tracker.update([0, 1, 2, 3], torch.tensor(residuals)[:, None].float(), torch.zeros(4, 1))
    tracker.end_epoch()
    assert tracker.data_maps().info["scales"]["r"] == pytest.approx(scale)


def test_a_regression_task_first_labelled_later_gets_its_scale_then():
    tracker = DataMapTracker([Task("r", kind="regression"), Task("b")], 2)
    tracker.update([0, 1], torch.zeros(2, 2), [[NAN, 1], [NAN, 0]])
    tracker.end_epoch()
    tracker.update([0, 1], torch.ones(2, 2), [[0, 1], [0, 0]])
    tracker.end_epoch()
    maps = tracker.data_maps()
    assert maps.info["scales"]["r"] == pytest.approx(1.4826)
    assert maps.count.tolist() == [[1, 2], [1, 2]]


def test_custom_probability_replaces_the_formulas():
    tracker = DataMapTracker(["a", "b"], 2, probability=lambda outputs, targets: outputs.clamp(0, 1))
    tracker.update([0, 1], torch.tensor([[0.25, 3.0], [-1.0, 0.5]]), torch.tensor([[1.0, 0.0], [1.0, NAN]]))
    tracker.end_epoch()
    np.testing.assert_allclose(tracker.data_maps().confidence, [[0.25, 1.0], [0.0, NAN]], atol=STEP)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_are_taken_to_float32_first(dtype):
    logits = torch.linspace(-9, 9, 64, dtype=dtype).reshape(32, 2)
    tracker = DataMapTracker(["a", "b"], 32)
    tracker.update(torch.arange(32), logits, torch.ones(32, 2))
    tracker.end_epoch()
    np.testing.assert_allclose(tracker.data_maps().confidence, sigmoid(logits.double()), atol=STEP)


def test_every_form_of_outputs_ids_and_targets_records_the_same():
    rng = np.random.default_rng(3)
    logits, labels = torch.tensor(rng.normal(size=(6, 3)), dtype=torch.float32), rng.integers(0, 2, (6, 3))
    names = ["a", "b", "c"]
    outputs = [
        logits,
        {name: logits[:, i] for i, name in enumerate(names)},
        {name: logits[:, [i]] for i, name in enumerate(names)},
        [logits[:, i] for i in range(3)],
        tuple(logits[:, [i]] for i in range(3)),
        logits.t().contiguous().t(),
    ]
    ids = [torch.arange(6), np.arange(6), list(range(6)), torch.arange(6, dtype=torch.int32), range(6)]
    targets = [torch.tensor(labels), labels.tolist(), {name: labels[:, i] for i, name in enumerate(names)}]
    found = set()
    for form in outputs:
        for numbers in ids:
            for truth in targets:
                tracker = DataMapTracker(names, 6)
                tracker.update(numbers, form, truth)
                tracker.end_epoch()
                found.add(tracker.data_maps().history.tobytes())
    assert len(found) == 1


def test_a_single_task_may_come_without_its_second_axis():
    tracker = DataMapTracker(["a"], 2)
    tracker.update([0, 1], torch.zeros(2), torch.ones(2))
    tracker.end_epoch()
    np.testing.assert_allclose(tracker.data_maps().confidence, 0.5, atol=STEP)


def test_missing_labels_by_nan_ignore_value_and_mask():
    logits, nan = torch.zeros(3, 2), [[1, NAN], [NAN, 0], [1, 1]]
    known = [[True, False], [False, True], [True, True]]
    ways = [
        (DataMapTracker(["a", "b"], 3), nan, None),
        (DataMapTracker(["a", "b"], 3, ignore=-1), [[1, -1], [-1, 0], [1, 1]], None),
        (DataMapTracker(["a", "b"], 3), [[1, 5], [7, 0], [1, 1]], torch.tensor(known)),
        (DataMapTracker(["a", "b"], 3), torch.ones(3, 2), {"a": [1, 0, 1], "b": [0, 1, 1]}),
        (DataMapTracker(["a", "b"], 3, targets=nan), None, None),
    ]
    for tracker, targets, mask in ways:
        tracker.update([0, 1, 2], logits, targets, mask)
        tracker.end_epoch()
        maps = tracker.data_maps()
        assert maps.count.tolist() == [[1, 0], [0, 1], [1, 1]]
        np.testing.assert_allclose(maps.confidence, [[0.5, NAN], [NAN, 0.5], [0.5, 0.5]], atol=STEP)
        assert np.isnan(maps.targets[0, 1])


def test_a_mask_by_row_leaves_out_padding():
    tracker = DataMapTracker(["a", "b"], 2)
    tracker.update([0, 1], torch.zeros(2, 2), torch.ones(2, 2), mask=[True, False])
    tracker.end_epoch()
    assert tracker.data_maps().count.tolist() == [[1, 1], [0, 0]]


def test_logits_of_missing_labels_may_be_anything():
    tracker = DataMapTracker(["a", Task("m", kind="multiclass", n_classes=2), Task("r", kind="regression")], 2)
    bad = float("inf")
    logits = torch.tensor([[bad, NAN, bad, NAN], [0.0, 0.0, 0.0, 0.0]])
    tracker.update([0, 1], logits, [[NAN, NAN, NAN], [1, 1, 1]])
    tracker.end_epoch()
    assert tracker.data_maps().count.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_a_task_may_be_absent_from_a_batch():
    tracker = DataMapTracker(["a", "b"], 2)
    tracker.update([0, 1], {"a": torch.zeros(2)}, {"a": [1, 0]})
    tracker.update([1, 0], {"b": torch.ones(2)}, {"b": [1, 0]})
    tracker.end_epoch()
    maps = tracker.data_maps()
    assert (maps.count == 1).all()
    np.testing.assert_allclose(maps.confidence, [[0.5, sigmoid(-1)], [0.5, sigmoid(1)]], atol=STEP)
    assert maps.targets.tolist() == [[1, 0], [0, 1]]


def test_sightings_of_a_sample_in_one_epoch_are_averaged():
    tracker = DataMapTracker(["a"], 3)
    tracker.update([0, 0, 1], torch.tensor([[0.0], [2.0], [1.0]]), torch.ones(3, 1))
    tracker.update([1, 0], torch.tensor([[-1.0], [4.0]]), torch.ones(2, 1))
    tracker.end_epoch()
    maps = tracker.data_maps()
    assert maps.count.tolist() == [[1], [1], [0]]
    expected = [[np.mean(sigmoid([0, 2, 4]))], [0.5], [NAN]]
    np.testing.assert_allclose(maps.confidence, expected, atol=2 * STEP)


def test_a_sample_missing_in_an_epoch_counts_only_the_epochs_that_saw_it():
    tracker = DataMapTracker(["a"], 2)
    for epoch, rows in enumerate([[0, 1], [1], [0, 1]]):
        tracker.update(rows, torch.full((len(rows), 1), float(epoch)), torch.ones(len(rows), 1))
        tracker.end_epoch()
    maps = tracker.data_maps()
    assert maps.count.tolist() == [[2], [3]]
    np.testing.assert_allclose(maps.variability[0, 0], np.std(sigmoid([0, 2])), atol=STEP)
    assert maps.history[1, 0, 0] == UNSEEN


@pytest.mark.parametrize("mode", ["history", "stream"])
def test_margins_are_recorded_on_demand(mode):
    tracker = DataMapTracker(["b", Task("m", kind="multiclass", n_classes=3)], 2, mode=mode, margin=True)
    for shift in (0.0, 1.0):
        logits = torch.tensor([[2.0 + shift, 1.0, 3.0, 0.0], [90.0, 0.0, 0.0, 5.0]])
        tracker.update([0, 1], logits, [[0, 1], [1, NAN]])
        tracker.end_epoch()
    np.testing.assert_allclose(tracker.data_maps().margin, [[-2.5, 2.0], [32.0, NAN]], atol=1e-3)


def test_the_record_depends_on_neither_order_nor_batch_size():
    rng = np.random.default_rng(4)
    logits, labels = torch.tensor(rng.normal(size=(50, 7)), dtype=torch.float32), rng.integers(0, 2, (50, 7))
    found = set()
    for size in (1, 3, 7, 16, 50):
        order = rng.permutation(50)
        tracker = DataMapTracker([f"t{i}" for i in range(7)], 50)
        for start in range(0, 50, size):
            rows = order[start : start + size]
            tracker.update(rows, logits[rows], labels[rows])
        tracker.end_epoch()
        found.add(tracker.data_maps().history.tobytes())
    assert len(found) == 1


def test_targets_given_to_the_tracker_serve_every_batch():
    tracker = DataMapTracker(["a", "b"], 3, targets=[[1, 0], [NAN, 1], [0, 0]])
    tracker.update([2, 0], torch.ones(2, 2))
    tracker.end_epoch()
    maps = tracker.data_maps()
    expected = [[sigmoid(1), sigmoid(-1)], [NAN, NAN], [sigmoid(-1), sigmoid(-1)]]
    np.testing.assert_allclose(maps.confidence, expected, atol=STEP)
    np.testing.assert_array_equal(maps.targets, [[1, 0], [NAN, 1], [0, 0]])


def test_an_empty_batch_is_nothing():
    tracker = DataMapTracker(["a"], 2)
    tracker.update([], torch.zeros(0, 1), torch.zeros(0, 1))
    with pytest.raises(ValueError, match="epoch 0 has no batch"):
        tracker.end_epoch()


def test_maps_survive_a_file(tmp_path):
    tracker = DataMapTracker(["a", "b"], 2)
    tracker.update([0, 1], torch.zeros(2, 2), [[1, 0], [NAN, 1]])
    tracker.end_epoch()
    maps = tracker.data_maps()
    maps.save(tmp_path / "datamaps.safetensors")
    loaded = DataMaps.load(tmp_path / "datamaps.safetensors")
    assert loaded.content_hash() == maps.content_hash()
    np.testing.assert_array_equal(loaded.history, maps.history)
    assert loaded.tasks == maps.tasks


def test_snapshots_are_the_maps_of_the_first_epochs():
    tracker = DataMapTracker(["a"], 2)
    seen = []
    for z in (0.0, 2.0, -1.0):
        tracker.update([0, 1], torch.tensor([[z], [2 * z]]), torch.ones(2, 1))
        tracker.end_epoch()
        seen.append(tracker.data_maps())
    for n_epochs, maps in enumerate(seen, start=1):
        assert seen[-1].upto(n_epochs).content_hash() == maps.content_hash()
    with pytest.raises(ValueError, match="`n_epochs` must be between 1 and 3; got 4"):
        seen[-1].upto(4)


def test_codes_are_pinned():
    tracker = DataMapTracker(["a"], 4)
    tracker.update([0, 1, 2, 3], torch.tensor([[0.0], [1.0], [-30.0], [100.0]]), torch.ones(4, 1))
    tracker.end_epoch()
    assert tracker.data_maps().history[0, :, 0].tolist() == [32767, 47909, 0, 65534]
    assert encode_probability(np.array([1 / (1 + math.exp(-1.0)), NAN])).tolist() == [47909, UNSEEN]


# Faults seen in other trackers.


def test_one_observation_has_variability_zero():
    tracker = DataMapTracker(["a"], 1)
    tracker.update([0], torch.tensor([[0.7]]), [[1]])
    tracker.end_epoch()
    assert tracker.data_maps().variability[0, 0] == 0.0


def test_an_unseen_sample_is_nan_not_the_hardest():
    tracker = DataMapTracker(["a"], 3)
    tracker.update([0], torch.zeros(1, 1), [[1]])
    tracker.end_epoch()
    maps = tracker.data_maps()
    for name in ("confidence", "variability", "correctness", "forgetting", "aleatoric", "targets"):
        assert np.isnan(getattr(maps, name)[1:]).all(), name
    assert maps.coverage[0] == pytest.approx(1 / 3)


def test_a_missing_label_poisons_nothing():
    tracker = DataMapTracker(["a"], 1)
    for label in (NAN, 1, NAN, 1):
        tracker.update([0], torch.zeros(1, 1), [[label]])
        tracker.end_epoch()
    assert tracker.data_maps().confidence[0, 0] == 0.5 * 65534 / 65534
    assert tracker.data_maps().count[0, 0] == 2


def test_the_autograd_graph_does_not_grow():
    weight = torch.ones(1, 2, requires_grad=True)
    tracker = DataMapTracker(["a", "b"], 3)
    logits = torch.ones(3, 1) @ weight
    tracker.update(torch.arange(3), logits, torch.ones(3, 2))
    logits.sum().backward()
    assert weight.grad.tolist() == [[3.0, 3.0]]
    state = tracker.state_dict()
    assert not any(value.requires_grad for value in (state["targets"], state["epoch"]["codes"]))


def test_inputs_are_left_alone():
    logits, labels, ids = torch.ones(2, 2), torch.tensor([[1.0, NAN], [0.0, 1.0]]), torch.tensor([1, 0])
    copies = logits.clone(), labels.clone(), ids.clone()
    DataMapTracker(["a", "b"], 2).update(ids, logits, labels)
    for value, copy in zip((logits, labels, ids), copies, strict=True):
        assert torch.equal(value.nan_to_num(7), copy.nan_to_num(7))


@pytest.mark.parametrize("mode", ["history", "stream"])
def test_maps_do_not_change_when_recording_goes_on(mode):
    tracker = DataMapTracker(["a"], 2, mode=mode, n_epochs=1)
    tracker.update([0, 1], torch.zeros(2, 1), torch.ones(2, 1))
    tracker.end_epoch()
    maps = tracker.data_maps()
    before = maps.content_hash(), None if maps.history is None else maps.history.tobytes()
    for _ in range(3):
        tracker.update([0, 1], torch.ones(2, 1), torch.ones(2, 1))
        tracker.end_epoch()
    assert before == (maps.content_hash(), None if maps.history is None else maps.history.tobytes())
    if maps.history is not None:
        with pytest.raises(ValueError, match="read-only"):
            maps.history[0, 0, 0] = 1


def test_ids_are_compared_by_value_not_by_identity():
    tracker = DataMapTracker(["a"], 2)
    for _ in range(3):
        tracker.update(torch.tensor([1]), torch.zeros(1, 1), torch.ones(1, 1))
        tracker.end_epoch()
    assert tracker.data_maps().count.tolist() == [[0], [3]]


def test_a_batch_of_one_works_for_every_kind():
    tasks = ["b", Task("m", kind="multiclass", n_classes=3), Task("r", kind="regression")]
    tracker = DataMapTracker(tasks, 1)
    tracker.update([0], torch.zeros(1, 5), [[1, 2, 0.5]])
    tracker.end_epoch()
    np.testing.assert_allclose(tracker.data_maps().confidence, [[0.5, 1 / 3, math.exp(-0.5 / 1.4826**2)]], atol=STEP)


def test_an_update_does_not_touch_all_samples():
    tracker = DataMapTracker(["a"], 1_000_000)
    tracker.update([5, 5], torch.zeros(2, 1), torch.ones(2, 1))
    for rows in ([6, 7], [5, 999_999], [8, 8]):
        tracemalloc.start()
        tracker.update(rows, torch.zeros(2, 1), torch.ones(2, 1))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000, "an array as long as the data set would take a megabyte or more"


def test_constant_easy_samples_have_no_false_variability():
    tracker = DataMapTracker(["a"], 1, mode="stream")
    for _ in range(300):
        tracker.update([0], torch.tensor([[9.0]]), [[1]])
        tracker.end_epoch()
    assert tracker.data_maps().variability[0, 0] == 0.0
