"""Tables and their readers: layouts, kinds, splits, and one line for every kind of bad input."""

import json
import lzma

import numpy as np
import pytest

from taskgroup._artifact import json_ready
from taskgroup.data import (
    InputSchema,
    TaskTable,
    drop_degenerate,
    hide_labels,
    load_inputs,
    load_table,
    stratified_split,
)
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import Task, TaskSet


def _table(n=60, seed=0, **options):
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(n, 3)), rng.integers(0, 2, (n, 2)).astype(float)
    return TaskTable.from_arrays(X, Y, ["a", "b"], random_state=seed, **options)


# The bundled digits


def test_digits_are_100_tasks_in_four_families_over_half_images():
    table = load_table("digits")
    families = [task.family for task in table.tasks]
    assert (table.n_samples, table.n_features, table.n_tasks) == (1797, 32, 100)
    assert {f: families.count(f) for f in families} == {"digit": 10, "attribute": 15, "pair": 45, "pixel": 30}
    assert len({table.Y[:, t].tobytes() for t in range(100)}) == 100  # no task is a copy of another
    assert not table.degenerate_tasks()
    digit = table.Y[:, :10].argmax(1)
    assert np.array_equal(table.Y[:, table.tasks.index_of("pair_37")], np.isin(digit, (3, 7)))
    pixels = table.Y[:, 70:].mean(0)
    assert pixels.min() > 0.3
    assert pixels.max() < 0.7


def test_targets_select_tasks_of_a_bundled_table():
    table = load_table("digits", targets=["digit_*", "attr_*"])
    assert table.n_tasks == 25
    with pytest.raises(InvalidInputError, match=r"no task 'digit_x'; did you mean 'digit_\d'\?"):
        load_table("digits", targets=["digit_x"])


def test_hidden_labels_spare_the_test_rows():
    table = load_table("digits", targets=["digit_*"])
    hidden = hide_labels(table, 0.3, random_state=1)
    assert np.isnan(hidden.targets("train")).mean() == pytest.approx(0.3, abs=0.02)
    assert not np.isnan(hidden.targets("test")).any()
    assert not np.isnan(table.Y).any()


# Splits and schema


def test_split_keeps_label_shares_and_is_seeded():
    rng = np.random.default_rng(0)
    Y = (rng.random((500, 6)) < [0.5, 0.3, 0.1, 0.05, 0.02, 0.01]).astype(np.float32)
    Y[:5] = 1
    tasks = TaskSet([f"t{i}" for i in range(6)])
    part = stratified_split(Y, tasks, (0.6, 0.2, 0.2), 3)
    assert np.array_equal(part, stratified_split(Y, tasks, (0.6, 0.2, 0.2), 3))
    assert not np.array_equal(part, stratified_split(Y, tasks, (0.6, 0.2, 0.2), 4))
    assert np.bincount(part) == pytest.approx([300, 100, 100], abs=8)
    for t in range(6):
        shares = np.bincount(part[Y[:, t] == 1], minlength=3) / Y[:, t].sum()
        assert shares == pytest.approx([0.6, 0.2, 0.2], abs=1.5 / float(Y[:, t].sum()) + 0.05)


def test_a_given_split_without_validation_rows_gets_them_from_the_training_rows():
    table = _table(split=[0] * 40 + [2] * 20)
    assert list(table.rows("test")) == list(range(40, 60))
    assert len(table.rows("valid")) == 8


