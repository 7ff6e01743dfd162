"""Short texts and small HTML tables of the objects that people print and look at in notebooks."""

from __future__ import annotations

import html
import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

__all__ = ["brief", "cell", "clipped", "column_cells", "html_page", "html_table", "printable", "printable_json"]

_C = TypeVar("_C", bound=type)

_LONGEST = 1200  # characters of a short text
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ROWS = 30  # rows of a table in a notebook

_STYLE = """\
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
div{overflow-x:auto}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
caption{text-align:left;font-weight:600}
th,td{padding:.25rem .75rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid #8886}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
"""


def brief(cls: _C) -> _C:
    """Return a dataclass whose repr is short whatever its fields hold: sizes of arrays, the first of many names.

    >>> from dataclasses import dataclass
    >>> @brief
    ... @dataclass
    ... class Pair:
    ...     left: list
    ...     right: dict
    >>> Pair(list(range(1000)), {"a": 1})
    Pair(left=1,000 items, right={a})
    """
    cls.__repr__ = _brief  # type: ignore[assignment]
    return cls


def _brief(self: Any) -> str:
    values = {field.name: getattr(self, field.name) for field in fields(self) if field.repr}
    shown = [f"{name}={_short(value)}" for name, value in values.items() if value is not None]
    text = f"{type(self).__name__}({', '.join(shown)})"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 2] + "…)"


def _short(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype} {tuple(value.shape)}" if value.shape else str(value)
    if isinstance(value, Mapping):
        return f"{{{clipped(map(str, value), 3)}}}"
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        text = repr(value) if len(value) <= 4 else ""
        return text if text and len(text) <= 60 else f"{len(value):,} items"
    text = repr(value)
    return text if len(text) <= 120 else text[:119] + "…"


def printable(text: str) -> str:
    r"""Return a text whose control characters, but for tabs and line ends, and marks of direction are written out.

    Names come from data: what a terminal would obey, or a page would show in another order, is shown instead.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_json(text: str) -> str:
    r"""Return a JSON text that means the same, with what :func:`printable` writes out escaped as JSON does it.

    >>> printable_json('"a\u202eb"')
    '"a\\u202eb"'
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def clipped(names: Iterable[str], most: int = 4, width: int = 40) -> str:
    """Return the first names, each cut to a width, and how many more there are.

    >>> clipped(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    listed = list(names)
    shown = [name if len(name) <= width else name[: width - 1] + "…" for name in listed[:most]]
    return ", ".join(shown) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _decimals(size: float) -> int:
    return 3 if size < 10 else 1 if size < 1000 else 0


def cell(value: Any) -> str:
    """Return a value as a table shows it: three decimals or digits, thousands apart, a dash where there is none.

    >>> cell(0.12345), cell(1234), cell(87.654), cell(None), cell([0.1, 0.25])
    ('0.123', '1,234', '87.7', '–', '0.100 to 0.250')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    if isinstance(value, numbers.Real):
        return f"{float(value):,.{_decimals(abs(float(value)))}f}"
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(v, numbers.Real) for v in value):
        return f"{cell(float(value[0]))} to {cell(float(value[1]))}"
    return str(value)


def column_cells(values: Sequence[Any]) -> list[str]:
    """Return the values of a column as a table shows them, its numbers with the decimals of the largest.

    >>> column_cells([34.21, 3.289, None]), column_cells([3.289, 0.5]), column_cells(["a", 2.0])
    (['34.2', '3.3', '–'], ['3.289', '0.500'], ['a', '2.000'])
    """
    real = [abs(float(v)) for v in values if isinstance(v, numbers.Real) and not isinstance(v, numbers.Integral)]
    decimals = _decimals(max((size for size in real if size == size), default=0.0))
    alike = all(v is None or isinstance(v, numbers.Real) for v in values)
    plain = [isinstance(v, numbers.Integral) or v is None or v != v for v in values]
    return [cell(v) if same or not alike else f"{v:,.{decimals}f}" for v, same in zip(values, plain, strict=True)]


def html_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "", most: int = _ROWS) -> str:
    """Return an HTML table of the first rows; every text is escaped, numbers stand right."""
    numeric = [all(row[j] is None or isinstance(row[j], numbers.Real) for row in rows) for j in range(len(columns))]
    kinds = [' class="n"' if right else "" for right in numeric]
    lines = ["<div><table>"]
    if caption:
        lines.append(f"<caption>{html.escape(caption)}</caption>")
    heads = "".join(f'<th scope="col"{k}>{html.escape(c)}</th>' for k, c in zip(kinds, columns, strict=True))
    lines.append(f"<thead><tr>{heads}</tr></thead><tbody>")
    for row in rows[:most]:
        cells = "".join(f"<td{k}>{html.escape(cell(v))}</td>" for k, v in zip(kinds, row, strict=True))
        lines.append(f"<tr>{cells}</tr>")
    if len(rows) > most:
        lines.append(f'<tr><td colspan="{len(columns)}">and {len(rows) - most:,} more</td></tr>')
    return "\n".join([*lines, "</tbody></table></div>"])


def html_page(title: str, parts: Sequence[str]) -> str:
    """Return a page that needs nothing else, of parts that are HTML already."""
    name = html.escape(title)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title>'
    body = "\n".join([f"<h1>{name}</h1>", *parts])
    return printable(
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )
