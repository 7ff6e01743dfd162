"""What a report says about tasks and groups: who belongs together, how surely, and how the samples fare."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.datamaps import DataMaps
from taskgroup.grouping import Grouping
from taskgroup.report._figures import Figures
from taskgroup.report._format import number, plural
from taskgroup.report._graph import MAX_NODES, plot_task_graph, task_graph
from taskgroup.report._heatmaps import group_order, plot_membership, plot_similarity
from taskgroup.report._judgement import best_of_ours
from taskgroup.report._run import Run
from taskgroup.report._samples import sample_table
from taskgroup.report._small_multiples import MAX_PANELS, plot_data_maps
from taskgroup.report._tree import MAX_LEAVES, plot_tree

__all__ = ["data_maps", "groups", "similarity", "task_relations", "tree"]

Section = dict[str, Any]

_HARD_BELOW = 0.25  # mean confidence of a sample that a model kept getting wrong
_HARD_TASKS = 8  # tasks listed with their hardest samples


def groups(run: Run, figures: Figures) -> Section:
    """Return the members of every group, the membership matrix, and how stability depends on k."""
    if run.grouping is None:
        return {"missing": run.missing("groups", "cluster")}
    grouping, ours = run.grouping, best_of_ours(run)
    baseline = (run.scores or {}).get("baseline", "")
    gain = {} if ours is None else run.gains(ours, baseline)
    inside, outside = _cohesion(grouping, run.similarity)
    cards = []
    for g, names in enumerate(grouping.groups):
        gained = [float(np.mean(gain[name])) for name in names if name in gain]
        cards.append(
            {
                "number": g,
                "names": names,
                "inside": inside[g],
                "outside": outside[g],
                "gain": float(np.mean(gained)) if gained else None,
            }
        )
    sizes = [len(names) for names in grouping.groups]
    smallest, largest = min(sizes), max(sizes)
    extent = f"{plural(grouping.n_groups, 'group')} of " + (f"{smallest} to " if smallest < largest else "")
    alt = f"Membership of {plural(grouping.n_tasks, 'task')} in {plural(grouping.n_groups, 'group')} of {sizes} tasks."
    order, names = group_order(grouping), grouping.tasks.names
    selection = list(grouping.selection) or list((run.cluster or {}).get("selection") or [])
    return {
        "cards": cards,
        "isolated": set(grouping.isolated),
        "figure": figures.add(
            "membership",
            plot_membership(grouping),
            alt,
            columns=["task", *(f"group {g}" for g in range(grouping.n_groups))],
            rows=([names[t], *map(float, grouping.membership[t])] for t in order),
            cells={"across": [names[t] for t in order], "down": [f"group {g}" for g in range(grouping.n_groups)]},
        ),
        "selection": selection,
        "columns": list(dict.fromkeys(key for row in selection for key in row if key not in ("k", "stability"))),
        "chosen": grouping.n_groups,
        "message": (run.cluster or {}).get("message") or "",
        "ours": ours,
        "baseline": baseline,
        "takeaway": f"{extent}{plural(largest, 'task')}. {_steadiness(grouping.stability)}",
    }


def _steadiness(stability: float | None) -> str:
    if stability is None:
        return "Their stability was not measured."
    reading = (
        "half of the samples give nearly the same groups" if stability >= 0.8
        else "half of the samples move some tasks to other groups" if stability >= 0.5
        else "half of the samples give other groups, so their members mean little"
    )  # fmt: skip
    return f"Stability {stability:.2f} of 1: {reading}."


def _cohesion(
    grouping: Grouping, similarity: NDArray[np.float32] | None
) -> tuple[list[float | None], list[float | None]]:
    """Return each group's mean similarity among its tasks and to all others, None where there is no pair."""
    inside: list[float | None] = [None] * grouping.n_groups
    outside: list[float | None] = [None] * grouping.n_groups
    if similarity is None:
        return inside, outside
    for g in range(grouping.n_groups):
        mine = grouping.labels == g
        size = int(mine.sum())
        block = similarity[np.ix_(mine, mine)]
        if size > 1:
            inside[g] = float((block.sum() - np.trace(block)) / (size * (size - 1)))
        if 0 < size < grouping.n_tasks:
            outside[g] = float(similarity[np.ix_(mine, ~mine)].mean())
    return inside, outside


