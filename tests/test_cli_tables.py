"""A stranger's walk: a workbook with words as labels and a patient column, to named probabilities with ids."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from taskgroup import DataMapTracker

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "110"}
FAST = (
    "--seeds", "1", "--jobs", "1", "--learners", "linear,extra-trees", "--arms", "all-in-one,per-task", "--folds", "2"
)  # fmt: skip


def taskgroup(*arguments, cwd=None):
    code = "from taskgroup_cli.main import main; main()"
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A workbook of 240 visits of 60 patients, 3 tasks, and a workbook of new visits."""
    path, rng = tmp_path_factory.mktemp("walk"), np.random.default_rng(0)
    n = 300
    data = pd.DataFrame(
        {
            "visit_id": [f"V{i:04d}" for i in rng.permutation(n)],
            "patient": [f"P{i % 60}" for i in range(n)],
            "age": rng.integers(20, 80, n),
            "crp": np.exp(rng.normal(size=n)).round(2),
            "clinic": rng.choice(["north", "south", "east"], n),
        }
    )
    signal = (data.age - 50) / 15 + np.log(data.crp)
    data["response"] = np.where(signal + rng.normal(size=n) > 0, "Responder", "Non-responder")
    data["toxicity"] = np.where(signal - rng.normal(size=n) > 0.3, "Yes", "No")
    data["grade"] = pd.cut(signal + rng.normal(size=n), [-9, -1, 1, 9], labels=["low", "mid", "high"]).astype(str)
    data.loc[::11, "toxicity"], data.loc[::17, "crp"] = "N/A", np.nan
    data[:240].to_excel(path / "visits.xlsx", index=False)
    new = data[240:].drop(columns=["response", "toxicity", "grade"]).copy()
    new.iloc[0, 4] = "west"
    new.to_excel(path / "new.xlsx", index=False)
    return path


TARGETS = ("--targets", "response", "--targets", "toxicity", "--targets", "grade", "--group-split", "patient")


@pytest.fixture(scope="module")
def run(folder):
    out = folder / "run"
    result = taskgroup("run", folder / "visits.xlsx", *TARGETS, "--k", 2, "--epochs", 3, "--out", out, *FAST)
    assert result.returncode == 0, result.stderr
    return result, out


def test_check_says_everything_and_writes_nothing(folder):
    before = set(folder.iterdir())
    result = taskgroup("check", folder / "visits.xlsx", *TARGETS)
    assert result.returncode == 0, result.stderr
    for line in ("visits.xlsx: 240 rows, 3 features, 3 tasks", "drawn by the 60 groups of column 'patient'",
                 "features: 2 numbers (age, crp); 1 words (clinic)", "id: 'visit_id'",
                 "'visit_id', 240 different words in 240 rows",
                 "task 'response': binary", "(0 = Non-responder, 1 = Responder)", "task 'grade': 3 classes",
                 "holes: 15 missing cells in 1 features"):  # fmt: skip
        assert line in result.stdout, line
    assert "next: taskgroup run" in result.stderr
    assert set(folder.iterdir()) == before
    document = json.loads(taskgroup("check", folder / "visits.xlsx", *TARGETS, "--json").stdout)
    assert [task["positive"] for task in document["tasks"]] == ["Responder", "Yes", None]
    assert document["tasks"][1]["codes"] == {"No": 0, "Yes": 1}
    assert sum(document["parts"].values()) == 240


def test_a_warning_names_an_option_that_works(folder):
    data = pd.read_excel(folder / "visits.xlsx").assign(side=lambda d: np.where(d.age % 2, "left", "right"))
    data.to_csv(folder / "side.csv", index=False)
    found = json.loads(taskgroup("check", folder / "side.csv", "--targets", "side", "--json").stdout)
    warning = next(one for one in found["warnings"] if "alphabet" in one["text"])
    option, value = warning["option"].split(" ")
    result = taskgroup("check", folder / "side.csv", "--targets", "side", option, value.replace("'", ""), "--json")
    assert json.loads(result.stdout)["tasks"][0]["positive"] == "left"


def test_the_reading_is_said_before_training_and_kept(run):
    result, out = run
    lines = result.stderr.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("1 of 4 profile:"))
    assert any(line.startswith("task 'response': binary") for line in lines[:at])
    document = json.loads((out / "run.json").read_text())
    assert document["reading"]["roles"] == {"group split": "patient", "id": "visit_id"}
    tasks = json.loads((out / "tasks.json").read_text())["tasks"]
    assert [task["classes"] for task in tasks] == [
        ["Non-responder", "Responder"],
        ["No", "Yes"],
        ["high", "low", "mid"],
    ]


