"""How a table was read: every guess, in one record that is printed, kept in ``run.json`` and asserted in tests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskgroup._display import brief

__all__ = ["Ignored", "Note", "Reading", "TargetReading"]

_SHOWN = 12  # tasks, ignored columns and warnings that a short description lists one by one


@dataclass(frozen=True)
class Note:
    """One doubtful guess.

    Parameters
    ----------
    text : str
        What was guessed, and from what.
    option : str
        What to add to the command line to have it otherwise; empty when nothing can be changed by an option.
    """

    text: str
    option: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.option})" if self.option else self.text


@dataclass(frozen=True)
class Ignored:
    """A column that is neither feature nor target, and why; ``--keep NAME`` makes it a feature."""

    name: str
    reason: str


@brief
@dataclass(frozen=True)
class TargetReading:
    """How the labels of one task were read.

    Parameters
    ----------
    name, kind : str
        The task.
    n_labelled : int
        Rows with a label.
    missing : float
        Share of rows without one.
    counts : dict of str to int
        Rows of every class, in the order of the codes 0, 1, ...; empty for regression.
    positive : str or None
        What the positive class of a binary task is called in the data.
    spread : tuple of float
        Least, mean and greatest value of a regression target.
    """

    name: str
    kind: str
    n_labelled: int
    missing: float
    counts: Mapping[str, int] = field(default_factory=dict)
    positive: str | None = None
    spread: tuple[float, ...] = ()

    def describe(self) -> str:
        """Return one line about the task."""
        if self.kind == "binary":
            share = self.counts.get(self.positive or "", 0) / max(self.n_labelled, 1)
            codes = ", ".join(f"{c} = {name}" for c, name in enumerate(self.counts) if name != str(c))
            what = f"binary, {share:.1%} positive" + (f" ({codes})" if codes else "")
        elif self.kind == "multiclass":
            sizes = ", ".join(f"{name} {count:,}" for name, count in list(self.counts.items())[:6])
            what = f"{len(self.counts)} classes: {sizes}{', ...' if len(self.counts) > 6 else ''}"
        else:
            least, mean, most = self.spread or (float("nan"),) * 3
            what = f"regression, {least:.4g} to {most:.4g}, mean {mean:.4g}"
        return f"{what}; {self.n_labelled:,} labelled, {self.missing:.1%} missing"


@brief
@dataclass(frozen=True)
class Reading:
    """What was read of a table, and what was guessed.

    Parameters
    ----------
    source : str
        Name of the file or table.
    n_rows : int
        Rows that were kept.
    parts : dict of str to int
        Rows of train, valid and test.
    rule : str
        How rows came into parts.
    features : dict of str to tuple of str
        Feature names by type: "numbers", "bits" (only 0 and 1), "words".
    holes : dict of str to int
        Missing cells of the features that have any.
    ignored : tuple of Ignored
        Columns that are neither feature nor target.
    targets : tuple of TargetReading
        One for every task.
    roles : dict of str to str
        Columns with another use: {"id": name, "split": name, "weight": name, ...}.
    notes : tuple of Note
        Warnings.
    """

    source: str
    n_rows: int
    parts: Mapping[str, int]
    rule: str
    features: Mapping[str, tuple[str, ...]]
    targets: tuple[TargetReading, ...]
    holes: Mapping[str, int] = field(default_factory=dict)
    ignored: tuple[Ignored, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a JSON-able dictionary."""
        return {
            "source": self.source,
            "n_rows": self.n_rows,
            "parts": dict(self.parts),
            "rule": self.rule,
            "features": {kind: list(names) for kind, names in self.features.items()},
            "holes": dict(self.holes),
            "ignored": [{"name": one.name, "reason": one.reason} for one in self.ignored],
            "roles": dict(self.roles),
            "tasks": [_target_dict(one) for one in self.targets],
            "warnings": [{"text": note.text, "option": note.option} for note in self.notes],
        }

    def lines(self, *, full: bool = False) -> list[str]:
        """Return the record as lines of text, long lists cut short unless ``full``."""
        limit = None if full else _SHOWN
        n_features = sum(map(len, self.features.values()))
        parts = ", ".join(f"{count:,} {part}" for part, count in self.parts.items())
        lines = [
            f"{self.source}: {self.n_rows:,} rows, {n_features:,} features, {len(self.targets):,} tasks",
            f"parts: {parts}; {self.rule}",
            "features: " + "; ".join(f"{len(n):,} {kind} ({_few(n)})" for kind, n in self.features.items() if n),
        ]
        if self.holes:
            worst = sorted(self.holes, key=lambda name: -self.holes[name])
            lines.append(
                f"holes: {sum(self.holes.values()):,} missing cells in {len(self.holes):,} features, filled from the "
                f"training rows ({_few(worst)})"
            )
        lines += [f"{role}: {name!r}" for role, name in self.roles.items()]
        lines += _cut([f"ignored: {one.name!r}, {one.reason}" for one in self.ignored], limit, "ignored columns")
        lines += _cut([f"task {one.name!r}: {one.describe()}" for one in self.targets], limit, "tasks")
        notes = list(map(str, self.notes)) if full else _said_once(self.notes)
        return lines + _cut([f"warning: {note}" for note in notes], limit, "warnings")


def _target_dict(one: TargetReading) -> dict[str, Any]:
    return {
        "name": one.name, "kind": one.kind, "n_labelled": one.n_labelled, "missing": one.missing,
        "counts": dict(one.counts), "positive": one.positive, "spread": list(one.spread),
        "codes": {name: code for code, name in enumerate(one.counts)},
    }  # fmt: skip


def _said_once(notes: Sequence[Note]) -> list[str]:
    """Return the notes in words; what is guessed of several tasks for the same reason is said once.

    >>> _said_once([Note("task 'a': odd", "--keep a"), Note("task 'b': odd", "--keep b"), Note("task 'c': even")])
    ['2 tasks (a, b): odd (--keep a, ...)', "task 'c': even"]
    """
    alike: dict[str, list[tuple[str, Note]]] = {}
    for note in notes:
        name = re.match(r"task '(.*?)': ", note.text)
        alike.setdefault(note.text[name.end() :] if name else note.text, []).append((name[1] if name else "", note))
    lines = []
    for text, found in alike.items():
        if len(found) == 1:
            lines.append(str(found[0][1]))
            continue
        option = f" ({found[0][1].option}, ...)" if found[0][1].option else ""
        lines.append(f"{len(found)} tasks ({_few([name for name, _ in found])}): {text}{option}")
    return lines


def _few(names: Sequence[str], n: int = 4) -> str:
    return ", ".join(names[:n]) + (", ..." if len(names) > n else "")


def _cut(lines: list[str], limit: int | None, what: str) -> list[str]:
    if limit is None or len(lines) <= limit:
        return lines
    return [*lines[:limit], f"... and {len(lines) - limit:,} more {what}: see `taskgroup check`"]
