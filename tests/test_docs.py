"""The documentation: its code runs, its commands exist, its links lead somewhere, its notebooks run."""

import importlib
import json
import re
import shlex
from pathlib import Path

import click
import pytest
import torch
from taskgroup_cli.main import taskgroup

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in [*PAGES, ROOT / "README.md"]}


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", [name for name in TEXTS if name != "README.md" and blocks(TEXTS[name], "python")])
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {"__name__": "docs"}
    for block in blocks(TEXTS[page], "python"):
        exec(compile(block, page, "exec"), names)
    assert capsys.readouterr().out


def commands():
    for page, text in TEXTS.items():
        for block in blocks(text, "sh"):
            for line in block.splitlines():
                for part in line.split("#")[0].split("&&"):
                    if part.strip().startswith("taskgroup "):
                        yield page, part.strip()


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_commands_of_the_pages_can_be_given(page, line, tmp_path, monkeypatch):
    """The command exists and takes these options and values; that it works is tested with its other tests."""
    monkeypatch.chdir(tmp_path)
    _, name, *words = shlex.split(line)
    command = taskgroup.get_command(click.Context(taskgroup), name)
    assert command is not None
    for word in words:
        if word.endswith((".csv", ".npz", ".xlsx")):
            Path(word).write_text("a,y_1\n1,0\n")
    command.make_context(name, list(words))


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page):
    here = (ROOT / page).parent
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(#[^)\s]*)?\)", TEXTS[page]):
        if target.startswith("http"):
            continue
        path = here / target if target else ROOT / page
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor[1:] in [re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads]


def test_every_page_is_in_the_site():
    listed = re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in PAGES)


def test_what_the_reference_names_exists():
    named = [name for text in TEXTS.values() for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]
    assert len(named) > 30
    for name in named:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("path", sorted((DOCS / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "notebook"}
    book = json.loads(path.read_text(encoding="utf-8"))
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
    assert "Serve all" in capsys.readouterr().out
