"""What a report says about scores: the verdict, the plan, the scorecard, the comparisons, the gains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from taskgroup.report._dot_plots import METRIC_LABELS, is_ours, plot_gains, plot_scorecard
from taskgroup.report._figures import Figures
from taskgroup.report._format import interval, number, plural, signed
from taskgroup.report._plan_plots import frontier, plot_quality_and_cost, plot_reliability
from taskgroup.report._run import Run
from taskgroup.scoring import describe

__all__ = [
    "best_of_ours", "calibration", "comparisons", "gains", "plan", "quality_and_cost", "scorecard", "verdict"
]  # fmt: skip

Section = dict[str, Any]

_DECISIONS = {
    "blend": "A blend of models",
    "split": "A model per group",
    "one-model": "One model for all tasks",
    "single-task": "A model per task",
}
_GAINS = {
    "together": "one model for all tasks",
    "alone": "a model per task",
    "ungrouped": "the best plan without groups",
    "single": "the best single method",
}


def best_of_ours(run: Run) -> str | None:
    """Return the grouping of the Data Maps with the best mean, or None when none was trained."""
    rows = [row for row in (run.scores or {}).get("summary", []) if is_ours(row["method"]) and row["mean"] is not None]
    return max(rows, key=lambda row: row["mean"])["method"] if rows else None


def verdict(run: Run) -> Section:
    """Return the decision, its sentence, its reasons and the few numbers that matter most."""
    if run.plan is None:
        return _no_verdict(run)
    rows, answer = run.plan["tasks"], run.plan["answer"]
    tiles = [
        {
            "value": signed(entry["mean"]),
            "label": f"Plan's mean test gain over {_GAINS[name]}",
            "note": f"{interval(entry['ci95'])} {entry['method']}",
        }
        for name, entry in run.plan["gains"].items()
    ]
    if run.plan.get("n_models") is not None:
        tiles.append({"value": str(run.plan["n_models"]), "label": "Models to serve", "note": ""})
    if run.grouping is not None:
        stability = run.grouping.stability
        note = "" if stability is None else f"stability {stability:.2f}"
        tiles.append(
            {"value": str(run.grouping.n_groups), "label": f"Groups of {plural(len(rows), 'task')}", "note": note}
        )
    return {
        "badge": _DECISIONS[answer["decision"]],
        "tone": "sure",
        "sentence": answer["headline"],
        "reasons": answer["lines"],
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
    """Return what serves the tasks, what a cheaper choice would lose, and the scores of every task."""
    if run.plan is None:
        return {"missing": run.missing("plan", "retrain")}
    metric = (run.scores or {}).get("main_metric", {})
    group_of: dict[str, int] = {}
    if run.grouping is not None:
        group_of = dict(zip(run.grouping.tasks.names, run.grouping.labels.tolist(), strict=True))
    rows = []
    for name, entry in run.plan["tasks"].items():
        test, alone = entry.get("test"), entry.get("alone_test")
        rows.append(
            {
                "task": name,
                "group": group_of.get(name),
                "metric": METRIC_LABELS.get(metric.get(name, ""), metric.get(name, "")),
                "gain": None if test is None or alone is None else test - alone,
                "own": dict(entry["weights"]) != dict(run.plan["common"]),
                **entry,
            }
        )
    sizes = [abs(row["gain"]) for row in rows if row["gain"] is not None]
    common = run.plan["common"]
    won = sum(row["gain"] is not None and row["gain"] > 0 for row in rows)
    return {
        "rows": rows,
        "scale": max(sizes, default=0.0) or 1.0,
        "weights": [{"method": name, "share": weight, "text": describe(name)} for name, weight in common.items()],
        "cheaper": [{**row, "text": describe(row["plan"])} for row in run.plan["answer"]["cheaper"]],
        "open": run.plan["answer"]["open"],
        "takeaway": f"{won} of {plural(len(rows), 'task')} score higher than with a model of their own.",
    }


def scorecard(run: Run, figures: Figures) -> Section:
    """Return every method's mean with its interval, its size and its cost."""
    if run.scores is None:
        return {"missing": run.missing("scorecard", "retrain")}
    methods, summary = run.scores["methods"], run.scores["summary"]
    rows = [
        {**methods.get(row["method"], {}), **row, "text": describe(row["method"]), "ours": is_ours(row["method"])}
        for row in summary
    ]
    section: Section = {"rows": rows, "unit": _unit(run), "baseline": run.scores["baseline"]}
    rated = [row for row in summary if row["mean"] is not None]
    if rated:
        best = max(rated, key=lambda row: row["mean"])
        section["takeaway"] = (
            f"Best mean {section['unit']}: {best['method']}, {best['mean']:.3f} {interval(best['ci95'])}."
        )
        listed = ", ".join(f"{row['method']} {number(row['mean'])}" for row in rated)
        section["figure"] = figures.add(
            "scorecard", plot_scorecard(summary, unit=section["unit"]),
            f"Mean test {section['unit']} by method: {listed}.", columns=["method", "mean", "low", "high"],
            rows=[[row["method"], row["mean"], *(row["ci95"] or ("", ""))] for row in rated],
            narrow=plot_scorecard(summary, unit=section["unit"], width=4.2),
        )  # fmt: skip
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
    """Return what every task gains by the plan over both baselines, or by our groups where there is no plan."""
    if run.scores is None or run.values is None:
        return {"missing": run.missing("gains per task", "retrain")}
    series, spans, first, baseline = _gain_series(run)
    if not series:
        return {"nothing": f"No task has a defined test score for both a shared model and {baseline}."}
    means = {task: float(np.mean(values)) for task, values in series[next(iter(series))].items()}
    won = sum(value > 0 for value in means.values())
    middle = float(np.median(list(means.values())))
    section: Section = {
        "takeaway": (
            f"{won} of {plural(len(means), 'task')} gain with {first} over {baseline}; median {signed(middle)}."
        ),
        "caption": (
            "Dots and their lines: the gain over the first of the legend and its 95 % interval, or from the worst to "
            "the best repetition; rings: over the second. Intervals are of each task alone."
        ),
        "figures": [],
    }
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
        rows = [
            [task, *(float(np.mean(by_task[task])) if task in by_task else "" for by_task in some.values()),
             *(spans.get(task) or ("", ""))]
            for task in reversed(worst)
        ]  # fmt: skip
        section["figures"].append(figures.add(
            name, plot_gains(some, unit=label, baseline="the baselines", spans=spans), alt,
            columns=["task", *some, "low", "high"], rows=rows,
        ))  # fmt: skip
    return section


