"""From features, labels and parts to a table with its record: leaks, repeated rows, parts, categories of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._validation import check_finite
from taskgroup.data._column import Column
from taskgroup.data._duplicates import find_repeats
from taskgroup.data._leaks import find_leaks
from taskgroup.data._options import ReadOptions
from taskgroup.data._parts import Parts, by_column, by_groups, by_time, drawn
from taskgroup.data._reading import Ignored, Note, Reading
from taskgroup.data._table import SPLITS, TaskTable, check_weights, complete_split
from taskgroup.data._targets import Target
from taskgroup.data._units import narrow
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import TaskSet

__all__ = ["Pieces", "assemble"]


@dataclass
class Pieces:
    """What was read of a table, before rows are parted."""

    X: NDArray[Any]  # (n, ...), NaN where missing
    names: list[str]
    targets: list[Target]
    categories: dict[int, tuple[str, ...]] = field(default_factory=dict)
    split: Column | None = None
    given: Parts | None = None  # parts that the source itself says
    group: Column | None = None
    time: Column | None = None
    weights: NDArray[Any] | None = None
    ids: NDArray[Any] | None = None
    ignored: list[Ignored] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    keep: frozenset[str] = frozenset()  # features that were asked for


def assemble(where: str, name: str, pieces: Pieces, options: ReadOptions) -> TaskTable:
    """Return the checked table and, as its ``reading``, everything that was guessed on the way."""
    tasks = TaskSet([target.task for target in pieces.targets])
    Y = np.stack([target.values for target in pieces.targets], axis=1).astype(np.float32)
    input_shape = pieces.X.shape[1:]
    X = pieces.X.reshape(len(pieces.X), -1)
    X = narrow(X) if len(input_shape) == 1 else X.astype(np.float32, copy=False)
    check_finite("X", X, pieces.names, missing=True)
    if len(input_shape) == 1:
        X = _without_leaks(X, Y, tasks, pieces, where)
        input_shape = X.shape[1:]
    repeats = find_repeats(X)
    if options.deduplicate:
        X, Y = _deduplicated(where, X, Y, repeats.sets, pieces)
        repeats = find_repeats(X)
    parts, rule, together, ordered = _parts(where, Y, tasks, pieces, options, repeats.sets)
    split = complete_split(parts, Y, tasks, options.valid, options.test, options.random_state)
    if not (parts == 1).any():
        rule += "; validation rows drawn from the training rows"
    pieces.notes += _repeat_notes(repeats.sets, repeats.n_exact, repeats.n_near, split, options)
    categories = _training_words(X, pieces.categories, split)
    weights = None if pieces.weights is None else check_weights(pieces.weights, Y)
    table = TaskTable(
        X, Y, tasks, split, tuple(pieces.names), categories, tuple(input_shape), name, weights, pieces.ids,
        marks=options.marks, together=together, ordered=ordered,
    )  # fmt: skip
    pieces.notes += _part_notes(table)
    return replace(table, reading=_record(where, table, rule, pieces))


def _without_leaks(X: NDArray[Any], Y: NDArray[np.float32], tasks: TaskSet, pieces: Pieces, where: str) -> NDArray[Any]:
    """Return the features without copies of a target; features that nearly settle a task are warned about."""
    ordered = np.array([len(pieces.categories.get(j, ())) <= 2 for j in range(X.shape[1])])
    leaks = find_leaks(X, Y, tasks, ordered)
    for j, task, auc in leaks.telling:
        pieces.notes.append(Note(f"feature {pieces.names[j]!r} alone tells task {task!r} with an AUC of {auc:.3f}; is "
                                 "it known before the label is?", f"--ignore {pieces.names[j]!r}"))  # fmt: skip
    copies = {j: task for j, task in leaks.copies.items() if pieces.names[j] not in pieces.keep}
    if not copies:
        return X
    rest = [j for j in range(X.shape[1]) if j not in copies]
    if not rest:
        j, task = next(iter(copies.items()))
        raise InvalidInputError(
            f"{where}: no feature is left: {pieces.names[j]!r} says what task {task!r} is. Say "
            f"--keep {pieces.names[j]!r} if that is meant."
        )
    pieces.ignored += [Ignored(pieces.names[j], f"a copy of task {task!r}") for j, task in copies.items()]
    pieces.categories = {i: pieces.categories[j] for i, j in enumerate(rest) if j in pieces.categories}
    pieces.names = [pieces.names[j] for j in rest]
    return np.ascontiguousarray(X[:, rest])


def _deduplicated(
    where: str, X: NDArray[Any], Y: NDArray[np.float32], sets: NDArray[np.intp], pieces: Pieces
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return one row of each set of equal rows, one of the test rows where there is one, in the old order."""
    parts = _given_parts(where, pieces)
    order = np.arange(len(X)) if parts is None else np.argsort(-parts.parts, kind="stable")
    _, first = np.unique(sets[order], return_index=True)
    rows = np.sort(order[first])
    dropped = len(X) - len(rows)
    if not dropped:
        return X, Y
    pieces.notes.append(Note(f"{dropped:,} rows that repeat another one were dropped"))
    for name in ("split", "group", "time"):
        column = getattr(pieces, name)
        if column is not None:
            setattr(pieces, name, _rows_of(column, rows))
    if pieces.given is not None:
        pieces.given = Parts(pieces.given.parts[rows], pieces.given.rule)
    pieces.weights = None if pieces.weights is None else pieces.weights[rows]
    pieces.ids = None if pieces.ids is None else pieces.ids[rows]
    return X[rows], Y[rows]


