"""`taskgroup run`, defaults, on the 100 tasks of the bundled digits, in a process of its own: time and answer."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    tasks = ["--targets", "digit_*", "--targets", "attr_*"] if quick else []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from taskgroup_cli.main import main; main()", "run", "digits", *tasks,
                   "--out", folder, "--force", "--jobs", "2", "--json"]  # fmt: skip
        start, before = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
        out = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        wall, after = time.time() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        plan = json.loads((Path(folder) / "plan.json").read_text(encoding="utf-8"))
        n_tasks = len(json.loads((Path(folder) / "tasks.json").read_text(encoding="utf-8"))["tasks"])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answer = plan.get("answer", json.loads(out).get("plan", {}).get("answer", ""))
    return [{"tasks": n_tasks, "wall s": wall, "CPU s": cpu, "answer": _text(answer)}]


def _text(answer: Any) -> str:
    """Return the sentences of an answer in one line that a table can hold."""
    if isinstance(answer, dict):
        answer = answer.get("text") or " ".join(str(value) for value in answer.values() if isinstance(value, str))
    return " ".join(str(answer).split()).replace("|", "/")
