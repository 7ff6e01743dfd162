"""The command line: streams, exit codes, resumption, and one line for every kind of bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "110"}
FEW = (
    "--learners", "linear,extra-trees,nets", "--arms", "all-in-one,per-task,grouped", "--folds", "2", "--tune", "1",
    "--seeds", "1", "--jobs", "1",
)  # fmt: skip
FAST = ("--epochs", "4", *FEW)


def taskgroup(*arguments, cwd=None, env=None):
    code = "from taskgroup_cli.main import main; main()"
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**ENVIRONMENT, **(env or {})})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two families of four tasks over 240 samples, some labels missing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 8)).astype(np.float32)
    signals = np.repeat([X[:, 0] + X[:, 1], X[:, 2] - X[:, 3]], 4, axis=0).T
    Y = (signals + 0.7 * rng.normal(size=signals.shape) > 0).astype(np.int8)
    Y[rng.random(Y.shape) < 0.1] = -1
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(path, X=X, Y=Y, task_names=[f"t{i}" for i in range(8)])
    return path


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A finished `taskgroup run --json` and its run directory."""
    out = tmp_path_factory.mktemp("finished") / "run"
    result = taskgroup("run", data, "--k", 2, "--out", out, "--json", *FAST)
    assert result.returncode == 0, result.stderr
    return result, out


def test_run_prints_one_json_document_and_leaves_every_file(finished):
    result, out = finished
    document = json.loads(result.stdout)
    assert set(document) == {"run", "groups", "isolated", "cluster", "scores", "plan", "report"}
    assert sorted(name for group in document["groups"] for name in group) == [f"t{i}" for i in range(8)]
    assert {"linear/per-task", "extra-trees/grouped", "plan"} <= set(document["scores"]["methods"])
    for name in ("run.json", "tasks.json", "datamaps.safetensors", "profile/model.safetensors", "profile/history.jsonl",
                 "grouping.json", "cluster.json", "scores.csv", "scores.json", "plan.json", "report.html"):  # fmt: skip
        assert (out / name).is_file(), name
    run = json.loads((out / "run.json").read_text())
    assert run["status"] == "done"
    assert list(run["steps"]) == ["profile", "cluster", "retrain", "report"]
    assert f"next: taskgroup predict {out} new.csv" in result.stderr
    header = (out / "scores.csv").read_text().splitlines()[0]
    assert header == "task,method,seed,split,metric,value,n,n_positive"