def test_schema_standardises_dense_columns_and_keeps_zeros_of_sparse_ones():
    X = np.zeros((100, 3), np.float32)
    X[:, 0] = np.arange(100)
    X[:5, 1] = 3.0
    schema = InputSchema.fit(X, ("dense", "sparse", "constant"), {}, (3,))
    Z = schema.transform(X)
    assert Z[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert Z[:, 0].std() == pytest.approx(1)
    assert sorted(set(Z[:, 1])) == [0.0, 1.0]
    assert np.all(Z[:, 2] == 0)
    again = InputSchema.from_dict(schema.to_dict())
    assert np.array_equal(again.transform(X), Z)


# Files


def _write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_npz_layout_with_missing_labels_and_known_groups(tmp_path):
    Y = np.array([[1, 0], [0, -1], [1, 1], [0, 0], [-1, 1], [0, 1]] * 5, np.int8)
    X = np.arange(90, dtype=np.uint8).reshape(30, 3)
    path = _write_npz(tmp_path / "t.npz", X=X, Y=Y, task_names=["a", "b"], task_group=["u", "v"])
    table = load_table(path)
    assert table.tasks[1] == Task("b", family="v")
    assert np.isnan(table.Y).sum() == 10
    assert load_inputs(path, table.schema).shape == (30, 3)


def test_csv_guesses_kinds_categories_and_reads_a_split_column(tmp_path):
    path = tmp_path / "t.csv"
    rows = ["age,colour,split,y_bin,y_multi,y_real,y_word"]
    for i in range(30):
        part = ("train", "valid", "test")[0 if i < 18 else 1 if i < 24 else 2]
        rows.append(
            f"{i},{'red' if i % 3 else ''},{part},{i % 2 if i % 5 else ''},{i % 3},{i / 7:.3f},{('no', 'yes')[i % 2]}"
        )
    path.write_text("\n".join(rows))
    table = load_table(path, targets=["y_*"])
    assert [(t.name, t.kind, t.n_classes) for t in table.tasks] == [
        ("y_bin", "binary", None), ("y_multi", "multiclass", 3),
        ("y_real", "regression", None), ("y_word", "binary", None),
    ]  # fmt: skip
    assert table.feature_names == ("age", "colour")
    assert table.categories == {1: ("", "red")}  # missing words have a category of their own
    assert set(table.X[:, 1]) == {1.0, 2.0}
    assert np.bincount(table.split).tolist() == [18, 6, 6]
    assert np.isnan(table.Y[:, 0]).sum() == 6
    assert np.array_equal(load_inputs(path, table.schema), table.X)
    with lzma.open(tmp_path / "t.csv.xz", "wt") as handle:
        handle.write(path.read_text())
    assert load_table(tmp_path / "t.csv.xz").content_hash() == table.content_hash()
    assert load_table(path, kinds={"y_multi": "regression"}).tasks[1].kind == "regression"


def test_parquet_reads_what_csv_reads(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    columns = {"x": [float(i) for i in range(30)], "c": ["u", "v", None] * 10, "y_a": [0, 1, None] * 10}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    text = ["x,c,y_a", *(f"{i},{'uv'[i % 3] if i % 3 < 2 else ''},{(0, 1, '')[i % 3]}" for i in range(30))]
    (tmp_path / "t.csv").write_text("\n".join(text))
    assert load_table(tmp_path / "t.parquet").content_hash() == load_table(tmp_path / "t.csv").content_hash()


def test_arff_dense_sparse_mulan_and_meka(tmp_path):
    attributes = ["'f one' numeric", "kind {red,blue}", "y1 {0,1}", "y2 {0,1}"]
    head = "\n".join(["@relation 'music: -C -2'", *(f"@attribute {a}" for a in attributes), "@data\n"])
    dense = [f"{i / 2},{'red' if i % 3 else 'blue'},{i % 2},{int(i % 4 == 1)}" for i in range(20)]
    sparse = [
        "{"
        + ", ".join(
            filter(
                None,
                [
                    f"0 {i / 2}" if i else "",
                    "" if i % 3 else "1 blue",
                    "2 1" if i % 2 else "",
                    "3 1" if i % 4 == 1 else "",
                ],
            )
        )
        + "}"
        for i in range(20)
    ]
    (tmp_path / "dense.arff").write_text(head + "\n".join(dense))
    (tmp_path / "sparse.arff").write_text("% comment\n" + head + "\n".join(sparse))
    one, two = load_table(tmp_path / "dense.arff"), load_table(tmp_path / "sparse.arff")
    assert one.tasks.names == ("y1", "y2")
    assert one.feature_names == ("f one", "kind")
    assert np.array_equal(one.X, two.X)
    assert np.array_equal(one.Y, two.Y)
    (tmp_path / "dense.xml").write_text(
        '<labels xmlns="http://mulan.sourceforge.net/labels"><label name="y2"></label></labels>'
    )
    assert load_table(tmp_path / "dense.arff").tasks.names == ("y2",)


def test_census_income_is_read_as_it_is_shipped(tmp_path):
    married, degree = "Married-civilian spouse present", "Masters degree(MA MS MEng MEd MSW MBA)"
    path = tmp_path / "census-income.test.xz"
    with lzma.open(path, "wt") as handle:
        for i in range(40):
            cells = [f"word {i % 3}" if j % 2 else str(i % 3) for j in range(42)]
            for number in (0, 5, 16, 17, 18, 24, 30, 39):
                cells[number] = str(i * number)
            cells[4] = degree if i % 4 == 0 else "Children"
            cells[7] = married if i % 2 else "Never married"
            cells[41] = "50000+." if i % 5 == 0 else "- 50000."
            handle.write(", ".join(cells) + "\n")
    table = load_table(path)
    assert table.tasks.names == ("income_above_50k", "never_married", "bachelor_or_more")
    assert (table.n_features, len(table.categories)) == (38, 31)
    assert table.Y.mean(0) == pytest.approx([0.2, 0.5, 0.25])
    assert np.array_equal(load_inputs(path, table.schema), table.X)
    with lzma.open(path, "wt") as handle:
        handle.write("1, 2, 3\n")
    with pytest.raises(InvalidInputError, match="row 0 has 3 cells; Census-Income has 42"):
        load_table(path)


# Bad input: one clear line each


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("t.csv", "", "the file is empty"),
        ("t.csv", "a,y_1\n", "no data rows"),
        ("t.csv", "a,y_1\n1,0\n2\n", r"data row 1 has 1 cells; the header names 2"),
        ("t.csv", "a,a,y_1\n1,2,0\n", "column names must be unique; got 'a' 2 times"),
        ("t.csv", "a,b\n1,0\n", r"which columns are targets\? Name them"),
        ("t.csv", "y_1\n1\n0\n", "no feature column is left"),
        ("t.csv", "a,y_1\n1,oops\n2,inf\n", r"no feature column is left|must hold at least one row"),
        ("t.csv", "a,split,y_1\n1,oops,1\n2,test,0\n", "'split' must hold train, valid or test"),
        ("t.arff", "@relation x\n@attribute a numeric\n", "no @data line"),
        ("t.xyz", "a", "unknown kind of file"),
        ("t.npz", "not a zip", "damaged"),
    ],
)
def test_bad_files_are_named_with_the_rule(tmp_path, name, text, match):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=match):
        load_table(path)


