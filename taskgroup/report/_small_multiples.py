"""Data maps of many tasks side by side, every sample of each, drawn as one picture.

A hundred axes with a hundred thousand markers take minutes and tens of megabytes. Here each map is counted into a small
grid of cells and all grids form one image: the cost is one pass over the samples in chunks of bounded memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from taskgroup.datamaps import DataMaps
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import Grouping
from taskgroup.report._marks import entitle
from taskgroup.report._style import CORRECTNESS, FAINT, INK, MUTED, clean_axes, group_color, new_figure, shorten

__all__ = ["MAX_PANELS", "plot_data_maps"]

MAX_PANELS = 100
"""Most tasks in one figure."""

_CELLS = 64  # cells along each side of a panel
_GAP, _TITLE = 8, 17  # cells between panels, and above each for its name
_CHUNK = 1 << 20  # values binned at a time
_FAINTEST = 0.55  # opacity of a cell with one sample; the fullest cell has 1


def plot_data_maps(maps: DataMaps, tasks: Sequence[str] | None = None, *, grouping: Grouping | None = None) -> Figure:
    """Return a figure of small data maps, one a task, variability to the right and confidence upwards.

    Each panel is bounded by the largest possible variability, sqrt(mu (1 - mu)). A cell's colour is the mean
    correctness of its samples, where recorded, and its opacity grows with their number.

    Parameters
    ----------
    maps : DataMaps
        The recorded maps.
    tasks : sequence of str, optional
        Names of the tasks to show, in this order; all of them when left out. At most 100.
    grouping : Grouping, optional
        Puts each task's group number and colour beside its name.

    Raises
    ------
    InvalidInputError
        When there are more than 100 tasks, or a name is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from taskgroup.tasks import TaskSet
    >>> p = np.array([[0.9, 0.2], [0.5, 0.1]], np.float32)
    >>> maps = DataMaps(TaskSet(["a", "b"]), p, p * (1 - p), np.ones((2, 2), np.uint16))
    >>> [text.get_text() for text in plot_data_maps(maps).axes[0].texts]
    ['a', 'b']
    """
    names = maps.tasks.names if tasks is None else tuple(tasks)
    if not 1 <= len(names) <= MAX_PANELS:
        raise InvalidInputError(
            f"`tasks` must hold between 1 and {MAX_PANELS} tasks; got {len(names)}. Pass the names of those to show."
        )
    columns = [maps.tasks.index_of(name) for name in names]
    n_down = math.ceil(len(names) / min(10, max(4, math.ceil(math.sqrt(1.6 * len(names))))))
    n_across = math.ceil(len(names) / n_down)
    corners = [
        ((i % n_across) * (_CELLS + _GAP), (i // n_across) * (_CELLS + _TITLE) + _TITLE) for i in range(len(names))
    ]

    width, height = n_across * (_CELLS + _GAP), n_down * (_CELLS + _TITLE)
    scale = 10.6 / max(width, 6 * (_CELLS + _GAP))  # inches a cell
    figure = new_figure(width * scale + 0.2, height * scale + 0.85)
    ax = figure.add_subplot()
    panels, rated = _panels(maps, columns)
    image = _mosaic(panels, corners, (height, width))
    ax.imshow(image, extent=(0, width, height, 0), interpolation="none", aspect="equal")
    ax.add_collection(LineCollection([_outline(*corner) for corner in corners], colors=FAINT, linewidths=0.8))
    boxes = [Rectangle(corner, _CELLS, _CELLS) for corner in corners]
    doors = PatchCollection(boxes, facecolors="none", edgecolors="none")
    ax.add_collection(doors)
    entitle(doors, list(names), "panels")
    _name_panels(ax, names, corners, grouping, scale)
    ax.set(xlim=(-2, width), ylim=(height + 2, 0), xticks=[], yticks=[])
    clean_axes(ax, frame=False)
    if rated:
        _legend(figure, ax)
    return figure


def _panels(maps: DataMaps, columns: Sequence[int]) -> tuple[NDArray[np.float64], bool]:
    """Return RGBA panels (tasks, cells, cells, 4), highest confidence on top, and whether any correctness is known."""
    n_cells = len(columns) * _CELLS * _CELLS
    counts, right, known = (np.zeros(n_cells) for _ in range(3))
    offsets = np.arange(len(columns), dtype=np.int64) * _CELLS * _CELLS
    step = max(1, _CHUNK // len(columns))
    for start in range(0, maps.n_samples, step):
        rows = slice(start, start + step)
        confidence, variability = maps.confidence[rows][:, columns], maps.variability[rows][:, columns]
        seen = np.isfinite(confidence) & np.isfinite(variability)
        cell = (offsets + _bin(1.0 - confidence) * _CELLS + _bin(2.0 * variability))[seen]
        counts += np.bincount(cell, minlength=n_cells)
        if maps.correctness is not None:
            correct = maps.correctness[rows][:, columns][seen]
            here = np.isfinite(correct)  # not in regression tasks
            known += np.bincount(cell[here], minlength=n_cells)
            right += np.bincount(cell[here], weights=correct[here], minlength=n_cells)
    rated = bool(known.any())
    mean = np.divide(right, known, out=np.full(n_cells, 0.5), where=known > 0)
    colors = CORRECTNESS(mean) if rated else np.tile(CORRECTNESS(1.0), (n_cells, 1))
    crowd = np.log1p(counts) / np.log1p(max(counts.max(), 1.0))
    colors[:, 3] = np.where(counts > 0, _FAINTEST + (1 - _FAINTEST) * crowd, 0.0)
    return colors.reshape(len(columns), _CELLS, _CELLS, 4), rated


def _bin(share: NDArray[Any]) -> NDArray[np.int64]:
    cell: NDArray[np.int64] = np.clip(np.nan_to_num(share) * _CELLS, 0, _CELLS - 1).astype(np.int64)
    return cell


def _mosaic(panels: NDArray[Any], corners: Sequence[tuple[int, int]], shape: tuple[int, int]) -> NDArray[np.uint8]:
    image = np.zeros((*shape, 4), np.uint8)
    for panel, (x, y) in zip(panels, corners, strict=True):
        image[y : y + _CELLS, x : x + _CELLS] = np.rint(255 * panel)
    return image


def _outline(x: int, y: int) -> NDArray[np.float64]:
    angle = np.linspace(0.0, np.pi, 31)
    arc = np.column_stack([x + np.sin(angle) * _CELLS, y + (1 + np.cos(angle)) / 2 * _CELLS])
    return np.vstack([arc, arc[:1]])


def _name_panels(
    ax: Axes, names: Sequence[str], corners: Sequence[tuple[int, int]], grouping: Grouping | None, scale: float
) -> None:
    points = 72 * scale * _CELLS / 9.5  # about nine and a half characters of 7 points fill a hundred-task panel
    size = min(9.0, max(6.5, points))
    room = int(72 * scale * (_CELLS + _GAP) / (0.58 * size))
    for name, (x, y) in zip(names, corners, strict=True):
        if grouping is None:
            ax.text(x, y - 3, shorten(name, room), fontsize=size, color=INK, parse_math=False)
            continue
        group = int(grouping.labels[grouping.tasks.index_of(name)])
        ax.text(x, y - 3, str(group), fontsize=size, color=group_color(group), weight="bold")
        indent = (len(str(group)) + 0.6) * 0.62 * size / (72 * scale)
        ax.text(x + indent, y - 3, shorten(name, room - 2), fontsize=size, color=INK, parse_math=False)


def _legend(figure: Figure, ax: Axes) -> None:
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), CORRECTNESS), ax=ax, location="bottom", shrink=0.25, aspect=30, pad=0.01
    )
    bar.set_label("correctness (share of epochs)", color=INK, fontsize=8)
    bar.ax.tick_params(labelsize=7, colors=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)
