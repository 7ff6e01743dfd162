"""Label columns as people have them: missing markers, words, codes; each with the reading that is right."""

import numpy as np
import pandas as pd
import pytest

from taskgroup.data import load_table
from taskgroup.exceptions import InvalidInputError

N = 60


def frame(labels, n=N, **more):
    """Two plain features and a label column that repeats ``labels``."""
    rng = np.random.default_rng(0)
    cells = [labels[i % len(labels)] for i in range(n)]
    return pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "y_t": cells, **more})


def read(data, **options):
    return load_table(data, **options)


def csv(tmp_path, data, name="t.csv"):
    path = tmp_path / name
    data.to_csv(path, index=False)
    return path


MARKS = ["", "N/A", "n/a", "NA", "#N/A", "<NA>", "NULL", "null", "-", ".", "?", "unknown", "UNKNOWN", "nan", "NaN",
         "NAN", "None", "none", "--", "missing", "not tested", "n.d."]  # fmt: skip


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("labels", [("0", "1"), ("no", "yes")])
def test_missing_markers_are_no_class(tmp_path, mark, labels):
    table = read(csv(tmp_path, frame([labels[0], labels[1], mark, labels[1]])))
    assert table.tasks[0].kind == "binary"
    assert np.isnan(table.Y).mean() == pytest.approx(1 / 4)
    assert np.nanmean(table.Y) == pytest.approx(2 / 3)


@pytest.mark.parametrize("mark", ["unknown", "-", "none"])
def test_a_guessed_marker_is_said_and_can_be_a_class(mark):
    data = frame(["no", "yes", mark])
    note = next(note for note in read(data).reading.notes if "missing label in 20 rows" in note.text)
    assert note.option == f"--not-missing {mark!r}"
    assert read(data, not_missing=[mark]).tasks[0].n_classes == 3


@pytest.mark.parametrize(("words", "positive"), [(("-", "+"), "+"), (("known", "unknown"), None)])
def test_a_marker_beside_its_opposite_is_a_class(words, positive):
    table = read(frame(list(words)))
    assert not np.isnan(table.Y).any()
    assert positive is None or table.tasks[0].classes[1] == positive


@pytest.mark.parametrize("mark", ["x", "-77", "pending"])
def test_further_markers_can_be_named(tmp_path, mark):
    table = read(csv(tmp_path, frame(["0", "1", mark])), missing=[mark])
    assert (table.tasks[0].kind, np.isnan(table.Y).mean()) == ("binary", pytest.approx(1 / 3))


@pytest.mark.parametrize("sentinel", [-999, -9999, 999, -99])
@pytest.mark.parametrize("labels", [(0, 1), (1, 2), (0, 1, 2), (-1, 1)])
def test_sentinels_among_codes_are_missing_and_said(sentinel, labels):
    table = read(frame([*labels, sentinel]))
    assert table.tasks[0].kind == ("multiclass" if len(labels) == 3 else "binary")
    assert np.isnan(table.Y).mean() == pytest.approx(1 / (len(labels) + 1), abs=0.01)
    assert any(f"{sentinel} is read as a missing label" in note.text for note in table.reading.notes)


def test_sentinels_among_quantities_are_said_and_can_be_missing():
    values = np.round(np.random.default_rng(1).normal(size=N), 3)
    values[::6] = -999
    data = frame([0]).assign(y_t=values)
    table = read(data)
    assert table.tasks[0].kind == "regression"
    assert [note.option for note in table.reading.notes] == ["--missing 'y_t'=-999"]
    again = read(data, missing=["-999"])
    assert np.isnan(again.Y).sum() == 10
    assert again.reading.notes == ()


PAIRS = [
    ("Active", "Inactive", "Active"), ("yes", "no", "yes"), ("Y", "N", "Y"), ("true", "false", None),
    ("positive", "negative", "positive"), ("pos", "neg", "pos"), ("present", "absent", "present"), ("T", "F", "T"),
    ("toxic", "non-toxic", "toxic"), ("soluble", "insoluble", "soluble"), ("stable", "unstable", "stable"),
    ("malignant", "benign", "malignant"), ("spam", "ham", "spam"), ("case", "control", "case"), ("on", "off", "on"),
    ("dead", "not dead", "dead"), ("abnormal", "normal", "abnormal"), ("hit", "miss", "hit"),
    ("sick", "healthy", "sick"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "positive"), PAIRS)
def test_the_positive_word_is_that_of_convention(first, second, positive):
    table = read(frame([first, second, second]))
    assert table.tasks[0].kind == "binary"
    assert table.Y.mean() == pytest.approx(1 / 3)
    assert table.tasks[0].classes == (None if positive is None else (second, positive))
    assert not [note for note in table.reading.notes if "positive" in note.option]


@pytest.mark.parametrize(("first", "second"), [("cat", "dog"), ("left", "right"), ("M", "F")])
def test_other_words_are_ordered_by_the_alphabet_and_it_is_said(first, second):
    low, high = sorted((first, second))
    table = read(frame([first, second]))
    assert table.tasks[0].classes == (low, high)
    assert f"--positive 'y_t'={low!r}" in [note.option for note in table.reading.notes]
    turned = read(frame([first, second]), positive={"y_t": low})
    assert turned.tasks[0].classes == (high, low)
    assert np.array_equal(turned.Y, 1 - table.Y)


