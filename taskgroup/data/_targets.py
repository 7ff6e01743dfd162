"""What a label column means: its kind of task, its classes, which of two is the positive one, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from taskgroup._validation import did_you_mean
from taskgroup.data._cells import SENTINELS
from taskgroup.data._classes import one_spelling, oriented, undecided
from taskgroup.data._column import Column
from taskgroup.data._reading import Note, TargetReading
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import Kind, Task

__all__ = ["MAX_CLASSES", "Target", "minus_one_is_missing", "read_target"]

MAX_CLASSES = 50
"""Different words or whole numbers of a label column up to which it is a classification."""


class _Codes(NamedTuple):
    values: NDArray[np.float64]  # (n,), NaN where missing
    kind: Kind
    classes: tuple[str, ...]  # what codes 0, 1, ... are called in the data; empty for regression
    notes: list[Note]


@dataclass(frozen=True, eq=False)
class Target:
    """A label column as a task.

    Parameters
    ----------
    task : Task
        With the class names, where they are more than the codes.
    values : ndarray of float64 of shape (n,)
        0/1, class codes or numbers; NaN where missing.
    notes : list of Note
        What was guessed.
    classes : tuple of str
        What the codes are called in the data.
    """

    task: Task
    values: NDArray[np.float64]
    notes: list[Note]
    classes: tuple[str, ...]

    def reading(self, values: NDArray[Any]) -> TargetReading:
        """Return the record of the task over the rows that were kept."""
        labels = values[~np.isnan(values)]
        missing = 1 - len(labels) / max(len(values), 1)
        if self.task.kind == "regression":
            spread = (float(labels.min()), float(labels.mean()), float(labels.max())) if len(labels) else ()
            return TargetReading(self.task.name, "regression", len(labels), missing, spread=spread)
        sizes = np.bincount(labels.astype(int), minlength=len(self.classes))
        counts = {name: int(size) for name, size in zip(self.classes, sizes, strict=True)}
        positive = self.classes[1] if self.task.kind == "binary" else None
        return TargetReading(self.task.name, self.task.kind, len(labels), missing, counts, positive)


def minus_one_is_missing(columns: Sequence[Column]) -> bool:
    """Return whether -1 stands for "not labelled" among columns of 0 and 1: where one of them holds 0 beside it."""
    for column in columns:
        if column.numbers is None or not (column.numbers == -1).any():
            continue
        found = _few(column.numbers)
        if found is not None and {-1.0, 0.0} <= set(found) <= {-1.0, 0.0, 1.0}:
            return True
    return False


def read_target(
    where: str,
    column: Column,
    kind: str | None = None,
    positive: str | None = None,
    *,
    signed_missing: bool = False,
    documented: bool = False,
    named: Sequence[str] | None = None,
    family: str | None = None,
) -> Target:
    """Return the task in a label column.

    Parameters
    ----------
    where : str
        File name, for messages.
    column : Column
        The labels.
    kind : {"binary", "multiclass", "regression"}, optional
        As asked for; guessed when left out.
    positive : str, optional
        The positive class of a binary task, as written in the data.
    signed_missing : bool
        Whether -1 among 0 and 1 means "not labelled" in this table, see :func:`minus_one_is_missing`.
    documented : bool
        Whether the layout itself says that -1 means "not labelled", as our npz does.
    named : sequence of str, optional
        Class names that the file gives to codes 0, 1, ...
    family : str, optional
        Known family of the task.

    Raises
    ------
    InvalidInputError
        When the labels cannot be of the kind asked for, or the positive class is none of theirs.
    """
    if kind not in (None, "binary", "multiclass", "regression"):
        raise InvalidInputError(
            f"{where}: the kind of target {column.name!r} must be binary, multiclass or regression; got {kind!r}."
            f"{did_you_mean(str(kind), ['binary', 'multiclass', 'regression'])}"
        )
    if column.kind == "dates":
        raise InvalidInputError(f"{where}: target {column.name!r} holds dates; leave it out, or turn it into numbers.")
    if column.kind == "words":
        found = _from_words(where, column, kind)
    else:
        found = _from_numbers(where, column, kind, signed_missing, documented, named)
    values, task_kind, classes, notes = found
    if task_kind == "binary":
        values, classes, extra = oriented(where, column.name, values, classes, positive)
        notes = notes + extra
    elif positive is not None:
        raise InvalidInputError(
            f"{where}: --positive is for binary tasks; {column.name!r} is read as {task_kind}"
            + (f" with the classes {', '.join(classes[:6])}." if classes else ".")
        )
    for word, count in column.guessed_missing:
        notes.append(Note(f"task {column.name!r}: {word!r} is read as a missing label in {count:,} rows",
                          f"--not-missing {word!r}"))  # fmt: skip
    plain = classes == tuple(map(str, range(len(classes))))
    task = Task(
        column.name, task_kind, len(classes) if task_kind == "multiclass" else None, family,
        classes=None if plain or task_kind == "regression" else classes,
    )  # fmt: skip
    return Target(task, values, [*column.notes, *notes], classes)


def _from_words(where: str, column: Column, kind: str | None) -> _Codes:
    name = column.name
    if kind == "regression":
        raise InvalidInputError(
            f"{where}: target {name!r} holds words such as {column.words[0]!r}; it cannot be a regression task."
        )
    codes = np.asarray(column.codes)
    words, to_code, notes = one_spelling(name, column.words, np.bincount(codes[codes >= 0]))
    if len(words) > MAX_CLASSES and kind != "multiclass":
        raise InvalidInputError(
            f"{where}: target {name!r} holds {len(words)} different words; at most {MAX_CLASSES} are read as classes. "
            f"Leave it out of --targets, or say --kind {name!r}=multiclass."
        )
    if kind == "binary" and len(words) > 2:
        raise InvalidInputError(
            f"{where}: target {name!r} holds {len(words)} different words ({', '.join(words[:6])}); a binary task has "
            f"two. Read those that are no class as missing with --missing WORD."
        )
    values = np.append(to_code.astype(np.float64), np.nan)[codes]
    if kind == "multiclass" or len(words) > 2:
        if len(words) == 3 and (between := [word for word in words if undecided(word)]):
            notes.append(
                Note(f"task {name!r}: {between[0]!r} is read as a class of its own", f"--missing {between[0]!r}")
            )
        return _Codes(values, "multiclass", words if len(words) > 1 else (*words, f"not {words[0]}"), notes)
    return _Codes(values, "binary", words, notes)


def _from_numbers(
    where: str, column: Column, kind: str | None, signed_missing: bool, documented: bool, named: Sequence[str] | None
) -> _Codes:
    name, numbers, notes = column.name, np.asarray(column.numbers), list[Note]()
    infinite = np.isinf(numbers)
    if infinite.any():
        raise InvalidInputError(
            f"{where}: target {name!r} is infinite in {int(infinite.sum())} rows, the first being row "
            f"{int(infinite.argmax())}; labels must be finite or missing."
        )
    few = _few(numbers)
    if kind == "regression" or (kind is None and few is None):
        return _Codes(numbers, "regression", (), _sentinel_notes(name, numbers))
    found = _different(numbers) if few is None else few
    values, kept = _without_sentinels(name, numbers, found, notes)
    present = set(kept)
    gone = False
    if -1.0 in present and (len(present) > 1 or documented or signed_missing):
        gone = _minus_one(name, present, kind, signed_missing, documented, notes)
    if gone:
        values = np.where(values == -1, np.nan, values)
        kept = kept[kept != -1]
    whole = bool(np.all(kept == np.rint(kept)))
    n_classes = len(kept)
    if named is not None and whole and (not n_classes or (kept.min() >= 0 and kept.max() < len(named))):
        classes = tuple(named)
        return _Codes(values, "binary" if len(classes) == 2 and kind is None else "multiclass", classes, notes)
    if kind == "binary" or (kind is None and n_classes <= 2 and not (n_classes == 2 and not whole)):
        return _two_classes(where, column, values, kept, notes)
    if kind == "multiclass":
        if n_classes > MAX_CLASSES and not whole:
            raise InvalidInputError(
                f"{where}: target {name!r} holds {n_classes} different numbers such as {kept[0]:g}; they cannot be "
                f"classes. Say --kind {name!r}=regression."
            )
        return _many_classes(values, kept, notes)
    first = int(kept[0]) if n_classes and whole else -1
    if (
        whole
        and n_classes <= MAX_CLASSES
        and first in (0, 1, -1)
        and np.array_equal(kept, np.arange(n_classes) + first)
    ):
        if n_classes > 20:
            notes.append(
                Note(f"task {name!r}: {n_classes} whole numbers are read as classes", f"--kind {name!r}=regression")
            )
        return _many_classes(values, kept, notes)
    if whole and n_classes == 3 and kept[1] - kept[0] == 1 and first in (0, 1):
        notes.append(Note(f"task {name!r}: {kept[0]:g}, {kept[1]:g} and {kept[2]:g} are read as quantities; "
                          f"{kept[2]:g} may mean 'missing'", f"--missing {name!r}={kept[2]:g}"))  # fmt: skip
    elif whole and n_classes <= 10:
        notes.append(Note(f"task {name!r}: the {n_classes} different whole numbers are read as quantities",
                          f"--kind {name!r}=multiclass"))  # fmt: skip
    elif n_classes == 2:
        notes.append(Note(f"task {name!r}: two different numbers are read as quantities", f"--kind {name!r}=binary"))
    return _Codes(numbers, "regression", (), _sentinel_notes(name, numbers) + notes)


def _minus_one(
    name: str, present: set[float], kind: str | None, signed_missing: bool, documented: bool, notes: list[Note]
) -> bool:
    """Return whether -1 means "not labelled"; say so where it is a guess."""
    others = present - {-1.0}
    if not all(value >= 0 and value == int(value) for value in others):
        return False
    if kind == "multiclass" and (others <= {0.0, 1.0} or not documented):
        if not documented and not others <= {0.0, 1.0}:
            notes.append(Note(f"task {name!r}: -1 is read as a class of its own", "--missing -1"))
        return False
    if others == {1.0} and not signed_missing:
        notes.append(Note(f"task {name!r}: -1 and 1 are read as the two classes", "--missing -1"))
        return False
    if not documented:
        notes.append(Note(f"task {name!r}: -1 is read as a missing label", f"--kind {name!r}=multiclass"))
    return True


def _two_classes(
    where: str, column: Column, values: NDArray[np.float64], kept: NDArray[Any], notes: list[Note]
) -> _Codes:
    name = column.name
    if len(kept) > 2:
        raise InvalidInputError(
            f"{where}: target {name!r} holds {len(kept)} different values ({', '.join(f'{v:g}' for v in kept[:5])}, "
            f"...); a binary task has two. Read those that are no class as missing with --missing VALUE, or say "
            f"--kind {name!r}=multiclass or regression."
        )
    if set(kept) <= {0.0, 1.0}:
        return _Codes(values, "binary", ("0", "1"), notes)
    if len(kept) == 1:
        pair = [float(kept[0]) - 1, float(kept[0])]  # one class only: nothing can be learned, but it is read
    else:
        pair = [float(kept[0]), float(kept[1])]
        if pair != [-1.0, 1.0]:
            text = f"task {name!r}: of {pair[0]:g} and {pair[1]:g}, {pair[1]:g} is read as the positive class"
            notes.append(Note(text, f"--positive {name!r}={pair[0]:g}"))
    codes = np.where(np.isnan(values), np.nan, (values == pair[1]).astype(np.float64))
    return _Codes(codes, "binary", (f"{pair[0]:g}", f"{pair[1]:g}"), notes)


def _many_classes(values: NDArray[np.float64], kept: NDArray[Any], notes: list[Note]) -> _Codes:
    if np.array_equal(kept, np.arange(len(kept))):
        return _Codes(values, "multiclass", tuple(map(str, range(max(len(kept), 2)))), notes)
    codes = np.searchsorted(kept, values).astype(np.float64)
    codes[np.isnan(values)] = np.nan
    names = [f"{value:g}" for value in kept]
    while len(names) < 2:
        names.append(f"not {names[0]}" if names else str(len(names)))
    return _Codes(codes, "multiclass", tuple(names), notes)


def _without_sentinels(
    name: str, numbers: NDArray[np.float64], found: NDArray[np.float64], notes: list[Note]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the labels and their different values without -999 and the like, where the rest are small codes."""
    strange = np.isin(found, SENTINELS) if len(found) <= MAX_CLASSES + 12 else np.zeros(len(found), bool)
    rest = found[~strange]
    codes = len(rest) > 1 and bool(np.all(rest == np.rint(rest))) and rest[0] >= -1 and rest[-1] < MAX_CLASSES
    if not strange.any() or not codes or len(found) > MAX_CLASSES:
        return numbers, found
    out = np.isin(numbers, found[strange])
    shown = ", ".join(f"{value:g}" for value in found[strange])
    notes.append(Note(f"task {name!r}: {shown} is read as a missing label in {int(out.sum()):,} rows",
                      f"--kind {name!r}=regression"))  # fmt: skip
    return np.where(out, np.nan, numbers), rest


def _sentinel_notes(name: str, numbers: NDArray[np.float64]) -> list[Note]:
    """Return a warning for every usual sentinel that is the least or greatest value of a column, more than once."""
    present = numbers[~np.isnan(numbers)]
    ends = {float(present.min()), float(present.max())} if len(present) else set()
    counts = {value: int((present == value).sum()) for value in SENTINELS if value in ends}
    return [
        Note(
            f"task {name!r}: {value:g} stands in {count:,} rows and may mean 'missing'", f"--missing {name!r}={value:g}"
        )
        for value, count in counts.items()
        if count > 1
    ]


def _few(numbers: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the different values of a column in order, None where there are too many to be classes."""
    import pandas as pd

    if len(pd.unique(numbers[:2000])) > MAX_CLASSES + 12:
        return None
    found = _different(numbers)
    return found if len(found) <= MAX_CLASSES + 12 else None


def _different(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    import pandas as pd

    found: NDArray[np.float64] = np.sort(pd.unique(numbers))  # NaN comes last
    return found[: len(found) - int(np.isnan(found[-1:]).sum())]
