"""Dataset Cartography's files come in as it would read them, and go out as it would write them."""

import csv
import json

import numpy as np
import pandas
import pytest
import torch

from taskgroup import DataMaps
from taskgroup.exceptions import ArtifactError, MissingDependencyError
from taskgroup.exchange import read_cartography, write_csv, write_td_metrics
from taskgroup.tracker import DataMapTracker

STEP = 0.5 / 65534 + 1e-6


def cartography_metrics(logits, gold):
    """Return confidence, variability, correctness, forgetfulness as section 2 of the paper and its code define them.

    ``logits`` is (epochs, N, C) in float64.
    """
    weight = np.exp(logits - logits.max(-1, keepdims=True))
    p = np.take_along_axis(weight / weight.sum(-1, keepdims=True), gold[None, :, None], -1)[..., 0]
    right = logits.argmax(-1) == gold
    forgetfulness = []
    for trend in right.T:
        learnt, times = False, 0
        for now in trend:
            if learnt and not now:
                times += 1
            learnt = now
        forgetfulness.append(times if trend.any() else 1000)
    return p.mean(0), p.std(0), right.sum(0), np.array(forgetfulness)


def log(folder, logits, gold, guids, order=None):
    folder.mkdir(parents=True)
    for epoch, values in enumerate(logits):
        lines = [
            json.dumps({"guid": guids[i], f"logits_epoch_{epoch}": values[i].tolist(), "gold": int(gold[i])})
            for i in (order or range(len(gold)))
        ]
        (folder / f"dynamics_epoch_{epoch}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize("n_classes", [2, 3])
def test_metrics_are_those_of_cartography(tmp_path, n_classes):
    rng = np.random.default_rng(n_classes)
    logits, gold = 2 * rng.normal(size=(5, 30, n_classes)), rng.integers(0, n_classes, 30)
    logits[:, 0] = 5 * (np.arange(n_classes) != gold[0])  # never right
    log(tmp_path / "nli" / "training_dynamics", logits, gold, list(range(100, 130)), rng.permutation(30).tolist())
    maps = read_cartography(tmp_path / "nli")
    assert maps.tasks.names == ("nli",)
    by_row = np.argsort(maps.sample_ids)
    mu, sigma, correctness, forgetfulness = cartography_metrics(logits, gold)
    assert (forgetfulness == 1000).any()
    assert ((forgetfulness > 0) & (forgetfulness < 1000)).any()
    np.testing.assert_allclose(maps.confidence[by_row, 0], mu, atol=STEP)
    np.testing.assert_allclose(maps.variability[by_row, 0], sigma, atol=STEP)

    write_td_metrics(maps, "nli", tmp_path / "td_metrics.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "td_metrics.jsonl").read_text().splitlines()]
    rows.sort(key=lambda row: row["guid"])
    assert [row["guid"] for row in rows] == list(range(100, 130))
    assert [row["correctness"] for row in rows] == correctness.tolist()
    assert [row["forgetfulness"] for row in rows] == forgetfulness.tolist()
    np.testing.assert_allclose([row["threshold_closeness"] for row in rows], mu * (1 - mu), atol=2 * STEP)


def test_tasks_are_matched_by_guid(tmp_path):
    log(tmp_path / "a", np.zeros((2, 2, 2)), np.array([0, 1]), ["x", "y"])
    log(tmp_path / "b", np.ones((1, 2, 4)), np.array([3, 2]), ["y", "z"])
    maps = read_cartography({"first": tmp_path / "a", "second": tmp_path / "b"})
    assert maps.info["guids"] == ["x", "y", "z"]
    assert [task.kind for task in maps.tasks] == ["binary", "multiclass"]
    assert maps.count.tolist() == [[2, 0], [2, 1], [0, 1]]
    np.testing.assert_allclose(maps.confidence, [[0.5, np.nan], [0.5, 0.25], [np.nan, 0.25]], atol=STEP)
    np.testing.assert_array_equal(maps.targets, [[0, np.nan], [1, 3], [np.nan, 2]])


def test_repeated_lines_of_a_guid_are_averaged(tmp_path):
    log(tmp_path / "t", np.array([[[0.0, 0.0], [0.0, 3.0]]]), np.array([1, 1]), [7, 7])
    maps = read_cartography(tmp_path / "t")
    assert maps.n_samples == 1
    assert maps.confidence[0, 0] == pytest.approx((0.5 + 1 / (1 + np.exp(-3))) / 2, abs=STEP)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"line 1: expected a JSON object with 'guid', 'gold' and 'logits_epoch_0'"),
        ('{"guid": 1, "gold": 0}', "expected a JSON object with .*'logits_epoch_0'"),
        ('{"guid": 1, "gold": 0, "logits_epoch_0": [1]}', "must hold two or more finite numbers"),
        ('{"guid": 1, "gold": 0, "logits_epoch_0": [1, NaN]}', "must hold two or more finite numbers"),
        ('{"guid": 1, "gold": 2, "logits_epoch_0": [1, 2]}', "'gold' must be an integer from 0 to 1; got 2"),
        ('{"guid": 1, "gold": "no", "logits_epoch_0": [1, 2]}', "'gold' must be an integer from 0 to 1; got 'no'"),
        ('{"guid": [1], "gold": 0, "logits_epoch_0": [1, 2]}', "'guid' must be an integer or a string"),
    ],
)
def test_damaged_lines_are_named(tmp_path, line, message):
    (tmp_path / "dynamics_epoch_0.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(ArtifactError, match=message):
        read_cartography(tmp_path)


def test_a_folder_without_dynamics_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"holds no dynamics_epoch_\*.jsonl"):
        read_cartography(tmp_path)


def recorded():
    tracker = DataMapTracker(["a", "b"], 3)
    for z in (0.0, 1.0):
        tracker.update([0, 2], torch.full((2, 2), z), [[1, 0], [float("nan"), 1]])
        tracker.end_epoch()
    return tracker.data_maps()


def test_csv_has_one_line_per_seen_sample_and_task(tmp_path):
    maps = recorded()
    write_csv(maps, tmp_path / "maps.csv")
    with open(tmp_path / "maps.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["sample_id"], row["task"]) for row in rows] == [("0", "a"), ("0", "b"), ("2", "b")]
    assert [float(row["confidence"]) for row in rows] == pytest.approx(maps.confidence[[0, 0, 2], [0, 1, 1]], abs=1e-6)
    assert [row["target"] for row in rows] == ["1", "0", "1"]
    assert rows[0]["count"] == "2"


def test_to_pandas_has_one_row_per_seen_sample_and_task(monkeypatch):
    maps = recorded()
    frame = maps.to_pandas()
    assert frame[["sample_id", "task"]].to_numpy().tolist() == [[0, "a"], [0, "b"], [2, "b"]]
    assert frame["confidence"].tolist() == maps.confidence[[0, 0, 2], [0, 1, 1]].tolist()
    assert {"variability", "count", "correctness", "forgetting", "aleatoric", "target"} < set(frame.columns)
    assert isinstance(frame, pandas.DataFrame)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match="to_pandas needs pandas"):
        maps.to_pandas()


def test_history_is_needed_for_snapshots():
    maps = recorded()
    without = DataMaps(maps.tasks, maps.confidence, maps.variability, maps.count)
    with pytest.raises(ValueError, match="needs maps with a history"):
        without.upto(1)