def test_class_names_are_in_every_file(run):
    folder = run[1]
    named = {"response": ["Non-responder", "Responder"], "toxicity": ["No", "Yes"], "grade": ["high", "low", "mid"]}
    for name in ("tasks.json", "scores.json"):
        tasks = json.loads((folder / name).read_text())["tasks"]
        assert {task["name"]: task["classes"] for task in tasks} == named
    plan = json.loads((folder / "plan.json").read_text())["tasks"]
    assert {name: row["classes"] for name, row in plan.items()} == named
    assert "Responder (positive)" in (folder / "report.html").read_text()


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl", "npz"])
def test_predictions_have_ids_names_and_labels(run, folder, ending):
    target = folder / f"p.{ending}"
    result = taskgroup("predict", run[1], folder / "new.xlsx", "--output", target, "--force", "--json")
    assert result.returncode == 0, result.stderr
    assert "clinic: 1 rows hold a word that no training row had" in result.stderr
    cuts = json.loads(result.stdout)["thresholds"]
    assert set(cuts) == {"response", "toxicity"}
    if ending == "npz":
        with np.load(target) as arrays:
            found = pd.DataFrame({name: arrays[name] for name in arrays.files})
    else:
        reader = {"csv": pd.read_csv, "parquet": pd.read_parquet, "jsonl": lambda p: pd.read_json(p, lines=True)}
        found = reader[ending](target)
    assert list(found) == ["visit_id", "response", "response:Responder", "toxicity", "toxicity:Yes", "grade",
                           "grade:high", "grade:low", "grade:mid"]  # fmt: skip
    assert found.visit_id.tolist() == pd.read_excel(folder / "new.xlsx").visit_id.tolist()
    positive = found["response:Responder"] >= cuts["response"] - 1e-6
    assert (found.response == np.where(positive, "Responder", "Non-responder")).all()
    assert found[["grade:high", "grade:low", "grade:mid"]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-4)


def test_thresholds_and_ids_can_be_said(run, folder):
    result = taskgroup("predict", run[1], folder / "new.xlsx", "--output", folder / "q.csv", "--id", "patient",
                       "--threshold", "0", "--threshold", "toxicity=1")  # fmt: skip
    assert result.returncode == 0, result.stderr
    found = pd.read_csv(folder / "q.csv")
    assert next(iter(found)) == "patient"
    assert set(found.response) == {"Responder"}
    assert set(found.toxicity) == {"No"}
    for arguments, message in (
        (("--threshold", "2"), "must be P or TASK=P with P from 0 to 1; got '2'"),
        (("--threshold", "grade=.5"), "no task 'grade'"),
        (("--threshold", "x"), "must be P or TASK=P"),
        (("--id", "pateint"), "did you mean 'patient'"),
        (("--output", "p.doc"), "must end in .csv, .parquet, .jsonl, .npz"),
    ):
        result = taskgroup("predict", run[1], folder / "new.xlsx", "--force", *arguments, cwd=folder)
        assert result.returncode in (1, 2)
        assert message in " ".join(result.stderr.split()), result.stderr


def test_files_of_parts_on_the_command_line(folder):
    data = pd.read_excel(folder / "visits.xlsx")
    for name, rows in (("a", slice(0, 150)), ("b", slice(150, 200)), ("c", slice(200, 240))):
        data[rows].to_csv(folder / f"{name}.csv", index=False)
    files = ("--train", folder / "a.csv", "--valid", folder / "b.csv", "--test", folder / "c.csv")
    result = taskgroup("check", *files, "--targets", "response", "--json")
    assert json.loads(result.stdout)["parts"] == {"train": 150, "valid": 50, "test": 40}
    result = taskgroup("check", folder / "a.csv", "--targets", "response", "--test", "nowhere.csv")
    assert result.returncode == 2
    assert "must be a share such as 0.2, or a file; got 'nowhere.csv'" in " ".join(result.stderr.split())


def test_maps_of_ones_own_tracker_can_be_retrained_with_the_table(folder, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 5))
    Y = (X[:, [0, 0, 1, 1]] + rng.normal(size=(120, 4)) > 0).astype(int)
    data = pd.DataFrame(X, columns=list("vwxyz")).assign(**{f"t{t}": Y[:, t] for t in range(4)})
    data.to_csv(tmp_path / "t.csv", index=False)
    tracker = DataMapTracker([f"t{t}" for t in range(4)], n_samples=120)
    for epoch in range(3):
        tracker.update(np.arange(120), (2 * Y - 1) * (epoch + rng.normal(size=(120, 4))), Y)
        tracker.end_epoch()
    out = tmp_path / "run"
    out.mkdir()
    tracker.data_maps().save(out / "datamaps.safetensors")
    result = taskgroup("cluster", out, "--k", 2)
    assert "next: taskgroup retrain" in result.stderr
    assert "--data FILE" in result.stderr
    result = taskgroup("retrain", out)
    assert result.returncode == 1
    assert "Give the table with --data FILE" in result.stderr
    result = taskgroup("retrain", out, "--data", tmp_path / "t.csv", *FAST)
    assert result.returncode == 0, result.stderr
    assert (out / "plan.json").is_file()
    result = taskgroup("predict", out, tmp_path / "t.csv", "--output", tmp_path / "p.csv")
    assert result.returncode == 0, result.stderr


def test_training_dynamics_keep_every_task_of_a_folder(tmp_path):
    for task in ("a", "b"):
        folder = tmp_path / "logs" / task / "training_dynamics"
        folder.mkdir(parents=True)
        for epoch in range(2):
            rows = [{"guid": i, f"logits_epoch_{epoch}": [0.0, i / 9], "gold": i % 2} for i in range(9)]
            (folder / f"dynamics_epoch_{epoch}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    inner = sorted((tmp_path / "logs").glob("*/training_dynamics"))
    for given in ([tmp_path / "logs"], [tmp_path / "logs" / "a", tmp_path / "logs" / "b"], inner):
        result = taskgroup("import", *given, "--out", tmp_path / "run", "--force", "--json")
        assert json.loads(result.stdout)["n_tasks"] == 2, result.stderr
    result = taskgroup("import", inner[0], inner[0], "--out", tmp_path / "run", "--force")
    assert "every task needs a folder of its own" in result.stderr
