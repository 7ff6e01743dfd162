"""Files of every kind, to the same table: encodings, delimiters, compression, workbooks, long tables, arrays."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from taskgroup.data import _arrays as arrays_module
from taskgroup.data import load_inputs, load_table
from taskgroup.exceptions import InvalidInputError

N = 40
ROWS = [(round(0.37 * i - 5, 2), ("Köln", "Åbo", "")[i % 3], i % 2) for i in range(N)]


def text(delimiter=",", end="\n", decimal=".", quote=""):
    cells = [[str(x).replace(".", decimal), f"{quote}{c}{quote}", str(y)] for x, c, y in ROWS]
    return end.join(delimiter.join(row) for row in [["size", "town", "y_a"], *cells]) + end


@pytest.fixture(scope="module")
def expected():
    return load_table(pd.DataFrame(ROWS, columns=["size", "town", "y_a"])).content_hash()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings(tmp_path, encoding, expected):
    (tmp_path / "t.csv").write_bytes(text().encode(encoding))
    assert load_table(tmp_path / "t.csv").content_hash() == expected


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_line_ends(tmp_path, delimiter, end, expected):
    (tmp_path / "t.csv").write_bytes(text(delimiter, end, quote='"').encode())
    assert load_table(tmp_path / "t.csv").content_hash() == expected


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_decimal_commas(tmp_path, delimiter, expected):
    (tmp_path / "t.tsv").write_text(text(delimiter, decimal=","), encoding="utf-8")
    assert load_table(tmp_path / "t.tsv").content_hash() == expected


@pytest.mark.parametrize("ending", ["gz", "xz", "bz2", "zip"])
def test_compression(tmp_path, ending, expected):
    path, raw = tmp_path / f"t.csv.{ending}", text().encode()
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inner.csv", raw)
    else:
        path.write_bytes({"gz": gzip, "xz": lzma, "bz2": bz2}[ending].compress(raw))
    assert load_table(path).content_hash() == expected


def test_frames_of_pandas_and_polars_and_columnar_files(tmp_path, expected):
    import polars

    data = pd.DataFrame(ROWS, columns=["size", "town", "y_a"])
    data.to_parquet(tmp_path / "t.parquet")
    data.to_feather(tmp_path / "t.feather")
    data.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    data.to_json(tmp_path / "t.json", orient="records")
    data.to_excel(tmp_path / "t.xlsx", index=False)
    for name in ("t.parquet", "t.feather", "t.jsonl", "t.json", "t.xlsx"):
        assert load_table(tmp_path / name).content_hash() == expected, name
    assert load_table(polars.DataFrame(data.to_dict("list"))).content_hash() == expected
    assert load_table(data.convert_dtypes()).content_hash() == expected
    assert load_table(data.astype({"town": "category"})).content_hash() == expected
    data.set_index(pd.Index([(7 * i) % N for i in range(N)])).to_parquet(tmp_path / "i.parquet")
    table = load_table(tmp_path / "i.parquet")
    assert (table.content_hash(), table.reading.roles) == (expected, {"id": ""})


def test_a_workbook_names_its_sheet_and_its_twice_named_columns(tmp_path):
    data = pd.DataFrame(ROWS, columns=["size", "town", "y_a"])
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        data.to_excel(book, sheet_name="main", index=False)
        data.to_excel(book, sheet_name="other", index=False)
    assert "sheet 'main' was read, the first of 2" in [
        note.text for note in load_table(tmp_path / "t.xlsx").reading.notes
    ]
    data.set_axis(["size", "size", "y_a"], axis=1).to_excel(tmp_path / "d.xlsx", index=False)
    with pytest.raises(InvalidInputError, match="names must be unique; got 'size' 2 times"):
        load_table(tmp_path / "d.xlsx")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("1.5,2,0\n3,4,1\n", "the first row holds numbers only"),
        ("a,y_1\n1,0\n2,1,5\n", "line 3 has 3 cells; the header names 2"),
        ("a,b,y_1\n" + "1,2,0\n" * 30 + "1,2\n", "data row 30 has 2 cells; the header names 3"),
        ('a,y_1\n"x,0\n', "cannot be read as a table|no data rows"),
    ],
)
def test_misshapen_text_is_refused(tmp_path, content, match):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(InvalidInputError, match=match):
        load_table(tmp_path / "t.csv")


def test_row_names_of_r_and_trailing_delimiters(tmp_path):
    lines = [f"r{i},{i * 0.5},{i % 2}" for i in range(N)]
    (tmp_path / "r.csv").write_text("\n".join(["x,y_1", *lines]))
    table = load_table(tmp_path / "r.csv")
    assert (table.feature_names, table.ids[3]) == (("x",), "r3")
    lines = [f"{i * 0.5},{i % 2}," for i in range(N)]
    for head in ("x,y_1", "x,y_1,"):
        (tmp_path / "t.csv").write_text("\n".join([head, *lines]))
        assert load_table(tmp_path / "t.csv").feature_names == ("x",)


# Long tables


def long_table():
    wide = pd.DataFrame({"mol": [f"m{i}" for i in range(N)], "w": [i * 0.3 for i in range(N)]})
    wide["t1"], wide["t2"] = [i % 2 for i in range(N)], [(i // 2) % 2 if i % 5 else None for i in range(N)]
    long = wide.melt(["mol", "w"], var_name="assay", value_name="value").dropna()
    return wide, long.sample(frac=1, random_state=0)


def test_long_tables_are_turned_when_asked(tmp_path):
    wide, long = long_table()
    long.to_csv(tmp_path / "l.csv", index=False)
    with pytest.raises(InvalidInputError, match="--long 'mol' 'assay' 'value'"):
        load_table(tmp_path / "l.csv")
    table = load_table(tmp_path / "l.csv", long=("mol", "assay", "value"))
    assert (table.tasks.names, table.feature_names, table.n_samples) == (("t1", "t2"), ("w",), N)
    order = pd.Series(range(N), index=wide.mol)[table.ids]
    assert np.array_equal(table.Y, wide[["t1", "t2"]].to_numpy(np.float32)[order], equal_nan=True)
    words = long.assign(value=np.where(long.value == 1, "active", "inactive"))
    assert load_table(words, long=("mol", "assay", "value")).tasks[0].classes == ("inactive", "active")


def test_long_tables_that_contradict_themselves_are_refused():
    _, long = long_table()
    twice = pd.concat([long, long[:1].assign(value=1 - long.value.iloc[0])], ignore_index=True)
    with pytest.raises(InvalidInputError, match="has 2 different labels of task"):
        load_table(twice, long=("mol", "assay", "value"))
    with pytest.raises(InvalidInputError, match="column 'w' has 2 different values for sample"):
        load_table(long.assign(w=range(len(long))), long=("mol", "assay", "value"))
    load_table(long.assign(z=range(len(long))), long=("mol", "assay", "value"), ignore=["z"])
    with pytest.raises(InvalidInputError, match="no column 'essay'; did you mean 'assay'"):
        load_table(long, long=("mol", "essay", "value"))


# Arrays


def test_pairs_folders_and_sparse_features_agree(tmp_path):
    rng = np.random.default_rng(0)
    X = sparse.random(60, 30, 0.2, format="csr", random_state=0, dtype=np.float32)
    Y = rng.integers(0, 2, (60, 2))
    expected = load_table((X.toarray(), Y)).content_hash()
    assert load_table((X, Y)).content_hash() == expected
    (tmp_path / "d").mkdir()
    sparse.save_npz(tmp_path / "d" / "X.npz", X)
    np.save(tmp_path / "d" / "Y.npy", Y)
    assert load_table(tmp_path / "d").content_hash() == expected
    np.save(tmp_path / "d" / "Y.npy", np.where(Y == 1, 1, -1))  # a whole table of -1 and 1
    assert load_table(tmp_path / "d").tasks[0].classes == ("-1", "1")
    assert np.array_equal(load_inputs(tmp_path / "d", load_table((X, Y)).schema), X.toarray())


def test_svmlight_of_one_label_and_of_many(tmp_path):
    from sklearn.datasets import dump_svmlight_file

    rng = np.random.default_rng(0)
    X, y = sparse.random(60, 30, 0.2, format="csr", random_state=0), rng.integers(0, 2, 60) * 2 - 1
    dump_svmlight_file(X, y, str(tmp_path / "t.svm"))
    table = load_table(tmp_path / "t.svm")
    assert table.tasks[0].classes == ("-1", "1")
    assert np.array_equal(table.X, X.toarray().astype(np.float32))
    (tmp_path / "m.svm").write_text("".join(f"{'0,2' if i % 2 else '1'} 1:{i} 2:1.5\n" for i in range(40)))
    assert load_table(tmp_path / "m.svm").tasks.names == ("label_0", "label_1", "label_2")


def test_sparse_features_beyond_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr(arrays_module, "DENSE_LIMIT", 1 << 20)
    with pytest.raises(InvalidInputError, match=r"60 x 10,000 sparse features take 2 MiB when made dense"):
        load_table((sparse.csr_matrix((60, 10_000)), np.zeros((60, 1))))


def test_a_saved_dataset_of_hugging_face(tmp_path):
    import pyarrow as pa

    data = pd.DataFrame({"a": np.random.default_rng(0).normal(size=60), "label": [i % 3 for i in range(60)]})
    info = {"features": {"a": {"_type": "Value"}, "label": {"_type": "ClassLabel", "names": ["cat", "cow", "dog"]}}}
    for part, rows in (("train", data[:40]), ("test", data[40:])):
        folder = tmp_path / part
        folder.mkdir()
        (folder / "dataset_info.json").write_text(json.dumps(info))
        batch = pa.Table.from_pandas(rows, preserve_index=False)
        with (
            pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink,
            pa.ipc.new_stream(sink, batch.schema) as out,
        ):
            out.write_table(batch)
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    table = load_table(tmp_path)
    assert table.tasks[0].classes == ("cat", "cow", "dog")
    assert (table.split == 2).sum() == 20
    assert load_table(tmp_path / "train").n_samples == 40


def test_arff_values_may_follow_the_name_at_once(tmp_path):
    rows = "\n".join(f"{i * 0.5},{i % 2}" for i in range(30))
    (tmp_path / "t.arff").write_text(f"@relation r\n@attribute a numeric\n@attribute y_1{{0,1}}\n@data\n{rows}\n")
    assert load_table(tmp_path / "t.arff").tasks.names == ("y_1",)


def test_npz_splits_in_words_and_kinds(tmp_path):
    rng = np.random.default_rng(0)
    parts = np.array(["train"] * 40 + ["val"] * 10 + ["test"] * 10)
    np.savez(tmp_path / "t.npz", X=rng.normal(size=(60, 3)), Y=rng.integers(0, 2, (60, 1)), split=parts)
    assert np.bincount(load_table(tmp_path / "t.npz").split).tolist() == [40, 10, 10]
    assert load_table(tmp_path / "t.npz", kinds={"task_0": "regression"}).tasks[0].kind == "regression"


@pytest.mark.parametrize("source", [3, {"valid": "x.csv"}, "nowhere.csv"])
def test_what_is_no_table_is_refused(source):
    with pytest.raises(InvalidInputError):
        load_table(source)


# Round trips

CELLS = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_same_table_in_every_format(tmp_path, data):
    n = data.draw(st.integers(30, 50))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    columns = {f"f{j}": data.draw(st.lists(CELLS, min_size=n, max_size=n)) for j in range(2)}
    columns["base"] = rng.normal(size=n).astype(np.float32).astype(float).tolist()
    columns["word"] = data.draw(st.lists(st.sampled_from(["red", "dark blue", "grün", None]), min_size=n, max_size=n))
    labels = st.sampled_from([0.0, 1.0, None])
    columns |= {f"y_{t}": [0.0, 1.0, *data.draw(st.lists(labels, min_size=n - 2, max_size=n - 2))] for t in range(2)}
    frame = pd.DataFrame(columns)
    first = load_table(frame)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    buffer = io.BytesIO()
    frame.to_feather(buffer)
    (tmp_path / "t.feather").write_bytes(buffer.getvalue())
    for source in (tmp_path / "t.csv", tmp_path / "t.parquet", tmp_path / "t.feather"):
        again = load_table(source)
        assert again.content_hash() == first.content_hash()
        assert (again.feature_names, again.categories) == (first.feature_names, first.categories)
    numeric = [name for name in first.feature_names if name != "word"]
    rest = load_table(frame, ignore=["word"])
    np.savez(
        tmp_path / "t.npz", X=rest.X, Y=rest.Y, feature_names=numeric, task_names=rest.tasks.names, split=rest.split
    )
    assert load_table(tmp_path / "t.npz").content_hash() == rest.content_hash()
