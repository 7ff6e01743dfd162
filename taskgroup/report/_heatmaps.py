"""Pictures of matrices: the similarity of tasks ordered by group, and who belongs to which group how much."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from taskgroup._validation import check_matrix
from taskgroup.grouping import Grouping
from taskgroup.report._style import FAINT, INK, MUTED, SIMILARITY, clean_axes, group_color, new_figure, shorten

__all__ = ["CELLS", "group_order", "plot_membership", "plot_similarity"]

CELLS = "cells"
"""Id of the picture of a matrix in its figure: the page says what cell the pointer is on."""

_NAMED = 60  # tasks; with more, only the groups are named along a similarity map
_PIXELS = 400  # a side of the picture
_NAMED_COLUMNS = 120  # tasks named under a membership matrix


def group_order(grouping: Grouping) -> NDArray[np.int64]:
    """Return task positions sorted by group, and within a group from the surest member to the least sure."""
    labels = grouping.labels
    sureness = grouping.membership[np.arange(grouping.n_tasks), labels]
    return np.lexsort((-sureness, labels))


def plot_similarity(similarity: ArrayLike, grouping: Grouping, ax: Axes | None = None) -> Axes:
    """Return axes with the (T, T) similarity of the tasks, ordered by group, with a bar of group colours.

    Raises
    ------
    InvalidInputError
        When `similarity` is not of shape (T, T).
    """
    matrix = check_matrix("similarity", similarity, (grouping.n_tasks, grouping.n_tasks), np.float64)
    if ax is None:
        side = min(6.6, 2.4 + 0.17 * grouping.n_tasks)
        ax = new_figure(side + 1.2, side).add_subplot()
    order, labels = group_order(grouping), grouping.labels
    sorted_matrix = matrix[np.ix_(order, order)]
    off = sorted_matrix[~np.eye(len(order), dtype=bool)]
    low = min(0.0, float(np.nanmin(off, initial=0.0)))
    high = max(float(np.nanmax(off, initial=0.0)), low + 1e-6)
    end = grouping.n_tasks - 0.5
    image = ax.imshow(
        _pooled(sorted_matrix),
        extent=(-0.5, end, end, -0.5),
        cmap=SIMILARITY,
        vmin=low,
        vmax=high,
        interpolation="none",
    )
    image.set_gid(CELLS)
    _color_bar(ax, image, "similarity")
    clean_axes(ax, frame=False)
    sizes = np.bincount(labels, minlength=grouping.n_groups)
    starts = np.cumsum(sizes) - sizes
    shown = [int(group) for group in np.flatnonzero(sizes)]
    for group in shown:
        start, size = float(starts[group]) - 0.5, float(sizes[group])
        edge = group_color(group)
        ax.add_patch(Rectangle((start, start), size, size, fill=False, edgecolor=edge, linewidth=1.8))
    if grouping.n_tasks <= _NAMED:
        names = [shorten(grouping.tasks.names[t], 22) for t in order]
        ax.set_yticks(np.arange(len(order)), names, fontsize=7, parse_math=False)
        ax.set_xticks([])
    else:
        ax.set_yticks(starts[shown] + sizes[shown] / 2 - 0.5, [f"group {g}" for g in shown])
        ax.set_xticks([])
        for text, group in zip(ax.get_yticklabels(), shown, strict=True):
            text.set_color(group_color(group))
    return ax


def plot_membership(grouping: Grouping, ax: Axes | None = None) -> Axes:
    """Return axes with the membership of every task (columns, by group) in every group (rows).

    A cell's opacity is the membership in [0, 1]; of a hard grouping every column holds one full cell.
    """
    n_tasks, n_groups = grouping.membership.shape
    named = n_tasks <= _NAMED_COLUMNS
    if ax is None:
        width = min(11.0, max(4.5, 1.6 + 0.16 * n_tasks))
        ax = new_figure(width, 0.55 + 0.19 * n_groups + (1.0 if named else 0.2)).add_subplot()
    order = group_order(grouping)
    cells = np.empty((n_groups, n_tasks, 4))
    cells[..., :3] = np.array([to_rgb(group_color(g)) for g in range(n_groups)])[:, None]
    cells[..., 3] = grouping.membership[order].T
    ax.imshow(cells, aspect="auto", interpolation="none").set_gid(CELLS)
    ax.hlines(np.arange(n_groups + 1) - 0.5, -0.5, n_tasks - 0.5, colors=FAINT, linewidths=0.6)
    clean_axes(ax, frame=False)
    ax.set_yticks(np.arange(n_groups), [f"group {g}" for g in range(n_groups)])
    for group, text in enumerate(ax.get_yticklabels()):
        text.set_color(group_color(group))
    if named:
        names = [shorten(grouping.tasks.names[t], 20) for t in order]
        ax.set_xticks(np.arange(n_tasks), names, rotation=90, fontsize=6.5, parse_math=False)
    else:
        ax.set_xticks([])
        ax.set_xlabel(f"{n_tasks} tasks, by group", color=INK, fontsize=8)
    return ax


def _pooled(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means over square blocks of a large matrix, so that its picture has at most `_PIXELS` pixels a side."""
    starts = np.arange(0, len(matrix), -(-len(matrix) // _PIXELS))
    sizes = np.diff(np.append(starts, len(matrix)))
    sums = np.add.reduceat(np.add.reduceat(matrix, starts, axis=0), starts, axis=1)
    means: NDArray[np.float64] = sums / np.outer(sizes, sizes)
    return means


def _color_bar(ax: Axes, image: AxesImage, label: str) -> None:
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.6, aspect=20, pad=0.015)
    bar.set_label(label, color=INK, fontsize=8)
    bar.ax.tick_params(labelsize=7, colors=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)
