"""Which columns are features: what is certainly none is left out and said, what is doubtful is warned about."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.data._cells import SENTINELS
from taskgroup.data._column import Column
from taskgroup.data._reading import Note

__all__ = [
    "DEFAULT_NAMES",
    "DEFAULT_TARGETS",
    "column_notes",
    "default_targets",
    "expand",
    "kin_notes",
    "looks_like_label",
    "no_feature",
]

DEFAULT_TARGETS = ("y_*", "target_*", "task_*", "label_*")
"""Globs that name target columns where none are given."""

DEFAULT_NAMES = ("y", "label", "target")
"""Single columns that are the target where no glob finds one, in any case of letters."""

_INDEX = re.compile(
    r"(unnamed: \d+(_level_\d+)?|__index_level_\d+__|index|level_\d+|row_?(number|names?|num|id)?|)\Z", re.I
)
_IDENTITY = re.compile(
    r"(.*[_\- .])?(id|ids|uuid|guid|identifiers?|smiles|inchi|inchikey|name|patient|subject|participant|person|donor|"
    r"animal|user|customer|client|household|family|scaffold)\Z",
    re.I,
)
_CAMEL = re.compile(r".*[a-z](Id|ID)\Z")
_ENUMERATED = re.compile(r"(.*?\D)[_\-. ]?\d+\Z")
_BEGINNING = re.compile(r"[^\W\d_]{2,}[_\-. ]")
_WEIGHT = re.compile(r"((sample|case|row|instance|observation)[_\- .]?weights?|weights|w)\Z", re.I)
_FEW_ROWS = 20  # below this many rows nothing is certain


def no_feature(column: Column, n_rows: int) -> str | None:
    """Return why a column is certainly no feature, or None.

    A saved index, an identifier (near-unique numbers or words under the name of one), near-unique words, dates, and
    constant columns are none.
    """
    if column.kind == "dates":
        return f"dates; --time-split {column.name!r} cuts the parts by them"
    present = ~column.missing
    if not present.any():
        return "empty"
    if column.numbers is not None:
        values = column.numbers
        if _constant(values):
            return "constant" + (" or missing" if not present.all() else "")
        if _INDEX.match(column.name) and _whole(values):
            return "a saved index"
    elif len(column.words) == 1 and present.all():
        return "constant"
    identity = bool(_IDENTITY.match(column.name) or _CAMEL.match(column.name))
    if column.kind == "words":
        n = len(column.words)
        if n > max(20, n_rows // 2):
            return f"{n:,} different words in {n_rows:,} rows: an identifier or free text"
        if identity and n > 20 and n > n_rows / 20:
            return _repeated(column.name, n, n_rows)
    elif identity and column.kind == "numbers" and _whole(column.numbers) and n_rows >= _FEW_ROWS:
        n = _n_different(column.numbers)
        if n > 0.95 * present.sum():
            return "an identifier: a different whole number in every row"
        if n > 20 and n > n_rows / 20:
            return _repeated(column.name, n, n_rows)
    return None


def _repeated(name: str, n: int, n_rows: int) -> str:
    return f"an identifier, {n:,} different in {n_rows:,} rows; --group-split {name!r} keeps equal ones in one part"


def looks_like_label(name: str, values: Column, targets: Mapping[str, Column]) -> str | None:
    """Return the target whose sibling a column is, or None.

    A sibling has a target's name with another number (``label_3`` beside ``label_0``), or one of the usual names of
    targets, and holds values of the same kind.
    """
    usual = name.split("_")[0].lower() if "_" in name else name.lower()
    if usual in ("y", "target", "task", "label", "labels", "targets") and values.kind != "dates":
        return next(iter(targets))
    stem = _ENUMERATED.match(name)
    for target, labels in targets.items():
        other = _ENUMERATED.match(target)
        if (
            stem
            and stem[1].rstrip("_-. ") in (target, other[1].rstrip("_-. ") if other else target)
            and _alike(values, labels)
        ):
            return target
    return None


def kin_notes(features: Mapping[str, Column], targets: Mapping[str, Column]) -> list[Note]:
    """Return a warning for features that share the beginning of a target's name and hold the same few values."""
    kin: dict[str, list[str]] = {}
    for target, labels in targets.items():
        match = _BEGINNING.match(target)
        begin = match[0].lower() if match else None
        for name, column in features.items() if begin else ():
            if name.lower().startswith(str(begin)) and column.kind != "dates" and _alike(column, labels):
                kin.setdefault(target, []).append(name)
    said: set[str] = set()
    notes = []
    for target, names in kin.items():
        new = [name for name in names if name not in said]
        said.update(new)
        if new:
            who = f"{new[0]!r} and {len(new) - 1} more are" if new[1:] else f"{new[0]!r} is"
            notes.append(Note(f"feature {who} named like target {target!r} and may not be known before the label is",
                              " ".join(f"--ignore {name!r}" for name in new[:5])))  # fmt: skip
    return notes