def test_separate_commands_give_the_same_bytes_as_run(finished, data, tmp_path):
    _, out = finished
    for arguments in (
        ("profile", data, "--epochs", 4),
        ("cluster", "--k", 2),
        ("retrain", *FEW[:-1], 2),
        ("report",),
    ):
        result = taskgroup(*arguments, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    for name in ("grouping.json", "scores.csv", "plan.json"):
        assert (tmp_path / "taskgroup-run" / name).read_bytes() == (out / name).read_bytes(), name


def test_a_used_directory_is_refused_resumed_or_replaced(finished, data):
    _, out = finished
    before = (out / "scores.csv").read_bytes()
    refused = taskgroup("run", data, "--k", 2, "--out", out, *FAST)
    assert refused.returncode == 1
    assert "holds a finished run of small.npz. Go on with it by --resume, replace it by --force" in refused.stderr
    started = time.time()
    resumed = taskgroup("run", data, "--k", 2, "--out", out, "--resume", *FAST)
    assert resumed.returncode == 0, resumed.stderr
    assert (out / "scores.csv").stat().st_mtime < started  # nothing finished was done again
    changed = taskgroup("run", data, "--k", 3, "--out", out, "--resume", *FAST)
    assert changed.returncode == 1
    assert "cannot resume, `k` was 2 and is now 3; use --force" in changed.stderr
    other = taskgroup("run", data, "--k", 2, "--seed", 5, "--out", out, "--resume", *FAST)
    assert other.returncode == 1
    assert "cannot resume, the data or its options changed" in other.stderr
    assert (out / "scores.csv").read_bytes() == before


def test_predict_serves_the_plan(finished, data, tmp_path):
    _, out = finished
    target = tmp_path / "p.csv"
    result = taskgroup("predict", out, data, "--output", target)
    assert result.returncode == 0, result.stderr
    lines = target.read_text().splitlines()
    assert lines[0].split(",") == [name for i in range(8) for name in (f"t{i}", f"t{i}:1")]
    assert len(lines) == 241
    label, probability = zip(*(line.split(",")[:2] for line in lines[1:]), strict=True)
    cut = min(float(p) for t, p in zip(label, probability, strict=True) if t == "1")
    assert all((t == "1") == (float(p) >= cut) for t, p in zip(label, probability, strict=True))
    again = taskgroup("predict", out, data, "--output", target)
    assert again.returncode == 1
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("run", "missing.csv"), 1, "no such file"),
        (("run", "digits", "--targets", "digt_1"), 1, "did you mean 'digit_1'?"),
        (("run", "{data}", "--k", "40"), 1, "`k` must be between 1 and n_tasks=8; got 40."),
        (("run", "{data}", "--k", "0"), 2, "must be at least 1, or 'auto'; got 0"),
        (("run", "{data}", "--k", "many"), 2, "must be a whole number or 'auto', 'gain' or"),
        (("run", "{data}", "--arch", "adat"), 2, "got 'adat'"),
        (("run", "{data}", "--learners", "extra-tree"), 2, "Did you mean 'extra-trees'?"),
        (("run", "{data}", "--plan", "cheap"), 2, "must be among best, blend, single, simplest or within=NUMBER"),
        (("run", "{data}", "--hidden", "64-x"), 2, "must be widths such as 64-32"),
        (("cluster", "nowhere"), 1, "no such run directory"),
        (("retrain", "nowhere"), 1, "no such run directory"),
        (("report", "nowhere"), 1, "no such run directory"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_bad_arguments_end_in_one_line_and_write_nothing(arguments, code, message, data, tmp_path):
    result = taskgroup(*(a.format(data=data) for a in arguments), cwd=tmp_path)
    assert result.returncode == code
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    if code == 1:
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_bad_files_end_in_one_line_and_write_nothing(data, tmp_path):
    arrays = dict(np.load(data))
    flat = {**arrays, "Y": np.c_[arrays["Y"][:, :7], np.ones(240, np.int8)]}
    np.savez(tmp_path / "flat.npz", **flat)
    np.savez(tmp_path / "pickled.npz", X=arrays["X"], Y=np.array([[{}]] * 240, dtype=object))
    np.savez(tmp_path / "inf.npz", **{**arrays, "X": np.where(np.arange(8) == 3, np.inf, arrays["X"])})
    (tmp_path / "cut.npz").write_bytes(data.read_bytes()[:3000])
    for name, options, message in (
        ("pickled.npz", (), "pickled objects"),
        ("cut.npz", (), "damaged or truncated npz"),
        ("inf.npz", (), "240 infinite values in 1 columns, the first in row 0, column 'x3'"),
        ("flat.npz", ("--strict",), "task 't7' has one class only (1)"),
    ):
        result = taskgroup("run", tmp_path / name, "--out", tmp_path / "run", *options)
        assert result.returncode == 1, name
        assert message in result.stderr, name
        assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
    result = taskgroup("profile", tmp_path / "flat.npz", "--out", tmp_path / "run", "--epochs", 2)
    assert result.returncode == 0, result.stderr
    assert "task 't7' is left out: one class only (1) in the training rows" in result.stderr
    assert json.loads((tmp_path / "run" / "tasks.json").read_text())["left_out"].keys() == {"t7"}


def test_another_format_version_is_refused(finished, tmp_path):
    _, out = finished
    document = json.loads((out / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**document, "format_version": 99}))
    result = taskgroup("report", tmp_path)
    assert result.returncode == 1
    assert "format_version must be 1; got 99" in result.stderr


def test_changed_data_is_refused_by_retrain(data, tmp_path):
    arrays = dict(np.load(data))
    np.savez(tmp_path / "d.npz", **arrays)
    out = tmp_path / "run"
    assert taskgroup("profile", tmp_path / "d.npz", "--out", out, "--epochs", 2).returncode == 0
    assert taskgroup("cluster", out, "--k", 2).returncode == 0
    np.savez(tmp_path / "d.npz", **{**arrays, "X": arrays["X"] + 1})
    result = taskgroup("retrain", out)
    assert result.returncode == 1
    assert "the data changed since the profile" in result.stderr


