"""Columns that are no features, splits under other names, cells written in other ways; each read right or refused."""

import numpy as np
import pandas as pd
import pytest

from taskgroup.data import InputSchema, load_inputs, load_table, read_inputs
from taskgroup.exceptions import InvalidInputError

N = 120


def frame(n=N, **more):
    rng = np.random.default_rng(0)
    data = {
        "a": rng.normal(size=n),
        "b": rng.normal(size=n),
        "y_0": rng.integers(0, 2, n),
        "y_1": rng.integers(0, 2, n),
    }
    return pd.DataFrame({**more, **data})


def ignored(table):
    return {one.name: one.reason for one in table.reading.ignored}


# What is no feature


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("Unnamed: 0", range(N), "a saved index"),
        ("", range(N), "a saved index"),
        ("__index_level_0__", range(5, N + 5), "a saved index"),
        ("index", np.random.default_rng(1).permutation(N), "a saved index"),
        ("id", range(1000, 1000 + N), "an identifier"),
        ("compound_id", np.random.default_rng(2).permutation(10**6)[:N], "an identifier"),
        ("sampleId", np.random.default_rng(3).permutation(10**6)[:N], "an identifier"),
        ("patient_id", [i // 3 for i in range(N)], "--group-split 'patient_id'"),
        ("patient", [f"p{i // 3}" for i in range(N)], "--group-split 'patient'"),
        ("Bemis scaffold", [f"c1ccc{i // 2}" for i in range(N)], "--group-split 'Bemis scaffold'"),
        ("smiles", ["C" * (i + 1) for i in range(N)], "different words"),
        ("note", [f"text {i}" for i in range(N)], "an identifier or free text"),
        ("when", pd.date_range("2020-01-01", periods=N), "--time-split 'when'"),
        ("day", [f"2021-03-{i % 28 + 1:02d}" for i in range(N)], "dates"),
        ("stamp", [f"{i % 28 + 1:02d}.03.2021 10:15" for i in range(N)], "dates"),
        ("flat", [1] * N, "constant"),
        ("word", ["same"] * N, "constant"),
        ("hollow", [np.nan] * N, "empty"),
        ("label_3", [i % 2 for i in range(N)], "looks like a label"),
        ("y_7", [(i // 2) % 2 for i in range(N)], "looks like a label"),
    ],
)
def test_columns_that_are_no_features_are_left_out_and_said(name, values, reason):
    data = frame(**{name or "\0": list(values)}).rename(columns={"\0": name})
    table = load_table(data, targets=["y_0", "y_1"])
    assert table.feature_names == ("a", "b")
    assert reason in ignored(table)[name]
    if name and ignored(table)[name] != "empty":
        assert name in load_table(data, targets=["y_0", "y_1"], keep=[name]).feature_names


@pytest.mark.parametrize(
    "code", [lambda y: y, lambda y: 1 - y, lambda y: np.where(y, "sick", "well"), lambda y: 5 + 2 * y]
)
def test_a_copy_of_a_label_is_no_feature(code):
    data = frame()
    data["outcome"] = code(data.y_1.to_numpy())
    assert ignored(load_table(data)) == {"outcome": "a copy of task 'y_1'"}


def test_copies_of_quantities_and_of_classes_are_no_features():
    data = frame().assign(y_2=lambda d: d.a * 2 + d.b**3, y_3=[i % 3 for i in range(N)])
    data["celsius"], data["grade"] = data.y_2 * 1.8 + 32, np.array(["x", "z", "w"])[data.y_3]
    assert set(ignored(load_table(data))) == {"celsius", "grade"}


def test_a_feature_that_tells_a_task_alone_is_warned_about():
    data = frame().assign(score=lambda d: d.y_0 * 10 + d.a)
    table = load_table(data)
    assert "score" in table.feature_names
    note = next(note for note in table.reading.notes if "alone tells task 'y_0'" in note.text)
    assert note.option == "--ignore 'score'"


def test_siblings_of_the_targets_are_features_only_where_there_are_no_others():
    data = frame()
    data["tox"], data["tox_2"], data["c9"] = data.y_0, 1 - data.y_1, data.a
    table = load_table(data, targets=["tox"])
    assert table.feature_names == ("a", "b", "c9")
    assert set(ignored(table)) == {"y_0", "y_1", "tox_2"}
    bits = pd.DataFrame({f"bit{j}": np.random.default_rng(j).integers(0, 2, N) for j in range(5)})
    table = load_table(bits, targets=["bit4"])
    assert table.n_features == 4
    assert any("are they labels?" in note.text for note in table.reading.notes)


def test_row_numbers_under_another_name_are_warned_about():
    notes = load_table(frame(counter=range(N))).reading.notes
    assert [note.option for note in notes] == ["--ignore 'counter'"]


def test_what_is_left_when_nothing_is_left_is_said():
    with pytest.raises(InvalidInputError, match=r"no feature column is left beside 1 targets.*'id' \(an identifier"):
        load_table(pd.DataFrame({"id": range(50), "y": [0, 1] * 25}))


# Splits


@pytest.mark.parametrize("name", ["split", "Split", "set", "subset", "partition", "fold"])
@pytest.mark.parametrize(
    "words", [("train", "valid", "test"), ("Train", "val", "holdout"), ("training", "dev", "TEST")]
)
def test_split_columns_are_found_by_name_and_words(name, words):
    parts = [words[0]] * 70 + [words[1]] * 20 + [words[2]] * 30
    table = load_table(frame(**{name: parts}))
    assert np.bincount(table.split).tolist() == [70, 20, 30]
    assert table.reading.roles["split"] == name
    assert "split" not in table.feature_names


@pytest.mark.parametrize("first", [0, 1])
def test_folds_leave_the_last_two_out(first):
    table = load_table(frame(fold=[first + i % 5 for i in range(N)]))
    assert np.bincount(table.split).tolist() == [72, 24, 24]
    assert f"{4 + first} is test" in table.reading.rule


def test_a_split_under_any_name_can_be_named():
    parts = ["train"] * 70 + ["test"] * 50
    table = load_table(frame(role=parts), split="role")
    assert (table.split == 2).sum() == 50
    assert "validation rows drawn" in table.reading.rule
    with pytest.raises(InvalidInputError, match="'role' must hold train, valid or test"):
        load_table(frame(role=["left", "right"] * 60), split="role")
    with pytest.raises(InvalidInputError, match="says no part in 1 rows, the first being row 119"):
        load_table(frame(role=["train", "test"] * 59 + ["train", None]), split="role")


def test_a_set_column_of_other_words_stays_a_feature():
    assert "set" in load_table(frame(set=["red", "blue", "green"] * 40)).feature_names


def test_groups_stay_in_one_part():
    data = frame(n=600, patient=[f"p{i % 90}" for i in range(600)])
    table = load_table(data, group_split="patient")
    sides = pd.Series(table.split).groupby(data.patient).nunique()
    assert (sides == 1).all()
    assert np.bincount(table.split) / 600 == pytest.approx([0.6, 0.2, 0.2], abs=0.03)
    assert "patient" not in table.feature_names
    for part in range(3):
        assert table.Y[table.split == part].mean(0) == pytest.approx(table.Y.mean(0), abs=0.08)
    with pytest.raises(InvalidInputError, match="needs three groups or more"):
        load_table(frame(patient=["a", "b"] * 60), group_split="patient")


def test_the_latest_rows_are_test_rows():
    order = np.random.default_rng(5).permutation(N)
    data = frame(day=pd.date_range("2020-01-01", periods=N).strftime("%Y-%m-%d").to_numpy()[order])
    table = load_table(data, time_split="day")
    assert order[table.split == 0].max() < order[table.split == 1].min() < order[table.split == 2].min()
    with pytest.raises(InvalidInputError, match="no date, in 1 rows, the first being row 3"):
        load_table(data.assign(day=[d if i != 3 else None for i, d in enumerate(data.day)]), time_split="day")
    with pytest.raises(InvalidInputError, match="both say how rows are parted"):
        load_table(data, time_split="day", group_split="a")


def test_files_of_parts(tmp_path):
    data = frame()
    for name, rows in (("a", slice(0, 80)), ("b", slice(80, 100)), ("c", slice(100, N))):
        data[rows].to_csv(tmp_path / f"{name}.csv", index=False)
    files = {"train": tmp_path / "a.csv", "valid": tmp_path / "b.csv", "test": tmp_path / "c.csv"}
    table = load_table(files)
    assert np.bincount(table.split).tolist() == [80, 20, 20]
    assert load_table({k: v for k, v in files.items() if k != "valid"}).n_samples == 100
    with pytest.raises(InvalidInputError, match="a file for the test part is needed"):
        load_table({k: v for k, v in files.items() if k != "test"})
    data.drop(columns="b")[100:].to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(InvalidInputError, match=r"c.csv: no column 'b'"):
        load_table(files)


def test_rare_positives_are_in_every_part():
    data = frame(n=400).assign(y_0=[int(i % 130 == 7) for i in range(400)])
    table = load_table(data)
    assert all(table.Y[table.split == part, 0].sum() >= 1 for part in range(3))


def test_equal_rows_are_kept_in_one_part_counted_and_dropped():
    data = frame()
    doubled = pd.concat([data, data[:40], data[:30]], ignore_index=True)
    table = load_table(doubled)
    assert any("70 rows repeat" in note.text for note in table.reading.notes)
    sides = pd.Series(table.split).groupby(doubled.a.to_numpy()).nunique()
    assert (sides == 1).all()
    alone = load_table(doubled, deduplicate=True)
    assert alone.n_samples == N
    parted = doubled.assign(split=["train"] * N + ["valid"] * 20 + ["test"] * 50)
    note = next(n for n in load_table(parted).reading.notes if "stand in another part" in n.text)
    assert (note.option, "70 validation and test rows" in note.text) == ("--deduplicate", True)
    assert np.bincount(load_table(parted, deduplicate=True).split).tolist()[2] == 40


def test_nearly_equal_rows_are_counted():
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.normal(size=(100, 8)), columns=[f"f{j}" for j in range(8)]).assign(y=[0, 1] * 50)
    near = data[:25].copy()
    near.iloc[:, :8] += 1e-5 * rng.normal(size=(25, 8))
    table = load_table(pd.concat([data, near], ignore_index=True))
    assert any("25 rows nearly repeat" in note.text for note in table.reading.notes)
    assert np.array_equal(table.split[:25], table.split[100:])


# Cells


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,5", "2,25", "3"], [1.5, 2.25, 3]),
        (["1,234.5", "12", "7"], [1234.5, 12, 7]),
        (["1,234,567", "12", "7"], [1234567, 12, 7]),
        (["1.234,5", "2,5", "7"], [1234.5, 2.5, 7]),
        (["1 234", "12", "7"], [1234, 12, 7]),
        (["12%", "50 %", "7%"], [12, 50, 7]),
        (["$12", "$1,250.00", "$7"], [12, 1250, 7]),
        (["€ 12", "9 €", "7"], [12, 9, 7]),
        (["<0.1", "0.5", "> 10"], [0.1, 0.5, 10]),
        ([" 1", "2 ", "3"], [1, 2, 3]),
        (["'1'", "2", "3"], [1, 2, 3]),
        (["1e3", "-2E-1", "+3"], [1000, -0.2, 3]),
        (["\u22121", "2", "3"], [-1, 2, 3]),
        (["n/a", "2", "-", "5"], [np.nan, 2, np.nan]),
    ],
)
def test_numbers_are_read_however_they_are_written(tmp_path, cells, values):
    data = frame(x=[cells[i % len(cells)] for i in range(N)])
    for source in (data, tmp_path / "t.csv", tmp_path / "t.jsonl"):
        if source is not data:
            data.to_csv(source, index=False) if source.suffix == ".csv" else data.to_json(
                source, orient="records", lines=True
            )
        table = load_table(source)
        assert "x" not in {table.feature_names[j] for j in table.categories}
        found = table.X[:3, table.feature_names.index("x")]
        assert found == pytest.approx(np.array(values, np.float32), nan_ok=True)


