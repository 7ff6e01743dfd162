"""The page: whatever artefacts exist, it stands alone, names what is missing, escapes names, never changes."""

import csv
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from _synthetic_run import ALONE, OURS, write_synthetic_run

from taskgroup._artifact import read_json, write_json
from taskgroup.exceptions import ArtifactError
from taskgroup.grouping import Grouping
from taskgroup.report import write_report
from taskgroup.report._run import read_run
from taskgroup.tasks import Task

VOID = {"meta", "input", "br", "link", "img", "hr"}
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Checks that elements nest, and keeps ids, links, headings, attributes and text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.tags, self.attributes, self.text, self.headings = [], [], [], [], "", []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data
            if self.open[-1] == "h2":
                self.headings.append(data)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = write_synthetic_run(tmp_path_factory.mktemp("whole") / "run", tasks=12)
    return run, write_report(run).read_text(encoding="utf-8")


def _copy(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "run")
    return tmp_path / "run"


def _change(run, kind, **changes):
    document = read_json(run / f"{kind}.json", kind)
    write_json(run / f"{kind}.json", kind, {k: v for k, v in {**document, **changes}.items() if "format" not in k})


def test_whole_run_has_every_section_in_the_order_of_a_decision(whole):
    page = Page(whole[1])
    assert page.headings == [
        "What serves the tasks", "Scorecard", "Quality against cost", "Comparisons", "Gain per task", "Calibration",
        "Groups", "Similarity of the tasks", "Tree of the tasks", "Task graph", "Data Maps", "The run",
        "What to hold against this report",
    ]  # fmt: skip
    assert page.text.index("A blend of models") < page.text.index("What serves the tasks")
    assert "Not there yet" not in page.text
    assert len(page.ids) == len(set(page.ids))


def test_page_states_the_numbers_of_the_artefacts(whole):
    run, html = whole
    text, plan = Page(html).text, read_json(whole[0] / "plan.json", "plan")
    assert plan["answer"]["headline"] in text
    assert all(line in text for line in plan["answer"]["lines"])
    assert plan["answer"]["open"][0]["question"] in text
    for name, entry in plan["tasks"].items():
        row = re.search(rf'<th scope="row">{name}</th>.*?</tr>', html[html.index("plan-table") :], re.DOTALL)[0]
        assert ("weights of its own" in row) == (entry["weights"] != plan["common"])
        assert entry["test"] is None or f">{entry['test']:.3f}<" in row
    for row in read_json(run / "scores.json", "scores")["summary"]:
        assert f"{row['mean']:.3f}" in text
    assert "one class only (0) in the training rows" in text
    assert "taskgroup run table.csv --seed 0" in text


def test_heat_maps_name_the_cells_of_their_pictures(whole):
    run, html = whole
    page = Page(html)
    named = [json.loads(value) for tag, name, value in page.attributes if (tag, name) == ("figure", "data-cells")]
    assert {"similarity-cells", "membership-cells"} <= set(page.ids)
    members, similar = named
    with open(run / "figures" / "membership.csv", newline="") as handle:
        head, *rows = csv.reader(handle)
    assert members == {"across": [row[0] for row in rows], "down": head[1:]}
    with open(run / "figures" / "similarity.csv", newline="") as handle:
        head, *rows = csv.reader(handle)
    assert similar == {"down": [row[0] for row in rows], "across": head[1:]}


@pytest.mark.parametrize(
    ("upto", "there", "commands"),
    [
        ("profile", ["Data Maps"], ["taskgroup retrain", "taskgroup cluster"]),
        (
            "cluster",
            ["Groups", "Similarity of the tasks", "Tree of the tasks", "Task graph", "Data Maps"],
            ["taskgroup retrain"],
        ),
    ],
)
def test_page_of_an_unfinished_run_names_what_is_missing_and_how_to_make_it(tmp_path, upto, there, commands):
    run = write_synthetic_run(tmp_path / "my run", upto=upto)
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert page.headings == [*there, "The run", "What to hold against this report"]
    assert "No verdict yet" in page.text
    for command in commands:
        assert f"{command} '{run}'" in page.text  # quoted, for it holds a space


