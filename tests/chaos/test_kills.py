"""Killed at exact moments, a run loses nothing, mixes nothing, and no later command refuses what is left."""

import json
import shutil
import signal

import pytest
from commands import Commands, make_table, results

TINY = ("--k", 2, "--epochs", 2, "--learners", "linear", "--arms", "per-task,all-in-one", "--folds", 2, "--jobs", 1)


@pytest.fixture(scope="module")
def commands():
    with Commands() as running:
        yield running


@pytest.fixture(scope="module")
def straight(commands, tmp_path_factory):
    """A table, the run directory of an undisturbed run on it, and its number of file operations."""
    folder = tmp_path_factory.mktemp("straight")
    data = make_table(folder / "table.npz")
    outcome = commands.run("run", data, "--out", folder / "run", *TINY)
    assert outcome.code == 0, outcome.err
    return data, folder / "run", outcome.operations


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.2, 0.45, 0.7, 0.99])
def test_killed_at_a_file_operation_and_resumed_it_is_as_if_nothing_had_happened(share, commands, straight, tmp_path):
    data, whole, operations = straight
    out = tmp_path / "run"
    killed = commands.run("run", data, "--out", out, *TINY, die_at=1 + int(share * (operations - 1)))
    assert killed.code == -signal.SIGKILL
    resumed = commands.run("run", data, "--out", out, *TINY, "--resume")
    assert resumed.code == 0, resumed.err
    assert results(out) == results(whole)
    assert not list(out.rglob("*.tmp"))
    assert json.loads((out / "run.json").read_text())["status"] == "done"


def test_killed_while_replacing_a_run_nothing_of_it_is_taken_for_new(commands, straight, tmp_path):
    data, whole, _ = straight
    for at in (4, 9, 14):  # around the first run.json, and while the old files go
        out = tmp_path / f"run{at}"
        shutil.copytree(whole, out)
        killed = commands.run("run", data, "--out", out, *TINY, "--seed", 3, "--force", die_at=at)
        assert killed.code == -signal.SIGKILL
        document = json.loads((out / "run.json").read_text())
        if document["seed"] == 3:
            refused = commands.run("predict", out, data, "--output", tmp_path / "p.csv")
            assert refused.code == 1, refused.out
            assert any(word in refused.err for word in ("is interrupted", "run `taskgroup retrain` first"))
        again = commands.run("profile", data, "--out", out, "--epochs", 2, "--seed", 3, "--force")
        assert again.code == 0, again.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_acknowledged_and_leaves_the_truth_in_run_json(number, code, commands, straight, tmp_path):
    data, _, _ = straight
    out = tmp_path / "run"
    long = ("profile", data, "--out", out, "--epochs", 100_000)
    outcome = commands.run(*long, send=number, after=1.0)
    assert outcome.code == code, outcome.err
    assert "saving; a second Ctrl-C quits at once" in outcome.err
    run = json.loads((out / "run.json").read_text())
    assert run["status"] == run["steps"]["profile"]["status"] == "interrupted"
    assert run["steps"]["profile"]["reason"] == number.name
    assert run["steps"]["profile"]["ended"] >= run["steps"]["profile"]["started"]


def test_a_failure_is_in_run_json_and_a_dead_writer_holds_nothing(commands, straight, tmp_path):
    _, whole, _ = straight
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    (out / "cluster.json").write_text("{")
    failed = commands.run("report", out)
    assert failed.code == 1
    run = json.loads((out / "run.json").read_text())
    assert run["status"] == run["steps"]["report"]["status"] == "failed"
    assert "cluster.json" in run["steps"]["report"]["reason"]
    shutil.copy(whole / "cluster.json", out / "cluster.json")
    assert commands.run("report", out, die_at=3).code == -signal.SIGKILL
    assert commands.run("report", out).code == 0


def test_two_runs_at_once_one_of_them_proceeds(commands, straight, tmp_path):
    data, whole, _ = straight
    out = tmp_path / "run"
    codes = sorted(commands.run_at_once(2, "run", data, "--out", out, *TINY), key=lambda outcome: outcome.code)
    assert [outcome.code for outcome in codes] == [0, 1], [outcome.err for outcome in codes]
    assert "is being written by process" in codes[1].err or "holds a" in codes[1].err
    assert results(out) == results(whole)