def test_a_comma_that_may_mean_two_things_is_asked_about(tmp_path):
    data = frame(x=["1,234", "5,678", "12"] * 40)
    data.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InvalidInputError, match=r"'1,234', which may mean 1234 or 1.234; say which with --decimal"):
        load_table(tmp_path / "t.csv")
    assert load_table(tmp_path / "t.csv", decimal=",").X[0, 0] == pytest.approx(1.234)
    assert load_table(tmp_path / "t.csv", decimal=".").X[0, 0] == 1234


@pytest.mark.parametrize("bad", ["oops", "12a", "1.2.3", "seven"])
def test_one_odd_cell_is_named_with_its_place_and_the_fix(tmp_path, bad):
    data = frame(x=[str(i * 0.5) if i != 77 else bad for i in range(N)])
    data.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InvalidInputError, match=rf"row 77 .*, column 'x': '{bad}' is not a number.*--missing '{bad}'"):
        load_table(tmp_path / "t.csv")
    assert np.isnan(load_table(tmp_path / "t.csv", missing=[bad]).X[77, 0])
    assert np.isnan(load_table(tmp_path / "t.csv", kinds={"x": "numbers"}).X[77, 0])
    mixed = frame(x=[str(i % 4) if i % 9 else "other" for i in range(N)])
    mixed.to_csv(tmp_path / "m.csv", index=False)
    table = load_table(tmp_path / "m.csv")
    assert table.categories[0] == ("0", "1", "2", "3", "other")
    assert [note.option for note in table.reading.notes] == ["--kind 'x'=numbers"]


