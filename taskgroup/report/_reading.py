"""What a report says of how the table was read: parts, features, columns left out, what the classes of tasks mean."""

from __future__ import annotations

from typing import Any

from taskgroup.report._format import percent
from taskgroup.report._run import Run

__all__ = ["reading"]

_SHOWN = 200  # tasks in the table


def reading(run: Run) -> dict[str, Any] | None:
    """Return what was read and guessed, from run.json; None for runs that do not say."""
    record = (run.run or {}).get("reading")
    if not record:
        return None
    tasks = record.get("tasks", [])
    rows = [
        {
            "task": task["name"],
            "kind": task["kind"],
            "labelled": task["n_labelled"],
            "missing": percent(task["missing"]),
            "classes": ", ".join(_classes(task)),
        }
        for task in tasks[:_SHOWN]
    ]
    features = {kind: len(names) for kind, names in record.get("features", {}).items()}
    return {
        "rule": record.get("rule", ""),
        "features": ", ".join(f"{count:,} {kind}" for kind, count in features.items()),
        "holes": sum(record.get("holes", {}).values()),
        "ignored": [f"{row['name']}: {row['reason']}" for row in record.get("ignored", [])],
        "warnings": [
            f"{row['text']} ({row['option']})" if row["option"] else row["text"] for row in record.get("warnings", [])
        ],
        "rows": rows,
        "more": max(0, len(tasks) - _SHOWN),
    }


def _classes(task: dict[str, Any]) -> list[str]:
    """Return "name: count" of each class, the positive one marked."""
    positive = task.get("positive")
    return [
        f"{name}{' (positive)' if name == positive else ''}: {count:,}"
        for name, count in (task.get("counts") or {}).items()
    ]