def column_notes(column: Column, n_rows: int) -> list[Note]:
    """Return warnings about a feature that may be none, or whose numbers may not mean what they say."""
    notes = list(column.notes)
    name = column.name
    values = column.numbers
    if column.kind != "numbers" or values is None:
        return notes
    if _WEIGHT.match(name) and np.nanmin(values) >= 0:
        notes.append(Note(f"feature {name!r} may hold the weights of the rows", f"--weight {name!r}"))
    if n_rows >= _FEW_ROWS and _progression(values):
        notes.append(Note(f"feature {name!r} counts the rows: it may be a row number", f"--ignore {name!r}"))
    low, high = np.nanmin(values), np.nanmax(values)
    notes += [
        Note(
            f"feature {name!r}: {value:g} stands in {count:,} rows and may mean 'missing'",
            f"--missing {name!r}={value:g}",
        )
        for value in SENTINELS
        if value in (low, high) and (count := int((values == value).sum())) > 1 and _stands_apart(values, value)
    ]
    if high - low > 0 and max(abs(low), abs(high)) / (high - low) > 1e5:
        notes.append(Note(f"feature {name!r} varies only in its last digits ({low:.10g} to {high:.10g}); subtract its "
                          "mean, for inputs have 7 digits"))  # fmt: skip
    return notes


def expand(globs: Iterable[str], names: Collection[str]) -> list[str]:
    """Return the names that names and globs stand for, in the order of ``names``."""
    from fnmatch import fnmatchcase

    wanted = list(globs)
    return [name for name in names if name in wanted or any(fnmatchcase(name, glob) for glob in wanted)]


def default_targets(names: Sequence[str]) -> list[str]:
    """Return the columns that are targets by their name, where none were given."""
    found = expand(DEFAULT_TARGETS, names)
    return found or [name for name in names if name.lower() in DEFAULT_NAMES][:1]


def _constant(values: NDArray[np.float64]) -> bool:
    head = values[:100]
    head = head[~np.isnan(head)]
    if len(head) and (head != head[0]).any():
        return False
    return bool(np.nanmin(values) == np.nanmax(values))


def _whole(values: NDArray[Any] | None) -> bool:
    if values is None:
        return False
    present = values[~np.isnan(values)]
    return bool(np.all(present == np.rint(present)))


def _n_different(values: NDArray[Any] | None) -> int:
    import pandas as pd

    found = pd.unique(values)
    return int((~np.isnan(found)).sum())


def _progression(values: NDArray[np.float64]) -> bool:
    """Return whether the numbers are start, start + 1, start + 2, ..., in any step."""
    step = values[1] - values[0]
    if not (step and values[2] - values[1] == step):  # decides nearly always
        return False
    return bool(np.all(np.diff(values) == step)) and float(step).is_integer()


def _stands_apart(values: NDArray[np.float64], sentinel: float) -> bool:
    rest = values[(values != sentinel) & ~np.isnan(values)]
    if not len(rest):
        return False
    low, high = np.percentile(rest, (1, 99))
    return bool(sentinel < low - (high - low) or sentinel > high + (high - low))


def _alike(a: Column, b: Column) -> bool:
    """Return whether two columns hold labels of one kind: words of one set, few numbers of one set, or quantities."""
    if (a.kind == "words") != (b.kind == "words"):
        return False
    if a.kind == "words":
        return bool(set(a.words) & set(b.words))
    few_a, few_b = _few(a.numbers), _few(b.numbers)
    if few_a is None or few_b is None:
        return few_a is None and few_b is None
    return few_a <= few_b or few_b <= few_a


def _few(values: NDArray[Any] | None) -> set[float] | None:
    import pandas as pd

    found = pd.unique(np.asarray(values)[:5000])
    found = found[~np.isnan(found)]
    return set(found.tolist()) if len(found) <= 20 else None
