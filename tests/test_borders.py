"""Files of others, and run directories from elsewhere: read, or refused with the file, the place and the rule."""

import gzip
import io
import json
import logging
import shutil
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from _synthetic_run import write_synthetic_run
from rich.console import Console
from taskgroup_cli import _progress
from taskgroup_cli._output import Output
from taskgroup_cli.main import main

from taskgroup import Grouping, load_table, retrain
from taskgroup._documents import check_document
from taskgroup._memory import memory_limit
from taskgroup.data._arrow import check_arrow
from taskgroup.exceptions import ArtifactError, InvalidInputError
from taskgroup.experiment import Plan
from taskgroup.report import write_report


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setenv("TASKGROUP_MEMORY_LIMIT", "20 MB")


def test_the_limit_is_what_one_says_or_most_of_what_is_free(monkeypatch):
    for text, value in (("4GB", 4 * 10**9), ("1.5g", 1_500_000_000), ("200", 200), ("none", None)):
        monkeypatch.setenv("TASKGROUP_MEMORY_LIMIT", text)
        assert memory_limit() == value
    monkeypatch.setenv("TASKGROUP_MEMORY_LIMIT", "much")
    with pytest.raises(InvalidInputError, match="must be a size such as 4GB"):
        memory_limit()
    monkeypatch.delenv("TASKGROUP_MEMORY_LIMIT")
    assert memory_limit() > 0


def test_files_that_unpack_to_too_much_are_refused_before_they_do(little_memory, tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**5, 10**5)})
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("X.npy", header.getvalue())
    with gzip.open(tmp_path / "t.csv.gz", "wb", compresslevel=1) as handle:
        handle.write(b"a,b,y_1\n" + b"0,0,1\n" * 2_000_000)
    book = openpyxl.Workbook()
    book.active.append(["a", "y_1"])
    book.active.cell(1_048_576, 16_384, 1)
    book.save(tmp_path / "t.xlsx")
    zeros = pd.DataFrame({"a": np.zeros(4_000_000)})
    zeros.to_parquet(tmp_path / "t.parquet")
    zeros.to_feather(tmp_path / "t.feather", compression="zstd")
    (tmp_path / "t.svm").write_text("\n".join(f"{i % 2} 1:1 200000:1" for i in range(50)))
    attributes = "".join(f"@attribute a{i} numeric\n" for i in range(2000))
    (tmp_path / "t.arff").write_text(f"@relation x\n{attributes}@data\n" + "{1 1}\n" * 2000)
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(InvalidInputError, match=r"(?s)t\..*(MB may be used|memory that may be used)"):
            load_table(path, targets=["y_1"] if path.suffix == ".xlsx" else None)


@pytest.mark.parametrize("kind", ["zstd", "lz4", None, "stream"])
def test_arrow_files_say_what_they_take(kind, tmp_path, monkeypatch):
    frame = pd.DataFrame(
        {"a": np.zeros(5000), "b": np.arange(5000), "c": ["word"] * 5000, "d": pd.Categorical(["x"] * 5000)}
    )
    table, said = pa.Table.from_pandas(frame), []
    with (
        pa.ipc.new_stream(tmp_path / "t.arrow", table.schema)
        if kind == "stream"
        else pa.ipc.new_file(tmp_path / "t.arrow", table.schema, options=pa.ipc.IpcWriteOptions(compression=kind))
    ) as writer:
        writer.write_table(table, max_chunksize=999)
    monkeypatch.setattr("taskgroup.data._arrow.check_memory", lambda what, size: said.append((what, size)))
    check_arrow(tmp_path / "t.arrow")
    [(what, size)] = said
    assert what == "t.arrow: 5,000 rows of 4 columns"
    assert 2 * table.nbytes <= size < 2.2 * table.nbytes


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b'a,y_1\n"' + b"x" * 200_000),
        ("t.csv.gz", b"\x1f\x8b\x08\x00aaaaaaaaaaaaaaaaaaaa"),
        ("t.csv", bytes(range(256)) * 4),
        ("t.json", b"[" * 100_000),
        ("t.jsonl", b'{"a": 1, "y_1": ' + b"9" * 5000 + b"}\n" * 3),
        ("t.arff", b"@relation x\n@attribute a {\n@data\n"),
        ("t.parquet", b"PAR1" + b"\0" * 40 + b"PAR1"),
        ("t.feather", b"ARROW1\0\0" + b"\xff" * 60 + b"ARROW1"),
        ("t.xlsx", b"PK\x03\x04" + b"\0" * 100),
        ("t.npz", b"PK\x05\x06" + b"\0" * 18),
        ("t.svm", b"1 1:x\n0 2:\n"),
    ],
)
def test_damaged_files_are_refused_by_name(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match=name):
        load_table(tmp_path / name, targets=["y_1"])


