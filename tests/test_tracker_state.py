"""Histories and streams agree to the last bit; interruption at any point changes nothing."""

import io

import numpy as np
import pytest
import torch

from taskgroup import Task
from taskgroup.datamaps import UNSEEN
from taskgroup.exceptions import ArtifactError, InvalidInputError
from taskgroup.tracker import DataMapTracker
from taskgroup.tracker._stream import BitCounter

TASKS = ["a", Task("m", kind="multiclass", n_classes=3), Task("r", kind="regression"), "b"]
STATISTICS = ("confidence", "variability", "count", "correctness", "forgetting", "aleatoric", "margin", "targets")


def batches(seed=0, n_samples=23, n_epochs=4, tasks=TASKS):
    """Return (epoch, ids, outputs, targets) with repeats, unseen samples and missing labels."""
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.integers(0, 3 if i == 1 else 2, n_samples) for i in range(len(tasks))], 1).astype(float)
    labels[rng.random(labels.shape) < 0.2] = np.nan
    width = sum(task.n_outputs if isinstance(task, Task) else 1 for task in tasks)
    for epoch in range(n_epochs):
        for ids in np.array_split(rng.choice(n_samples - 1, 30), 5):
            yield epoch, ids, torch.tensor(rng.normal(size=(len(ids), width))), labels[ids]


def record(tracker, stop=None, skip=0):
    """Feed batches skip .. stop; an epoch ends after its fifth batch."""
    for i, (_, ids, outputs, targets) in enumerate(batches()):
        if skip <= i < (stop or 20):
            tracker.update(ids, outputs, targets)
            if i % 5 == 4:
                tracker.end_epoch()
    return tracker


def same(first, second):
    for name in (*STATISTICS, "history"):
        one, two = getattr(first, name), getattr(second, name)
        assert (one is None) == (two is None), name
        if one is not None:
            np.testing.assert_array_equal(one, two, err_msg=name)
    assert first.info == second.info


@pytest.mark.parametrize("margin", [False, True])
@pytest.mark.parametrize("ddof", [0, 1])
def test_a_stream_gives_the_statistics_of_a_history_to_the_last_bit(margin, ddof):
    history = record(DataMapTracker(TASKS, 23, margin=margin)).data_maps(ddof)
    stream = record(DataMapTracker(TASKS, 23, mode="stream", margin=margin)).data_maps(ddof)
    assert stream.history is None
    for name in STATISTICS:
        one, two = getattr(history, name), getattr(stream, name)
        assert (one is None) == (two is None), name
        if one is not None:
            np.testing.assert_array_equal(one, two, err_msg=name)


def test_a_custom_probability_of_a_multiclass_task_says_nothing_about_being_right():
    for mode in ("history", "stream"):
        tracker = DataMapTracker(
            ["a", TASKS[1]], 2, mode=mode, probability=lambda outputs, targets: torch.full((2, 2), 0.9)
        )
        tracker.update([0, 1], None, [[1, 2], [0, 0]])
        tracker.end_epoch()
        maps = tracker.data_maps()
        np.testing.assert_array_equal(maps.correctness, [[1, np.nan], [1, np.nan]])
        np.testing.assert_array_equal(maps.forgetting, [[0, np.nan], [0, np.nan]])


@pytest.mark.parametrize("cut", [1, 3, 5, 7, 10, 18])
@pytest.mark.parametrize("mode", ["history", "stream", "folder"])
def test_state_dict_restores_exactly_in_mid_epoch(mode, cut, tmp_path):
    def make(n=0):
        return DataMapTracker(TASKS, 23, folder=tmp_path / "r") if mode == "folder" else DataMapTracker(TASKS, 23, mode)

    whole = record(DataMapTracker(TASKS, 23, "history" if mode == "folder" else mode)).data_maps()
    first = record(make(), stop=cut)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    record(first, stop=min(cut + 6, 20), skip=cut)  # what a crash would throw away
    file.seek(0)
    if mode == "folder":
        first.close()
    second = make()
    second.load_state_dict(torch.load(file, weights_only=True))
    same(whole, record(second, skip=cut).data_maps())


def test_a_folder_goes_on_after_the_last_finished_epoch(tmp_path):
    whole = record(DataMapTracker(TASKS, 23)).data_maps()
    for start, stop in ((0, 7), (5, 13), (10, 20)):  # each leaves an unfinished epoch behind
        tracker = DataMapTracker(TASKS, 23, folder=tmp_path / "r")
        assert tracker.n_epochs == start // 5
        record(tracker, stop=stop, skip=start)
        tracker.close()
    same(whole, DataMapTracker(TASKS, 23, folder=tmp_path / "r").data_maps())


