"""Checks at the border, with one wording: the thing, the rule, the value found, the next step."""

from __future__ import annotations

import difflib
import importlib
import numbers
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from taskgroup.exceptions import InvalidInputError

__all__ = [
    "check_choice", "check_finite", "check_int", "check_known", "check_matrix", "check_real", "check_type",
    "did_you_mean",
]  # fmt: skip

_T = TypeVar("_T", bound=str)


def check_int(name: str, value: Any, low: int | None = None, high: int | None = None, *, high_name: str = "") -> int:
    """Return ``value`` as an int after checking ``low <= value <= high``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InvalidInputError(f"`{name}` must be an integer; got {value!r} of type {type(value).__name__}.")
    _check_range(name, value, low, high, high_name)
    return int(value)


def check_real(name: str, value: Any, low: float | None = None, high: float | None = None) -> float:
    """Return ``value`` as a float after checking that it is finite and ``low <= value <= high``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not np.isfinite(float(value)):
        raise InvalidInputError(f"`{name}` must be a finite number; got {value!r}.")
    _check_range(name, value, low, high, "")
    return float(value)


def check_type(name: str, value: Any, kind: type | tuple[type, ...], make: str) -> None:
    """Raise unless ``value`` is of a kind; say how one is made, or under what name the value holds one.

    >>> check_type("n", "3", int, "Write 3.")
    Traceback (most recent call last):
    ...
    taskgroup.exceptions.InvalidInputError: `n` must be a int; got str. Write 3.
    """
    if isinstance(value, kind):
        return
    kinds = kind if isinstance(kind, tuple) else (kind,)
    held = next((key for key, own in getattr(value, "__dict__", {}).items() if isinstance(own, kind)), None)
    raise InvalidInputError(
        f"`{name}` must be a {' or '.join(one.__name__ for one in kinds)}; got {type(value).__name__}. "
        + (f"Pass its `.{held}`." if held else make)
    )


def check_choice(name: str, value: Any, choices: Sequence[_T]) -> _T:
    """Return ``value`` after checking that it is one of ``choices``."""
    for choice in choices:
        if value == choice:
            return choice
    listed = ", ".join(repr(choice) for choice in choices)
    raise InvalidInputError(f"`{name}` must be one of {listed}; got {value!r}.{did_you_mean(str(value), choices)}")


def check_known(what: str, name: str, known: Iterable[str]) -> str:
    """Return ``name`` after checking that it is among ``known`` names."""
    listed = list(known)
    if name not in listed:
        raise InvalidInputError(
            f"no {what} {name!r}{did_you_mean(name, listed, '; ') or f'; there are {len(listed)}.'}"
        )
    return name


def check_matrix(name: str, value: ArrayLike, shape: tuple[int | None, ...], dtype: Any = None) -> NDArray[Any]:
    """Return ``value`` as an array after checking its number of dimensions and every size that is not None."""
    array = np.asarray(value, dtype=dtype)
    wanted = tuple("any" if size is None else size for size in shape)
    if array.ndim != len(shape) or any(s is not None and s != a for s, a in zip(shape, array.shape, strict=True)):
        raise InvalidInputError(f"`{name}` must have shape ({', '.join(map(str, wanted))}); got {array.shape}.")
    return array


def check_finite(
    name: str, array: NDArray[Any], columns: Sequence[str] | None = None, *, missing: bool = False
) -> None:
    """Raise when ``array`` (n, d) holds infinity, or NaN unless ``missing``; say how many and where the first is."""
    bad = np.isinf(array) if missing else ~np.isfinite(array)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        where = f"column {columns[column]!r}" if columns is not None else f"column {column}"
        what = "infinite" if missing else "NaN or infinite"
        raise InvalidInputError(
            f"`{name}` must be finite{' or NaN for missing' if missing else ''}; got {int(bad.sum())} {what} values in "
            f"{int(bad.any(0).sum())} columns, the first in row {row}, {where}. Correct or drop them first."
        )


def find_object(what: str, text: str) -> Any:
    """Return what "module:name" names; the working directory is looked in first.

    Raises
    ------
    InvalidInputError
        When the text is not of that form, or there is nothing of that name.
    """
    module, _, name = text.partition(":")
    if not module or not name:
        raise InvalidInputError(f'a {what} of yours is named as "module:name"; got {text!r}.')
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise InvalidInputError(f"{what} {text!r}: {error}; looked in {here} too.") from error
    finally:
        sys.path.remove(here)
    return found


def did_you_mean(name: str, known: Iterable[str], before: str = " ") -> str:
    """Return "Did you mean 'x'?" for the known name nearest to ``name``, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if not near:
        return ""
    question = f"did you mean {near[0]!r}?"
    return before + (question if before == "; " else question[0].upper() + question[1:])


def _check_range(name: str, value: Any, low: float | None, high: float | None, high_name: str) -> None:
    if (low is None or value >= low) and (high is None or value <= high):
        return
    top = f"{high_name}={high}" if high_name else f"{high}"
    if low is not None and high is not None:
        rule = f"between {low} and {top}"
    else:
        rule = f"at least {low}" if high is None else f"at most {top}"
    raise InvalidInputError(f"`{name}` must be {rule}; got {value}.")
