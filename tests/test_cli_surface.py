"""What a person meets at the terminal: pages of help, examples that run, early refusals, tables and progress."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import warnings

import click
import numpy as np
import pandas as pd
import pytest
from _synthetic_run import write_synthetic_run
from rich.console import Console
from taskgroup_cli import _progress
from taskgroup_cli import _steps as steps
from taskgroup_cli._output import Output
from taskgroup_cli._run import Run
from taskgroup_cli.main import main, taskgroup

# What makes every command cheap, by way of the environment: the examples run as they stand in the pages of help.
CHEAP = {
    "EPOCHS": "2", "K": "2", "LEARNERS": "linear", "ARMS": "all-in-one,per-task,grouped", "FOLDS": "1", "TUNE": "1",
    "JOBS": "1",
}  # fmt: skip
STEPS = ("check", "datasets", "doctor", "import", "help", "profile", "cluster", "retrain", "report", "predict")
AFTER = ("run", "explain", "compare", "export")


def write_tables(folder):
    """Two families of two tasks over 160 rows of 40 patients, and rows without labels."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 5)).round(3)
    signal = X[:, [0, 0, 1, 1]] + 0.6 * rng.normal(size=(160, 4))
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(5)]).assign(patient=[f"P{i % 40}" for i in range(160)])
    frame.to_csv(folder / "new.csv", index=False)
    for j, name in enumerate(("tox", "herg", "sol", "logp")):
        frame[f"y_{name}"] = np.where(signal[:, j] > 0, "good", "bad")
    frame.to_csv(folder / "data.csv", index=False)
    for name in "abc":
        (folder / "dynamics" / name).mkdir(parents=True)
        rows = [{"guid": i, "logits_epoch_0": [0.0, rng.normal()], "gold": 1} for i in range(20)]
        text = "\n".join(map(json.dumps, rows))
        (folder / "dynamics" / name / "dynamics_epoch_0.jsonl").write_text(text)


