"""Titles of single marks: what a dot or a bar says when the pointer rests on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from weakref import WeakKeyDictionary
from xml.sax.saxutils import escape

from matplotlib.artist import Artist
from matplotlib.figure import Figure

__all__ = ["entitle", "with_titles"]

_TITLES: WeakKeyDictionary[Figure, dict[str, list[str]]] = WeakKeyDictionary()
_TAG = re.compile(r"<(/?)(g|defs|use|path|image)\b([^>]*?)(/?)>")


def entitle(artist: Artist, titles: Sequence[str], name: str | None = None) -> None:
    """Give the marks of an artist that is in a figure titles, in the order in which they are drawn.

    Parameters
    ----------
    artist : Artist
        A collection, or any artist of one mark.
    titles : sequence of str
        One for each mark.
    name : str, optional
        Id of the group of marks in the figure.
    """
    figure = artist.get_figure(root=True)
    assert isinstance(figure, Figure)
    of_figure = _TITLES.setdefault(figure, {})
    gid = name or f"marks{len(of_figure)}"
    artist.set_gid(gid)
    of_figure[gid] = list(titles)


def with_titles(svg: str, figure: Figure) -> str:
    """Return the SVG of a figure with the titles of its marks."""
    for gid, titles in _TITLES.get(figure, {}).items():
        start = svg.find(f'<g id="{gid}">')
        if start >= 0:
            end = _end_of_group(svg, start)
            svg = svg[:start] + _titled(svg[start:end], titles) + svg[end:]
    return svg


def _titled(group: str, titles: Sequence[str]) -> str:
    """Return a group whose i-th mark has the i-th title; what is only defined for later use has none."""
    left, in_defs = iter(titles), 0

    def mark(tag: re.Match[str]) -> str:
        nonlocal in_defs
        closing, name, attributes, empty = tag.groups()
        if name == "defs":
            in_defs += -1 if closing else 0 if empty else 1
        if name not in ("use", "path") or in_defs or not empty:
            return tag[0]
        title = next(left, None)
        return tag[0] if title is None else f"<{name}{attributes}><title>{escape(title)}</title></{name}>"

    return _TAG.sub(mark, group)


def _end_of_group(svg: str, start: int) -> int:
    depth = 0
    for tag in _TAG.finditer(svg, start):
        if tag[2] == "g":
            depth += -1 if tag[1] else 1
            if not depth:
                return tag.end()
    return len(svg)
