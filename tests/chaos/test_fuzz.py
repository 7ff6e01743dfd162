"""The small form of the fuzzing: no reader raises what is not ours, hangs, or takes more memory than it may."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgroup import load_table
from taskgroup._documents import SCHEMAS, check_document
from taskgroup.exceptions import ArtifactError, TaskGroupError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CELLS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["nan", "1e999", "-1", '"', ",", "1,5"])


def test_damaged_files_are_read_or_refused():
    fuzz = Path(__file__).with_name("fuzz.py")
    command = [sys.executable, "-W", "ignore", str(fuzz), "--inputs", "60", "--seed", "1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=40)
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=8))
def test_any_text_is_read_or_refused(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("text") / "t.csv"
    text = "a,b,y_1\n" + "\n".join(",".join(row) for row in [*rows, ["1", "x", "0"], ["2", "y", "1"]] * 8)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(TaskGroupError):
        load_table(path)


@settings(max_examples=60)
@given(st.sampled_from(sorted(SCHEMAS)), st.dictionaries(st.text(max_size=5), VALUES, max_size=3) | VALUES)
def test_any_document_is_accepted_or_refused_by_name(kind, value):
    refused = ""
    try:
        check_document("file.json", kind, value)
    except ArtifactError as error:
        refused = str(error)
    assert refused.startswith("file.json: ") or not refused