def test_options_come_from_the_environment_and_from_a_file(data, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text("seed = 7\n[profile]\nepochs = 3\n")
    env = {"TASKGROUP_HIDDEN": "8-4", "TASKGROUP_RUN": str(tmp_path / "from-env")}
    result = taskgroup("profile", data, "--config", config, env=env)
    assert result.returncode == 0, result.stderr
    run = json.loads((tmp_path / "from-env" / "run.json").read_text())
    assert run["steps"]["profile"]["settings"] == {
        "epochs": 3,
        "hidden": [8, 4],
        "augment": None,
        "device": "auto",
        "seed": 7,
    }
    config.write_text("[profile]\nepoch = 3\n")
    result = taskgroup("profile", data, "--config", config, env=env)
    assert result.returncode == 2
    assert "`profile` has no option 'epoch'" in result.stderr


def test_groups_can_be_counted_by_measured_gain(finished, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished[1], out)
    found = []
    for _ in range(2):
        result = taskgroup("cluster", out, "--k", "gain", "--max-size", 5, "--force", "--json")
        assert result.returncode == 0, result.stderr
        found.append(json.loads(result.stdout)["groups"])
    assert found[0] == found[1]
    assert sorted(name for group in found[0] for name in group) == [f"t{i}" for i in range(8)]
    assert max(map(len, found[0])) <= 5


def test_an_estimator_of_ones_own_takes_part_with_all_arms(finished, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished[1], out)
    (tmp_path / "mine.py").write_text(
        "from sklearn.neighbors import KNeighborsClassifier\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import StandardScaler\n"
        "def neighbours():\n    return make_pipeline(StandardScaler(), KNeighborsClassifier())\n"
    )
    arms = "all-in-one,per-task,grouped,random-groups"
    options = ("--learners", "linear", "--learner", "mine:neighbours", "--arms", arms, "--folds", 2, "--draws", 1)
    result = taskgroup("retrain", out, *options, "--jobs", 1, "--force", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    methods = json.loads(result.stdout)["scores"]["methods"]
    assert {f"estimator/{arm}" for arm in arms.split(",")} <= set(methods)


def test_report_and_cluster_never_import_torch(finished, tmp_path):
    _, out = finished
    code = """
import sys
from taskgroup_cli.main import main
sys.argv = ["taskgroup", *sys.argv[1:]]
try:
    main()
except SystemExit as error:
    assert not error.code, error.code
print("torch" in sys.modules, file=sys.stderr)
"""
    for arguments in (("cluster", out, "--k", "2", "--resume"), ("report", out)):
        command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        assert result.stderr.strip().splitlines()[-1] == "False", result.stderr


def test_help_imports_nothing_heavy():
    heavy = ("numpy", "torch", "rich", "sklearn")
    code = f"import sys; import taskgroup_cli.main; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_imported_training_dynamics_can_be_clustered_but_not_retrained(tmp_path):
    rng = np.random.default_rng(0)
    for task, concept in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / task).mkdir()
        signal = np.random.default_rng(concept).normal(size=60)
        for epoch in range(3):
            rows = [
                {"guid": i, f"logits_epoch_{epoch}": [0.0, signal[i] + 0.1 * rng.normal()], "gold": 1}
                for i in range(60)
            ]
            text = "\n".join(json.dumps(row) for row in rows)
            (tmp_path / task / f"dynamics_epoch_{epoch}.jsonl").write_text(text)
    out = tmp_path / "run"
    result = taskgroup("import", *(tmp_path / task for task in "abc"), "--out", out)
    assert result.returncode == 0, result.stderr
    result = taskgroup("cluster", out, "--k", 2, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["groups"] == [["a", "b"], ["c"]]
    result = taskgroup("retrain", out)
    assert result.returncode == 1
    assert "does not say what data it was made from" in result.stderr


def test_sigterm_ends_with_143_and_resume_finishes(data, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-W", "ignore", "-c", "from taskgroup_cli.main import main; main()"]
    arguments = ["run", str(data), "--k", "2", "--out", str(out), *FAST]
    process = subprocess.Popen(command + arguments, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.time() + 120
    while not (out / "grouping.json").exists() and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert b"terminated; finished parts are saved" in errors
    resumed = taskgroup(*arguments, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert (out / "report.html").is_file()
    straight = taskgroup(*arguments[:5], str(tmp_path / "straight"), *arguments[6:])
    assert straight.returncode == 0
    assert (out / "scores.csv").read_bytes() == (tmp_path / "straight" / "scores.csv").read_bytes()


def test_datasets_and_doctor_answer_in_json():
    assert "digits" in json.loads(taskgroup("datasets", "--json").stdout)["bundled"]
    assert json.loads(taskgroup("doctor", "--json").stdout)["facts"]["cores"] >= 1


def test_the_choices_of_the_command_line_are_those_of_the_library():
    from taskgroup_cli import cluster, retrain

    from taskgroup.arms import ARMS
    from taskgroup.cluster import METHODS
    from taskgroup.features import KINDS
    from taskgroup.learners import LEARNERS
    from taskgroup.models import ARCHITECTURES
    from taskgroup.plan import RULES

    assert set(cluster.KINDS) == set(KINDS)
    assert set(cluster.METHODS) == set(METHODS)
    assert set(retrain.ARCHITECTURES) == set(ARCHITECTURES) - {"single-task", "tabm"}
    assert set(retrain.ARMS) == set(ARMS)
    assert set(retrain.LEARNERS) == set(LEARNERS) - {"estimator"}
    assert set(retrain.RULES) == set(RULES)
