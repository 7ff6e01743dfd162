"""Which rows train, validate and test: by a column, by groups that stay together, by time, or drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from taskgroup.data._column import Column
from taskgroup.data._split import grouped_split, stratified_split
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import TaskSet

__all__ = ["Parts", "by_column", "by_groups", "by_time", "drawn", "split_column"]

_NAMES = ("split", "set", "subset", "partition", "part", "fold", "folds", "dataset", "data_split", "cv_fold")
_WORDS = {
    **dict.fromkeys("train training tr trn fit learn".split(), 0),
    **dict.fromkeys("valid validation val valid. dev development eval tune tuning".split(), 1),
    **dict.fromkeys("test testing tst te holdout hold-out hold_out heldout held-out".split(), 2),
}
_SHARES = ("train", "valid", "test")
_FOLD_NAME = re.compile(r"(.*[_\- .]|k|cv)?folds?([_\- .]?(id|no|nr|num|number|index))?\Z", re.I)
_FOLD_WORD = re.compile(r"(fold|split|part|f|k|cv)?[_\- .]?(\d{1,2})\Z", re.I)
_FLAG = re.compile(r"(is|in)[_\- .]?(train|test|valid|holdout)(ing|ation)?([_\- .]?set)?\Z", re.I)


class Parts(NamedTuple):
    """A part for every row, and the rule in words."""

    parts: NDArray[np.int8]  # 0 train, 1 valid, 2 test
    rule: str
    together: NDArray[np.intp] | None = None  # rows of the same number must not stand on two sides of a division
    ordered: bool = False  # later rows must be judged by models of earlier ones


def split_column(columns: Sequence[Column]) -> Column | None:
    """Return the column that holds the split under a usual name, with values that can be nothing else, or None.

    A column called exactly ``split`` is taken at its name.
    """
    for column in columns:
        if column.name == "split":
            return column
    for column in columns:
        name = column.name.lower()
        if column.missing.any():
            continue
        if _FLAG.match(name) and column.numbers is not None and set(np.unique(column.numbers)) == {0.0, 1.0}:
            return column
        if name in _NAMES and column.kind == "words" and len(column.words) > 1 and -1 not in _parts_of(column.words):
            return column
        if _FOLD_NAME.match(name) and _folds(_numbered(column)) is not None:
            return column
    return None


def by_column(where: str, column: Column) -> Parts:
    """Return the parts that a column says: words, or 0, 1, 2, or numbers of folds.

    Of K folds the last one is the test part and the one before it the validation part.
    """
    name = column.name
    if column.missing.any():
        raise InvalidInputError(
            f"{where}: column {name!r} says no part in {int(column.missing.sum())} rows, the first being row "
            f"{int(column.missing.argmax())}; every row needs one."
        )
    numbers = _numbered(column)
    if numbers is not None:
        values = np.unique(numbers)
        flag = _FLAG.match(name)
        if flag and set(values) <= {0.0, 1.0}:
            inside = numbers == 1
            part = _WORDS[flag[2].lower()]
            parts = np.where(inside, part, 0) if part else np.where(inside, 0, 2)
            return Parts(parts.astype(np.int8), f"as column {name!r} says")
        if set(values) <= {0.0, 1.0, 2.0} and "fold" not in name.lower():
            return Parts(numbers.astype(np.int8), f"as column {name!r} says (0 train, 1 valid, 2 test)")
        folds = _folds(numbers)
        if folds is None:
            raise InvalidInputError(
                f"{where}: column {name!r} must hold train, valid or test (or 0, 1, 2, or numbers of folds); got "
                f"{values[0]:g} ... {values[-1]:g}, {len(values)} different numbers."
            )
        last = int(folds.max())
        parts = np.where(folds == last, 2, np.where(folds == last - 1, 1, 0)).astype(np.int8)
        first = values[0]
        return Parts(parts, f"folds of column {name!r}: {first + last:g} is test, {first + last - 1:g} is valid")
    codes = _parts_of(column.words)
    if -1 in codes:
        raise InvalidInputError(
            f"{where}: column {name!r} must hold train, valid or test (or 0, 1, 2); got "
            f"{column.words[codes.index(-1)]!r}."
        )
    return Parts(np.array(codes, np.int8)[np.asarray(column.codes)], f"as column {name!r} says")


def _parts_of(words: Sequence[str]) -> list[int]:
    """Return the part that each word says, -1 where it says none."""
    return [_WORDS.get(re.sub(r"[ _-]?(set|data|split)\Z", "", word.lower()) or word.lower(), -1) for word in words]


def _numbered(column: Column) -> NDArray[np.float64] | None:
    """Return the numbers of a column, or those of words such as fold3; None where the words are others."""
    if column.numbers is not None:
        return column.numbers
    found = [_FOLD_WORD.match(word) for word in column.words]
    if not found or not all(found):
        return None
    numbers: NDArray[np.float64] = np.array([float(match[2]) for match in found if match])[np.asarray(column.codes)]
    return numbers


def by_groups(
    column: Column, Y: NDArray[np.float32], tasks: TaskSet, shares: Sequence[float], seed: int, where: str
) -> Parts:
    """Return drawn parts in which rows of one group stay together; a missing group is a group of its own."""
    words = column.as_words()
    codes = np.asarray(words.codes)
    alone = codes < 0
    groups = np.where(alone, len(words.words) + np.cumsum(alone), codes)
    groups = np.unique(groups, return_inverse=True)[1]
    n_groups = int(groups.max()) + 1
    if n_groups < 3:
        raise InvalidInputError(
            f"{where}: --group-split {column.name!r} needs three groups or more, one for each part; got {n_groups}."
        )
    parts = grouped_split(Y, tasks, groups, shares, seed)
    return Parts(parts, f"drawn by the {n_groups:,} groups of column {column.name!r}, stratified, seed {seed}", groups)


def by_time(column: Column, shares: Sequence[float], where: str) -> Parts:
    """Return the earliest rows as training rows and the latest as test rows; rows of one time stay together."""
    times = column.numbers
    if times is None:
        raise InvalidInputError(
            f"{where}: --time-split {column.name!r} must hold dates or numbers; got {column.words[0]!r}."
        )
    if np.isnan(times).any():
        raise InvalidInputError(
            f"{where}: --time-split {column.name!r} is missing, or no date, in {int(np.isnan(times).sum())} rows, the "
            f"first being row {int(np.isnan(times).argmax())}."
        )
    ordered = np.sort(times)
    ends = [ordered[min(int(np.ceil(share * len(times))), len(times) - 1)] for share in np.cumsum(shares)[:-1]]
    parts = np.searchsorted(np.asarray(ends), times, side="right").astype(np.int8)
    for number, part in enumerate(_SHARES):
        if not (parts == number).any():
            raise InvalidInputError(
                f"{where}: --time-split {column.name!r} leaves no {part} row: too few different times."
            )
    return Parts(parts, f"by the time in column {column.name!r}: the latest rows are the test rows", ordered=True)


def drawn(
    Y: NDArray[np.float32], tasks: TaskSet, shares: Sequence[float], seed: int, sets: NDArray[np.intp] | None
) -> Parts:
    """Return parts drawn at random, stratified by the labels; rows of one of ``sets`` stay together."""
    rule = f"drawn, stratified by the labels, seed {seed}"
    if sets is None or int(sets.max()) == len(sets) - 1:
        return Parts(stratified_split(Y, tasks, shares, seed), rule)
    return Parts(grouped_split(Y, tasks, sets, shares, seed), rule + ", equal rows in one part", sets)


def _folds(numbers: NDArray[np.float64] | None) -> NDArray[np.int64] | None:
    """Return folds 0 .. K - 1 for 3 to 50 numbers that follow one another from 0 or 1, or None."""
    if numbers is None:
        return None
    values = np.unique(numbers)
    if not 3 <= len(values) <= 50 or values[0] not in (0.0, 1.0) or (np.diff(values) != 1).any():
        return None
    folds: NDArray[np.int64] = (numbers - values[0]).astype(np.int64)
    return folds