def test_documents_are_checked_in_one_place():
    check_document("plan.json", "tuning", {"chosen": {"a": {}}, "more": 1})
    for document, place in (
        ({}, "it has no `chosen`"),
        ({"chosen": []}, "`chosen` must be an object"),
        ({"chosen": {"a": 3}}, "`chosen.a` must be an object; got 3"),
    ):
        with pytest.raises(ArtifactError, match=f"^t.json: {place}"):
            check_document("t.json", "tuning", document)
    task = {"name": "a", "kind": "binary"}
    good = {"tasks": [task], "membership": [[1]], "isolated": [], "stability": None, "selection": [], "info": {},
            "groups": [["a"]]}  # fmt: skip
    check_document("g.json", "grouping", good)
    with pytest.raises(ArtifactError, match=r"`membership\[0\]\[0\]` must be a number; got True"):
        check_document("g.json", "grouping", {**good, "membership": [[True]]})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run directory with models, and its table."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 4)).astype(np.float32)
    path = tmp_path_factory.mktemp("finished")
    np.savez(path / "t.npz", X=X, Y=(X[:, :3] + rng.normal(size=(90, 3)) > 0).astype(int))
    table = load_table(path / "t.npz")
    grouping = Grouping.from_labels(table.tasks, [0, 0, 1])
    retrain(table, grouping, learners=["linear"], arms=["per-task", "all-in-one"], folds=2, out=path / "run")
    return path / "run", X


def _changed(finished, tmp_path, name, change):
    run = shutil.copytree(finished, tmp_path / "run")
    document = json.loads((run / name).read_text())
    change(document)
    (run / name).write_text(json.dumps(document))
    return run


def test_a_plan_that_does_not_fit_its_models_is_refused(finished, tmp_path):
    run, X = finished
    assert Plan.load(run).predict(X).shape == (90, 3)

    def without_task(document):
        del document["tasks"]["task_1"]

    def elsewhere(document):
        for rows in document["methods"].values():
            rows[0]["path"] = "../../models"

    def half(document):
        for rows in document["methods"].values():
            rows[0]["weights"] = dict.fromkeys(rows[0]["weights"], 0.25)

    def negative(document):
        document["tasks"]["task_0"]["weights"] = {"linear/per-task": 2.0, "linear/all-in-one": -1.0}

    for number, (name, change, message) in enumerate(
        [
            ("plan.json", without_task, "hold different tasks"),
            ("plan.json", negative, "must|no models"),
            ("models/serving.json", elsewhere, "not in the run directory"),
            ("models/serving.json", half, "must sum to 1"),
            ("models/serving.json", lambda document: document["files"].clear(), "is not the file that"),
        ]
    ):
        with pytest.raises(ArtifactError, match=message):
            Plan.load(_changed(run, tmp_path / str(number), name, change))
    other = shutil.copytree(run, tmp_path / "other")
    for path in (other / "models").rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ArtifactError, match="is not the file that"):
        Plan.load(other)


def test_a_report_on_odd_documents_names_them(tmp_path):
    whole = write_synthetic_run(tmp_path / "whole", tasks=6, n_groups=2)
    for number, (name, change, message) in enumerate(
        [
            ("run.json", lambda d: d.update(steps=[]), r"run.json: `steps` must be an object"),
            ("scores.json", lambda d: d.pop("summary"), r"scores.json: it has no `summary`"),
            ("plan.json", lambda d: d["answer"].update(lines=3), r"plan.json: `answer.lines` must be a list"),
            ("grouping.json", lambda d: d.update(membership=[[1.0]]), r"grouping.json: .*must have shape"),
        ]
    ):
        with pytest.raises(ArtifactError, match=message):
            write_report(_changed(whole, tmp_path / str(number), name, change))


def test_control_characters_in_names_are_shown_not_obeyed(tmp_path, capsys):
    evil = "\x1b[31m<b>\x07\x9b2J\u202eesrever[bold]"
    output = Output()
    output.table(evil, (evil, "n"), [(evil, 1)])
    output.line(evil)
    output.note(evil)
    output.result({"name": evil}, lambda: output.line(evil))
    said = capsys.readouterr()
    run = write_synthetic_run(tmp_path / "run", tasks=[evil, "b", "c", "d"], n_groups=2)
    page = write_report(run).read_text()
    svg = "".join(path.read_text() for path in (run / "figures").glob("*.svg"))
    for text in (said.out, said.err, page, svg):
        assert not set("\x1b\x07\x9b\u202e") & set(text)
    assert r"\x1b[31m<b>\x07\x9b2J\u202eesrever[bold]" in said.out.replace("\n", "")
    assert r"\x1b[31m&lt;b&gt;" in page


def test_bars_logs_and_usage_show_control_characters_and_do_not_obey_them(capsys, tmp_path):
    evil = "\x1b[2J\x07\x9b1m\u202e[/bold]"
    screen = io.StringIO()
    with _progress.bars(Console(file=screen, force_terminal=True, width=120), "retrain") as progress:
        progress(evil, 1, 2)
    assert r"\x1b[2J\x07\x9b1m\u202e[/bold]" in screen.getvalue()
    assert not set("\x07\x9b\u202e") & set(screen.getvalue())  # rich itself writes escapes
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers.clear()
    try:
        Output()
        try:
            raise ValueError(evil)
        except ValueError:
            logging.getLogger("taskgroup").exception("of %s", evil)
    finally:
        root.handlers[:], root.level = before
    for arguments in (["profile", evil], ["cluster", "--method", evil], ["nothing", evil], ["x" + evil, "--json"]):
        with pytest.raises(SystemExit):
            main(arguments)
    with pytest.raises(SystemExit):
        main(["profile", evil, "--debug", "--json"])
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert r"\u202e" in text
        assert not set("\x1b\x07\x9b\u202e") & set(text)
