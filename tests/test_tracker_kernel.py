"""The compiled loops and numpy give the same bits, and both are right to half a code."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgroup.datamaps import UNSEEN
from taskgroup.exceptions import InvalidInputError
from taskgroup.tracker import DataMapTracker, _kernel
from taskgroup.tracker._epoch import Epoch

ODD = [0.0, -0.0, 1e-45, -1e-38, 0.5, 8.66, 17.0, 17.5, -17.5, 88.0, -104.0, 3e38, -3e38]


@st.composite
def batches(draw):
    """Return (n_samples, n_tasks, mode, epochs); an epoch is a list of batches of new rows."""
    n, width = draw(st.integers(2, 60)), draw(st.sampled_from([1, 3, 16, 33, 5000]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(0, 2, (n, width)).astype(np.float32)
    labels[rng.random(labels.shape) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
    epochs = []
    for _ in range(draw(st.integers(1, 3))):
        logits = (draw(st.sampled_from([0.1, 3, 30])) * rng.standard_normal((n, width))).astype(np.float32)
        odd = rng.random(logits.shape) < 0.1
        logits[odd] = rng.choice(np.array(ODD, np.float32), odd.sum())
        logits[np.isnan(labels) & (rng.random(labels.shape) < 0.2)] = np.nan  # what has no label may be anything
        order = rng.permutation(n)
        cuts = np.sort(rng.integers(0, n + 1, draw(st.integers(0, 4))))
        epochs.append([(rows, logits[rows], labels[rows]) for rows in np.split(order, cuts)])
    return n, width, draw(st.sampled_from(["history", "stream"])), epochs


def recorded(case, compiled):
    n, width, mode, epochs = case
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(_kernel, "_compiled", None)
        tracker = DataMapTracker([f"t{t}" for t in range(width)], n, mode=mode, outputs="logits")
        for epoch in epochs:
            for rows, logits, labels in epoch:
                tracker.update(rows, logits, labels)
            tracker.end_epoch()
    return tracker


@given(batches())
@settings(deadline=None, max_examples=25)
def test_compiled_and_numpy_record_the_same_bits(case):
    one, other = recorded(case, True), recorded(case, False)
    maps, expected = one.data_maps(), other.data_maps()
    for name in ("confidence", "variability", "count", "correctness", "forgetting"):
        np.testing.assert_array_equal(getattr(maps, name), getattr(expected, name))
    if case[2] == "history":
        np.testing.assert_array_equal(maps.history, expected.history)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 1, 10, 100]))
def test_codes_are_within_half_a_code_of_the_sigmoid(seed, scale):
    z = (scale * np.random.default_rng(seed).standard_normal((7, 9))).astype(np.float32)
    codes = _kernel.codes_of((-0.5 * z).copy()).astype(np.float64)
    p = 1 / (1 + np.exp(-z.astype(np.float64)))
    assert np.abs(codes - p * 65534).max() <= 0.5 + 65534 * 2e-7


def test_an_unusual_batch_is_refused_whole_and_the_next_is_recorded():
    tracker = DataMapTracker(["a", "b"], 6, outputs="logits")
    z, y = np.ones((2, 2), np.float32), np.ones((2, 2), np.float32)
    tracker.update([0, 1], z, y)
    tracker.update([2, 3], z, y)
    for bad_z, bad_y in ((z * np.inf, y), (z, y * 2)):
        with pytest.raises(InvalidInputError, match="Nothing was recorded"):
            tracker.update([4, 5], bad_z, bad_y)
    tracker.update([4, 4], z, y * [[1], [0]])  # the same row twice: averaged
    tracker.update([2, 5], -z, y)  # seen before
    tracker.end_epoch()
    p = 1 / (1 + np.exp(-1))
    expected = [p, p, 0.5, p, 0.5, 1 - p]
    np.testing.assert_allclose(tracker.data_maps().confidence[:, 0], expected, atol=2e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 100))
def test_sums_are_the_same_with_and_without_a_compiler(seed, n):
    rng = np.random.default_rng(seed)
    codes = rng.choice(np.array([0, 1, 32767, 65534, UNSEEN], np.uint16), n)
    sums = []
    for compiled in (True, False):
        total, squares = np.full(n, 7, np.uint32), np.full(n, 0.5)
        with pytest.MonkeyPatch.context() as patch:
            if not compiled:
                patch.setattr(_kernel, "_compiled", None)
            _kernel.fold(codes, total, squares)
        sums.append((total, squares))
    for one, other in zip(*sums, strict=True):
        np.testing.assert_array_equal(one, other)
    values = np.where(codes == UNSEEN, 0, codes).astype(float)
    np.testing.assert_array_equal(sums[0][0], 7 + values)
    np.testing.assert_array_equal(sums[0][1], 0.5 + values**2)


def test_loops_of_another_version_are_not_used(monkeypatch):
    monkeypatch.setattr(_kernel, "_VERSION", -1)
    assert _kernel._library() is None


def test_a_copy_of_an_epoch_is_recorded_into_its_own_arrays():
    epoch = Epoch(np.full((4, 2), 7, np.uint16))
    copied = copy.deepcopy(epoch)
    rows, ones = np.arange(4), np.ones((4, 2), np.float32)
    copied.record(tuple(map(_kernel.address, (rows, ones, ones))), 4)
    assert (epoch.codes == 7).all()
    assert (epoch._place == -1).all()
