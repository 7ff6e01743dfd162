"""How every figure looks: colours, axes without clutter, and SVG that an HTML page can theme.

Figures are built with matplotlib's object interface; no function touches pyplot or the global settings. People with
colour-blindness can tell the colours apart, on white and on black: gains are blue and losses orange, and groups also
carry their number.
"""

from __future__ import annotations

import io
import re
import warnings

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from taskgroup.report._marks import with_titles

__all__ = [
    "ACCENT", "CORRECTNESS", "FAINT", "INK", "LOSS", "MUTED", "SIMILARITY", "SURFACE",
    "clean_axes", "group_color", "inline_svg", "new_figure", "shorten", "standalone_svg",
]  # fmt: skip

INK, MUTED, FAINT, SURFACE = "#1f2937", "#5b6674", "#d3d9e0", "#ffffff"
_GROUPS = ("#1f77b4", "#c2570c", "#0f7f5c", "#a64d9a", "#8f6b00", "#4f5fc4", "#b0413e", "#5c6775")
ACCENT, LOSS = _GROUPS[:2]
"""What gains or is recommended, and what loses."""

CORRECTNESS = LinearSegmentedColormap.from_list("correctness", [LOSS, "#968f9e", ACCENT])
"""Share of epochs with the right prediction: orange 0, grey one half, blue 1."""

SIMILARITY = LinearSegmentedColormap.from_list("similarity", ["#f3f6f9", "#9cc3dd", "#2f7fb5", "#0b3c66", "#04182c"])

_THEME = {INK: "var(--ink)", MUTED: "var(--muted)", FAINT: "var(--line)", SURFACE: "var(--surface)"}
_THEME |= {color: f"var(--g{number})" for number, color in enumerate(_GROUPS)}
_SETTINGS = {"font.sans-serif": ["DejaVu Sans"], "svg.fonttype": "none", "savefig.dpi": 160}


def group_color(group: int) -> str:
    """Return the colour of a group; colours repeat after eight, so the group's number is always shown as well."""
    return _GROUPS[group % len(_GROUPS)]


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of that many inches that lays itself out."""
    return Figure(figsize=(width, height), layout="constrained", facecolor=SURFACE)


def clean_axes(ax: Axes, *, frame: bool = True) -> None:
    """Set the colours and sizes of an axes; without a frame only its contents and tick labels stay."""
    ax.set_facecolor("none")
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=8, length=3 if frame else 0, width=0.8)
    for side, spine in ax.spines.items():
        spine.set_visible(frame and side in ("left", "bottom"))
        spine.set_color(MUTED)
        spine.set_linewidth(0.8)
    for label in (ax.xaxis.label, ax.yaxis.label, ax.title):
        label.set_color(INK)
        label.set_fontsize(9)


def shorten(name: str, length: int) -> str:
    """Return ``name`` cut to ``length`` characters, the last one an ellipsis where something was cut.

    >>> shorten("pixel_4_7_above_8", 10)
    'pixel_4_7…'
    """
    return name if len(name) <= length else name[: length - 1] + "…"


def standalone_svg(figure: Figure, name: str) -> str:
    """Return the figure as an SVG file; the same figure and name give the same bytes."""
    buffer = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_SETTINGS, "svg.hashsalt": name})
        # Text stays text, so the reader's fonts draw it: a glyph that matplotlib's own font lacks is no fault.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return with_titles(re.sub(r"[ \t]+\n", "\n", buffer.getvalue()), figure)


def inline_svg(svg: str, name: str) -> str:
    """Return the ``<svg>`` element of :func:`standalone_svg`, to stand inside a page.

    Ids get the figure's name as a prefix, so that several figures share a page; the neutral colours become the
    page's variables --ink, --muted, --line and --surface, the group colours --g0 to --g7, and the font --font.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"<style type=\"text/css\">.*?</style>\s*", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<[^>]*>", lambda tag: _at_home(tag[0], name), body)
    body = re.sub(r"\n\s*", "\n", body)
    for clip in set(re.findall(r'<g (clip-path="[^"]*")>', body)):  # one group for marks that are clipped alike
        body = re.sub(rf"(</use>|<use [^>]*/>|<path [^>]*/>|</path>)\n</g>\n<g {re.escape(clip)}>\n", r"\1\n", body)
    points = float(re.search(r'width="([\d.]+)pt"', body)[1])  # type: ignore[index]
    box = re.search(r'viewBox="[^"]*"', body)[0]  # type: ignore[index]
    width = round(points * 4 / 3)  # CSS pixels
    size = f"width:100%;max-width:{width}px"
    head = f'<svg {box} style="{size}" aria-hidden="true" focusable="false">'
    return re.sub(r"<svg[^>]*>", head, body, count=1)


def _at_home(tag: str, name: str) -> str:
    """Return a tag with its ids prefixed, its colours themed and the page's font; text between tags stays as it is."""
    tag = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", tag)
    tag = re.sub(r'\b(?:d|x|y)="[^"]*"', lambda place: re.sub(r"(\.\d\d)\d+", r"\1", place[0]), tag)  # of a point
    tag = re.sub(r"(?<=: )#[0-9a-f]{6}", lambda color: _THEME.get(color[0], color[0]), tag)
    return tag.replace("'DejaVu Sans', sans-serif", "var(--font)")
