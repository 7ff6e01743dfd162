"""A column of a table as this package sees it: numbers with NaN, words with codes, truth values or dates."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from taskgroup.data._cells import Decimal, Marks, parse_numbers
from taskgroup.data._reading import Note
from taskgroup.exceptions import InvalidInputError

__all__ = ["Column", "ColumnReader"]

ColumnKind = Literal["numbers", "words", "truth", "dates"]
Wanted = Literal["numbers", "words"]

_MOSTLY = 0.9  # a text column with this share of numbers is a column of numbers with odd cells
_MANY = 10  # ... when it holds at least this many different ones
_DATE = re.compile(
    r"(\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}|\d{1,2}[ -][A-Z][a-z]{2,8}[ -]\d{4}|"
    r"[A-Z][a-z]{2,8} \d{1,2},? \d{4})([T ]\d{1,2}:\d{2}.*)?\Z"
)
_DATE_NAME = re.compile(r"date|day|datum|time", re.I)
_DAY_AND_MONTH = re.compile(r"(\d{1,2})([./-])(\d{1,2})[./-]\d{4}")


@dataclass(eq=False)
class Column:
    """One column; ``numbers`` for numbers, truth values and dates, ``codes`` and ``words`` for words."""

    name: str
    kind: ColumnKind
    numbers: NDArray[np.float64] | None = None  # (n,), NaN where missing; dates in days since 1970
    codes: NDArray[np.intp] | None = None  # (n,), -1 where missing
    words: tuple[str, ...] = ()  # sorted
    guessed_missing: tuple[tuple[str, int], ...] = ()  # (word, rows): missing by a second guess
    notes: list[Note] = field(default_factory=list)

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """Which cells are missing, shape (n,)."""
        return np.isnan(self.numbers) if self.numbers is not None else np.asarray(self.codes) < 0

    def as_words(self) -> Column:
        """Return the column with its numbers as words: 3.0 and "3" are the same word."""
        if self.numbers is None:
            return self
        values, inverse = np.unique(self.numbers, return_inverse=True)
        names = [_plain(value, self.kind) for value in values]
        missing = np.isnan(values)
        words = tuple(sorted({name for name, gone in zip(names, missing, strict=True) if not gone}))
        code = {word: i for i, word in enumerate(words)}
        codes = np.array([-1 if gone else code[name] for name, gone in zip(names, missing, strict=True)], np.intp)
        return Column(self.name, "words", codes=codes[inverse], words=words, notes=self.notes)


@dataclass(frozen=True)
class ColumnReader:
    """Turns the columns of a data frame into :class:`Column` objects.

    Parameters
    ----------
    where : str
        File name, for messages.
    marks : Marks
        Which cells are missing.
    decimal : {".", ","}, optional
        What separates decimals, where text does not say it.
    """

    where: str
    marks: Marks = field(default_factory=Marks)
    decimal: Decimal | None = None

    def read(self, name: str, series: Any, wanted: Wanted | None = None) -> Column:
        """Return the column; ``wanted`` settles whether it holds numbers or words.

        Raises
        ------
        InvalidInputError
            When a column of numbers holds a cell that is none, or a comma may mean two things.
        """
        from pandas.api import types

        marks = self.marks.of_column(name)

        if isinstance(series.dtype, _categorical()):
            series = series.astype(series.cat.categories.dtype)
        if types.is_bool_dtype(series.dtype) and series.dtype != object:
            column = Column(name, "truth", numbers=series.to_numpy(np.float64, na_value=np.nan))
        elif types.is_datetime64_any_dtype(series.dtype):
            column = Column(name, "dates", numbers=_days(name, series, ())[0])
        elif types.is_numeric_dtype(series.dtype) and not types.is_complex_dtype(series.dtype):
            numbers = _marked(series, marks)
            days = _days_of_digits(numbers) if _DATE_NAME.search(name) else None
            column = Column(name, "numbers", numbers=numbers) if days is None else Column(name, "dates", numbers=days)
        else:
            column = self._text(name, series, wanted, marks)
        return column.as_words() if wanted == "words" and column.kind != "words" else column

    def _text(self, name: str, series: Any, wanted: Wanted | None, marks: Marks) -> Column:
        import pandas as pd

        try:
            codes, found = pd.factorize(series)
        except TypeError:
            kind = type(next(cell for cell in series if not np.isscalar(cell))).__name__
            raise InvalidInputError(
                f"{self.where}: column {name!r} holds values of type {kind}; a cell must be a number or a word. "
                f"Leave the column out with --ignore {name!r}."
            ) from None
        codes = np.asarray(codes)
        words = [_composed(str(word).strip()) for word in found]
        missing, guessed = marks.of(words)
        counts = np.bincount(codes[codes >= 0], minlength=len(words))
        unsure = tuple((word, int(counts[words.index(word)])) for word in guessed)
        present = np.flatnonzero(~missing)
        texts = [words[i] for i in present]
        lower = {text.lower() for text in texts}
        to_word = np.full(len(words) + 1, -1, np.intp)  # the last one is what code -1 selects
        if lower and lower <= {"true", "false"} and wanted != "words":
            truth = np.full(len(words) + 1, np.nan)
            truth[present] = [text.lower() == "true" for text in texts]
            return Column(name, "truth", numbers=truth[codes], guessed_missing=unsure)
        if wanted is None and _are_codes(texts):
            wanted = "words"
        if wanted != "words" and texts:
            numbers, notes = self._as_numbers(name, texts, counts[present], codes, present, wanted)
            if numbers is not None:
                values = np.full(len(words) + 1, np.nan)
                values[present] = numbers
                return Column(name, "numbers", numbers=values[codes], guessed_missing=unsure, notes=notes)
            if all(_DATE.match(text) for text in texts[:200]):
                days, note = _days(name, series.where(~np.append(missing, True)[codes]), texts)
                return Column(name, "dates", numbers=days, notes=note)
        else:
            notes = []
        unique = tuple(sorted(set(texts)))
        code = {word: i for i, word in enumerate(unique)}
        to_word[present] = [code[word] for word in texts]
        if not texts:  # nothing but missing cells
            return Column(name, "numbers", numbers=np.full(len(codes), np.nan), guessed_missing=unsure)
        return Column(name, "words", codes=to_word[codes], words=unique, guessed_missing=unsure, notes=notes)

    def _as_numbers(
        self, name: str, texts: list[str], counts: NDArray[Any], codes: NDArray[Any], present: NDArray[Any],
        wanted: Wanted | None,
    ) -> tuple[NDArray[np.float64] | None, list[Note]]:  # fmt: skip
        parsed = parse_numbers(texts, self.decimal)
        if parsed.ambiguous:
            cell = next(text for text in texts if "," in text)
            raise InvalidInputError(
                f"{self.where}: column {name!r} holds {cell!r}, which may mean {cell.replace(',', '')} or "
                f"{cell.replace(',', '.')}; say which with --decimal . or --decimal ,"
            )
        n_odd, n_all = int(counts[parsed.odd].sum()), int(counts.sum())
        if not n_odd:
            return parsed.values, _cleaning_notes(name, parsed.cleaned)
        words = [text for text, odd in zip(texts, parsed.odd, strict=True) if odd]
        if wanted == "numbers":
            return parsed.values, [Note(f"column {name!r}: {n_odd} cells such as {words[0]!r} are no numbers: missing")]
        n_numbers = len(texts) - len(words)
        bits = len(words) == 1 and n_odd <= n_all / 50 and set(parsed.values[~parsed.odd]) == {0.0, 1.0}
        if bits or (1 - n_odd / n_all >= _MOSTLY and n_numbers >= _MANY and len(words) < n_numbers / 4):
            i = int(present[np.flatnonzero(parsed.odd)[0]])
            row = int(np.flatnonzero(codes == i)[0])
            raise InvalidInputError(
                f"{self.where}: row {row} (the first is 0), column {name!r}: {words[0]!r} is not a number, while "
                f"{n_all - n_odd:,} of {n_all:,} cells are. Correct it, read it as missing with "
                f"--missing {words[0]!r}, or read the column as words with --kind {name!r}=words."
            )
        if n_odd < n_all / 2:
            return None, [Note(f"column {name!r} is read as words, though {n_all - n_odd:,} of {n_all:,} cells are "
                               f"numbers", f"--kind {name!r}=numbers")]  # fmt: skip
        return None, []


def _cleaning_notes(name: str, cleaned: Sequence[str]) -> list[Note]:
    said = {"<": "cells such as '<0.1' are read as the bound 0.1", ">": "cells such as '>10' are read as the bound 10",
            "~": "'~' before numbers is left out", "%": "'%' is left out: 12% is read as 12",
            "()": "(12) is read as -12"}  # fmt: skip
    return [
        Note(f"column {name!r}: {said.get(mark, f'{mark!r} is left out of the numbers')}", f"--kind {name!r}=words")
        for mark in cleaned
    ]


def _days(name: str, series: Any, texts: Sequence[str]) -> tuple[NDArray[np.float64], list[Note]]:
    """Return days since 1970, and a note where 03/04/2021 may be of March or April."""
    import warnings

    import pandas as pd

    heads = [match for match in map(_DAY_AND_MONTH.match, texts) if match]
    day_first = any(int(match[1]) > 12 for match in heads)
    month_first = any(int(match[3]) > 12 for match in heads)
    notes = []
    if heads and not day_first and not month_first:
        day_first = heads[0][2] != "/"
        order = "day.month.year" if day_first else "month/day/year"
        notes.append(Note(f"column {name!r}: dates such as {heads[0][0]} are read as {order}; nothing says which"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a single date that only reads the other way round
            when = pd.to_datetime(series, utc=True, format="mixed", errors="coerce", dayfirst=day_first)
    except (ValueError, OverflowError):  # pandas raises on out-of-bounds dates that it cannot coerce
        return np.full(len(series), np.nan), notes
    days: NDArray[np.float64] = ((when - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)).to_numpy(np.float64)
    return days, notes


def _days_of_digits(numbers: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return days since 1970 of numbers such as 20210131, or None where they are others."""
    import pandas as pd

    there = numbers[~np.isnan(numbers)]
    if not len(there) or there.min() < 19000101 or there.max() > 21001231 or (there != np.rint(there)).any():
        return None
    when = pd.to_datetime(pd.Series(there.astype(np.int64).astype(str)), format="%Y%m%d", errors="coerce")
    if when.isna().any():
        return None
    days = numbers.copy()
    days[~np.isnan(numbers)] = (when - pd.Timestamp(0)) / pd.Timedelta(days=1)
    return days


def _marked(series: Any, marks: Marks) -> NDArray[np.float64]:
    values: NDArray[np.float64] = series.to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isin(values, marks.numbers), np.nan, values) if marks.numbers else values


def _composed(text: str) -> str:
    """Return the word with its accents composed: two spellings of the same letters are one word."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _are_codes(texts: Sequence[str]) -> bool:
    """Return whether digits are codes: of one length, two or more, and some begin with 0, as in 01234."""
    return (
        len(texts) > 1
        and len(texts[0]) > 1
        and any(text[:1] == "0" for text in texts)
        and all(len(text) == len(texts[0]) and text.isdecimal() for text in texts)
    )


def _plain(value: float, kind: ColumnKind) -> str:
    if kind == "truth" and not np.isnan(value):
        return str(bool(value))
    return f"{value:.15g}"


def _categorical() -> type:
    import pandas as pd

    found: type = pd.CategoricalDtype
    return found
