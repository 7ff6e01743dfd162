"""Tables as people send them: each is read as a person would read it, or refused with the way out."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from taskgroup.data import load_inputs, load_table
from taskgroup.exceptions import InvalidInputError

N = 120
BODY = "\n".join(f"{i * 0.37:.2f},{i * 7 % 11},{i % 2}" for i in range(N))


def frame(n=N, **more):
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), **more})


def labels(seed=0, n=N):
    return np.random.default_rng(seed).integers(0, 2, n)


def csv(tmp_path, content, name="t.csv"):
    path = tmp_path / name
    if isinstance(content, pd.DataFrame):
        content.to_csv(path, index=False)
    else:
        path.write_text(content, encoding="utf-8")
    return path


def said(table):
    return [(note.text, note.option) for note in table.reading.notes]


# Text as programs and people write it


@pytest.mark.parametrize(
    "content",
    [
        f"# made by a spectrometer\n# 2020-01-01\na,b,y_1\n{BODY}",
        f"My experiment,,\na,b,y_1\n{BODY}",
        f"\n\na,b,y_1\n\n{BODY}",
        f"Export\n\n\na,b,y_1\n{BODY}\n",
        "a b y_1\n" + BODY.replace(",", "   "),
        "a;b;y_1\n" + BODY.replace(",", ";").replace(".", ","),
    ],
)
def test_titles_comments_and_blanks_are_no_part_of_the_table(tmp_path, content):
    table = load_table(csv(tmp_path, content))
    assert (table.feature_names, table.tasks.names, table.n_samples) == (("a", "b"), ("y_1",), N)
    assert table.X[3] == pytest.approx([1.11, 10])
    assert any("above the header" in text for text, _ in said(table)) == content.startswith(("#", "My", "Export"))


def test_titles_of_workbooks_are_left_out(tmp_path):
    frame(y_1=labels()).to_excel(tmp_path / "t.xlsx", index=False, startrow=3)
    table = load_table(tmp_path / "t.xlsx")
    assert (table.feature_names, table.n_samples) == (("a", "b"), N)


@pytest.mark.parametrize(
    ("name", "write", "match"),
    [
        ("t.csv", lambda d, p: d.to_excel(p.with_suffix(".xlsx")), "says csv, but what is in the file is xlsx"),
        ("t.xlsx", lambda d, p: d.to_csv(p.with_suffix(".csv")), "says xlsx, but what is in the file is text"),
        ("t.csv", lambda d, p: d.to_parquet(p.with_suffix(".parquet")), "what is in the file is parquet"),
    ],
)
def test_a_file_under_a_wrong_name_is_told(tmp_path, name, write, match):
    write(frame(y_1=labels()), tmp_path / "o.x")
    next(tmp_path.iterdir()).rename(tmp_path / name)
    with pytest.raises(InvalidInputError, match=match):
        load_table(tmp_path / name)


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
def test_json_is_read_by_what_it_holds(tmp_path, name, lines):
    data = frame(y_1=labels())
    data.to_json(tmp_path / name, orient="records", lines=lines)
    assert load_table(tmp_path / name).n_samples == N
    assert load_table(data.to_dict("records")).content_hash() == load_table(data).content_hash()


@pytest.mark.parametrize(
    ("cells", "values", "note"),
    [
        ([f"{i} mg" for i in range(1, 8)], [1, 2, 3], "'mg' is left out"),
        ([f"{i}kg" for i in range(1, 8)], [1, 2, 3], "'kg' is left out"),
        (["5 apples", "7 apples", "9 apples"], [5, 7, 9], "'apples' is left out"),
        (["(12)", "30", "(1.5)"], [-12, 30, -1.5], "(12) is read as -12"),
        (["($1,250)", "$30.5", "$7"], [-1250, 30.5, 7], "is read as -12"),
        (["$1,250", "$3,500", "$7"], [1250, 3500, 7], "'$' is left out"),
    ],
)
def test_units_and_an_accountants_minus(cells, values, note):
    table = load_table(frame(x=[cells[i % len(cells)] for i in range(N)], y_1=labels()))
    assert table.X[:3, table.feature_names.index("x")] == pytest.approx(values)
    assert any(note in text and option == "--kind 'x'=words" for text, option in said(table))


@pytest.mark.parametrize(
    "cells", [["1 mg", "2 g", "3 mg"], ["A1", "A2", "B3"], ["1/2", "3/4", "5/6"], ["1a", "2b", "3c"]]
)
def test_what_may_mean_several_things_stays_words(cells):
    table = load_table(frame(x=[cells[i % 3] for i in range(N)], y_1=labels()))
    assert table.categories == {2: tuple(sorted(cells))}


@pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx"])
def test_digits_with_leading_zeros_are_codes(tmp_path, ending):
    data = frame(zip=[f"0{1000 + 37 * (i % 9)}" for i in range(N)], key=[f"{i:05d}" for i in range(N)], y_1=labels())
    path = tmp_path / f"t.{ending}"
    getattr(data, {"csv": "to_csv", "parquet": "to_parquet", "xlsx": "to_excel"}[ending])(path, index=False)
    table = load_table(path)
    assert table.categories[2][0] == "01000"
    assert table.ids[3] == "00003"
    assert np.array_equal(load_inputs(path, table.schema), table.X)


def test_the_decimal_settles_only_what_is_open():
    data = frame(x=["1,234", "5,678", "9"] * 40, y=["1,5", "2,25", "3"] * 40, y_1=labels())
    table = load_table(data, targets=["y_1"], decimal=".", keep=["y"])
    assert table.X[:3, 2:].tolist() == [[1234, 1.5], [5678, 2.25], [9, 3]]


def test_one_odd_cell_among_bits_is_no_class(tmp_path):
    data = frame(y_1=[str(bit) if i != 7 else "x" for i, bit in enumerate(labels())])
    with pytest.raises(InvalidInputError, match=r"row 7 .*'x' is not a number, while 119 of 120 cells are"):
        load_table(csv(tmp_path, data))
    assert load_table(data, missing=["y_1=x"]).tasks[0].kind == "binary"
    assert load_table(data, kinds={"y_1": "words"}).tasks[0].n_classes == 3


def test_accents_are_composed():
    table = load_table(frame(y_1=["caf\u00e9", "cafe\u0301", "thé"] * 40))
    assert table.tasks[0].kind == "binary"
    assert table.Y.sum() == 40


# Dates


@pytest.mark.parametrize(
    "pattern", ["%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y-%m-%d", "%b %d, %Y", "%d %B %Y", "%Y/%m/%d", "%d-%m-%Y %H:%M"]
)
def test_times_follow_one_another_however_they_are_written(pattern):
    days = pd.date_range("2021-01-05", periods=N)
    table = load_table(frame(seen=days.strftime(pattern), y_1=labels()), time_split="seen")
    assert np.array_equal(table.split, np.sort(table.split))
    assert not any("nothing says which" in text for text, _ in said(table))


def test_dates_of_which_nothing_says_the_order_are_told():
    days = [f"0{i % 9 + 1}/0{i // 9 % 9 + 1}/2021" for i in range(N)]
    table = load_table(frame(seen=days, y_1=labels()), keep=["seen"])
    assert any("are read as month/day/year; nothing says which" in text for text, _ in said(table))


@pytest.mark.parametrize("name", ["date", "visit_date"])
def test_numbers_such_as_20210131_under_the_name_of_a_date_are_dates(name):
    days = pd.date_range("2021-01-05", periods=N).strftime("%Y%m%d").astype(int)
    table = load_table(frame(**{name: days, "code": days, "y_1": labels()}))
    assert name not in table.feature_names
    assert "code" in table.feature_names


# Labels


@pytest.mark.parametrize("odd", [9, 99, 77])
def test_a_third_code_may_be_a_hole_of_one_column(odd):
    data = frame(y_1=[[0, 1, odd][i % 3] for i in range(N)], c=[i % 100 for i in range(N)])
    assert f"--missing 'y_1'={odd}" in [option for _, option in said(load_table(data))]
    table = load_table(data, missing=[f"y_1={odd}"])
    assert (table.tasks[0].kind, np.isnan(table.Y).sum()) == ("binary", 40)
    assert not np.isnan(table.X).any()
    schema = type(table.schema).from_dict(table.schema.to_dict())
    assert np.array_equal(load_inputs(data, schema), table.X)
    with pytest.raises(InvalidInputError, match="no column 'y_2'; did you mean 'y_1'"):
        load_table(data, missing=["y_2=9"])


def test_kinds_and_positive_classes_by_glob():
    data = frame(y_1=labels(), y_2=[i % 4 for i in range(N)], u_1=["cat", "dog"] * 60, u_2=["cat", "dog", "dog"] * 40)
    table = load_table(data, targets=["y_*"], kinds={"y_*": "regression"}, ignore=["u_*"])
    assert [task.kind for task in table.tasks] == ["regression"] * 2
    table = load_table(data, targets=["u_*"], positive={"u_*": "cat"}, ignore=["y_*"])
    assert table.Y.sum(0).tolist() == [60, 40]
    for wrong in ({"kinds": {"z_*": "regression"}}, {"positive": {"z_*": "cat"}}):
        with pytest.raises(InvalidInputError, match="'z_\\*'"):
            load_table(data, targets=["u_*"], **wrong)


@pytest.mark.parametrize(("negative", "positive"), [("alive", "dead"), ("wt", "mut"), ("nein", "ja"), ("Low", "High")])
def test_further_conventions(negative, positive):
    assert load_table(frame(y_1=[negative, positive] * 60)).tasks[0].classes == (negative, positive)


def test_resistant_and_sensitive_are_no_convention():
    table = load_table(frame(y_1=["Resistant", "Sensitive"] * 60))
    assert "--positive 'y_1'='Resistant'" in [option for _, option in said(table)]


# Features that may be labels


@pytest.mark.parametrize("values", [["Yes", "No"], [1, 0]])
def test_relatives_of_a_target_are_never_silently_features(values):
    data = frame(**{name: np.array(values)[labels(k)] for k, name in enumerate(["NR-AR", "NR-ER", "NR-Ah", "SR-p53"])})
    found = [option for text, option in said(load_table(data, targets=["NR-AR"])) if "named like target" in text]
    assert found == ["--ignore 'NR-ER' --ignore 'NR-Ah'"]
    table = load_table(data, targets=["NR-AR"], keep=["NR-*"])
    assert not any("named like target" in text for text, _ in said(table))


def test_a_word_that_settles_a_task_is_warned_about():
    y = labels()
    table = load_table(frame(stage=[f"{'ill' if label else 'well'} {i % 3}" for i, label in enumerate(y)], y_1=y))
    assert any(option == "--ignore 'stage'" and "alone tells" in text for text, option in said(table))
    noise = load_table(frame(stage=[f"s{i % 7}" for i in range(N)], many=[f"s{i % 50}" for i in range(N)], y_1=y))
    assert not any("alone tells" in text for text, _ in said(noise))


@pytest.mark.parametrize("name", ["w", "sample_weight", "weights", "Sample Weights"])
def test_a_column_of_weights_is_told(name):
    table = load_table(frame(**{name: np.linspace(0.5, 2, N) ** 2, "y_1": labels()}))
    assert f"--weight {name!r}" in [option for _, option in said(table)]


# Parts


@pytest.mark.parametrize(
    ("name", "values", "sizes"),
    [
        ("is_test", [i >= 90 for i in range(N)], [72, 18, 30]),
        ("is_train", [int(i < 90) for i in range(N)], [72, 18, 30]),
        ("fold", [f"fold{i % 5}" for i in range(N)], [72, 24, 24]),
        ("fold_id", [i % 5 + 1 for i in range(N)], [72, 24, 24]),
        ("kfold", [f"{i % 10}" for i in range(N)], [96, 12, 12]),
        ("Dataset", ["Training set"] * 80 + ["Validation set"] * 20 + ["Test set"] * 20, [80, 20, 20]),
    ],
)
def test_parts_under_further_names(name, values, sizes):
    table = load_table(frame(**{name: values, "y_1": labels()}))
    assert np.bincount(table.split) == pytest.approx(sizes, abs=2)
    assert (table.reading.roles["split"], table.feature_names) == (name, ("a", "b"))


def test_parts_without_test_rows_are_refused_with_the_way_out():
    with pytest.raises(InvalidInputError, match="call the validation rows test"):
        load_table(frame(split=["train"] * 80 + ["val"] * 40, y_1=labels()))


# Long tables


@pytest.mark.parametrize(
    "names",
    [("sample", "task", "value"), ("molregno", "assay_chembl_id", "pchembl_value"), ("id", "Assay ID", "Result")],
)
def test_long_tables_are_recognised(names):
    rows = [(f"s{i}", f"t{j}", (i // (j + 1)) % 2, i * 0.5) for i in range(40) for j in range(3)]
    data = pd.DataFrame(rows, columns=[*names, "f"])
    option = f"--long {' '.join(map(repr, names))}"
    with pytest.raises(InvalidInputError, match=option):
        load_table(data)
    assert option in [option for _, option in said(load_table(data, targets=[names[2]]))]
    assert load_table(data, long=names).n_tasks == 3


# Arrays


def arrays(tmp_path, **given):
    rng = np.random.default_rng(0)
    default = {"X": rng.normal(size=(N, 3)), "Y": rng.integers(0, 2, (N, 2))}
    np.savez(tmp_path / "t.npz", **{k: v for k, v in {**default, **given}.items() if v is not None})
    return tmp_path / "t.npz"


def test_weights_and_mask_both_count(tmp_path):
    weights, mask = np.full((N, 2), 3.0), np.random.default_rng(1).integers(0, 2, (N, 2))
    table = load_table(arrays(tmp_path, w=weights, mask=mask))
    assert np.array_equal(np.isnan(table.Y), mask == 0)
    assert table.reading.roles["weight"] == "w"
    table = load_table(arrays(tmp_path, w=weights[:, 0], mask=mask))
    assert np.array_equal(np.isnan(table.Y), mask == 0)
    with pytest.raises(InvalidInputError, match="array 'mask' must have shape"):
        load_table(arrays(tmp_path, mask=mask[:5]))


def test_arrays_and_features_can_have_roles(tmp_path):
    groups = np.arange(N) // 3
    path = arrays(tmp_path, groups=groups, name_of=np.array([f"n{i}" for i in range(N)]), when=np.arange(N)[::-1])
    table = load_table(path, group_split="groups", id="name_of")
    assert (pd.Series(table.split).groupby(groups).nunique() == 1).all()
    assert (table.ids[5], [text for text, _ in said(table)]) == ("n5", ["array 'when' is not used"])
    assert (pd.Series(groups).groupby(table.together).nunique() == 1).all()
    table = load_table(path, time_split="when")
    assert (table.split[:24] == 2).all()
    assert [text for text, _ in said(load_table(path))] == [
        f"array {name!r} is not used" for name in ("groups", "name_of", "when")
    ]
    assert load_table(path, time_split="x0").n_features == 2
    with pytest.raises(InvalidInputError, match="no --weight array or feature 'wait'"):
        load_table(path, weight="wait")
    with pytest.raises(InvalidInputError, match="--long is for tables of columns"):
        load_table(path, long=("a", "b", "c"))


@pytest.mark.parametrize(("x", "y"), [("x", "y"), ("data", "target"), ("features", "labels"), ("inputs", "targets")])
def test_arrays_under_their_usual_names(tmp_path, x, y):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(N, 3)), rng.integers(0, 2, (N, 2))
    path = arrays(tmp_path, X=None, Y=None, **{x: X, y: Y})
    assert load_table(path).content_hash() == load_table((X, Y)).content_hash()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"feature_names": np.array(["a", "b"])}, "'X' has 3 columns; got 2 feature_names"),
        ({"X": np.array([["a", "b"]] * N)}, "'X' must hold numbers; got <U1"),
        ({"split": np.array(["a"] * N)}, r"must hold train, valid or test .*; got 'a'"),
        ({"task_names": np.array(["a", "a"])}, "task names must be unique"),
        ({"w": -np.ones(N)}, "not negative; got -1 in row 0"),
    ],
)
def test_arrays_that_disagree_are_refused(tmp_path, given, match):
    with pytest.raises(InvalidInputError, match=match):
        load_table(arrays(tmp_path, **given))


def test_what_is_no_svmlight_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match=r"t.svm: cannot be read as svmlight text"):
        load_table(csv(tmp_path, "hello world\n", "t.svm"))


# Objects


def test_pairs_of_frames_keep_their_names():
    X, Y = frame(city=["Rome", "Oslo"] * 60), pd.DataFrame({"tox": labels(), "sol": labels(1)})
    table = load_table((X, Y))
    assert (table.feature_names, table.tasks.names) == (("a", "b", "city"), ("tox", "sol"))
    assert load_table((X, Y["tox"])).tasks.names == ("tox",)
    assert load_table((X, Y.to_numpy())).tasks.names == ("task_0", "task_1")
    assert load_table((X[["a", "b"]].to_numpy(), Y)).tasks.names == ("tox", "sol")
    with pytest.raises(InvalidInputError, match="'a' in both"):
        load_table((X, Y.rename(columns={"tox": "a"})))
    with pytest.raises(InvalidInputError, match="got 120 and 60 rows"):
        load_table((X, Y[:60]))


def test_annotated_data_as_biologists_have_them():
    class AnnData:
        X = sparse.random(N, 4, 0.5, format="csr", random_state=0, dtype=np.float32)
        var_names = pd.Index([f"gene{j}" for j in range(4)])
        obs = pd.DataFrame({"batch": ["u", "v"] * 60, "cell_type": ["T", "B", "NK"] * 40}, [f"c{i}" for i in range(N)])

    table = load_table(AnnData(), targets=["cell_type"])
    assert (table.feature_names, table.tasks[0].classes) == (
        ("gene0", "gene1", "gene2", "gene3", "batch"), ("B", "NK", "T")
    )  # fmt: skip
    assert table.ids[2] == "c2"
