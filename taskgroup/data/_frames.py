"""From a data frame to the pieces of a table: which column is a target, a feature, an id, a split, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.data._assemble import Pieces, assemble
from taskgroup.data._column import Column, ColumnReader
from taskgroup.data._files import Frame
from taskgroup.data._long import guess_long, pivot
from taskgroup.data._options import ReadOptions, check_column
from taskgroup.data._parts import Parts, split_column
from taskgroup.data._reading import Ignored, Note
from taskgroup.data._roles import column_notes, default_targets, expand, kin_notes, looks_like_label, no_feature
from taskgroup.data._table import TaskTable
from taskgroup.data._targets import Target, minus_one_is_missing, read_target
from taskgroup.data._units import needs_64_bits
from taskgroup.exceptions import InvalidInputError

__all__ = ["coded_words", "table_of_frame"]


def table_of_frame(
    where: str,
    name: str,
    frame: Frame,
    options: ReadOptions,
    *,
    named: Sequence[str] | None = None,
    given: Parts | None = None,
) -> TaskTable:
    """Return the table of a data frame.

    Parameters
    ----------
    where, name : str
        What messages and reports call the table.
    frame : Frame
        The columns.
    options : ReadOptions
        What the user said about them.
    named : sequence of str, optional
        Target columns that the file itself names.
    given : Parts, optional
        The part of every row, where the source itself says it.
    """
    data = frame.data
    notes = [Note(frame.note)] if frame.note else []
    reader = ColumnReader(where, options.marks, options.decimal or frame.decimal)
    if options.long is not None:
        for glob in options.ignore:
            if not expand([glob], list(data.columns)):
                check_column(where, glob, data.columns)
        out = {"", *expand(options.ignore, list(data.columns))} - set(options.long)  # "" is a saved index
        data = data.drop(columns=[column for column in data.columns if column in out])
        data, named = pivot(where, data, options.long)
        options = replace(options, id=options.id or options.long[0], ignore=())
        notes.append(Note(f"{len(frame.data):,} rows of (sample, task, value) are {len(data):,} samples with "
                          f"{len(named)} tasks"))  # fmt: skip
    names = [str(column) for column in data.columns]
    target_names = _target_names(where, data, names, options, named)
    _check_names(where, names, options, target_names)
    options = options.spread(where, names, target_names)
    if options.long is None and (long := guess_long(data)) is not None and long[2] in target_names:
        notes.append(Note(f"every row may be one label of one sample, of the task that {long[1]!r} names",
                          f"--long {' '.join(map(repr, long))}"))  # fmt: skip
    labels = [reader.read(column, data[column], _wanted(options, column)) for column in target_names]
    targets = _targets(where, labels, options, frame.classes or {})
    pieces = Pieces(np.empty(0), [], targets, given=given, roles=options.roles(), notes=notes)
    used = {*target_names, *expand(options.ignore, names), *pieces.roles.values()}
    pieces.ignored = [Ignored(column, "as asked") for column in expand(options.ignore, names)]
    columns = {
        column: reader.read(column, data[column], _wanted(options, column)) for column in names if column not in used
    }
    _read_roles(where, reader, data, columns, pieces, options)
    features = _features(where, columns, {label.name: label for label in labels[:64]}, data, pieces, options)
    pieces.names = list(features)
    pieces.X, pieces.categories = _matrix(features, len(data))
    return assemble(where, name, pieces, options)


def coded_words(column: Column, words: Sequence[str]) -> NDArray[np.float32]:
    """Return codes of a column's words: 1 + the place in ``words``, 0 where it is none; "" stands for missing."""
    place = {word: i + 1 for i, word in enumerate(words)}
    codes = np.array([place.get(word, 0) for word in (*column.words, "")], np.float32)
    coded: NDArray[np.float32] = codes[np.asarray(column.codes)]  # -1, missing, takes the last one
    return coded


def _target_names(
    where: str, data: Any, names: list[str], options: ReadOptions, named: Sequence[str] | None
) -> list[str]:
    for glob in options.targets:
        if not expand([glob], names):
            check_column(where, glob, names)
    found = expand(options.targets, names) if options.targets else list(named or default_targets(names))
    for name in named or ():
        check_column(where, name, names)
    if found:
        return found
    long = guess_long(data)
    raise InvalidInputError(
        f"{where}: which columns are targets? Name them, as in --targets 'y_*'"
        + (f"; or, if every row is one label of one sample, say --long {' '.join(map(repr, long))}" if long else "")
        + f". Columns: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}."
    )


