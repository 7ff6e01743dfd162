"""Dot plots of scores: the methods against each other, and every task's gain over its own network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from taskgroup.exceptions import InvalidInputError
from taskgroup.report._format import interval, number, signed
from taskgroup.report._marks import entitle
from taskgroup.report._style import ACCENT, FAINT, INK, LOSS, MUTED, clean_axes, new_figure, shorten
from taskgroup.scoring import split_name

__all__ = ["METRIC_LABELS", "is_ours", "plot_gains", "plot_scorecard"]

METRIC_LABELS = {
    "auc": "AUC", "average_precision": "average precision", "f1": "F1", "macro_f1": "macro F1", "log_loss": "log-loss",
    "accuracy": "accuracy", "r2": "R²", "rmse": "RMSE",
}  # fmt: skip

_NAMED = 130  # tasks named under a plot of gains


def is_ours(method: str) -> bool:
    """Return whether a method trains groups that the Data Maps found; every other method is a control."""
    return split_name(method)[1] in ("grouped", "units")


def plot_scorecard(
    summary: Sequence[Mapping[str, Any]], *, unit: str = "AUC", ax: Axes | None = None, width: float = 10.6
) -> Axes:
    """Return axes with a dot and its 95 % interval for every method, best mean on top.

    Parameters
    ----------
    summary : sequence of mapping
        The "summary" of scores.json: rows of {"method": str, "mean": float, "ci95": [low, high]}.
    unit : str
        The metric, for the label of the axis.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's when left out.
    width : float
        Of a new figure, in inches. Below six the names stand above their lines.

    Raises
    ------
    InvalidInputError
        When no method has a mean.

    Examples
    --------
    >>> ax = plot_scorecard([{"method": "nets/per-task", "mean": 0.8, "ci95": [0.7, 0.9]}])
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['nets/per-task']
    """
    rows = sorted((row for row in summary if row["mean"] is not None), key=lambda row: (row["mean"], row["method"]))
    if not rows:
        raise InvalidInputError(f"`summary` must hold at least one method with a mean; got {len(summary)} without.")
    if ax is None:
        ax = new_figure(width, 0.75 + (0.3 if width >= 6 else 0.5) * len(rows)).add_subplot()
    for y, row in enumerate(rows):
        color = ACCENT if is_ours(row["method"]) else MUTED
        low, high = row.get("ci95") or (None, None)
        if low is not None and high is not None:
            ax.hlines(y, low, high, color=color, linewidth=2)
        dot = ax.scatter([row["mean"]], [y], s=42, color=color, zorder=3)
        entitle(dot, [f"{row['method']}: {number(row['mean'])} {interval(row.get('ci95'))}"])
        text: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 7.5, "color": INK}
        ax.annotate(f"{row['mean']:.3f}", (row["mean"], y), xytext=(0, 5 if width >= 6 else -12), **text)
    ax.axvline(rows[-1]["mean"], color=FAINT, linewidth=1, zorder=0)
    names = [row["method"] for row in rows]
    if width >= 6:
        ax.set_yticks(range(len(rows)), names, parse_math=False)
    else:
        ax.set_yticks([])
        for y, name in enumerate(names):
            ax.annotate(name, (0, y), xycoords=("axes fraction", "data"), xytext=(2, 9), textcoords="offset points",
                        fontsize=8, color=INK, parse_math=False)  # fmt: skip
    ax.set(ylim=(-0.6, len(rows) - 0.3), xlabel=f"mean test {unit} over the tasks, 95 % interval")
    clean_axes(ax)
    ax.tick_params(axis="y", length=0, labelsize=8.5)
    return ax


def plot_gains(
    gains: Mapping[str, Mapping[str, Sequence[float]]], *, unit: str = "AUC", baseline: str = "a model per task",
    spans: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:  # fmt: skip
    """Return a figure of every task's gain over a baseline, sorted by the first series, with a line at zero.

    Parameters
    ----------
    gains : mapping
        {series: {task: gains, one a seed}}. The first series has filled dots and a line from its worst to its best
        seed, the others rings.
    unit : str
        The metric, for the label of the axis.
    baseline : str
        What the gains are over, for the same label.
    spans : mapping, optional
        {task: ends of its line}, an interval for instance, in place of the worst and the best seed.

    Raises
    ------
    InvalidInputError
        When there is no task.

    Examples
    --------
    >>> figure = plot_gains({"nets/grouped": {"a": [-0.01, 0.01], "b": [0.02, 0.04]}})
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['b', 'a']
    """
    series = list(gains)
    if not series or not gains[series[0]]:
        raise InvalidInputError("`gains` must hold at least one series with one task; got none.")
    first = {task: np.asarray(values, np.float64) for task, values in gains[series[0]].items()}
    tasks = sorted(first, key=lambda task: (-first[task].mean(), task))
    named = len(tasks) <= _NAMED
    figure = new_figure(min(11.0, max(5.0, 1.4 + 0.16 * len(tasks))), 4.4 if named else 3.2)
    ax = figure.add_subplot()
    x = np.arange(len(tasks))
    for name in series[1:]:
        shown = [i for i, task in enumerate(tasks) if task in gains[name]]
        other = [float(np.mean(gains[name][tasks[i]])) for i in shown]
        rings = ax.scatter(
            shown, other, s=18, facecolors="none", edgecolors=MUTED, linewidths=0.9, label=name, zorder=2, clip_on=False
        )
        entitle(
            rings,
            [
                f"{tasks[i]}: {signed(value)} {name.removeprefix('the plan ')}"
                for i, value in zip(shown, other, strict=True)
            ],
        )
    means = np.array([first[task].mean() for task in tasks])
    colors = [ACCENT if mean >= 0 else LOSS for mean in means]
    ends = [(spans or {}).get(t) or (first[t].min(), first[t].max()) for t in tasks]
    ax.vlines(x, [low for low, _ in ends], [high for _, high in ends], colors=colors, linewidths=1.2, alpha=0.6,
              clip_on=False)  # fmt: skip
    dots = ax.scatter(x, means, s=20, c=colors, label=series[0], zorder=3, clip_on=False)
    entitle(dots, [
        f"{task}: {signed(mean)} {interval(span)}" for task, mean, span in zip(tasks, means, ends, strict=True)
    ])  # fmt: skip
    ax.axhline(0.0, color=INK, linewidth=0.9, zorder=1)
    ax.set(ylabel=f"gain in test {unit} over {baseline}", xlim=(-0.8, len(tasks) - 0.2))
    clean_axes(ax)
    if named:
        ax.set_xticks(x, [shorten(task, 24) for task in tasks], rotation=90, fontsize=6.5, parse_math=False)
    else:
        ax.set_xticks([])
        ax.set_xlabel(f"{len(tasks)} tasks, sorted by gain", fontsize=9)
    handles, labels = ax.get_legend_handles_labels()
    legend = ax.legend(handles[-1:] + handles[:-1], labels[-1:] + labels[:-1], loc="upper right", fontsize=8,
                       frameon=False)  # fmt: skip
    for text in legend.get_texts():
        text.set_color(INK)
        text.set_parse_math(False)
    return figure
