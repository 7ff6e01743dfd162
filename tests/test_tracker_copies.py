"""A copy of a tracker is a tracker of its own, and a recording that was removed is missed, not made up."""

import copy

import numpy as np
import pytest
import torch

from taskgroup import DataMapTracker
from taskgroup.exceptions import ArtifactError


def _record(tracker, epochs, seed=0):
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(100 * seed + epoch)
        tracker.update(range(6), torch.randn(6, 2, generator=generator), torch.ones(6, 2))
        tracker.end_epoch()


@pytest.mark.parametrize("mapped", [False, True])
def test_a_deep_copy_shares_nothing(mapped, tmp_path):
    tracker = DataMapTracker(["a", "b"], 6, folder=tmp_path / "recording" if mapped else None)
    _record(tracker, 3)
    before = tracker.data_maps()
    copied = copy.deepcopy(tracker)
    _record(copied, 2, seed=1)
    np.testing.assert_array_equal(tracker.data_maps().confidence, before.confidence)
    assert (tracker.n_epochs, copied.n_epochs) == (3, 5)
    assert not np.array_equal(copied.data_maps().confidence, before.confidence)
    _record(tracker, 2, seed=1)
    np.testing.assert_array_equal(copied.data_maps().confidence, tracker.data_maps().confidence)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_deep_copy_in_the_middle_of_an_epoch_goes_on(mapped, tmp_path):
    tracker = DataMapTracker(["a", "b"], 6, folder=tmp_path / "recording" if mapped else None)
    _record(tracker, 1)
    tracker.update([0, 1, 2], torch.ones(3, 2), torch.ones(3, 2))
    copied = copy.deepcopy(tracker)
    for one in (tracker, copied):
        one.update([3, 4, 5], -torch.ones(3, 2), torch.ones(3, 2))
        one.end_epoch()
    np.testing.assert_array_equal(copied.data_maps().confidence, tracker.data_maps().confidence)
    assert np.isfinite(copied.data_maps().confidence).all()


def test_a_recording_that_was_removed_is_missed(tmp_path):
    tracker = DataMapTracker(["a", "b"], 6, folder=tmp_path)
    _record(tracker, 2)
    (tmp_path / "codes.u16").unlink()
    with pytest.raises(ArtifactError, match=r"holds 0 bytes, 2 epochs need 48; it was removed or cut off"):
        tracker.data_maps()
    with pytest.raises(ArtifactError, match="was removed or cut off"):
        _record(tracker, 1)
    tracker.close()
    with pytest.raises(ArtifactError, match="holds 0 bytes, 2 epochs need 48"):
        DataMapTracker(["a", "b"], 6, folder=tmp_path)
