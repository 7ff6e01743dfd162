"""What a cell of text means: a missing value, a number however it is written, or a word."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["SENTINELS", "Decimal", "Marks", "ParsedNumbers", "parse_numbers"]

Decimal = Literal[".", ","]

# Words that mean "no value" in any table.
_ALWAYS = frozenset(
    "|na|n/a|n.a.|#n/a|#na|#n/a n/a|<na>|nan|-nan|null|#null!|(null)|\\n|?|.|..|nat|1.#ind|1.#qnan|-1.#ind|-1.#qnan|"
    "#value!|#div/0!|not available|not applicable|not measured|n.d.|--|---".split("|")
)
# Words that mean it too, unless another word of the column is their opposite.
_USUALLY = {
    "-": ("+", "pos", "positive"), "none": (), "nil": (), "unknown": ("known",), "missing": ("present", "found"),
    "undefined": ("defined",), "not determined": ("determined",), "not tested": ("tested",), "unk": (),
}  # fmt: skip

SENTINELS = (-9999.0, -999.0, -99.0, 999.0, 9999.0, 99999.0, -99999.0)
"""Numbers that often stand for "no value"; they are warned about, for they may be values."""


@dataclass(frozen=True)
class Marks:
    """Which cells are missing: the usual words, more on request, fewer on request.

    Parameters
    ----------
    more : tuple of str
        Further words or numbers that mean "missing", as given with ``--missing``; "column=mark" is one of some columns.
    fewer : tuple of str
        Words that are values although they look like a missing marker, as given with ``--not-missing``.
    """

    more: tuple[str, ...] = ()
    fewer: tuple[str, ...] = ()

    @property
    def numbers(self) -> list[float]:
        """The marks among ``more`` that are numbers."""
        return [float(mark) for mark in self.more if _is_number(mark)]

    @property
    def columns(self) -> list[str]:
        """The columns, or globs, that have marks of their own."""
        return [mark.partition("=")[0] for mark in self.more if "=" in mark[1:]]

    def of_column(self, name: str) -> Marks:
        """Return the marks of one column."""
        if not self.columns:
            return self
        from fnmatch import fnmatchcase

        own = []
        for mark in self.more:
            glob, _, word = mark.partition("=") if "=" in mark[1:] else (name, "", mark)
            if glob == name or fnmatchcase(name, glob):
                own.append(word)
        return Marks(tuple(own), self.fewer)

    def of(self, words: Sequence[str]) -> tuple[NDArray[np.bool_], list[str]]:
        """Return which of a column's distinct words are missing, and those that are so only by a second guess."""
        lower = [word.strip().lower() for word in words]
        present = set(lower)
        more, fewer = ({mark.strip().lower() for mark in marks} for marks in (self.more, self.fewer))
        more_numbers = set(self.numbers)
        missing = np.zeros(len(words), bool)
        guessed = []
        for i, word in enumerate(lower):
            if word in more or (more_numbers and _is_number(word) and float(word) in more_numbers):
                missing[i] = True
            elif word in fewer:
                continue
            elif word in _ALWAYS:
                missing[i] = True
            elif word in _USUALLY and not present & set(_USUALLY[word]):
                missing[i] = True
                guessed.append(words[i])
        return missing, guessed

    def for_pandas(self) -> list[str]:
        """Return the certain words in their usual cases, for ``pandas.read_csv(na_values=...)``."""
        fewer = {mark.strip().lower() for mark in self.fewer}
        safe = [word for word in sorted(_ALWAYS) if word not in fewer]
        cased = {form for word in safe for form in (word, word.upper(), word.capitalize())} | {"NaN", "NaT"}
        everywhere = {mark for mark in self.more if "=" not in mark[1:]}
        return sorted({word for word in cased if word.lower() not in fewer} | everywhere)


class ParsedNumbers(NamedTuple):
    """Distinct words read as numbers."""

    values: NDArray[np.float64]  # NaN where a word is no number
    odd: NDArray[np.bool_]  # words that are no number
    ambiguous: bool  # a comma may be a decimal comma or part of a thousand: nothing in the column says which
    cleaned: tuple[str, ...]  # what was taken off, such as "%"


_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?\Z")
_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+([eE][+-]?\d+)?\Z")
_POINT = re.compile(r"[+-]?\d*\.(\d{1,2}|\d{4,})\Z")
_SPACED = re.compile(r"[+-]?\d{1,3}([ '’_]\d{3})+([.,]\d+)?\Z")
_BOUND = re.compile(r"[<>≤≥~≈]=?\s*")
_MONEY = re.compile(r"[$€£¥]")
_UNIT = re.compile(
    r"(?P<number>[<>~≤≥]?\s*[+-]?[\d.,]*\d)(?P<gap>\s*)(?P<unit>[^\W\d_]{1,6}(/[^\W\d_]{1,4}\d?)?|°[CF])\Z"
)
_UNITS = frozenset(
    "mg g kg ug µg ng ml l dl ul µl mm cm m km nm um µm nM uM µM mM M s ms min h kcal kJ Pa kPa bar V mV A Hz IU "
    "°C °F K kg/m2 mg/dl mmol/l g/l g/dl mg/l m/s km/h".split()
)