def test_holes_in_features_are_filled_from_the_training_rows(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{'' if i % 7 == 3 else i % 5},{i % 2}" for i, a in enumerate(rng.normal(size=70))]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y_1", *rows]))
    table = load_table(tmp_path / "t.csv")
    assert np.isnan(table.X[:, 1]).sum() == 10
    assert table.reading.holes == {"b": 10}
    schema = table.schema
    assert (schema.n_features, schema.n_inputs, schema.input_names[2]) == (2, 3, "b is missing")
    inputs = table.inputs("train")
    train = table.X[table.rows("train"), 1]
    assert np.isfinite(inputs).all()
    assert np.array_equal(inputs[:, 2], np.isnan(train))
    filled = (np.nanmedian(train) - np.nanmean(train)) / np.nanstd(train)
    assert inputs[np.isnan(train), 1] == pytest.approx(filled, abs=1e-5)
    again = InputSchema.from_dict(json.loads(json.dumps(json_ready(schema.to_dict()))))
    assert np.array_equal(again.transform(table.X), schema.transform(table.X))


def test_missing_file_unknown_column_and_identifier_columns(tmp_path):
    with pytest.raises(InvalidInputError, match=r"digts: no such file.*Did you mean 'digits'\?"):
        load_table("digts")
    (tmp_path / "t.csv").write_text("\n".join(["attr_07,id,y", *(f"{i},name{i},{i % 2}" for i in range(60))]))
    with pytest.raises(InvalidInputError, match=r"t.csv: no column 'attr_7'; did you mean 'attr_07'\?"):
        load_table(tmp_path / "t.csv", targets=["attr_7"])
    table = load_table(tmp_path / "t.csv", targets=["y"])
    assert table.feature_names == ("attr_07",)
    assert [(one.name, one.reason.split(":")[0]) for one in table.reading.ignored] == [
        ("id", "60 different words in 60 rows")
    ]
    assert list(table.ids[:2]) == ["name0", "name1"]
    assert load_table(tmp_path / "t.csv", targets=["y"], keep=["id"]).n_features == 2


