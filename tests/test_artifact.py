"""Files: atomic, versioned, never unpickled; their bytes are pinned."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgroup._artifact import atomic_path, content_hash, json_ready, read_arrays, read_json, write_arrays, write_json
from taskgroup.exceptions import ArtifactError


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, "thing", {"x": 1})
    before = path.read_bytes()

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        fail()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_json_bytes_are_pinned_and_nan_is_null(tmp_path):
    write_json(tmp_path / "a.json", "thing", {"x": [1.5, float("nan")], "ä": np.float32(2)})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == (
        '{\n "format": "taskgroup.thing",\n "format_version": 1,\n "x": [\n  1.5,\n  null\n ],\n "ä": 2.0\n}\n'
    )


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, "no such file; run the step that writes it first"),
        ("{", "not valid JSON"),
        ("[1]", "expected a JSON object, got list"),
        ('{"format": "taskgroup.other", "format_version": 1}', "expected a file of format 'taskgroup.thing'"),
        ('{"format": "taskgroup.thing", "format_version": 2}', "format_version must be 1; got 2"),
    ],
)
def test_unreadable_json_is_named(tmp_path, text, match):
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ArtifactError, match=match):
        read_json(path, "thing")


def test_arrays_come_back_bit_for_bit_without_being_copied(tmp_path):
    arrays = {
        "u16": np.arange(12, dtype=np.uint16).reshape(3, 4),
        "f32": np.array([[np.nan, 1]], np.float32),
        "none": np.zeros((0, 3), np.float64),
        "flag": np.array([True, False]),
    }
    write_arrays(tmp_path / "a.safetensors", "thing", arrays, {"note": "é"})
    found, document = read_arrays(tmp_path / "a.safetensors", "thing")
    assert document["note"] == "é"
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array, equal_nan=array.dtype.kind == "f")
    assert isinstance(found["u16"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found["u16"][0, 0] = 1


def test_damaged_arrays_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(ArtifactError, match="no such file"):
        read_arrays(path, "thing")
    write_arrays(path, "thing", {"x": np.zeros(1000)})
    with pytest.raises(ArtifactError, match=r"expected a file of format 'taskgroup\.other'"):
        read_arrays(path, "other")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ArtifactError, match="damaged or truncated"):
        read_arrays(path, "thing")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_json_ready_changes_nothing_that_is_ready(value):
    assert json_ready(value) == value
    assert json.loads(json.dumps(json_ready(value))) == value


def test_content_hash_sees_values_types_and_order():
    a = np.arange(6, dtype=np.float32)
    assert content_hash(a, {"k": 1}) == content_hash(a.copy(), {"k": 1})
    different = {
        content_hash(a),
        content_hash(a.astype(np.float64)),
        content_hash(a.reshape(2, 3)),
        content_hash(a[::-1]),
    }
    assert len(different) == 4
    assert content_hash("a", "b") != content_hash("ab")
