"""What a report says about measured gain: how many groups pay, who proposed them, what was expected and gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from taskgroup.exceptions import InvalidInputError
from taskgroup.report._dot_plots import METRIC_LABELS
from taskgroup.report._figures import Figures
from taskgroup.report._format import plural, signed
from taskgroup.report._run import Run
from taskgroup.report._style import ACCENT, FAINT, MUTED, clean_axes, new_figure

__all__ = ["measured_gain", "plot_gain_path"]

_ARMS = {"all-in-one": "one model for all", "per-task": "a model per task"}


def plot_gain_path(
    path: Sequence[Mapping[str, float]], *, chosen: int | None = None, unit: str = "AUC", ax: Axes | None = None
) -> Axes:
    """Return axes with what the best cut into k groups gains over one group of all, per task, against k.

    Parameters
    ----------
    path : sequence of mapping
        {"k", "gain", "noise"}, by rising k; the noise is one standard deviation of the gain.
    chosen : int, optional
        The number of groups that was taken, which is marked.
    unit : str
        The metric, for the label of the axis.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's when left out.

    Examples
    --------
    >>> ax = plot_gain_path([{"k": 1, "gain": 0.0, "noise": 0.0}, {"k": 3, "gain": 0.02, "noise": 0.01}], chosen=3)
    >>> ax.get_xlabel()
    'number of groups'
    """
    if not path:
        raise InvalidInputError("`path` must hold at least one number of groups; got none.")
    if ax is None:
        ax = new_figure(10.6, 3.2).add_subplot()
    k, gain, noise = (np.array([row[name] for row in path], np.float64) for name in ("k", "gain", "noise"))
    ax.fill_between(k, gain - 1.96 * noise, gain + 1.96 * noise, color=FAINT, alpha=0.6, linewidth=0)
    ax.plot(k, gain, color=MUTED, linewidth=1.5, marker="o", markersize=4)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    if chosen is not None:
        ax.axvline(chosen, color=ACCENT, linewidth=1.5)
    if k.max() > 10:
        ax.set_xscale("log")
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if tick <= k.max()]
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
    ax.set(xlabel="number of groups", ylabel=f"gain in {unit} per task")
    clean_axes(ax)
    return ax


def measured_gain(run: Run, figures: Figures) -> dict[str, Any]:
    """Return the gain by number of groups, the trees that competed, and expected beside realised gains."""
    gain = (run.grouping.info.get("gain") if run.grouping is not None else None) or {}
    if run.grouping is None or not gain.get("path"):
        return {}
    unit = _unit(run)
    path, k = gain["path"], run.grouping.n_groups
    foretold = [
        {**row, "rival": _ARMS[row["against"]], "inside": row["low"] <= row["realised"] <= row["high"]}
        for row in (run.ledger or {}).get("foretold", ())
    ]
    alt = f"Gain over one group for all by number of groups, from {path[0]['k']} to {path[-1]['k']}; {k} were taken."
    return {
        "unit": unit,
        "figure": figures.add(
            "gain_path",
            plot_gain_path(path, chosen=k, unit=unit),
            alt,
            columns=["k", "gain", "noise"],
            rows=[[row["k"], row["gain"], row["noise"]] for row in path],
        ),
        "proposers": sorted(gain.get("proposers", ()), key=lambda row: -(row["gain"] or 0.0)),
        "proposer": gain.get("proposer"),
        "foretold": foretold,
        "takeaway": _takeaway(k, gain.get("expected") or {}, foretold, unit),
    }


def _takeaway(k: int, expected: Mapping[str, Any], foretold: Sequence[Mapping[str, Any]], unit: str) -> str:
    against = expected.get("alone" if k == 1 else "all-in-one")
    rival = _ARMS["per-task" if k == 1 else "all-in-one"]
    if against is None:
        return f"{plural(k, 'group')} by measured gain."
    words = (
        f"{plural(k, 'group')}: {signed(against['gain'])} {unit} per task expected against {rival} "
        f"({signed(against['low'])} to {signed(against['high'])}), before anything was trained"
    )
    first = next((row for row in foretold if row["rival"] == rival), None)
    return words + (f"; {signed(first['realised'])} realised with {first['learner']}." if first else ".")


def _unit(run: Run) -> str:
    kinds = {"binary": "auc", "multiclass": "accuracy", "regression": "r2"}
    units = {METRIC_LABELS[kinds[task.kind]] for task in run.task_set or ()}
    return units.pop() if len(units) == 1 else "score"