def parse_numbers(words: Sequence[str], decimal: Decimal | None = None) -> ParsedNumbers:
    """Return the numbers that distinct words stand for; ``decimal`` settles what a comma means where both may be meant.

    >>> parse_numbers(["1", "2,5", "<0,1"]).values
    array([1. , 2.5, 0.1])
    >>> parse_numbers(["1,234", "12,500.5", "$7"]).values
    array([1.23400e+03, 1.25005e+04, 7.00000e+00])
    >>> parse_numbers(["1,234", "5"]).ambiguous
    True
    """
    import pandas as pd

    unit = _common_unit(words)
    if unit is not None:
        words = [_without_unit(word) for word in words]
    values = pd.to_numeric(pd.Series(list(words), dtype=object), errors="coerce").to_numpy(np.float64, copy=True)
    odd = np.isnan(values)
    if decimal != "," and not odd.any():
        return ParsedNumbers(values, odd, False, () if unit is None else (unit,))
    rest = list(range(len(words))) if decimal == "," else [int(i) for i in np.flatnonzero(odd)]
    bare, cleaned = {}, set() if unit is None else {unit}
    for i in rest:
        bare[i], taken = _strip(words[i])
        cleaned.update(taken)
    if "%" in cleaned and any(values[i] != 0 for i in np.flatnonzero(~odd)) and not _all_have(words, "%", values):
        bare = {i: text for i, text in bare.items() if "%" not in words[i]}  # 12 and 12 %: two units in one column
        cleaned.discard("%")
    comma, ambiguous = (True, False) if decimal == "," else _decimal_comma(bare, words, odd)
    ambiguous &= decimal is None
    for i, text in bare.items():
        number = _number(text, comma and not ambiguous)
        if number is not None and not (ambiguous and "," in text):
            values[i], odd[i] = number, False
        elif i in bare and decimal == ",":
            values[i], odd[i] = np.nan, True
    return ParsedNumbers(values, odd, ambiguous, tuple(sorted(cleaned)))


def _strip(word: str) -> tuple[str, set[str]]:
    """Return a cell without its unit, bound and quotes, and what was taken off."""
    text = word.strip().strip("\"'").strip().replace("\u00a0", " ").replace("\u202f", " ").replace("\u2212", "-")
    taken = set()
    if bound := _BOUND.match(text):
        text = text[bound.end() :]
        taken.add("<" if bound.group().startswith(("<", "≤")) else ">" if bound.group()[0] in ">≥" else "~")
    if text.endswith("%"):
        text = text[:-1].rstrip()
        taken.add("%")
    if len(text) > 2 and text[0] == "(" and text[-1] == ")":  # an accountant's minus
        text = f"-{text[1:-1].strip()}"
        taken.add("()")
    if sign := _MONEY.search(text):
        text = (text[: sign.start()] + text[sign.end() :]).strip()
        taken.add(sign.group())
    return text, taken


def _common_unit(words: Sequence[str]) -> str | None:
    """Return the unit that all of three or more words have, or nearly all where it is a usual one."""
    found = [_UNIT.match(word.strip()) for word in words[:2000]]
    units = {match["unit"] for match in found if match}
    plain = all(match or _PLAIN.match(word) for match, word in zip(found, words, strict=False))
    if len(words) < 3 or len(units) != 1 or not plain:
        return None
    unit = units.pop()
    return unit if unit in _UNITS or all(match and match["gap"] for match in found) else None


def _without_unit(word: str) -> str:
    match = _UNIT.match(word.strip())
    return match["number"] if match else word


def _decimal_comma(cells: Mapping[int, str], words: Sequence[str], odd: NDArray[np.bool_]) -> tuple[bool, bool]:
    """Return whether the comma is a decimal comma, and whether that cannot be told; dollars have thousands."""
    only_thousands = only_comma = either = False
    for i, text in cells.items():
        thousands, comma = bool(_THOUSANDS.match(text)), bool(_COMMA.match(text))
        only_thousands |= thousands and (not comma or "$" in words[i])
        only_comma |= comma and not thousands
        either |= thousands and comma
        only_thousands |= bool(_POINT.match(text))
    point = any("." in word for word, is_odd in zip(words, odd, strict=True) if not is_odd)
    if only_comma:
        return not (only_thousands or point), False
    return False, either and not only_thousands and not point


def _number(text: str, comma: bool) -> float | None:
    if _SPACED.match(text):
        text = re.sub(r"[ '’_]", "", text)
        if "," in text:
            return float(text.replace(",", "."))
    if _PLAIN.match(text) and not (comma and re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+", text)):
        return float(text)
    if comma and (_COMMA.match(text) or re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+", text)):
        return float(text.replace(".", "").replace(",", "."))
    if not comma and _THOUSANDS.match(text):
        return float(text.replace(",", ""))
    return None


def _all_have(words: Sequence[str], mark: str, values: NDArray[Any]) -> bool:
    return all(mark in word or values[i] == 0 for i, word in enumerate(words))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
