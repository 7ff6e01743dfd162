"""What classes are called: one spelling for each, and which of two is the positive one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._validation import did_you_mean
from taskgroup.data._reading import Note
from taskgroup.exceptions import InvalidInputError

__all__ = ["one_spelling", "oriented", "undecided"]

_POSITIVE = frozenset(
    "active yes y true t positive pos present + 1 on hit case toxic malignant abnormal success responder event "
    "affected diseased sick spam inhibitor binder high dead died deceased mut mutant mutated ja oui si sí".split()
)
_NEGATIVE = frozenset(
    "inactive no n false f negative neg absent - 0 off control benign normal failure healthy none nontoxic ham low "
    "alive survived wt wildtype wild-type nein nee nej".split()
)
_NOT = re.compile(r"(non|not|no|un|in|im|dis|a)[-_ ]?\Z")


def oriented(
    where: str, name: str, values: NDArray[np.float64], classes: tuple[str, ...], positive: str | None
) -> tuple[NDArray[np.float64], tuple[str, ...], list[Note]]:
    """Return codes and classes of a binary task with the positive class as 1."""
    notes: list[Note] = []
    if len(classes) == 1:
        positive_first = classes[0].lower() in _POSITIVE or positive == classes[0]
        other = f"not {classes[0]}"
        if positive_first:
            return np.where(np.isnan(values), np.nan, 1.0), (other, classes[0]), notes
        return values, (classes[0], other), notes
    numeric = all(_numeric(word) for word in classes)
    if positive is not None:
        match = [word for word in classes if word == positive or word.lower() == positive.lower()]
        if not match and numeric and _numeric(positive):
            match = [word for word in classes if float(word) == float(positive)]
        if not match:
            raise InvalidInputError(
                f"{where}: the positive class of {name!r} must be {classes[0]!r} or {classes[1]!r}; got {positive!r}."
                f"{did_you_mean(positive, classes)}"
            )
        first = match[0] == classes[0]
    elif numeric:
        first = False
    else:
        votes = _first_is_positive(classes[0].lower(), classes[1].lower())
        first = bool(votes)
        if votes is None:
            notes.append(Note(f"task {name!r}: of {classes[0]!r} and {classes[1]!r}, {classes[1]!r} is read as the "
                              "positive class, by the alphabet", f"--positive {name!r}={classes[0]!r}"))  # fmt: skip
    return (1.0 - values, classes[::-1], notes) if first else (values, classes, notes)


def _first_is_positive(first: str, second: str) -> bool | None:
    """Return which of two words is the positive one by convention, or None."""
    if min(len(first), len(second)) == 1 and f"{first}{second}" not in ("ft", "tf", "ny", "yn", "+-", "-+"):
        return None  # single letters mean yes and no in pairs only
    for a, b, answer in ((first, second, True), (second, first, False)):
        if (a in _POSITIVE and b not in _POSITIVE) or (b in _NEGATIVE and a not in _NEGATIVE):
            return answer
        if b.endswith(a) and _NOT.match(b[: len(b) - len(a)]):
            return answer
    return None


def one_spelling(
    name: str, words: tuple[str, ...], counts: NDArray[Any]
) -> tuple[tuple[str, ...], NDArray[np.intp], list[Note]]:
    """Return the classes, the class of every word and a note; words that differ only in case are one class."""
    best: dict[str, tuple[int, str]] = {}
    for word, count in zip(words, counts, strict=True):
        key = word.casefold()
        if key not in best or count > best[key][0]:
            best[key] = (int(count), word)
    classes = tuple(sorted(word for _, word in best.values()))
    code = {word.casefold(): c for c, word in enumerate(classes)}
    merged = [word for word in words if word not in classes]
    notes = [Note(f"task {name!r}: {merged[0]!r} is read as {best[merged[0].casefold()][1]!r}")] if merged else []
    return classes, np.array([code[word.casefold()] for word in words], np.intp), notes


def _numeric(word: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", word))


def undecided(word: str) -> bool:
    return word.lower() in ("inconclusive", "equivocal", "ambiguous", "indeterminate", "unclear", "borderline", "maybe")