def test_numbers_can_be_words():
    table = load_table(frame(code=[10, 20, 30] * 40), kinds={"code": "words"})
    assert table.categories == {0: ("10", "20", "30")}


def test_sentinels_of_features_are_warned_about():
    data = frame(bmi=[25 + i % 7 if i % 10 else -999 for i in range(N)])
    assert [note.option for note in load_table(data).reading.notes] == ["--missing 'bmi'=-999"]
    assert np.isnan(load_table(data, missing=["-999"]).X[0, 0])


# Holes, unseen words, new rows


def test_words_of_other_parts_are_unseen_and_missing_words_are_words_of_their_own():
    city = ["Rome", "Oslo", None] * 40
    city[100:] = ["Bonn"] * 20
    table = load_table(frame(city=city, split=["train"] * 80 + ["valid"] * 20 + ["test"] * 20))
    assert table.categories == {0: ("", "Oslo", "Rome")}
    assert table.X[:3, 0].tolist() == [3, 2, 1]
    assert (table.X[100:, 0] == 0).all()
    assert np.isfinite(table.inputs("test")).all()


def test_new_rows_are_answered_like_in_training_and_counted(tmp_path):
    data = frame(city=["Rome", "Oslo"] * 60, age=[float(i % 30) for i in range(N)], key=[f"k{i}" for i in range(N)])
    table = load_table(data)
    new = data.drop(columns=["y_0", "y_1"])[::-1].copy()
    new.loc[3, "city"], new.loc[5, "age"] = "Bonn", np.nan
    new.to_csv(tmp_path / "new.csv", index=False)
    inputs = read_inputs(tmp_path / "new.csv", table.schema, id="key")
    assert inputs.ids.tolist() == [f"k{i}" for i in range(N)][::-1]
    assert (inputs.unseen, inputs.missing) == ({"city": 1}, {"age": 1})
    assert len(inputs.warnings()) == 2
    rest = [i for i in range(N) if i not in (3, 5)]
    assert np.array_equal(inputs.X[::-1][rest], table.X[rest])
    assert np.isfinite(table.schema.transform(inputs.X)).all()
    with pytest.raises(InvalidInputError, match="no column 'age'"):
        load_inputs(new.drop(columns="age"), table.schema)


