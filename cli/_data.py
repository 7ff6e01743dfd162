"""The data of a run: what the options say of it, and the table that comes of that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskgroup.exceptions import InvalidInputError

if TYPE_CHECKING:
    from taskgroup.data import TaskTable

__all__ = ["data_settings", "load_data"]


def data_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON-able description of a table from which it can be loaded again."""
    from taskgroup.data import BUNDLED

    same = (
        "hide_labels", "strict", "seed", "decimal", "id", "split", "group_split", "time_split", "weight", "deduplicate",
    )  # fmt: skip
    lists = ("targets", "ignore", "keep", "missing", "not_missing")
    files = {part: given[part] for part in ("valid", "test") if isinstance(given[part], str)}
    if given["train"] is not None or files:
        files = {"train": given["train"] or given["data"], **files}
        source: Any = {part: str(Path(name).resolve()) for part, name in files.items()}
    else:
        named = given["data"] in BUNDLED or not Path(given["data"]).exists()  # no path that a hint could not match
        source = given["data"] if named else str(Path(given["data"]).resolve())
    return {
        **{name: given[name] for name in same},
        **{name: list(given[name]) for name in lists},
        **{part: 0.2 if part in files else given[part] for part in ("valid", "test")},
        "source": source,
        "long": None if given["long"] is None else list(given["long"]),
        "kinds": dict(_pair("--kind", text) for text in given["kinds"]),
        "positive": dict(_pair("--positive", text) for text in given["positive"]),
    }


def load_data(settings: Mapping[str, Any]) -> tuple[TaskTable, dict[str, str]]:
    """Return the table described by ``settings`` without its unusable tasks, and the reasons they are left out."""
    from taskgroup.data import drop_degenerate, hide_labels, load_table

    same = (
        "targets", "ignore", "keep", "kinds", "positive", "missing", "not_missing", "decimal", "id", "split",
        "group_split", "time_split", "weight", "long", "deduplicate", "valid", "test",
    )  # fmt: skip
    options = {name: settings[name] for name in same if name in settings}
    table = load_table(settings["source"], random_state=settings["seed"], **options)
    if settings["hide_labels"]:
        table = hide_labels(table, settings["hide_labels"], settings["seed"])
    table, reasons = drop_degenerate(table)
    if reasons and settings["strict"]:
        name, reason = next(iter(reasons.items()))
        raise InvalidInputError(f"{table.name}: task {name!r} has {reason}; leave it out, or run without --strict.")
    return table, reasons


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not equals:
        raise InvalidInputError(f"{option} must look like NAME=VALUE; got {text!r}.")
    return name.strip("'\""), value
