"""Data Maps from histories: literal formulas, missing cells, round trips."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from taskgroup.datamaps import UNSEEN, DataMaps, decode_probability, encode_probability
from taskgroup.exceptions import ArtifactError, InvalidInputError
from taskgroup.tasks import Task, TaskSet

histories = arrays(np.float64, (4, 5, 3), elements=st.floats(0, 1) | st.just(np.nan))


def _maps(history, **options):
    return DataMaps.from_history(TaskSet(["a", "b", "c"]), encode_probability(history), **options)


@given(arrays(np.float64, 20, elements=st.floats(0, 1) | st.just(np.nan)))
def test_codes_keep_probabilities_to_half_a_step(p):
    codes = encode_probability(p)
    assert np.array_equal(codes == UNSEEN, np.isnan(p))
    assert np.allclose(decode_probability(codes), p, rtol=0, atol=0.5 / 65534 + 1e-12, equal_nan=True)
    assert encode_probability(np.array([0.0, 1.0])).tolist() == [0, 65534]


@settings(max_examples=60)
@given(histories)
def test_statistics_are_the_formulas_over_the_epochs_that_were_seen(history):
    p = decode_probability(encode_probability(history))
    correct = p > 0.5
    maps = _maps(history)
    for i in range(5):
        for t in range(3):
            seen = ~np.isnan(p[:, i, t])
            values = p[seen, i, t]
            assert maps.count[i, t] == len(values)
            if not len(values):
                assert np.isnan(maps.confidence[i, t])
                assert np.isnan(maps.variability[i, t])
                assert np.isnan(maps.forgetting[i, t])
                continue
            right = correct[seen, i, t]
            assert maps.confidence[i, t] == pytest.approx(values.mean(), abs=1e-6)
            assert maps.variability[i, t] == pytest.approx(values.std(), abs=1e-6)
            assert maps.aleatoric[i, t] == pytest.approx((values * (1 - values)).mean(), abs=1e-6)
            assert maps.correctness[i, t] == pytest.approx(right.mean(), abs=1e-6)
            assert maps.forgetting[i, t] == sum(a and not b for a, b in pairwise(right))
            bound = np.sqrt(maps.confidence[i, t] * (1 - maps.confidence[i, t]))
            assert maps.variability[i, t] <= bound + 1e-3


def test_ddof_1_divides_by_one_less_and_is_nan_after_one_epoch():
    history = np.random.default_rng(0).random((4, 5, 3))
    history[1:, 0, 0] = np.nan
    maps = _maps(history, ddof=1)
    assert maps.variability[1, 1] == pytest.approx(history[:, 1, 1].std(ddof=1), abs=1e-5)
    assert np.isnan(maps.variability[0, 0])
    assert not np.isnan(maps.confidence[0, 0])


@settings(max_examples=20)
@given(histories)
def test_maps_survive_the_disk(tmp_path_factory, history):
    path = tmp_path_factory.mktemp("maps") / "m.safetensors"
    tasks = TaskSet([Task("a"), Task("b", "multiclass", 3), Task("c", "regression", family="f")])
    maps = DataMaps.from_history(
        tasks, encode_probability(history), info={"mode": "history"}, sample_ids=np.arange(5) * 7
    )
    maps.save(path)
    again = DataMaps.load(path)
    assert again.tasks == tasks
    assert again.info == maps.info
    assert again.ddof == 0
    for name in ("confidence", "variability", "count", "aleatoric", "history", "sample_ids"):
        assert np.array_equal(
            getattr(again, name), getattr(maps, name), equal_nan=name in ("confidence", "variability", "aleatoric")
        )
    assert again.content_hash() == maps.content_hash()


def test_select_keeps_columns_in_the_order_asked_for():
    maps = _maps(np.random.default_rng(0).random((4, 5, 3)))
    two = maps.select(["c", "a"])
    assert two.tasks.names == ("c", "a")
    assert np.array_equal(two.confidence, maps.confidence[:, [2, 0]])
    assert np.array_equal(two.history, maps.history[:, :, [2, 0]])
    assert two.coverage.tolist() == [1.0, 1.0]


def test_wrong_shapes_and_files_are_named(tmp_path):
    ok = np.zeros((5, 3), np.float32)
    with pytest.raises(InvalidInputError, match=r"`confidence` must have shape \(n_samples, n_tasks=2\); got \(5, 3\)"):
        DataMaps(TaskSet(["a", "b"]), ok, ok, ok.astype(np.uint16))
    with pytest.raises(InvalidInputError, match=r"`variability` must have shape \(5, 3\); got \(3, 5\)"):
        DataMaps(TaskSet(["a", "b", "c"]), ok, ok.T, ok.astype(np.uint16))
    (tmp_path / "m").write_bytes(b"junk")
    with pytest.raises(ArtifactError, match="damaged or truncated"):
        DataMaps.load(tmp_path / "m")