def test_marks_of_training_hold_for_new_rows():
    data = frame(x=[str(i % 9) if i % 5 else "gone" for i in range(N)])
    table = load_table(data, missing=["gone"])
    schema = InputSchema.from_dict({**table.schema.to_dict()})
    assert np.array_equal(load_inputs(data, schema), table.X, equal_nan=True)


# Weights and ids


def test_weights_of_a_column_and_of_an_array(tmp_path):
    data = frame(w=[0.0, 1.0, 3.0] * 40)
    table = load_table(data, weight="w")
    assert np.isnan(table.Y[::3]).all()
    assert table.label_weights.sum(0) == pytest.approx((~np.isnan(table.Y)).sum(0))
    rng = np.random.default_rng(0)
    X, Y, w = rng.normal(size=(60, 3)), rng.integers(0, 2, (60, 2)), rng.integers(0, 3, (60, 2)).astype(float)
    np.savez(tmp_path / "d.npz", X=X, y=Y, w=w, ids=np.arange(60) + 7)
    table = load_table(tmp_path / "d.npz", targets=["task_1"])
    assert np.array_equal(np.isnan(table.Y[:, 0]), w[:, 1] == 0)
    assert table.weights.shape == (60,)
    assert table.ids[0] == 7
    np.savez(tmp_path / "m.npz", X=X, Y=Y, mask=w > 0)
    assert np.array_equal(np.isnan(load_table(tmp_path / "m.npz").Y), w == 0)
    with pytest.raises(InvalidInputError, match="must be finite and not negative; got -1 in row 4"):
        load_table(data.assign(w=[1.0] * 4 + [-1.0] * 116), weight="w")
    with pytest.raises(InvalidInputError, match="--weight 'w' is missing in row 2"):
        load_table(data.assign(w=[1.0, 1.0, np.nan, *[1.0] * 117]), weight="w")


def test_ids_are_kept():
    assert load_table(frame(name=[f"n{i}" for i in range(N)]), id="name").ids[3] == "n3"
    with pytest.raises(InvalidInputError, match="no column 'nam'; did you mean 'name'"):
        load_table(frame(name=[f"n{i}" for i in range(N)]), id="nam")


# Noise stays noise


@pytest.mark.parametrize("trap", ["index", "duplicates", "sibling"])
def test_noise_scores_about_one_half_whatever_the_trap(trap):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(11)
    data = pd.DataFrame(rng.normal(size=(400, 6)), columns=list("abcdef"))
    data["label_0"] = rng.integers(0, 2, 400)
    if trap == "index":
        data = data.sort_values("label_0").reset_index(drop=True).reset_index(names="Unnamed: 0")
    elif trap == "duplicates":
        data = pd.concat([data] * 3, ignore_index=True)
    else:
        data["label_3"] = np.where(rng.random(400) < 0.97, data.label_0, 1 - data.label_0)
    table = load_table(data, targets=["label_0"])
    forest = RandomForestClassifier(60, random_state=0).fit(table.inputs("train"), table.targets("train")[:, 0])
    auc = roc_auc_score(table.targets("test")[:, 0], forest.predict_proba(table.inputs("test"))[:, 1])
    assert abs(auc - 0.5) < 0.15
