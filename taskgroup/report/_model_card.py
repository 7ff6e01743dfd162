"""A card of the models: what they are, what they were made from, how well they answer, and what to hold against them.

The headings are those of Mitchell et al., Model Cards for Model Reporting (arXiv 1810.03993), as far as a run can say
something under them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from taskgroup.report._caveats import caveats
from taskgroup.report._format import amount, interval, number, percent, plural
from taskgroup.report._reading import reading
from taskgroup.report._run import Run
from taskgroup.scoring import describe

__all__ = ["model_card"]

_ROWS = 200  # tasks in the table of scores


def model_card(run: Run) -> str:
    """Return the card as markdown; what the run has not come to yet is left out."""
    parts = [_heading(run), _details(run), _use(run), _data(run), _scores(run), _caveats(run)]
    return "\n".join(line for part in parts for line in part) + "\n"


def _heading(run: Run) -> Iterator[str]:
    yield f"# Model card: {_plain(run.title)}\n"
    if run.plan is None:
        yield "No plan yet: the models have not been trained. Make them with `taskgroup retrain`.\n"
        return
    yield f"{_plain(run.plan['answer']['headline'])}\n"
    yield from (f"- {_plain(line)}" for line in run.plan["answer"]["lines"])
    yield ""


def _details(run: Run) -> Iterator[str]:
    yield "## Model details\n"
    about = run.run or {}
    for name, weight in ((run.plan or {}).get("common") or {}).items():
        text = describe(name)
        yield f"- `{name}`, weight {percent(weight)}" + (f": {_plain(text)}" if text else "")
    if run.plan is not None and run.plan.get("n_models"):
        yield f"- {plural(run.plan['n_models'], 'model')} in all"
    if about.get("versions"):
        yield "- made with " + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    if about.get("started"):
        yield f"- trained on {str(about['started'])[:10]}, seed {about.get('seed')}"
    yield ""


def _use(run: Run) -> Iterator[str]:
    yield "## Use\n"
    tasks = run.task_set
    yield f"To predict {plural(len(tasks), 'task') if tasks else 'the tasks'} for rows of the same columns:\n"
    yield f"```sh\ntaskgroup predict {shlex.quote(str(run.path))} new.csv --output predictions.csv\n```\n"
    yield "The models know nothing but the columns they were trained on; rows from elsewhere are answered all the same."
    yield ""


def _data(run: Run) -> Iterator[str]:
    yield "## Data\n"
    rows = (run.tasks or {}).get("n_rows") or {}
    said = reading(run)
    if run.source:
        yield f"- `{run.source}`"
    if rows:
        yield "- rows: " + ", ".join(f"{count:,} {part}" for part, count in rows.items())
    if said:
        yield f"- {_plain(said['features'])}"
        yield f"- parts {_plain(said['rule'])}"
        yield from (f"- {_plain(line)}" for line in said["warnings"])
    yield ""


def _scores(run: Run) -> Iterator[str]:
    if run.plan is None:
        return
    yield "## Scores\n"
    test = run.plan["test"]
    mean = f"{number(test['mean'])} {interval(test['ci95'])}".strip()
    yield f"Mean over the tasks on test rows: {mean}. Test rows took part in no choice.\n"
    metric = (run.scores or {}).get("main_metric", {})
    yield "| task | metric | test | one model for all | a model per task | positive from |\n|---|---|---|---|---|---|"
    entries: Mapping[str, Any] = run.plan["tasks"]
    for name, row in list(entries.items())[:_ROWS]:
        cells = [number(row.get(key)) for key in ("test", "together_test", "alone_test")]
        cut = row.get("threshold")
        positive = f"{row['classes'][1]}: " if cut is not None and row.get("classes") else ""
        threshold = "" if cut is None else f"{_plain(positive)}p ≥ {cut:.3f}"
        yield f"| {_plain(name)} | {metric.get(name, '')} | {' | '.join(cells)} | {threshold} |"
    if len(entries) > _ROWS:
        yield f"\nand {amount(len(entries) - _ROWS)} more in `plan.json`."
    yield ""


def _caveats(run: Run) -> Iterator[str]:
    yield "## What to hold against them\n"
    found = caveats(run)
    yield from (f"- {_plain(line)}" for line in found)
    if not found:
        yield "None of the known weaknesses was found; who is affected by the answers, this file cannot know."
    yield ""


def _plain(text: str) -> str:
    """Return text that markdown does not read as anything but text."""
    one_line = " ".join(str(text).split())
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|" else char for char in one_line)