def _check_names(where: str, names: list[str], options: ReadOptions, targets: list[str]) -> None:
    for glob in (*options.ignore, *options.keep):
        if not expand([glob], names):
            check_column(where, glob, names)
    for name in options.roles().values():
        check_column(where, name, names)
    for role, name in options.roles().items():
        if name in targets:
            raise InvalidInputError(f"{where}: column {name!r} cannot be both a target and --{role.replace(' ', '-')}.")


def _wanted(options: ReadOptions, name: str) -> Any:
    kind = options.kinds.get(name)
    return kind if kind in ("words", "numbers") else None


def _targets(
    where: str, columns: list[Column], options: ReadOptions, classes: dict[str, tuple[str, ...]]
) -> list[Target]:
    signed = minus_one_is_missing(columns)
    return [
        read_target(
            where, column, None if _wanted(options, column.name) else options.kinds.get(column.name),
            options.positive.get(column.name), signed_missing=signed, named=classes.get(column.name),
        )
        for column in columns
    ]  # fmt: skip


def _read_roles(
    where: str, reader: ColumnReader, data: Any, columns: dict[str, Column], pieces: Pieces, options: ReadOptions
) -> None:
    """Read the id, weight, split, group and time columns; find a split column under a usual name."""
    if options.id is not None:
        pieces.ids = data[options.id].to_numpy()
    if options.weight is not None:
        weights = reader.read(options.weight, data[options.weight], "numbers")
        if weights.missing.any():
            raise InvalidInputError(
                f"{where}: --weight {options.weight!r} is missing in row {int(weights.missing.argmax())}; write 0 for "
                "rows that do not count."
            )
        pieces.weights = weights.numbers
    if options.group_split is not None:
        pieces.group = reader.read(options.group_split, data[options.group_split], "words")
    elif options.time_split is not None:
        pieces.time = reader.read(options.time_split, data[options.time_split])
    elif options.split is not None:
        pieces.split = reader.read(options.split, data[options.split])
    elif pieces.given is None and (found := split_column(list(columns.values()))) is not None:
        pieces.split = found
        pieces.roles["split"] = found.name
        del columns[found.name]


def _features(
    where: str, columns: dict[str, Column], labels: dict[str, Column], data: Any, pieces: Pieces, options: ReadOptions
) -> dict[str, Column]:
    """Return the columns that are features; say why the others are none."""
    n_rows = len(data)
    asked = set(expand(options.keep, list(columns)))
    pieces.keep = frozenset(asked)
    features, siblings = {}, {}
    for name, column in columns.items():
        reason = None if name in asked else no_feature(column, n_rows)
        if reason is not None:
            pieces.ignored.append(Ignored(name, reason))
            if "id" not in pieces.roles and ("identifier" in reason or "index" in reason):
                values = data[name]
                if values.is_unique and not column.missing.any():
                    pieces.ids, pieces.roles["id"] = values.to_numpy(), name
        elif name not in asked and (target := looks_like_label(name, column, labels)) is not None:
            siblings[name] = target
        else:
            features[name] = column
    if features or not siblings:
        pieces.ignored += [
            Ignored(name, f"looks like a label, as target {target!r} does, and is not among --targets")
            for name, target in siblings.items()
        ]
    else:
        name, target = next(iter(siblings.items()))
        pieces.notes.append(Note(f"all features, such as {name!r}, are named like target {target!r}: are they labels?",
                                 f"--ignore {name!r}"))  # fmt: skip
        features = {name: columns[name] for name in siblings}
    if not features:
        why = f" Left out: {pieces.ignored[0].name!r} ({pieces.ignored[0].reason}), ..." if pieces.ignored else ""
        raise InvalidInputError(f"{where}: no feature column is left beside {len(pieces.targets)} targets.{why}")
    pieces.notes += kin_notes({name: features[name] for name in features if name not in asked}, labels)
    for column in features.values():
        if column.kind == "dates" and column.name in asked:
            pieces.notes.append(Note(f"feature {column.name!r} is a date, in days since 1970"))
        pieces.notes += column_notes(column, n_rows)
    return features


def _matrix(features: dict[str, Column], n_rows: int) -> tuple[NDArray[Any], dict[int, tuple[str, ...]]]:
    """Return X (n, d) and the categories of its columns of words."""
    wide = any(needs_64_bits(column.numbers) for column in features.values() if column.numbers is not None)
    dtype = np.float64 if wide else np.float32
    X = np.empty((n_rows, len(features)), dtype, order="F")  # columns are what readers, checks and forests look at
    categories = {}
    for j, column in enumerate(features.values()):
        if column.numbers is not None:
            X[:, j] = column.numbers
        else:
            words = ("", *column.words) if column.missing.any() else column.words
            categories[j] = words
            X[:, j] = coded_words(column, words)
    return X, categories
