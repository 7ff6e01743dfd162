"""The data map of one task, in the form of Dataset Cartography.

Swayamdipta et al., EMNLP 2020, arXiv 2009.10795, figure 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from taskgroup.datamaps import DataMaps
from taskgroup.report._style import ACCENT, CORRECTNESS, FAINT, INK, MUTED, clean_axes, new_figure

__all__ = ["HEXBIN_ABOVE", "plot_data_map"]

HEXBIN_ABOVE = 100_000
"""Number of samples above which hexagons stand for the single points."""

_MARKERS = ("X", "v", "s", "D", "o")  # correctness from [0, .2) to [.8, 1]
_RASTERIZE_ABOVE = 3_000  # points in one SVG; more become a picture inside it
_REGIONS = (
    (0.03, 0.97, "easy-to-learn", "left", "top"),
    (0.47, 0.5, "ambiguous", "right", "center"),
    (0.03, 0.03, "hard-to-learn", "left", "bottom"),
)


def plot_data_map(maps: DataMaps, task: str, ax: Axes | None = None) -> Axes:
    """Return axes with the data map of ``task``: variability against confidence, one mark a sample.

    Colour and marker tell the correctness (the share of epochs with the right prediction) where it was recorded.
    Above 100,000 samples hexagons show the mean correctness of what they cover, more opaque the more samples there are;
    without correctness, the number of samples.

    Parameters
    ----------
    maps : DataMaps
        The recorded maps.
    task : str
        Name of one of their tasks.
    ax : matplotlib Axes, optional
        Where to draw the map alone. When left out, a new figure holds the map and, beside it, the histograms of
        confidence, variability and correctness; it is the returned axes' ``.figure``.

    Raises
    ------
    InvalidInputError
        When `maps` has no such task.

    Examples
    --------
    >>> import numpy as np
    >>> from taskgroup.tasks import TaskSet
    >>> p = np.array([[0.9], [0.5], [0.1]], np.float32)
    >>> maps = DataMaps(TaskSet(["a"]), p, p * (1 - p), np.ones((3, 1), np.uint16))
    >>> plot_data_map(maps, "a").get_xlabel()
    'variability'
    """
    column = maps.tasks.index_of(task)
    confidence, variability = maps.confidence[:, column], maps.variability[:, column]
    seen = np.isfinite(confidence) & np.isfinite(variability)
    confidence, variability = confidence[seen], variability[seen]
    correctness = None if maps.correctness is None else maps.correctness[seen, column]
    if correctness is not None and np.isnan(correctness).all():
        correctness = None  # regression
    if ax is None:
        figure = new_figure(8.4, 5.2)
        grid = figure.add_gridspec(3 if correctness is not None else 2, 2, width_ratios=[2.6, 1])
        ax = figure.add_subplot(grid[:, 0])
        series = [("confidence", confidence, 1.0), ("variability", variability, 0.5)]
        series += [] if correctness is None else [("correctness", correctness, 1.0)]
        for row, (name, values, top) in enumerate(series):
            _histogram(figure.add_subplot(grid[row, 1]), name, values, top)
    if len(confidence) > HEXBIN_ABOVE:
        _hexagons(ax, variability, confidence, correctness)
    else:
        _points(ax, variability, confidence, correctness)
    _dress(ax, task, len(confidence), maps.ddof)
    return ax


def _points(ax: Axes, x: NDArray[Any], y: NDArray[Any], correctness: NDArray[Any] | None) -> None:
    style: dict[str, Any] = {"s": 16, "alpha": 0.65, "linewidths": 0.3, "edgecolors": "white"}
    style["rasterized"] = len(x) > _RASTERIZE_ABOVE
    if correctness is None:
        ax.scatter(x, y, color=ACCENT, **style)
        return
    n_bins = len(_MARKERS)
    bins = np.minimum((np.nan_to_num(correctness) * n_bins).astype(int), n_bins - 1)
    for b in reversed(range(n_bins)):
        here = bins == b
        label = f"{b / n_bins:.1f} – {(b + 1) / n_bins:.1f}"
        ax.scatter(x[here], y[here], color=CORRECTNESS((b + 0.5) / n_bins), marker=_MARKERS[b], label=label, **style)
    legend = ax.legend(title="correctness", loc="lower right", fontsize=7.5, title_fontsize=8, frameon=False)
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_color(INK)


def _hexagons(ax: Axes, x: NDArray[Any], y: NDArray[Any], correctness: NDArray[Any] | None) -> None:
    box: dict[str, Any] = {"gridsize": (40, 34), "extent": (0.0, 0.5, 0.0, 1.0), "linewidths": 0.1, "mincnt": 1}
    if correctness is None:
        patches = ax.hexbin(x, y, bins="log", cmap="viridis", **box)
        label = "samples"
    else:
        sizes = ax.hexbin(x, y, C=correctness, reduce_C_function=len, **box)
        crowd = np.log1p(np.asarray(sizes.get_array()))
        sizes.remove()
        patches = ax.hexbin(x, y, C=correctness, reduce_C_function=np.nanmean, cmap=CORRECTNESS, vmin=0, vmax=1, **box)
        patches.set_alpha(0.25 + 0.75 * crowd / crowd.max())
        label = "mean correctness"
    inset = ax.inset_axes((0.66, 0.09, 0.3, 0.022))
    bar = ax.figure.colorbar(patches, cax=inset, orientation="horizontal")
    bar.set_label(label, color=INK, fontsize=8)
    bar.ax.tick_params(labelsize=7, colors=MUTED, labelcolor=INK)


def _histogram(ax: Axes, name: str, values: NDArray[Any], top: float) -> None:
    counts, edges = np.histogram(values[np.isfinite(values)], bins=20, range=(0.0, top))
    middles = (edges[1:] + edges[:-1]) / 2
    color = CORRECTNESS(middles) if name == "correctness" else MUTED
    ax.bar(middles, counts, width=0.9 * top / 20, color=color)
    ax.set(xlabel=name, xlim=(0.0, top))
    ax.locator_params(axis="y", nbins=3)
    clean_axes(ax)


def _dress(ax: Axes, task: str, n_samples: int, ddof: int) -> None:
    if ddof == 0:  # no point can lie to the right of sqrt(mu (1 - mu)): half a circle around (0, 0.5)
        angle = np.linspace(0.0, np.pi, 91)
        ax.plot(np.sin(angle) / 2, (1 - np.cos(angle)) / 2, color=FAINT, linewidth=1, zorder=0)
    for x, y, region, side, align in _REGIONS:
        box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 2}
        ax.text(x, y, region, color=INK, fontsize=9, style="italic", ha=side, va=align, bbox=box)
    ax.set(xlim=(-0.01, 0.51), ylim=(-0.02, 1.02), xlabel="variability", ylabel="confidence")
    clean_axes(ax)
    ax.set_title(f"{task} · {n_samples:,} samples", loc="left", fontsize=10, color=INK, parse_math=False)
