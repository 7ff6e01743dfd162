"""The figures of one report: each is written under figures/ and handed back to stand inside the page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from taskgroup._artifact import write_text
from taskgroup._display import printable
from taskgroup.report._style import inline_svg, standalone_svg

__all__ = ["Figures"]

_INSIDE = 200_000  # characters of data that stand in the page as well

Drawn = Figure | Axes


class Figures:
    """Writes figures as SVG files, and what they show as CSV files, into one folder.

    Parameters
    ----------
    folder : Path
        Made when the first figure is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        name: str,
        drawn: Drawn,
        alt: str,
        *,
        columns: Sequence[str] = (),
        rows: Iterable[Sequence[Any]] = (),
        narrow: Drawn | None = None,
        panels: Sequence[str] = (),
        cells: Mapping[str, Sequence[str]] | None = None,
    ) -> dict[str, Any]:
        """Write a figure, or that of some axes, and return what the page's template needs.

        Parameters
        ----------
        name : str
            Of the files.
        drawn : Figure or Axes
            The picture.
        alt : str
            What it says, for those who do not see it.
        columns, rows : sequence
            The numbers behind it, for a CSV file.
        narrow : Figure or Axes, optional
            The same for a screen of a phone's width.
        panels : sequence of str
            Names of the panels that can be looked at alone, those of the marks called "panels".
        cells : dict, optional
            Of the picture of a matrix called "cells": {"down": names of its rows, "across": of its columns}. A line of
            the numbers behind it is a row of the picture, or a column where they are given as {"across", "down"}.
        """
        svg = printable(standalone_svg(_figure(drawn), name))
        write_text(self.folder / f"{name}.svg", svg)
        data = _csv(columns, rows) if columns else ""
        if data:
            write_text(self.folder / f"{name}.csv", data)
        small = None if narrow is None else printable(standalone_svg(_figure(narrow), f"{name}-narrow"))
        # matplotlib escapes the text it puts into SVG, so the element is safe as it is.
        return {
            "svg": Markup(inline_svg(svg, name)),
            "narrow": None if small is None else Markup(inline_svg(small, f"{name}-narrow")),
            "name": name, "alt": alt, "csv": data if len(data) <= _INSIDE else "", "panels": list(panels),
            "cells": None if cells is None else json.dumps({name: list(names) for name, names in cells.items()}),
        }  # fmt: skip


def _figure(drawn: Drawn) -> Figure:
    return drawn if isinstance(drawn, Figure) else cast(Figure, drawn.figure)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
    return buffer.getvalue()