def test_a_positive_class_that_is_none_is_refused():
    with pytest.raises(InvalidInputError, match="the positive class of 'y_t' must be 'cat' or 'dog'; got 'cow'"):
        read(frame(["cat", "dog"]), positive={"y_t": "cow"})
    with pytest.raises(InvalidInputError, match="--positive is for binary tasks; 'y_t' is read as multiclass"):
        read(frame(["cat", "dog", "cow"]), positive={"y_t": "cow"})
    with pytest.raises(InvalidInputError, match="no target 'y_x'; did you mean 'y_t'"):
        read(frame([0, 1]), positive={"y_x": "1"})


CODES = [
    ([0, 1], None, "binary", None, (0, 1)),
    ([0.0, 1.0, np.nan], None, "binary", None, (0, 1)),
    ([True, False], None, "binary", None, (0, 1)),
    ([True, False, None], None, "binary", None, (0, 1)),
    ([1, 2], None, "binary", ("1", "2"), (0, 1)),
    ([-1, 1], None, "binary", ("-1", "1"), (0, 1)),
    ([-1, 0, 1], None, "binary", None, (0, 1)),
    ([-1, 0, 1], "multiclass", "multiclass", ("-1", "0", "1"), (0, 1, 2)),
    ([-1, 0, 1, 2], "multiclass", "multiclass", ("-1", "0", "1", "2"), (0, 1, 2, 3)),
    ([-1, 0, 1, 2], None, "multiclass", None, (0, 1, 2)),
    ([1, 2, 3], None, "multiclass", ("1", "2", "3"), (0, 1, 2)),
    ([0, 1, 2], None, "multiclass", None, (0, 1, 2)),
    ([0, 1], "multiclass", "multiclass", None, (0, 1)),
    ([0, 1], "regression", "regression", None, (0, 1)),
    ([True, False], "regression", "regression", None, (0, 1)),
    ([-1, 0, 1], "regression", "regression", None, (-1, 0, 1)),
    ([3, 7], None, "binary", ("3", "7"), (0, 1)),
    ([1, 2, 4, 5], None, "regression", None, (1, 2, 4, 5)),
    ([1, 2, 4, 5], "multiclass", "multiclass", ("1", "2", "4", "5"), (0, 1, 2, 3)),
    ([0.5, 1.5], None, "regression", None, (0.5, 1.5)),
    ([0.5, 1.5], "binary", "binary", ("0.5", "1.5"), (0, 1)),
    (["low", "mid", "high"], None, "multiclass", ("high", "low", "mid"), (0, 1, 2)),
    (["low", "high"], "multiclass", "multiclass", ("high", "low"), (0, 1)),
    (["Yes", "yes", "no"], None, "binary", ("no", "Yes"), (0, 1)),
    (["1", "0", "?"], None, "binary", None, (0, 1)),
    (["12%", "50%", "33%"], "regression", "regression", None, (12, 33, 50)),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "kind", "read_as", "classes", "values"), CODES)
def test_codes_are_read_as_what_they_are(labels, kind, read_as, classes, values):
    table = read(frame(labels), kinds={"y_t": kind} if kind else None)
    task = table.tasks[0]
    assert (task.kind, task.classes) == (read_as, classes)
    assert tuple(np.unique(table.Y[~np.isnan(table.Y)])) == values


@pytest.mark.parametrize("labels", [(1, 2), (-1, 1), ("a", "b"), (3, 7)])
def test_doubtful_codes_name_the_option_that_turns_them(labels):
    assert any(note.option for note in read(frame(list(labels))).reading.notes)


@pytest.mark.parametrize(
    ("labels", "kind", "match"),
    [
        ([0.1, 0.2, 0.3], "binary", "holds 3 different values"),
        (["a", "b", "c"], "binary", r"holds 3 different words \(a, b, c\); a binary task has two"),
        (["a", "b"], "regression", "holds words such as 'a'; it cannot be a regression task"),
        ([f"w{i}" for i in range(60)], None, "holds 60 different words; at most 50"),
        ([0, 1], "binray", r"must be binary, multiclass or regression.*Did you mean 'binary'"),
        ([np.inf, 1.0], None, "is infinite in 30 rows, the first being row 0"),
        (["2020-01-01", "2021-01-01"], None, "holds dates"),
    ],
)
def test_illegal_readings_are_refused_with_the_rule(labels, kind, match):
    with pytest.raises(InvalidInputError, match=match):
        read(frame(labels), kinds={"y_t": kind} if kind else None)


def test_minus_one_is_missing_in_all_columns_where_it_is_in_one():
    table = read(frame([1, -1], y_u=[[0, 1, -1][i % 3] for i in range(N)]))
    assert np.isnan(table.Y[:, 0]).mean() == 0.5
    assert table.tasks[0].classes is None


def test_many_whole_numbers_are_classes_and_it_is_said():
    table = read(frame(list(range(30)), n=90))
    assert table.tasks[0].n_classes == 30
    assert "--kind 'y_t'=regression" in [note.option for note in table.reading.notes]


def test_class_names_survive_the_round_trip_of_a_task_set():
    tasks = read(frame(["Active", "Inactive"])).tasks
    assert type(tasks).from_list(tasks.to_list()) == tasks
    assert tasks[0].class_names == ("Inactive", "Active")
