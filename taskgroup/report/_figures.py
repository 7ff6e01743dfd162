"""The figures of one report: each is written under figures/ and handed back to stand inside the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from taskgroup._artifact import write_text
from taskgroup.report._style import inline_svg, standalone_svg

__all__ = ["Figures"]


class Figures:
    """Writes figures as SVG files into one folder.

    Parameters
    ----------
    folder : Path
        Made when the first figure is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, drawn: Figure | Axes, alt: str) -> dict[str, Any]:
        """Write a figure, or that of some axes, and return what the page's template needs.

        That is the inline SVG, the figure's name and its alt text.
        """
        figure = drawn if isinstance(drawn, Figure) else cast(Figure, drawn.figure)
        svg = standalone_svg(figure, name)
        write_text(self.folder / f"{name}.svg", svg)
        # matplotlib escapes the text it puts into SVG, so the element is safe as it is.
        return {"svg": Markup(inline_svg(svg, name)), "name": name, "alt": alt}
