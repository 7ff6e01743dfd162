"""What a report says about scores: the verdict, the plan, the scorecard, the comparisons, the gains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from taskgroup.report._dot_plots import METRIC_LABELS, is_ours, plot_gains, plot_scorecard
from taskgroup.report._figures import Figures
from taskgroup.report._format import interval, number, plural, signed
from taskgroup.report._run import Run

__all__ = ["best_of_ours", "comparisons", "describe", "gains", "plan", "scorecard", "verdict"]

Section = dict[str, Any]

_METHODS = {
    "linear": "a logistic or linear regression per task",
    "stl": "one network per task",
    "mtl": "one network for all tasks",
    "mtl-wide": "one network for all tasks, as wide as all groups together",
    "mtl-ensemble": "several all-task networks, averaged",
    "mtl-wide-ensemble": "several wide all-task networks, averaged",
    "random-groups": "a network per group, groups drawn at random",
    "label-groups": "a network per group, groups by correlation of the labels",
    "grouped": "a network per group, groups by the Data Maps",
    "units": "one network whose task units are the groups of the Data Maps",
}
_DECISIONS = {
    "split": "Split into groups",
    "any-groups": "Groups help, but not only these",
    "per-task": "No one way suits all tasks",
    "one-model": "One model for all tasks",
    "single-task": "One network per task",
    "ensemble": "An ensemble of all-task models",
    "linear": "Linear models",
    "not-enough-evidence": "Not enough evidence",
}


def describe(method: str) -> str:
    """Return in words what a method is; ``grouped:adatt`` is grouped, with the architecture adatt."""
    base, _, option = method.partition(":")
    text = _METHODS.get(base, "")
    return f"{text} ({option})" if text and option else text


def best_of_ours(run: Run) -> str | None:
    """Return the grouping of the Data Maps with the best mean, or None when none was trained."""
    rows = [row for row in (run.scores or {}).get("summary", []) if is_ours(row["method"]) and row["mean"] is not None]
    return max(rows, key=lambda row: row["mean"])["method"] if rows else None


def verdict(run: Run) -> Section:
    """Return the decision, its sentence, its reasons and the few numbers that matter most."""
    if run.plan is None:
        return _no_verdict(run)
    rows, decision = run.plan.get("tasks", {}), run.plan.get("decision", "")
    tiles = [
        {"value": signed(entry["mean"]), "label": f"Plan's mean test gain over {name}", "note": interval(entry["ci95"])}
        for name, entry in run.plan.get("gains", {}).items()
    ]  # fmt: skip
    if run.plan.get("n_models") is not None:
        tiles.append({"value": str(run.plan["n_models"]), "label": "Models to serve", "note": ""})
    if run.grouping is not None:
        stability = run.grouping.stability
        note = "" if stability is None else f"stability {stability:.2f}"
        tiles.append(
            {"value": str(run.grouping.n_groups), "label": f"Groups of {plural(len(rows), 'task')}", "note": note}
        )
    return {
        "badge": _DECISIONS.get(decision, decision.replace("-", " ").capitalize()),
        "tone": "unsure" if decision == "not-enough-evidence" else "sure",
        "sentence": run.plan.get("verdict", ""),
        "reasons": run.plan.get("reasons", []),
        "tiles": tiles,
    }


def _no_verdict(run: Run) -> Section:
    tasks = run.task_set
    known = plural(len(tasks), "task") if tasks else "The tasks"
    if run.grouping is None:
        sentence = f"{known} profiled; not grouped yet." if run.maps is not None else "The tasks are not profiled yet."
    else:
        found = plural(run.grouping.n_groups, "group")
        steady = run.grouping.stability
        sentence = f"{known} in {found}" + ("." if steady is None else f", stability {steady:.2f}.")
    return {
        "badge": "No verdict yet", "tone": "unsure", "sentence": sentence, "tiles": [],
        "reasons": ["Whether grouping pays is known only after the groups and their controls have been trained."],
    }  # fmt: skip


def plan(run: Run) -> Section:
    """Return the model that serves each task, with its scores beside those of stl and mtl."""
    if run.plan is None:
        return {"missing": run.missing("plan", "retrain")}
    metric = (run.scores or {}).get("main_metric", {})
    group_of: dict[str, int] = {}
    if run.grouping is not None:
        group_of = dict(zip(run.grouping.tasks.names, run.grouping.labels.tolist(), strict=True))
    rows = []
    for name, entry in run.plan["tasks"].items():
        test, stl = entry.get("test"), entry.get("stl_test")
        rows.append(
            {
                "task": name,
                "group": group_of.get(name),
                "metric": METRIC_LABELS.get(metric.get(name, ""), metric.get(name, "")),
                "gain": None if test is None or stl is None else test - stl,
                **entry,
            }
        )
    sizes = [abs(row["gain"]) for row in rows if row["gain"] is not None]
    counts = Counter(row["method"] for row in rows).most_common()
    alone = sum(bool(row.get("leave_alone")) for row in rows)
    takeaway = f"{counts[0][1]} of {plural(len(rows), 'task')} go to {counts[0][0]}." if counts else ""
    if alone:
        takeaway += f" Best left alone: {plural(alone, 'task')}."
    return {
        "rows": rows,
        "scale": max(sizes, default=0.0) or 1.0,
        "counts": [{"method": m, "n": n, "share": n / len(rows), "text": describe(m)} for m, n in counts],
        "takeaway": takeaway,
    }


def scorecard(run: Run, figures: Figures) -> Section:
    """Return every method's mean with its interval, its size and its cost."""
    if run.scores is None:
        return {"missing": run.missing("scorecard", "retrain")}
    methods, summary = run.scores["methods"], run.scores["summary"]
    rows = [{**methods.get(row["method"], {}), **row, "text": describe(row["method"])} for row in summary]
    section: Section = {"rows": rows, "unit": _unit(run), "baseline": run.scores.get("baseline", "stl")}
    rated = [row for row in summary if row["mean"] is not None]
    if rated:
        best = max(rated, key=lambda row: row["mean"])
        section["takeaway"] = (
            f"Best mean {section['unit']}: {best['method']}, {best['mean']:.3f} {interval(best['ci95'])}."
        )
        listed = ", ".join(f"{row['method']} {number(row['mean'])}" for row in rated)
        axes = plot_scorecard(summary, unit=section["unit"])
        section["figure"] = figures.add("scorecard", axes, f"Mean test {section['unit']} by method: {listed}.")
    return section