def test_grouping_alone_is_enough_for_a_page(tmp_path):
    Grouping.from_labels(["a", "b", "c"], [0, 1, 0]).save(tmp_path / "grouping.json")
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert page.headings[0] == "Groups"
    assert f"taskgroup profile DATA --out {tmp_path}" in page.text
    assert "Their stability was not measured." in page.text


def test_missing_and_empty_directories_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no such run directory; make one with `taskgroup run`"):
        write_report(tmp_path / "absent")
    with pytest.raises(ArtifactError, match="holds no artefact of a run; run `taskgroup profile` first"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["run.json", "grouping.json", "scores.csv", "similarity.safetensors"])
def test_damaged_artefacts_are_refused_and_the_old_page_stays(whole, tmp_path, name):
    run = _copy(whole, tmp_path)
    (run / name).write_bytes((run / name).read_bytes()[:-200])
    if name == "scores.csv":
        with open(run / name, "ab") as handle:
            handle.write(b"\ntask_00,stl,0\n")
    with pytest.raises(ArtifactError, match=re.escape(name)):
        write_report(run)
    assert (run / "report.html").read_text(encoding="utf-8") == whole[1]


def test_artefacts_of_different_tasks_are_refused(whole, tmp_path):
    run = _copy(whole, tmp_path)
    grouping = Grouping.from_labels(["other", "task_01"], [0, 1])
    grouping.save(run / "grouping.json")
    with pytest.raises(ArtifactError, match="hold different tasks; cluster again"):
        write_report(run)
    Grouping.from_labels(["task_00", "task_01"], [0, 1]).save(run / "grouping.json")
    with pytest.raises(ArtifactError, match=r"must have shape \(2, 2\) like grouping.json; got \(12, 12\)"):
        write_report(run)


def test_scores_with_other_columns_are_refused(whole, tmp_path):
    run = _copy(whole, tmp_path)
    (run / "scores.csv").write_text("task,value\na,1\n")
    with pytest.raises(ArtifactError, match=r"expected the columns task, method, seed, .* got task, value"):
        write_report(run)


def test_names_are_escaped_everywhere(tmp_path):
    names = [EVIL, 'a"onmouseover="alert(2)', "$x^2$ {{ 7 * 7 }}", "</svg></style>", "ümläut 模型", "url(#a): #ffffff"]
    run = write_synthetic_run(tmp_path / "run", tasks=[Task(name) for name in names])
    html = write_report(run).read_text(encoding="utf-8")
    page = Page(html)
    assert page.tags.count("script") == 1
    assert page.tags.count("style") == 1
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    for name in names:
        assert page.text.count(name) >= 4  # plan, group, figures
    for figure in (run / "figures").glob("*.svg"):
        assert "<script" not in figure.read_text(encoding="utf-8")


def test_page_loads_nothing_from_elsewhere(whole):
    page = Page(whole[1])
    links = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "action", "data")]
    assert links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert {link[1:] for link in links if link[0] == "#"} <= set(page.ids)
    assert "@import" not in whole[1]
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:")