def call(*arguments):
    """Run a command in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        taskgroup.main([*map(str, arguments)], prog_name="taskgroup", standalone_mode=False)


def fail(capsys, *arguments):
    """Run a command that ends in an error; return its code, stdout and stderr in one line each."""
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments)])
    out, err = capsys.readouterr()
    return end.value.code, out, " ".join(err.split())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tables(tmp_path)
    return tmp_path


def test_every_command_has_two_or_more_examples_and_all_of_them_run(folder, monkeypatch, capsys):
    for name, value in CHEAP.items():
        monkeypatch.setenv(f"TASKGROUP_{name}", value)
    (folder / "whole").mkdir()
    write_tables(folder / "whole")
    assert {*STEPS, *AFTER} == set(taskgroup.commands)
    for name in (*STEPS, *AFTER):
        if name == "run":  # the page, which takes longest, is made by the examples of `report`
            monkeypatch.chdir(folder / "whole")
            monkeypatch.setattr("taskgroup.report.write_report", lambda path: f"{path}/report.html")
        examples = taskgroup.commands[name].examples
        assert len(examples) >= 2
        page = taskgroup.commands[name].get_help(click.Context(taskgroup.commands[name], info_name=name))
        for example in examples:
            assert f"  {example}\n" in page + "\n"
            call(*shlex.split(example)[1:])
    assert (folder / "predictions.csv").is_file()
    assert "next: taskgroup predict small-run new.csv" in capsys.readouterr().err


def test_options_stand_in_sections_with_every_value_of_a_choice():
    for name, command in taskgroup.commands.items():
        page = command.get_help(click.Context(command, info_name=name))
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, parameter.name
                for value in parameter.type.choices if isinstance(parameter.type, click.Choice) else ():
                    assert value in page, (name, value)
    found = re.findall(r"^(\w+):$", taskgroup.commands["run"].get_help(click.Context(taskgroup.commands["run"])), re.M)
    assert found == ["Data", "Grouping", "Learners", "Compute", "Output", "Examples"]


def test_help_is_a_command_too(capsys):
    for arguments, words in (((), "Words:"), (("run",), "Usage: taskgroup run"), (("completion",), "zsh_source")):
        call("help", *arguments)
        assert words in capsys.readouterr().out
    code, _, error = fail(capsys, "help", "clster")
    assert code == 2
    assert "No such command 'clster'. Did you mean 'cluster'?" in error


def test_a_shell_completes_commands():
    words = {"_TASKGROUP_COMPLETE": "bash_complete", "COMP_WORDS": "taskgroup re", "COMP_CWORD": "1"}
    code = "from taskgroup_cli.main import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | words)
    assert result.stdout.split() == ["plain,retrain", "plain,report"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "digit"), "Did you mean 'digits'?"),
        (("run", "nosuch.csv"), "nosuch.csv: no such file"),
        (("run", "data.csv", "--targets", "z_*"), "no column 'z_*'. It has x0, x1, x2, x3, x4, patient, y_tox"),
        (("run", "data.csv", "--methods", "stl,grp"), "no method 'stl'. A method is LEARNER/ARM, of the learners"),
        (("run", "data.csv", "--min-size", "9"), "`min_size` must be between 1 and n_tasks=4; got 9."),
        (("run", "data.csv", "--learner", "nomod:make"), "No module named 'nomod'"),
        (("run", "data.csv", "--arms", "grouped,stl"), "got 'stl'"),
        (("run", "data.csv", "--plan", "within=much"), "within=NUMBER"),
        (("run", "data.csv", "--executor", "dask:8786"), "must look like dask://HOST:PORT"),
        (("run", "data.csv"), "not even --force touches it"),
    ],
)
def test_what_is_wrong_is_said_before_the_directory_is_looked_at(arguments, message, folder, capsys):
    (folder / "taskgroup-run").mkdir()
    (folder / "taskgroup-run" / "notes.txt").write_text("mine")
    code, out, error = fail(capsys, *arguments)
    assert (code, out) in ((1, ""), (2, ""))
    assert message in error
    assert [path.name for path in (folder / "taskgroup-run").iterdir()] == ["notes.txt"]


def test_a_second_run_offers_what_to_do(tmp_path, folder, capsys):
    write_synthetic_run(tmp_path / "taskgroup-run")
    _, _, error = fail(capsys, "run", "data.csv")
    assert "holds a run of other data that is not finished (report is next)" in error
    for offer in ("--resume", "--force", "--out", "`taskgroup report taskgroup-run`"):
        assert offer in error


def test_a_failure_under_json_is_one_json_document(folder, capsys):
    for arguments, code, kind, message in (
        (("run", "nosuch.csv"), 1, "InvalidInputError", "no such file"),
        (("run", "data.csv", "--k", "many"), 2, "usage", "must be a whole number"),
        (("report", "nowhere"), 1, "ArtifactError", "no such run directory"),
    ):
        found, out, error = fail(capsys, *arguments, "--json")
        document = json.loads(out)["error"]
        assert (found, document["exit_code"], document["kind"]) == (code, code, kind)
        assert message in document["message"]
        assert message in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learnrs = 'linear'", "no command has an option 'learnrs'. Did you mean 'learners'?"),
        ("[clster]\nk = 2", "no command ['clster']. Did you mean 'cluster'?"),
        ("[cluster]\nkk = 2", "`cluster` has no option 'kk'"),
        ("k = ", "not valid TOML"),
        ("seed = [1]", "'seed' must be text, a number, true or false; got [1]."),
        ("targets = [[1]]", "'targets' must be text, a number, true or false, or a list of them; got [[1]]."),
    ],
)
def test_a_config_file_with_unknown_names_or_odd_values_is_refused(text, message, folder, capsys):
    (folder / "c.toml").write_text(text)
    code, _, error = fail(capsys, "check", "data.csv", "--config", "c.toml")
    assert code == 2
    assert message in error


def test_an_option_that_may_be_repeated_may_have_one_value_in_a_config_file(folder, capsys):
    (folder / "c.toml").write_text("targets = 'no_such_*'")
    _, _, error = fail(capsys, "check", "data.csv", "--config", "c.toml")
    assert "'no_such_*'" in error


@pytest.mark.parametrize("width", [60, 80, 120])
def test_answer_and_tables_hold_at_every_width(width, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"a_task_with_quite_a_long_name_{t}" for t in range(12)]
    run = Run.open(write_synthetic_run(tmp_path, tasks=names))
    with warnings.catch_warnings():
        output = Output()
    for show in (steps.show_answer, steps.show_scores, steps.show_groups):
        show(run, output)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    assert out.startswith("Serve all 12 tasks")
    for words in ("What a cheaper choice would lose", "Scorecard", "4 groups of 12 tasks", "nets/label-groups"):
        assert words in out
    assert ("no room for" in out) == (width == 60)


def test_compared_runs_of_many_tasks_stay_readable(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    runs = [
        write_synthetic_run(tmp_path / name, tasks=30, n_samples=30, n_seeds=1, seed=s) for s, name in enumerate("ab")
    ]
    call("compare", *runs)
    out = capsys.readouterr().out
    assert "(and 10 more rows: --json)" in out
    assert max(map(len, out.splitlines())) <= 60
    call("compare", *runs, "--json")
    assert len(json.loads(capsys.readouterr().out)["scores"]) == 30


def test_a_line_says_how_far_a_step_is_even_where_nothing_comes_back():
    said, twice = [], threading.Event()

    def say(text):
        said.append(text)
        if len(said) > 1:
            twice.set()

    with _progress.lines(say, "3 of 4 retrain", every=0.02):
        assert twice.wait(30)
    assert re.fullmatch(r"3 of 4 retrain: \d+ s", said[0])
    state = _progress._State()
    state.note("fits", 10, 100)
    state.note("fits", 20, 100)
    assert re.fullmatch(r"\d+ s; fits 20 of 100, about \d+ s left of it", state.describe())


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("width", [60, 80, 120])
def test_notes_and_errors_break_between_words_on_a_terminal(width, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    Output().note("word " * 60)
    Output().next_step("taskgroup predict " + "a/long/path " * 20)
    with pytest.raises(SystemExit):
        main(["run", "data.csv", "--targets", "z_*"])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue()).splitlines()
    command = next(line for line in lines if line.startswith("next: "))
    assert command.count("a/long/path") == 20  # in one piece, to be copied
    assert max(len(line) for line in lines if line != command) <= width
    text = " ".join(line for line in lines if line != command)
    assert "word " * 60 in text + " "
    assert "taskgroup: data.csv: no column 'z_*'. It has x0, x1, x2, x3, x4, patient, y_tox" in text


def test_a_bar_swings_until_something_is_known():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80)
    with _progress.bars(console, "3 of 4 retrain") as progress:
        progress("tuning", 0, 3)
        progress("tuning", 1, 3)
        progress("fits", 5, 50)
    shown = screen.getvalue()
    assert "3 of 4 retrain, tuning" in shown
    assert "5/50" in shown