def similarity(run: Run, figures: Figures) -> Section:
    """Return the similarity of all tasks, ordered by group."""
    if run.grouping is None or run.similarity is None:
        return {"missing": run.missing("similarity of the tasks", "cluster")}
    same = run.grouping.labels[:, None] == run.grouping.labels
    off = ~np.eye(run.grouping.n_tasks, dtype=bool)
    means = [float(run.similarity[part].mean()) if part.any() else None for part in (same & off, ~same)]
    takeaway = f"Mean similarity {number(means[0], 2)} within groups, {number(means[1], 2)} between them."
    kind = (run.cluster or {}).get("feature_kind")
    axes = plot_similarity(run.similarity, run.grouping)
    alt = f"Heat map of task similarity, ordered by group. {takeaway}"
    order = group_order(run.grouping)
    names = [run.grouping.tasks.names[t] for t in order]
    rows = ([name, *map(float, run.similarity[t, order])] for name, t in zip(names, order, strict=True))
    figure = figures.add(
        "similarity", axes, alt, columns=["task", *names], rows=rows, cells={"down": names, "across": names}
    )
    return {"figure": figure, "takeaway": takeaway, "kind": kind}


def tree(run: Run, figures: Figures) -> Section:
    """Return the tree of the tasks with the groups that were cut."""
    if run.grouping is None or run.similarity is None:
        return {"missing": run.missing("tree of the tasks", "cluster")}
    n_tasks = run.grouping.n_tasks
    if not 1 < n_tasks <= MAX_LEAVES:
        return {"nothing": f"Trees are drawn of 2 to {MAX_LEAVES} tasks; the heat map above shows all similarities."}
    alt = f"Tree of {plural(n_tasks, 'task')} by average linkage; colours and numbers are the groups."
    rows = zip(run.grouping.tasks.names, map(int, run.grouping.labels), strict=True)
    axes = plot_tree(run.similarity, run.grouping)
    return {"figure": figures.add("tree", axes, alt, columns=["task", "group"], rows=rows)}


def task_relations(run: Run, figures: Figures) -> Section:
    """Return the graph that joins every task to those most like it."""
    if run.grouping is None or run.similarity is None:
        return {"missing": run.missing("task graph", "cluster")}
    if run.grouping.n_tasks > MAX_NODES:
        return {"nothing": f"Graphs are drawn up to {MAX_NODES} tasks; the heat map above shows all similarities."}
    graph = task_graph(run.similarity, run.grouping)
    within = [graph.nodes[a]["group"] == graph.nodes[b]["group"] for a, b in graph.edges]
    share = f"{sum(within)} of {plural(len(within), 'edge')} stay within a group."
    alone = [name for name, degree in graph.degree if degree == 0]
    if alone:
        share += f" {plural(len(alone), 'task')} without any neighbour."
    alt = f"Graph of {plural(len(graph), 'task')}, each joined to its three most similar ones. {share}"
    rows = [[a, b, float(graph.edges[a, b]["weight"])] for a, b in graph.edges]
    figure = figures.add("task_graph", plot_task_graph(graph), alt, columns=["task", "other", "similarity"], rows=rows)
    return {"figure": figure, "takeaway": share}


def data_maps(run: Run, figures: Figures) -> Section:
    """Return the small data maps, by group, and the samples worth looking at first."""
    if run.maps is None:
        return {"missing": run.missing("Data Maps", "profile")}
    names = list(run.maps.tasks.names)
    if run.grouping is not None:
        names = [run.grouping.tasks.names[t] for t in group_order(run.grouping)]
    shown = [
        names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(len(names), MAX_PANELS)).round().astype(int))
    ]
    figure = plot_data_maps(run.maps, shown, grouping=run.grouping)
    rows = _hard_samples(run.maps)
    alt = f"Data maps of {plural(len(shown), 'task')}: variability to the right, confidence upwards."
    return {
        "figure": figures.add("data_maps", figure, alt, panels=shown),
        "takeaway": f"{plural(run.maps.n_samples, 'training sample')}, {plural(run.maps.n_tasks, 'task')}"
        + ("." if len(shown) == len(names) else f"; {len(shown)} of them shown, evenly over the groups."),
        "rows": rows,
        "below": _HARD_BELOW,
    }


def _hard_samples(maps: DataMaps) -> list[dict[str, Any]]:
    """Return the tasks with the largest share of samples of low confidence, and their hardest samples."""
    hard = np.count_nonzero(maps.confidence < _HARD_BELOW, axis=0)  # NaN compares false
    seen: NDArray[Any] = np.maximum(np.count_nonzero(maps.count, axis=0), 1)
    share = hard / seen
    order = np.argsort(-share, kind="stable")[:_HARD_TASKS]
    return [
        {
            "task": maps.tasks.names[t], "share": float(share[t]), "n": int(hard[t]),
            "ids": [row.sample_id for row in sample_table(maps, maps.tasks.names[t], "hard", 6)],
        }
        for t in order if hard[t]
    ]  # fmt: skip
