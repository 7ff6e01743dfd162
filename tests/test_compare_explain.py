"""Readings of finished runs: several side by side, and one task of one."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from _synthetic_run import write_synthetic_run

from taskgroup import compare_runs, explain_task
from taskgroup.exceptions import ArtifactError, InvalidInputError
from taskgroup.grouping import Grouping


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs that share ten of twelve tasks, with different groups and versions; a run that stops at its groups."""
    folder = tmp_path_factory.mktemp("runs")
    write_synthetic_run(folder / "a", n_samples=80)
    names = [f"task_{t:02d}" for t in range(10)] + ["other", "<b>more</b>"]
    write_synthetic_run(folder / "b", tasks=names, n_samples=80, seed=1)
    document = json.loads((folder / "b" / "run.json").read_text())
    document["versions"]["numpy"] = "1.26.0"
    document["inputs"]["sha256"] = "cd" * 32
    (folder / "b" / "run.json").write_text(json.dumps(document))
    write_synthetic_run(folder / "c", n_samples=80, upto="cluster")
    return folder


def test_scores_are_compared_on_shared_tasks(runs):
    found = compare_runs([runs / "a", runs / "b"])
    assert found.names == ("a", "b")
    assert found.shared == tuple(f"task_{t:02d}" for t in range(10))
    assert any("different data" in note for note in found.notes)
    rows = pd.read_csv(runs / "b" / "scores.csv")
    own = rows[(rows.method == "plan") & (rows.split == "test") & (rows.metric == "auc")].groupby("task").value.mean()
    frame = found.to_frame()
    assert frame.loc["task_03", "b"] == pytest.approx(own["task_03"])
    assert np.isnan(frame.loc["task_01", "b"])  # undefined there, and so nothing to compare
    spread = (frame.a - frame.b).abs().dropna()
    assert (spread.to_numpy()[:-1] >= spread.to_numpy()[1:]).all()
    alone = next(row for row in found.methods if row["method"] == "nets/per-task")
    of_method = rows[(rows.method == "nets/per-task") & (rows.split == "test") & (rows.metric == "auc")]
    assert alone["by_run"]["b"] == pytest.approx(of_method[of_method.task.isin(found.shared)].value.mean())


def test_groups_are_compared_by_the_rand_index_of_shared_tasks(runs):
    [row] = compare_runs([runs / "a", runs / "b"]).agreement
    assert (row["runs"], row["n_tasks"]) == (["a", "b"], 10)
    assert -0.5 < row["ari"] < 1
    [row] = compare_runs([runs / "a", runs / "c"]).agreement
    same = Grouping.load(runs / "a" / "grouping.json").groups == Grouping.load(runs / "c" / "grouping.json").groups
    assert same
    assert (row["n_tasks"], row["ari"]) == (12, 1.0)


def test_a_run_without_a_plan_is_compared_as_far_as_it_goes(runs):
    found = compare_runs([runs / "a", runs / "c"])
    assert found.scores == ()
    assert found.runs[1]["score"] is None
    assert "c has no plan: retrain it." in found.notes
    assert "no plan yet" in found.to_html()


def test_the_page_escapes_names_and_says_which_versions_differ(runs):
    found = compare_runs([runs / "b", runs / "a"])
    page = found.to_html()
    assert "Versions that differ" in page
    assert "1.26.0" in page
    assert "<b>more" not in page
    assert not re.search(r"(?:src|href)=", page)
    assert json.loads(json.dumps(found.to_dict()))["shared"] == list(found.shared)
    assert len(repr(found)) < 1500
    assert found._repr_html_().count("<table>") == len(found.tables())


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ((), InvalidInputError, "two or more different runs are compared; got none"),
        (("a",), InvalidInputError, "two or more different runs"),
        (("a", "a"), InvalidInputError, "two or more different runs"),
        (("a", "nowhere"), ArtifactError, "no such run directory"),
    ],
)
def test_fewer_than_two_runs_are_refused(names, error, message, runs):
    with pytest.raises(error, match=message):
        compare_runs([runs / name for name in names])


def test_a_task_is_explained_from_the_artefacts(runs):
    found = explain_task(runs / "a", "task_03", n=5)
    grouping = Grouping.load(runs / "a" / "grouping.json")
    group = grouping.groups[found.group["number"]]
    assert {*found.group["tasks"], "task_03"} == set(group)
    assert [row["method"] for row in found.served_by] == ["nets/grouped", "linear/per-task"]
    assert sum(row["weight"] for row in found.served_by) == pytest.approx(1)
    similar = [row["similarity"] for row in found.related]
    assert similar == sorted(similar, reverse=True)
    assert all(row["same_group"] == (row["task"] in group) for row in found.related)
    assert all(sum(row["through"].values()) == pytest.approx(1) for row in found.related)
    rows = found.doubtful_rows()
    assert [row["confidence"] for row in rows] == sorted(row["confidence"] for row in rows)
    assert {row["label"] for row in rows} <= {"0", "1"}
    assert list(found.to_frame().columns) == [
        "row", "label", "confidence", "variability", "correctness", "forgetting"
    ]  # fmt: skip
    text = str(found)
    for words in ("is in group", "75% nets, a model per group (nets/grouped)", "auc:"):
        assert words in text
    assert len(repr(found)) < 1500


def test_what_is_not_there_yet_names_the_next_step(runs, tmp_path):
    assert "Nothing serves it yet: run `taskgroup retrain`." in explain_task(runs / "c", "task_00").lines()
    profiled = explain_task(write_synthetic_run(tmp_path, n_samples=40, upto="profile"), "task_00")
    assert "not in a group yet: run `taskgroup cluster`" in str(profiled)
    assert profiled.doubtful
    with pytest.raises(InvalidInputError, match="no task 'task_0'; did you mean 'task_"):
        explain_task(runs / "a", "task_0")