def test_npz_with_pickles_or_truncation_is_refused(tmp_path):
    path = _write_npz(tmp_path / "t.npz", X=np.zeros((4, 2)), Y=np.array([[{}]] * 4, dtype=object))
    with pytest.raises(InvalidInputError, match="pickled objects"):
        load_table(path)
    good = _write_npz(tmp_path / "g.npz", X=np.zeros((400, 20)), Y=np.zeros((400, 2), np.int8))
    good.write_bytes(good.read_bytes()[:-500])
    with pytest.raises(InvalidInputError, match=r"damaged or truncated npz|damaged npz"):
        load_table(good)
    with pytest.raises(InvalidInputError, match="no array 'Y'"):
        load_table(_write_npz(tmp_path / "n.npz", X=np.zeros((4, 2))))


def test_one_class_targets_are_left_out_with_their_reason():
    rng = np.random.default_rng(0)
    Y = np.stack([rng.integers(0, 2, 50), np.ones(50)], axis=1)
    table = TaskTable.from_arrays(rng.normal(size=(50, 2)), Y, ["good", "flat"])
    kept, reasons = drop_degenerate(table)
    assert kept.tasks.names == ("good",)
    assert reasons == {"flat": "one class only (1) in the training rows"}
    with pytest.raises(InvalidInputError, match="no task can be learned; task 'flat' has one class only"):
        drop_degenerate(table.select(["flat"]))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"X": np.zeros(4)}, r"`X` must have shape"),
        ({"X": np.full((60, 3), np.inf)}, "180 infinite values"),
        ({"Y": np.zeros((59, 2))}, r"`Y` must have shape \(60, any\)"),
        ({"Y": np.full((60, 2), 2.0)}, r"targets of binary task 'a' must be whole numbers 0 .. 1"),
        ({"Y": np.full((60, 2), np.inf)}, "must be finite or NaN"),
        ({"split": np.full(60, 7)}, r"`split` must hold 0 \(train\)"),
        ({"split": np.zeros(60)}, "the test part of `split` must hold at least one row"),
        ({"valid": 0.6, "test": 0.5}, r"`valid` \+ `test` must be below 1"),
        ({"feature_names": ["x"]}, "must hold 3 names; got 1"),
        ({"tasks": ["a", "a"]}, "task names must be unique"),
        ({"tasks": "ab"}, "must be a list of names"),
    ],
)
def test_from_arrays_checks_what_it_is_given(change, match):
    rng = np.random.default_rng(0)
    arguments = {"X": rng.normal(size=(60, 3)), "Y": rng.integers(0, 2, (60, 2)), "tasks": ["a", "b"], **change}
    with pytest.raises(InvalidInputError, match=match):
        TaskTable.from_arrays(**arguments)


def test_tasks_check_their_kind():
    with pytest.raises(
        InvalidInputError, match=r"must be one of 'binary', 'multiclass', 'regression'; got 'binray'\. Did you"
    ):
        Task("a", kind="binray")
    with pytest.raises(InvalidInputError, match="n_classes of task 'a'` must be an integer"):
        Task("a", kind="multiclass")
    with pytest.raises(InvalidInputError, match="must be left out"):
        Task("a", kind="regression", n_classes=3)
    with pytest.raises(InvalidInputError, match=r"no task 'tosic'; did you mean 'toxic'\?"):
        TaskSet(["toxic"]).index_of("tosic")