def test_a_folder_is_refused_when_it_holds_something_else(tmp_path):
    first = record(DataMapTracker(TASKS, 23, folder=tmp_path / "r"))
    with pytest.raises(ArtifactError, match="is being recorded into by another tracker"):
        DataMapTracker(TASKS, 23, folder=tmp_path / "r")
    first.close()
    with pytest.raises(ArtifactError, match="recorded with another `n_samples`"):
        DataMapTracker(TASKS, 24, folder=tmp_path / "r")
    with pytest.raises(ArtifactError, match="recorded with another `tasks`"):
        DataMapTracker(["a", "b", "c", "d"], 23, folder=tmp_path / "r")
    codes = tmp_path / "r" / "codes.u16"
    codes.write_bytes(codes.read_bytes()[:-2])
    with pytest.raises(ArtifactError, match="it is truncated"):
        DataMapTracker(TASKS, 23, folder=tmp_path / "r")


def test_the_bytes_of_a_folder_are_pinned(tmp_path):
    tracker = DataMapTracker(["a"], 2, folder=tmp_path / "r")
    for z in (0.0, 1.0):
        tracker.update([0], torch.tensor([[z]]), [[1]])
        tracker.end_epoch()
    assert (tmp_path / "r" / "codes.u16").read_bytes().hex() == "ff7fffff" + "25bbffff"
    assert " ".join((tmp_path / "r" / "recording.json").read_text().split()) == (
        '{ "format": "taskgroup.recording", "format_version": 1, "tasks": [ { "name": "a", "kind": "binary" } ], '
        '"n_samples": 2, "width": 1, "n_epochs": 2, "info": { "mode": "history" } }'
    )


def test_a_state_of_another_tracker_is_refused():
    state = record(DataMapTracker(TASKS, 23)).state_dict()
    with pytest.raises(InvalidInputError, match="must have n_samples=24, as this tracker; got 23"):
        DataMapTracker(TASKS, 24).load_state_dict(state)
    with pytest.raises(InvalidInputError, match="must have mode='stream'"):
        DataMapTracker(TASKS, 23, mode="stream").load_state_dict(state)
    with pytest.raises(InvalidInputError, match="must have tasks="):
        DataMapTracker(["a"], 23).load_state_dict(state)
    with pytest.raises(InvalidInputError, match="must have format_version=1, as this tracker; got 2"):
        DataMapTracker(TASKS, 23).load_state_dict({**state, "format_version": 2})


def test_a_state_ahead_of_its_folder_is_refused(tmp_path):
    state = record(DataMapTracker(TASKS, 23, folder=tmp_path / "r")).state_dict()
    with pytest.raises(ArtifactError, match="holds 0 finished epochs; the state to load needs 4"):
        DataMapTracker(TASKS, 23, folder=tmp_path / "other").load_state_dict(state)


def test_a_state_is_a_copy():
    tracker = record(DataMapTracker(TASKS, 23), stop=7)
    state = tracker.state_dict()
    before = state["epoch"]["codes"].clone(), state["targets"].clone()
    record(tracker, skip=7)
    assert torch.equal(before[0], state["epoch"]["codes"])
    assert torch.equal(before[1].nan_to_num(9), state["targets"].nan_to_num(9))


def test_room_for_epochs_grows():
    short, long = DataMapTracker(TASKS, 23, n_epochs=1), DataMapTracker(TASKS, 23, n_epochs=4)
    same(record(short).data_maps(), record(long).data_maps())


def test_a_sample_may_be_seen_very_often():
    tracker = DataMapTracker(["a"], 2)
    for z in (1.0, 2.0):
        tracker.update(np.zeros(50_000, int), torch.full((50_000, 1), z), torch.ones(50_000, 1))
    tracker.end_epoch()
    assert tracker.data_maps().history[0, :, 0].tolist() == [round((47909 + 57722) / 2), UNSEEN]


def test_bit_counter_counts():
    rng = np.random.default_rng(0)
    bits = rng.random((300, 21)) < rng.random(21)
    counter = BitCounter(21)
    for row in bits:
        counter.add(np.packbits(row))
    np.testing.assert_array_equal(counter.values(), bits.sum(0))