def _gain_series(
    run: Run,
) -> tuple[dict[str, dict[str, list[float]]], dict[str, tuple[float, float]], str, str]:
    """Return {series: {task: gains}}, the intervals of the first one, whose it is, and what it is over."""
    rows = (run.plan or {}).get("tasks", {})
    over = {
        f"the plan over {_GAINS[key]}": {
            task: row[f"over_{key}"]
            for task, row in rows.items()
            if (row.get(f"over_{key}") or {}).get("gain") is not None
        }
        for key in ("alone", "together")
    }
    over = {name: found for name, found in over.items() if found}
    if over:
        first = next(iter(over))
        series = {name: {task: [row["gain"]] for task, row in found.items()} for name, found in over.items()}
        spans = {task: (row["low"], row["high"]) for task, row in over[first].items() if row.get("low") is not None}
        return series, spans, "the plan", first.removeprefix("the plan over ")
    baseline = (run.scores or {})["baseline"]
    shown = [name for name in ("plan", best_of_ours(run)) if name and name in (run.scores or {})["methods"]]
    series = {name: run.gains(name, baseline) for name in shown}
    series = {name: values for name, values in series.items() if values}
    return series, {}, next(iter(series), ""), baseline


def quality_and_cost(run: Run, figures: Figures) -> Section:
    """Return every method's size beside its score, with those that nothing as cheap is as good as."""
    if run.scores is None:
        return {"missing": run.missing("quality against cost", "retrain")}
    methods = run.scores["methods"]
    controls = ("random-groups", "label-groups")
    rows = [
        {"method": row["method"], "cost": methods[row["method"]]["bytes"], "mean": row["mean"]}
        for row in run.scores["summary"]
        if row["mean"] is not None and methods.get(row["method"], {}).get("bytes")
        and not row["method"].endswith(controls) and not row["method"].startswith("plan")
    ]  # fmt: skip
    if not rows:
        return {"nothing": "No method has both a mean and a size."}
    size = methods.get("plan", {}).get("bytes")
    if run.plan is not None and size and run.plan["test"]["mean"] is not None:
        rows.append({"method": "the plan", "cost": size, "mean": run.plan["test"]["mean"], "plan": True})
    front = [row["method"] for row in frontier(rows)]
    takeaway = f"Nothing as small is as good as {', '.join(map(str, front))}."
    unit = _unit(run)
    return {
        "takeaway": takeaway,
        "figure": figures.add(
            "quality_and_cost", plot_quality_and_cost(rows, unit=unit), f"Mean test {unit} against size. {takeaway}",
            columns=["method", "bytes", "mean", "frontier"],
            rows=[[row["method"], row["cost"], row["mean"], row["method"] in front] for row in rows],
            narrow=plot_quality_and_cost(rows, unit=unit, width=4.2),
        ),
    }  # fmt: skip


def calibration(run: Run, figures: Figures) -> Section:
    """Return how far the plan's probabilities are from what comes true on test rows."""
    if run.plan is None:
        return {"missing": run.missing("calibration", "retrain")}
    bins = run.plan["test"].get("reliability")
    if not bins:
        return {"nothing": "The run holds no probabilities of binary tasks to compare with labels."}
    n = sum(row["n"] for row in bins)
    gap = sum(row["n"] * abs(row["stated"] - row["came_true"]) for row in bins) / n
    takeaway = f"Probabilities of the plan are {gap:.3f} off on average, over {n:,} test answers of all binary tasks."
    return {
        "takeaway": takeaway,
        "figure": figures.add(
            "calibration", plot_reliability(bins), f"Stated probability against what came true. {takeaway}",
            columns=["stated", "came_true", "n"], rows=[[row["stated"], row["came_true"], row["n"]] for row in bins],
        ),
    }  # fmt: skip


def _unit(run: Run) -> str:
    metrics: Sequence[str] = sorted(set((run.scores or {}).get("main_metric", {}).values()))
    return " / ".join(METRIC_LABELS.get(metric, metric) for metric in metrics) or "score"