def comparisons(run: Run) -> Section:
    """Return the tested differences, each with what it says."""
    if run.scores is None:
        return {"missing": run.missing("comparisons", "retrain")}
    rows = [{**row, "reading": _reading(row)} for row in run.scores.get("comparisons", [])]
    rows.sort(key=lambda row: not is_ours(row["method"]))
    section: Section = {"rows": rows}
    name = best_of_ours(run)
    mine = [row for row in rows if row["method"] == name]
    if mine:
        beaten = [row["baseline"] for row in mine if row["reading"] == "better"]
        listed = f": {', '.join(beaten)}" if beaten else ""
        section["takeaway"] = (
            f"{name} is better than {len(beaten)} of the {len(mine)} others it was tested with{listed}."
        )
    return section


def _reading(row: dict[str, Any]) -> str:
    p, difference = row.get("p_holm"), row.get("difference")
    if p is None or difference is None:
        return "not tested"
    return "no difference shown" if p >= 0.05 else "better" if difference > 0 else "worse"


def gains(run: Run, figures: Figures) -> Section:
    """Return every task's gain over the baseline, one figure a metric."""
    if run.scores is None or run.values is None:
        return {"missing": run.missing("gains per task", "retrain")}
    baseline = run.scores.get("baseline", "stl")
    shown = [name for name in (best_of_ours(run), "mtl") if name and name in run.scores["methods"]]
    series = {name: run.gains(name, baseline) for name in shown}
    series = {name: values for name, values in series.items() if values}
    if not series:
        return {"nothing": f"No task has a defined test score for both a shared model and {baseline}."}
    first = next(iter(series))
    means = {task: float(np.mean(values)) for task, values in series[first].items()}
    won = sum(value > 0 for value in means.values())
    middle = float(np.median(list(means.values())))
    section: Section = {
        "takeaway": f"{won} of {plural(len(means), 'task')} gain with {first} over {baseline}; median {signed(middle)}."
    }
    section["figures"] = []
    metric_of = run.scores["main_metric"]
    for metric in sorted({metric_of[task] for task in means}):
        some = {
            name: {task: values for task, values in by_task.items() if metric_of[task] == metric}
            for name, by_task in series.items()
        }
        worst = sorted((task for task in means if metric_of[task] == metric), key=lambda task: means[task])
        ends = f"largest {worst[-1]} {signed(means[worst[-1]])}, smallest {worst[0]} {signed(means[worst[0]])}"
        label = METRIC_LABELS.get(metric, metric)
        alt = f"Gain in test {label} of {first} over {baseline} for {plural(len(worst), 'task')}: {ends}."
        name = "gains" if len(set(metric_of.values())) == 1 else f"gains_{metric}"
        section["figures"].append(figures.add(name, plot_gains(some, unit=label, baseline=baseline), alt))
    return section


def _unit(run: Run) -> str:
    metrics: Sequence[str] = sorted(set((run.scores or {}).get("main_metric", {}).values()))
    return " / ".join(METRIC_LABELS.get(metric, metric) for metric in metrics) or "score"