def test_script_is_the_one_that_the_policy_allows(whole):
    import base64
    import hashlib

    script = re.search(r"<script>(.*?)</script>", whole[1], re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in whole[1].replace("&#39;", "'")


def test_figures_have_alt_texts_and_tables_have_heads(whole):
    page = Page(whole[1])
    images = [value for tag, name, value in page.attributes if tag == "div" and name == "aria-label" and value]
    assert page.tags.count("figure") == 9
    assert sum(len(alt) > 30 for alt in images) == 11  # two are drawn for narrow screens as well
    assert page.tags.count("table") <= page.tags.count("thead") + 1  # the facts have heads at the side
    assert {scope for _, name, scope in page.attributes if name == "scope"} == {"col", "row"}


def test_same_artefacts_give_the_same_bytes(whole, tmp_path):
    run, html = whole
    before = {path.name: path.read_bytes() for path in (run / "figures").iterdir()}
    names = ("scorecard", "quality_and_cost", "gains", "calibration", "membership", "similarity", "tree", "task_graph")
    assert set(before) == {"data_maps.svg", *(f"{name}.{ending}" for name in names for ending in ("svg", "csv"))}
    assert write_report(run).read_text(encoding="utf-8") == html
    assert {path.name: path.read_bytes() for path in (run / "figures").iterdir()} == before


def test_marks_say_what_they_are(whole):
    titles = re.findall(r"<title>(.*?)</title>", whole[1])
    tasks = [f"task_{t:02d}" for t in range(12)]
    for name in tasks:
        assert name in titles  # the panel of its Data Map
        assert any(title.startswith(f"{name}, group ") for title in titles)
        assert name == "task_01" or sum(title.startswith(f"{name}: ") for title in titles) == 2  # over both baselines
    assert any(title.startswith("nets/grouped: mean 0.") for title in titles)
    assert "40 answers: stated 0.50, came true 0.44" in titles
    figures = whole[0] / "figures"
    with open(figures / "gains.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    plan = read_json(whole[0] / "plan.json", "plan")["tasks"]
    assert {row["task"] for row in rows} == set(tasks) - {"task_01"}
    for row in rows:
        expected = plan[row["task"]]["over_alone"]
        found = [float(row[key]) for key in ("the plan over a model per task", "low", "high")]
        assert found == pytest.approx([expected[key] for key in ("gain", "low", "high")], rel=1e-4)
    assert (figures / "similarity.csv").read_text().count("\n") == 13


def test_a_card_of_the_models_stands_beside_the_page(whole, tmp_path):
    card = (whole[0] / "model_card.md").read_text(encoding="utf-8")
    plan = read_json(whole[0] / "plan.json", "plan")
    heads = [
        "# Model card: table",
        "## Model details",
        "## Use",
        "## Data",
        "## Scores",
        "## What to hold against them",
    ]
    assert [line for line in card.splitlines() if line.startswith("#")] == heads
    assert plan["answer"]["headline"] in card
    assert f"| task\\_03 | auc | {plan['tasks']['task_03']['test']:.3f} |" in card
    assert "0.850 [0.840, 0.860]" in card
    run = write_synthetic_run(tmp_path / "run", upto="cluster")
    write_report(run)
    assert "No plan yet" in (run / "model_card.md").read_text(encoding="utf-8")


def test_page_does_not_change_while_the_report_itself_is_a_running_step(whole, tmp_path):
    run = _copy(whole, tmp_path)
    before = write_report(run).read_text(encoding="utf-8")
    steps = read_json(run / "run.json", "run")["steps"]
    _change(run, "run", status="running", finished=None, steps={**steps, "report": {"status": "running"}})
    assert write_report(run).read_text(encoding="utf-8") == before


def test_usual_run_directory_needs_no_name_in_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = Page(write_report(write_synthetic_run("taskgroup-run", upto="profile")).read_text(encoding="utf-8")).text
    assert re.search(r"Make them with taskgroup cluster\n", text)


@pytest.mark.parametrize(("tasks", "n_groups", "extent"), [(1, 1, "1 group of 1 task."), (4, 4, "4 groups of 1 task.")])
def test_smallest_runs_have_a_page(tmp_path, tasks, n_groups, extent):
    run = write_synthetic_run(tmp_path / "run", tasks=tasks, n_groups=n_groups, n_samples=20)
    assert extent in Page(write_report(run).read_text(encoding="utf-8")).text


def test_mixed_kinds_have_one_gain_figure_a_metric(tmp_path):
    tasks = [
        Task("r", kind="regression"),
        Task("m", kind="multiclass", n_classes=3),
        *(Task(f"b{i}") for i in range(4)),
    ]
    run = write_synthetic_run(tmp_path / "run", tasks=tasks, n_groups=2, soft=True)
    text = Page(write_report(run).read_text(encoding="utf-8")).text
    assert {path.stem for path in (run / "figures").glob("gains*")} == {"gains_auc", "gains_r2"}  # m is undefined
    assert "mean test accuracy / AUC / R²" in text


def test_page_says_how_the_data_were_read(whole, tmp_path):
    assert "How the data were read" not in Page(whole[1]).text
    run = _copy(whole, tmp_path)
    task = {"name": "tox", "kind": "binary", "n_labelled": 90, "missing": 0.1, "counts": {"Inactive": 60, "Active": 30},
            "positive": "Active"}  # fmt: skip
    record = {
        "rule": "drawn, stratified by the labels, seed 0", "features": {"numbers": ["a", "b"]}, "holes": {"a": 7},
        "ignored": [{"name": "Unnamed: 0", "reason": "a saved index"}], "tasks": [task],
        "warnings": [{"text": "feature 'b': -999 may mean missing", "option": "--missing -999"}],
    }  # fmt: skip
    _change(run, "run", reading=record)
    text = Page(write_report(run).read_text(encoding="utf-8")).text
    for part in ("How the data were read", "2 numbers; parts drawn, stratified", "7 missing cells", "--missing -999",
                 "Unnamed: 0: a saved index", "Inactive: 60, Active (positive): 30"):  # fmt: skip
        assert part in text


def test_gains_are_paired_by_seed_and_leave_out_undefined_tasks(whole):
    gains = read_run(whole[0]).gains(OURS, ALONE)
    assert set(gains) == {f"task_{t:02d}" for t in range(12)} - {"task_01"}
    rows = [line.split(",") for line in (whole[0] / "scores.csv").read_text().splitlines()]
    value = {tuple(row[:5]): row[5] for row in rows}
    expected = [
        float(value["task_03", OURS, str(seed), "test", "auc"])
        - float(value["task_03", ALONE, str(seed), "test", "auc"])
        for seed in range(3)
    ]
    assert gains["task_03"] == expected


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        ("run", {"steps": {"retrain": {"status": "running"}}}, "The step 'retrain' has not finished"),
        ("grouping", {"stability": 0.2}, "The groups change when half of the samples are left out (stability 0.20"),
        ("cluster", {"overlap": {"min": 0.1, "median": 0.5}}, "Some pairs of tasks share only 10 % of the samples"),
        ("cluster", {"prevalence_eta2": 0.8}, "The groups follow the share of positives of the tasks (eta² 0.80, 0.40"),
        ("scores", {"replication": {OURS: {"correlation": 0.05}}}, "hardly come back with the other half"),
        (
            "scores",
            {"comparisons": [{"method": OURS, "baseline": "nets/random-groups", "difference": 0.001, "p_holm": 0.6}]},
            "nets/grouped is not shown to be better than random groups of the same sizes (+0.001)",
        ),
    ],
)
def test_weaknesses_are_told_when_they_are_there_and_only_then(whole, tmp_path, kind, changes, sentence):
    assert sentence not in Page(whole[1]).text
    run = _copy(whole, tmp_path)
    _change(run, kind, **changes)
    assert sentence in Page(write_report(run).read_text(encoding="utf-8")).text


def test_weaknesses_of_the_data_are_told(whole):
    text = Page(whole[1]).text
    assert "1 task without a defined test score, left out of every mean (task_01)" in text
    assert "1 task with fewer than 20 positive test samples: their AUC is mostly luck (task_02)" in text
    assert "1 task could not be learned from" in text


def test_many_tasks_are_sampled_evenly_over_the_groups(tmp_path):
    run = write_synthetic_run(tmp_path / "run", tasks=130, n_samples=40, n_groups=5, upto="cluster")
    html = write_report(run).read_text(encoding="utf-8")
    assert "100 of them shown, evenly over the groups" in Page(html).text
    assert len(html) < 1_000_000


def test_report_imports_neither_torch_nor_sklearn_nor_pyplot(whole):
    code = (
        "import sys; from taskgroup import write_report; write_report(sys.argv[1]);"
        "print([m for m in ('torch', 'sklearn', 'pandas', 'matplotlib.pyplot') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code, str(whole[0])], capture_output=True, text=True, check=True)
    assert (out.stdout.strip(), out.stderr) == ("[]", "")
