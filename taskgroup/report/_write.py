"""The report: one HTML file that needs nothing else, in the order in which a person decides."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from taskgroup._artifact import artefact, write_text
from taskgroup._display import printable
from taskgroup._lock import writing
from taskgroup._validation import check_type
from taskgroup.report import _judgement, _structure
from taskgroup.report._caveats import caveats
from taskgroup.report._figures import Figures
from taskgroup.report._format import FILTERS, percent, seconds
from taskgroup.report._gain import measured_gain
from taskgroup.report._model_card import model_card
from taskgroup.report._reading import reading
from taskgroup.report._run import Run, read_run

__all__ = ["write_report"]


def write_report(run_dir: str | os.PathLike[str]) -> Path:
    """Write ``report.html``, ``model_card.md`` and ``figures/`` into a run directory and return the path of the page.

    The page says what the artefacts that are there allow; a section whose artefacts are missing names the command that
    makes them. It loads nothing from elsewhere, and the same artefacts give the same bytes.

    Parameters
    ----------
    run_dir : path
        A directory written by ``taskgroup run`` or by any of its steps.

    Raises
    ------
    ArtifactError
        When the directory is missing or holds no artefact, or an artefact is damaged or of another version.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from taskgroup import Grouping, TaskTable, retrain
    >>> X = np.random.default_rng(0).normal(size=(90, 3))
    >>> table = TaskTable.from_arrays(X, X > 0, ["a", "b", "c"])
    >>> grouping = Grouping.from_labels(table.tasks, [0, 0, 1])
    >>> run = tempfile.TemporaryDirectory()
    >>> _ = retrain(table, grouping, learners="linear", folds=2, out=run.name)
    >>> write_report(run.name).name
    'report.html'
    >>> run.cleanup()
    """
    check_type("run_dir", run_dir, (str, os.PathLike), "Pass the run directory, or call the result's `report()`.")
    run = read_run(run_dir)
    page = run.path / "report.html"
    with artefact(run.path), writing(run.path):
        write_text(page, printable(_render(run, Figures(run.path / "figures"))))
        write_text(run.path / "model_card.md", printable(model_card(run)))
    return page


def _render(run: Run, figures: Figures) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("taskgroup.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    environment.filters.update(FILTERS)
    script = environment.get_template("script.html").render()
    sections = {
        "plan": _judgement.plan(run),
        "scorecard": _judgement.scorecard(run, figures),
        "cost": _judgement.quality_and_cost(run, figures),
        "comparisons": _judgement.comparisons(run),
        "gains": _judgement.gains(run, figures),
        "calibration": _judgement.calibration(run, figures),
        "groups": _structure.groups(run, figures),
        "gain": measured_gain(run, figures),
        "similarity": _structure.similarity(run, figures),
        "tree": _structure.tree(run, figures),
        "graph": _structure.task_relations(run, figures),
        "maps": _structure.data_maps(run, figures),
    }
    missing: dict[str, list[str]] = {}  # command -> sections that it makes
    for section in sections.values():
        if "missing" in section:
            missing.setdefault(section["missing"]["command"], []).append(section["missing"]["what"])
    return environment.get_template("report.html").render(
        title=run.title,
        facts=_facts(run),
        verdict=_judgement.verdict(run),
        sections={name: section for name, section in sections.items() if section and "missing" not in section},
        missing=missing,
        left_out=(run.tasks or {}).get("left_out") or {},
        caveats=caveats(run),
        reading=reading(run),
        script=Markup(script),  # our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _facts(run: Run) -> dict[str, Any]:
    """Return what the run was, in the order of the page's last table; unknown facts are left out."""
    about, tasks = run.run or {}, run.tasks or {}
    command = about.get("command")
    facts = {
        "Command": " ".join(map(str, command)) if isinstance(command, list) else command,
        "Data": run.source,
        "SHA-256 of the data": (about.get("inputs") or {}).get("sha256"),
        "Tasks": len(run.task_set) if run.task_set else None,
        "Rows": ", ".join(f"{count:,} {part}" for part, count in (tasks.get("n_rows") or {}).items()),
        "Features": tasks.get("n_features"),
        "Missing labels": percent(tasks["missing_labels"]) if tasks.get("missing_labels") else None,
        "Seed": about.get("seed"),
        "Started": about.get("started"),
    }
    for name, step in (about.get("steps") or {}).items():
        if name != "report":  # it may be running now; the page does not depend on when it is written
            settings = [f"{key} {value}" for key, value in (step.get("settings") or {}).items() if value is not None]
            facts[f"Step {name}"] = ", ".join([seconds(step.get("seconds")), *settings])
    facts["Versions"] = ", ".join(f"{name} {version}" for name, version in (about.get("versions") or {}).items())
    return {name: value for name, value in facts.items() if value not in (None, "")}
