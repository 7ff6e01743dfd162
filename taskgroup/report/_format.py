"""Numbers as people read them; all are filters of the page's template."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["FILTERS", "interval", "number", "percent", "plural", "seconds", "signed"]

_MISSING = "–"


def number(value: Any, digits: int = 3) -> str:
    """Return a score with that many decimals, a dash where undefined."""
    return _MISSING if _absent(value) else f"{value:.{digits}f}"


def signed(value: Any, digits: int = 3) -> str:
    """Return a difference with its sign.

    >>> signed(-0.0124), signed(None)
    ('−0.012', '–')
    """
    return _MISSING if _absent(value) else f"{value:+.{digits}f}".replace("-", "−")


def interval(bounds: Any, digits: int = 3) -> str:
    """Return "[low, high]", an empty string where undefined."""
    if not bounds or any(_absent(bound) for bound in bounds):
        return ""
    return f"[{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]".replace("-", "−")


def amount(value: Any) -> str:
    """Return a large number in three digits and a unit.

    >>> amount(1234567), amount(950)
    ('1.23 M', '950')
    """
    if _absent(value):
        return _MISSING
    for unit, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def size(value: Any) -> str:
    """Return a number of bytes.

    >>> size(59_900), size(950)
    ('59.9 kB', '950 B')
    """
    text = amount(value)
    return text if _absent(value) else f"{text}B" if text[-1].isalpha() else f"{text} B"


def key(value: Any) -> str:
    """Return what a column is sorted by, empty where undefined."""
    return "" if _absent(value) else f"{value:.7g}"


def seconds(value: Any) -> str:
    """Return a duration.

    >>> seconds(75.2), seconds(4.21)
    ('1 min 15 s', '4.2 s')
    """
    if _absent(value):
        return _MISSING
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)} min {int(value % 60)} s"


def p_value(value: Any) -> str:
    """Return a p value, never smaller than "< .001"."""
    if _absent(value):
        return _MISSING
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0")


def percent(value: Any) -> str:
    """Return a share as whole percent."""
    return _MISSING if _absent(value) else f"{100 * value:.0f} %"


def plural(count: int, thing: str) -> str:
    """Return "1 task" or "5 tasks".

    >>> plural(1, "task"), plural(1200, "task")
    ('1 task', '1,200 tasks')
    """
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def _absent(value: Any) -> bool:
    return not isinstance(value, (int, float)) or math.isnan(value)


FILTERS = {
    "number": number, "signed": signed, "interval": interval, "amount": amount, "size": size, "key": key,
    "seconds": seconds, "p_value": p_value, "percent": percent, "plural": plural,
}  # fmt: skip
