"""Features of any size and spread reach the models; a profile needs labels to stop by."""

import numpy as np
import pytest

from taskgroup import TaskTable
from taskgroup.data import InputSchema
from taskgroup.exceptions import InvalidInputError
from taskgroup.training import profile


@pytest.mark.parametrize(("offset", "spread"), [(0.0, 1e-12), (0.0, 1e-30), (0.0, 1e30), (1e4, 1.0), (-1e-20, 1e-25)])
def test_features_of_any_spread_come_to_unit_scale(offset, spread):
    X = (offset + spread * np.random.default_rng(0).normal(size=(200, 2))).astype(np.float32)
    scaled = InputSchema.fit(X, ("a", "b"), {}, (2,)).transform(X)
    assert scaled.std(0) == pytest.approx(1.0, rel=1e-3)
    assert np.abs(scaled.mean(0)).max() < 1e-2


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-30, 123456.789, 1e30])
def test_constant_features_are_centred_only(value):
    X = np.full((77, 1), value, np.float32)
    schema = InputSchema.fit(X, ("a",), {}, (1,))
    assert (schema.scale == 1).all()


def test_a_profile_without_validation_labels_is_refused():
    X, Y = np.random.default_rng(0).normal(size=(60, 2)), np.tile([0.0, 1.0], 30)[:, None]
    split = np.repeat([0, 1, 2], 20)
    Y[split == 1] = np.nan
    with pytest.raises(InvalidInputError, match="the 20 validation rows hold no label"):
        profile(TaskTable.from_arrays(X, Y, split=split), epochs=1)
