"""Plots of the plan: what quality costs, and how far its probabilities are from what comes true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from taskgroup.exceptions import InvalidInputError
from taskgroup.report._format import amount
from taskgroup.report._marks import entitle
from taskgroup.report._style import ACCENT, FAINT, INK, MUTED, SURFACE, clean_axes, new_figure, shorten

__all__ = ["frontier", "plot_quality_and_cost", "plot_reliability"]

Rows = Sequence[Mapping[str, Any]]


def frontier(rows: Rows) -> list[Mapping[str, Any]]:
    """Return the methods that nothing as cheap is as good as, the cheapest first.

    Examples
    --------
    >>> rows = [{"method": m, "cost": c, "mean": q} for m, c, q in (("a", 1, 0.7), ("b", 3, 0.6), ("c", 9, 0.8))]
    >>> [row["method"] for row in frontier(rows)]
    ['a', 'c']
    """
    best, kept = float("-inf"), list[Mapping[str, Any]]()
    for row in sorted(rows, key=lambda row: (row["cost"], -row["mean"])):
        if row["mean"] > best:
            best = row["mean"]
            kept.append(row)
    return kept


def plot_quality_and_cost(rows: Rows, *, unit: str = "AUC", width: float = 10.6) -> Axes:
    """Return axes with a dot for every method: the bytes of its models to the right, its mean test score upwards.

    Parameters
    ----------
    rows : sequence of mapping
        {"method", "cost": bytes above 0, "mean", "plan": whether it is the plan}.
    unit : str
        The metric, for the label of the axis.
    width : float
        Of the figure, in inches.
    """
    if not rows:
        raise InvalidInputError("`rows` must hold at least one method with a size and a mean; got none.")
    ax = new_figure(width, 4.2).add_subplot()
    front = frontier(rows)
    ax.step([row["cost"] for row in front], [row["mean"] for row in front], where="post", color=FAINT, zorder=1)
    others = [row for row in rows if not row.get("plan")]
    ax.set_xscale("log")
    named = [row["method"] for row in front]
    if others:
        colors = [ACCENT if row["method"] in named else MUTED for row in others]
        dots = ax.scatter([r["cost"] for r in others], [r["mean"] for r in others], s=34, c=colors, zorder=2)
        entitle(dots, [_said(row) for row in others])
    for row in (row for row in rows if row.get("plan")):
        own = ax.scatter([row["cost"]], [row["mean"]], s=70, marker="D", c=INK, edgecolors=SURFACE, zorder=3)
        entitle(own, [_said(row)])
    labelled = [row for row in rows if row["method"] in named or row.get("plan")]
    ends = {min(row["cost"] for row in rows): "left", max(row["cost"] for row in rows): "right"}
    for i, row in enumerate(sorted(labelled, key=lambda row: row["cost"])):
        offset = (0, 7) if i % 2 else (0, -13)
        ax.annotate(shorten(str(row["method"]), 26), (row["cost"], row["mean"]), xytext=offset, parse_math=False,
                    textcoords="offset points", ha=ends.get(row["cost"], "center"), fontsize=7.5,
                    color=INK)  # fmt: skip
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=9 if width >= 6 else 5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{amount(value)}B"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="size of the models", ylabel=f"mean test {unit}")
    ax.margins(x=0.05, y=0.12)
    clean_axes(ax)
    return ax


def plot_reliability(bins: Rows, *, width: float = 5.6) -> Axes:
    """Return axes with a dot for every bin of answers: the stated probability to the right, what came true upwards.

    Parameters
    ----------
    bins : sequence of mapping
        {"stated", "came_true", "n"}, both shares in [0, 1].
    width : float
        Of the figure, in inches.
    """
    if not bins:
        raise InvalidInputError("`bins` must hold at least one bin; got none.")
    ax = new_figure(width, min(width, 4.6)).add_subplot()
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1.2, zorder=0)
    ax.plot([b["stated"] for b in bins], [b["came_true"] for b in bins], color=ACCENT, linewidth=1.2, zorder=1)
    dots = ax.scatter([b["stated"] for b in bins], [b["came_true"] for b in bins], s=34, c=ACCENT, zorder=2)
    entitle(dots, [
        f"{b['n']:,} answers: stated {b['stated']:.2f}, came true {b['came_true']:.2f}" for b in bins
    ])  # fmt: skip
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="stated probability", ylabel="share that came true")
    clean_axes(ax)
    return ax


def _said(row: Mapping[str, Any]) -> str:
    return f"{row['method']}: mean {row['mean']:.3f}, {amount(row['cost'])} B"
