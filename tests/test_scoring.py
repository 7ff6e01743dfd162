"""The scorecard: what it holds, what it refuses, and the files it writes."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from taskgroup._artifact import read_json
from taskgroup.exceptions import ArtifactError, InvalidInputError
from taskgroup.scoring import ScoreRow, read_scores, score
from taskgroup.tasks import Task, TaskSet

TASKS = TaskSet(["a", "b", Task("c", kind="multiclass", n_classes=3), Task("d", kind="regression")])
WIDTH = 6


def _data(seed=0, n=60, methods=("stl", "mtl", "grouped"), n_seeds=2):
    rng = np.random.default_rng(seed)
    labels, predictions = {}, {}
    for split in ("valid", "test"):
        y = np.column_stack([rng.random((n, 2)) < 0.4, rng.integers(0, 3, n), rng.normal(size=n)]).astype(np.float32)
        labels[split] = y
        signal = np.column_stack([y[:, :2], np.eye(3)[y[:, 2].astype(int)], y[:, 3]])
        predictions[split] = {
            m: {s: signal + (1 + 0.2 * i) * rng.normal(size=signal.shape) for s in range(n_seeds)}
            for i, m in enumerate(methods)
        }
    return labels, predictions


@pytest.fixture(scope="module")
def card():
    labels, predictions = _data()
    labels["test"][:, 1] = 0  # one class only
    return score(labels, predictions, tasks=TASKS, costs={"stl": {"n_models": 4, "params": 100}}, n_resamples=500)


def test_values_are_those_of_sklearn_by_seed_and_on_average(card):
    labels, predictions = _data()
    by_seed = [roc_auc_score(labels["test"][:, 0], predictions["test"]["mtl"][s][:, 0]) for s in range(2)]
    assert card.value("a", "mtl", 1) == pytest.approx(by_seed[1], abs=1e-6)
    assert card.value("a", "mtl") == pytest.approx(np.mean(by_seed), abs=1e-6)
    assert card.value("c", "mtl", split="valid") == card.value("c", "mtl", split="valid", metric="accuracy")
    assert np.isnan(card.value("b", "mtl"))


def test_rows_hold_every_metric_of_every_task_and_none_where_undefined(card):
    rows = list(card.rows())
    assert len(rows) == 2 * 3 * 2 * (6 + 6 + 5 + 2)
    undefined = {(r.task, r.metric, r.split) for r in rows if r.value is None}
    assert undefined == {("b", metric, "test") for metric in ("auc", "average_precision", "f1")}
    first = next(r for r in rows if (r.task, r.split) == ("b", "test"))
    assert (first.n, first.n_positive) == (60, 0)
    assert {r.n_positive for r in rows if r.task in "cd"} == {None}


def test_the_csv_has_the_agreed_columns_and_reads_back(card, tmp_path):
    card.to_csv(tmp_path / "scores.csv")
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[0] == "task,method,seed,split,metric,value,n,n_positive"
    assert "b,stl,0,test,auc,,60,0" in lines
    back, rows = read_scores(tmp_path / "scores.csv"), list(card.rows())
    assert len(back) == len(rows)
    for a, b in zip(back, rows, strict=True):
        assert (a.task, a.method, a.seed, a.split, a.metric, a.n, a.n_positive) == (
            b.task, b.method, b.seed, b.split, b.metric, b.n, b.n_positive
        )  # fmt: skip
        assert a.value == (None if b.value is None else pytest.approx(b.value, rel=1e-8))


def test_names_with_commas_quotes_and_line_breaks_survive_the_csv(tmp_path):
    name = 'a, "b"\nc'
    score([[0], [1]], {"stl": [[0], [1]]}, tasks=[name]).to_csv(tmp_path / "scores.csv")
    assert {row.task for row in read_scores(tmp_path / "scores.csv")} == {name}


def test_the_json_says_what_the_report_needs(card, tmp_path):
    card.to_json(tmp_path / "scores.json")
    text = (tmp_path / "scores.json").read_text()
    document = read_json(tmp_path / "scores.json", "scores")
    assert "NaN" not in text
    assert document["main_metric"] == {"a": "auc", "b": "auc", "c": "accuracy", "d": "r2"}
    assert list(document["methods"]) == ["stl", "mtl", "grouped"]
    stl = document["methods"]["stl"]
    assert stl["params"] == 100
    assert stl["main"]["mean"] == pytest.approx(np.mean([card.value(t, "stl") for t in "acd"]))
    assert stl["main"]["ci95"][0] < stl["main"]["mean"] < stl["main"]["ci95"][1]
    assert stl["auc"]["mean"] == pytest.approx(card.value("a", "stl"))
    assert {row["baseline"] for row in document["comparisons"] if row["method"] == "grouped"} == {"stl"}
    assert set(document["replication"]) == {"mtl", "grouped"}


def test_an_interval_stands_with_every_main_metric():
    labels, predictions = _data()
    entry = score(labels, predictions, tasks=TASKS, n_resamples=200).to_dict()["methods"]["stl"]
    assert {name for name, value in entry.items() if "ci95" in value} == {"main", "auc", "accuracy", "r2"}
    binary = {s: {m: {k: z[:, :2] for k, z in v.items()} for m, v in p.items()} for s, p in predictions.items()}
    alone = score({s: y[:, :2] for s, y in labels.items()}, binary, n_resamples=200).to_dict()["methods"]["stl"]
    for other in (alone["auc"], alone["main"]):
        assert other["mean"] == pytest.approx(entry["auc"]["mean"])
        assert other["ci95"] == pytest.approx(entry["auc"]["ci95"], abs=0.05)  # the tasks left out told of seeds too


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        card = score(*_data(), tasks=TASKS, random_state=3, n_resamples=200)
        card.to_csv(tmp_path / f"{name}.csv")
        card.to_json(tmp_path / f"{name}.json")
    for suffix in ("csv", "json"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_the_summary_puts_the_best_first_and_measures_against_the_baseline(card):
    rows = card.summary()
    means = [row["mean"] for row in rows]
    assert means == sorted(means, reverse=True)
    stl = next(row for row in rows if row["method"] == "stl")
    assert {key for key, value in stl.items() if value is None} == {
        "better", "worse", "worst_task", "worst_difference", "delta_m", "p_holm", "vs"
    }  # fmt: skip
    grouped = next(row for row in rows if row["method"] == "grouped")
    losses = {t: card.value(t, "grouped") - card.value(t, "stl") for t in "acd"}
    assert grouped["worst_task"] == min(losses, key=losses.get)
    assert grouped["worst_difference"] == pytest.approx(min(losses.values()))
    assert grouped["vs"] == "stl"
    relative = [(card.value(t, "grouped") - card.value(t, "stl")) / card.value(t, "stl") for t in "ac"]
    rmse = [card.value("d", m, metric="rmse") for m in ("grouped", "stl")]
    assert grouped["delta_m"] == pytest.approx(100 * np.mean([*relative, (rmse[1] - rmse[0]) / rmse[1]]))


def test_hardly_a_task_is_called_better_or_worse_where_nothing_differs():
    rng = np.random.default_rng(0)
    y = (rng.random((300, 400)) < 0.4).astype(np.float32)
    common = y + rng.normal(size=y.shape)
    both = {m: {s: common + 0.7 * rng.normal(size=y.shape) for s in range(3)} for m in ("stl", "mtl")}
    row = next(r for r in score(y, both, n_resamples=100).summary() if r["method"] == "mtl")
    assert row["better"] + row["worse"] < 0.01
    better = {m: {s: z + (m == "mtl") * y for s, z in seeds.items()} for m, seeds in both.items()}
    row = next(r for r in score(y, better, n_resamples=100).summary() if r["method"] == "mtl")
    assert row["better"] > 0.9
    assert row["worse"] == 0


def test_every_method_is_compared_with_the_baseline_and_groupings_with_the_controls_of_their_learner():
    arms = ("per-task", "all-in-one", "random-groups", "label-groups", "grouped")
    methods = (*(f"nets/{arm}" for arm in arms), "trees/all-in-one", "trees/grouped", "adatt/units")
    card = score(*_data(methods=methods), tasks=TASKS, n_resamples=100)
    pairs = [(row.method, row.baseline) for row in card.comparisons]
    assert len(pairs) == len(set(pairs))
    assert {b for m, b in pairs if m == "nets/grouped"} == {f"nets/{arm}" for arm in arms[:-1]}
    assert {b for m, b in pairs if m == "trees/grouped"} == {"nets/per-task", "trees/all-in-one"}
    assert {b for m, b in pairs if m == "nets/label-groups"} == {f"nets/{arm}" for arm in arms[:3]}
    assert {b for m, b in pairs if m == "nets/all-in-one"} == {"nets/per-task"}
    against_first = [row for row in card.comparisons if row.baseline == "nets/per-task"]
    assert all(row.p_holm >= row.difference.p for row in against_first)


def test_draws_of_a_method_are_scored_one_by_one_and_averaged_within_the_seed():
    labels, predictions = _data(methods=("stl", "random-groups"), n_seeds=2)
    apart = score(labels, predictions, tasks=TASKS)
    rng = np.random.default_rng(9)
    other = {
        s: {k: z + rng.normal(size=z.shape) for k, z in p["random-groups"].items()} for s, p in predictions.items()
    }
    alone = score(labels, {s: {"stl": predictions[s]["stl"], "random-groups": other[s]} for s in other}, tasks=TASKS)
    for split in predictions:
        for seed in range(2):
            draws = [predictions[split]["random-groups"][seed], other[split][seed]]
            predictions[split]["random-groups"][seed] = np.stack(draws)
    both = score(labels, predictions, tasks=TASKS)
    for metric in ("auc", "f1"):
        mean = np.mean([c.value("a", "random-groups", 1, metric=metric) for c in (apart, alone)])
        assert both.value("a", "random-groups", 1, metric=metric) == pytest.approx(mean)
    assert both.main["test"]["random-groups"].seeds == (0, 1)


def test_one_array_per_method_is_one_seed_of_the_named_split():
    y = [[0], [1], [0], [-1]]
    card = score(y, {"mine": [[0.1], [0.9], [0.3], [5.0]], "yours": [[0.1], [0.2], [0.3], [5.0]]}, split="holdout")
    assert (card.splits, card.baseline, card.tasks.names) == (("holdout",), "mine", ("task_0",))
    assert (card.value("task_0", "mine"), card.value("task_0", "yours")) == (1.0, 0.5)
    assert np.isnan(card.value("task_0", "mine", metric="f1"))
    assert card.replication("yours") == {"correlation": None, "cosine": None, "n_tasks": 1}
    assert card.counts["holdout"].tolist() == [[3], [1]]


def test_validation_stands_first_and_test_last_whatever_the_order_given():
    labels, predictions = _data()
    card = score(dict(reversed(labels.items())), predictions, tasks=TASKS)
    assert (card.splits, card.judged) == (("valid", "test"), "test")


Y = [[0, 1], [1, 0]]
Z = np.zeros((2, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"valid": Y}, {"test": {"a": Z}}), r"must have the splits \['valid'\] of `y_true`; got \['test'\]"),
        ((Y, {}), "of split 'test' must hold at least one method"),
        ((Y, {"a": {}}), "method 'a' must have at least one seed"),
        ((Y, {"a": np.zeros((2, 3))}), r"outputs of 'a', seed 0, split 'test'` must have shape \(any, 2, 2\)"),
        ((Y, {"a": {4: [[np.nan, 0], [0, np.inf]]}}), "'a', seed 4, split 'test' must be finite; got 2 NaN or inf"),
        ((Y, {"a": np.zeros((0, 2, 2))}), "'a', seed 0, split 'test' must hold at least one draw"),
        ((Y, {"a": {0: Z, 1: Z}, "b": {0: Z, 2: Z}}), r"must have the same seeds .* got \(0, 1\) for 'a' and \(0, 2\)"),
        (({"valid": Y, "test": Y}, {"valid": {"a": Z}, "test": {"b": Z}}), "method '[ab]' must have the same seeds"),
        (([[0, 2], [1, 0]], {"a": Z}), "targets of binary task 'task_1' hold 2"),
        (([0, 1], {"a": Z}), "`y_true` must have shape"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        score(*arguments)


def test_targets_must_be_finite_where_they_are_real_numbers():
    with pytest.raises(InvalidInputError, match="regression task 'r' hold inf"):
        score([[np.inf], [0]], {"a": [[0], [1]]}, tasks=[Task("r", kind="regression")])


def test_unknown_names_are_refused_with_the_nearest_known(card):
    with pytest.raises(InvalidInputError, match="no task 'aa'"):
        card.value("aa", "stl")
    with pytest.raises(InvalidInputError, match="no method 'group'; did you mean 'grouped'"):
        card.value("a", "group")
    with pytest.raises(InvalidInputError, match="method 'stl' has no seed 7; it has 0, 1"):
        card.value("a", "stl", 7)
    with pytest.raises(InvalidInputError, match="no split 'tset'; did you mean 'test'"):
        card.value("a", "stl", split="tset")
    with pytest.raises(InvalidInputError, match="no metric 'aux'; did you mean 'auc'"):
        card.value("a", "stl", metric="aux")
    with pytest.raises(InvalidInputError, match="no method 'mlt'"):
        card.compare([("mlt", "stl")])


def test_a_scores_file_that_is_missing_or_damaged_is_an_artifact_error(tmp_path):
    path = tmp_path / "scores.csv"
    with pytest.raises(ArtifactError, match="no such file"):
        read_scores(path)
    path.write_text("task,value\n")
    with pytest.raises(ArtifactError, match=r"expected the columns task, method, .*; got task, value"):
        read_scores(path)
    path.write_text("task,method,seed,split,metric,value,n,n_positive\na,stl,0,test,auc,high,9,3\n")
    with pytest.raises(ArtifactError, match="line 2 cannot be read: 'a,stl,0,test,auc,high,9,3'"):
        read_scores(path)


def test_the_format_of_the_files_is_pinned(tmp_path):
    card = score([[0], [1], [1]], {"stl": [[0], [2], [-1]]}, tasks=["a"], n_resamples=100)
    assert next(card.rows()) == ScoreRow("a", "stl", 0, "test", "auc", 0.5, 3, 2)
    card.to_csv(tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_bytes() == (
        b"task,method,seed,split,metric,value,n,n_positive\n"
        b"a,stl,0,test,auc,0.5,3,2\n"
        b"a,stl,0,test,average_precision,0.833333333,3,2\n"
        b"a,stl,0,test,f1,,3,2\n"
        b"a,stl,0,test,log_loss,0.711112293,3,2\n"
        b"a,stl,0,test,brier,0.266218661,3,2\n"
        b"a,stl,0,test,ece,0.116753834,3,2\n"
    )
    card.to_json(tmp_path / "scores.json")
    document = json.loads((tmp_path / "scores.json").read_text())
    assert list(document) == [
        "format", "format_version", "split", "tasks", "baseline", "methods", "main_metric", "summary", "comparisons",
        "replication", "task_gains",
    ]  # fmt: skip
