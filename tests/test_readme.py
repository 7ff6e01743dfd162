"""The README's commands and code run as they stand there."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def _block(name):
    match = re.search(rf"<!-- runs in tests/test_readme.py: {name} -->\n```python\n(.*?)```", README, re.DOTALL)
    assert match, f"README has no block {name!r}"
    return match.group(1)


def test_the_two_commands_are_there_as_ci_runs_them():
    assert "pip install -c constraints.txt -e . && taskgroup run\n" in README
    assert "pip install -c constraints.txt -e '.[test]' && python -m pytest\n" in README


def test_the_readme_never_says_to_install_from_the_index():
    assert not re.search(r"pip install (?!-c)\S*taskgroup", README)


def test_the_tracker_block_runs_in_a_loop_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    x = torch.randn(40, 5)
    y = (x[:, :3] > 0).float()
    y[::7, 1] = float("nan")
    ids = torch.arange(40)
    model = torch.nn.Linear(5, 3)

    def loss_function(logits, labels):
        known = ~labels.isnan()
        return torch.nn.functional.binary_cross_entropy_with_logits(logits[known], labels[known])

    names = {
        "dataset": x, "n_epochs": 3, "model": model, "loss_function": loss_function,
        "loader": [(ids[i : i + 10], x[i : i + 10], y[i : i + 10]) for i in range(0, 40, 10)],
        "optimizer": torch.optim.SGD(model.parameters(), 0.5),
    }  # fmt: skip
    exec(compile(_block("tracker"), "README.md", "exec"), names)
    from taskgroup import DataMaps

    maps = DataMaps.load("my-run/datamaps.safetensors")
    assert maps.tasks.names == ("toxic", "soluble", "stable")
    assert maps.count.max() == 3


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_api_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(_block("api"), "README.md", "exec"), names)
    assert names["grouping"].n_groups == 5
    assert names["result"].plan.verdict in capsys.readouterr().out


def test_the_scikit_learn_block_runs(capsys):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    Y = np.where(rng.random((120, 2)) < 0.1, np.nan, X[:, :2] > 0)
    exec(compile(_block("sklearn"), "README.md", "exec"), {"X": X, "Y": Y})
    assert "(120, 2)" in capsys.readouterr().out


def test_the_parts_block_runs(capsys):
    exec(compile(_block("parts"), "README.md", "exec"), {})
    assert "torch.Size([8])" in capsys.readouterr().out