def _rows_of(column: Column, rows: NDArray[np.intp]) -> Column:
    numbers = None if column.numbers is None else column.numbers[rows]
    codes = None if column.codes is None else column.codes[rows]
    return Column(column.name, column.kind, numbers, codes, column.words)


def _given_parts(where: str, pieces: Pieces) -> Parts | None:
    if pieces.given is not None:
        return pieces.given
    return None if pieces.split is None else by_column(where, pieces.split)


def _parts(
    where: str, Y: NDArray[np.float32], tasks: TaskSet, pieces: Pieces, options: ReadOptions, sets: NDArray[np.intp]
) -> Parts:
    given = _given_parts(where, pieces)
    if given is not None:
        return given
    if options.valid + options.test >= 1:
        raise InvalidInputError(f"`valid` + `test` must be below 1; got {options.valid + options.test:g}.")
    if pieces.group is not None:
        return by_groups(pieces.group, Y, tasks, options.shares, options.random_state, where)
    if pieces.time is not None:
        return by_time(pieces.time, options.shares, where)
    return drawn(Y, tasks, options.shares, options.random_state, sets)


def _repeat_notes(
    sets: NDArray[np.intp], n_exact: int, n_near: int, split: NDArray[np.int8], options: ReadOptions
) -> list[Note]:
    if not n_exact and not n_near:
        return []
    n_sets = int(sets.max()) + 1
    lowest, highest = np.full(n_sets, 9, np.int8), np.full(n_sets, -1, np.int8)
    np.minimum.at(lowest, sets, split)
    np.maximum.at(highest, sets, split)
    across = int((split[lowest[sets] != highest[sets]] > 0).sum())
    counts = [f"{n_exact:,} rows repeat the features of another row"] if n_exact else []
    what = " and ".join(counts + ([f"{n_near:,} rows nearly repeat those of another"] if n_near else []))
    if across:
        return [Note(f"{what}; {across:,} validation and test rows stand in another part as well, so that scores may "
                     "come from memory", "--deduplicate")]  # fmt: skip
    tied = int((np.bincount(sets) > 1).sum())
    if not tied:
        return []
    return [Note(f"{what}; equal rows are in one part", "" if options.deduplicate else "--deduplicate")]


def _training_words(
    X: NDArray[Any], categories: Mapping[int, tuple[str, ...]], split: NDArray[np.int8]
) -> dict[int, tuple[str, ...]]:
    """Return the categories that occur in training rows, and turn the codes of the others into 0, "unseen"."""
    kept = {}
    train = split == 0
    for j, words in categories.items():
        counts = np.bincount(X[train, j].astype(np.intp), minlength=len(words) + 1)
        seen = counts[1:] > 0
        kept[j] = tuple(word for word, there in zip(words, seen, strict=True) if there)
        if not seen.all():
            code = np.r_[0, np.where(seen, np.cumsum(seen), 0)].astype(np.float32)
            X[:, j] = code[X[:, j].astype(np.intp)]
    return kept


def _part_notes(table: TaskTable) -> list[Note]:
    """Return warnings about tasks that lack a class in a part."""
    notes = []
    for part in SPLITS:
        labels = table.targets(part)
        both = (labels == 1).any(0) & (labels == 0).any(0)
        lacking = [task.name for t, task in enumerate(table.tasks) if task.kind == "binary" and not both[t]]
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            notes.append(Note(f"the {part} part lacks positives or negatives of task {lacking[0]!r}{more}"))
    train = table.targets("train")
    for t, task in enumerate(table.tasks):
        if task.kind == "multiclass":
            known = set(np.unique(train[:, t]).tolist())
            new = [name for code, name in enumerate(task.class_names) if code not in known]
            if new:
                notes.append(Note(f"no training row holds class {new[0]!r} of task {task.name!r}, so that no model can "
                                  "learn it" + (f"; nor {len(new) - 1} more classes" if new[1:] else "")))  # fmt: skip
    return notes


def _record(where: str, table: TaskTable, rule: str, pieces: Pieces) -> Reading:
    kinds: dict[str, list[str]] = {"numbers": [], "bits": [], "words": []}
    bits = _bits(table.X)
    for j, name in enumerate(table.feature_names):
        kinds["words" if j in table.categories else "bits" if bits[j] else "numbers"].append(name)
    n_holes = np.isnan(table.X).sum(0)
    for j, words in table.categories.items():
        if "" in words:
            n_holes[j] = int((table.X[:, j] == words.index("") + 1).sum())
    holes = {table.feature_names[j]: int(n_holes[j]) for j in np.flatnonzero(n_holes)}
    notes = list(pieces.notes)
    for target in pieces.targets:
        notes = [*target.notes, *notes]
    return Reading(
        where, table.n_samples, {part: len(table.rows(part)) for part in SPLITS}, rule,
        {kind: tuple(names) for kind, names in kinds.items()},
        tuple(target.reading(table.Y[:, t]) for t, target in enumerate(pieces.targets)),
        holes, tuple(pieces.ignored), pieces.roles, tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _bits(X: NDArray[Any]) -> Sequence[bool]:
    """Return which columns hold nothing but 0 and 1 (and holes)."""
    head = X[:200]
    maybe = ((head == 0) | (head == 1) | np.isnan(head)).all(0)
    for j in np.flatnonzero(maybe):
        column = X[:, j]
        maybe[j] = bool(((column == 0) | (column == 1) | np.isnan(column)).all())
    return [bool(bit) for bit in maybe]
