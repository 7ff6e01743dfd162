"""The task graph: every task joined to the tasks most like it."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import ArrayLike, NDArray

from taskgroup._validation import check_int, check_matrix
from taskgroup.grouping import Grouping
from taskgroup.report._marks import entitle
from taskgroup.report._style import INK, MUTED, SURFACE, clean_axes, group_color, new_figure, shorten

__all__ = ["MAX_NODES", "plot_task_graph", "task_graph"]

MAX_NODES = 300
"""Most tasks that a report draws as a graph."""

_WIDTH, _HEIGHT = 9.0, 6.4  # inches
_NODE = 0.24  # inches between the centres of two nodes
_NAMED = 45  # tasks; with more, nodes show their group's number only


def task_graph(similarity: ArrayLike, grouping: Grouping, *, neighbours: int = 3) -> nx.Graph[str]:
    """Return a graph of the tasks: nodes by name with ``group``, edges with ``weight``, the similarity above zero.

    Parameters
    ----------
    similarity : array-like of shape (T, T)
        Symmetric; larger is more alike.
    grouping : Grouping
        The tasks and their groups.
    neighbours : int
        An edge joins two tasks when one is among this many most similar tasks of the other.

    Raises
    ------
    InvalidInputError
        When `similarity` is not of shape (T, T), or `neighbours` is below 1.

    Examples
    --------
    >>> grouping = Grouping.from_labels(["a", "b", "c"], [0, 0, 1])
    >>> graph = task_graph([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]], grouping)
    >>> graph.edges(data="weight"), graph.nodes["c"]
    (EdgeDataView([('a', 'b', 0.5)]), {'group': 1})
    """
    check_int("neighbours", neighbours, low=1)
    n_tasks, names = grouping.n_tasks, grouping.tasks.names
    matrix = np.array(check_matrix("similarity", similarity, (n_tasks, n_tasks), np.float64))
    np.fill_diagonal(matrix, -np.inf)
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from((name, {"group": int(g)}) for name, g in zip(names, grouping.labels, strict=True))
    nearest = np.argsort(-matrix, axis=1, kind="stable")[:, :neighbours]
    for i in range(n_tasks):
        for j in nearest[i]:
            if matrix[i, j] > 0:
                graph.add_edge(names[i], names[j], weight=float(matrix[i, j]))
    return graph


def plot_task_graph(graph: nx.Graph[str], ax: Axes | None = None) -> Axes:
    """Return axes with a graph of :func:`task_graph`: nodes carry their group's number and colour."""
    if ax is None:
        ax = new_figure(_WIDTH, _HEIGHT).add_subplot()
    position = _layout(graph)
    group_of: dict[str, int] = nx.get_node_attributes(graph, "group")
    weights = np.array(list(nx.get_edge_attributes(graph, "weight").values()))
    strength = weights / weights.max() if len(weights) else weights
    lines = [(position[a], position[b]) for a, b in graph.edges]
    ax.add_collection(LineCollection(lines, colors=MUTED, linewidths=0.4 + 2.2 * strength, alpha=0.45, zorder=1))
    x, y = np.array([position[name] for name in graph]).T
    nodes = ax.scatter(
        x, y, s=150, c=[group_color(g) for g in group_of.values()], edgecolors=SURFACE, linewidths=1.2, zorder=2
    )
    entitle(nodes, [f"{name}, group {group}" for name, group in group_of.items()])
    inside: dict[str, Any] = {"color": SURFACE, "fontsize": 7.5, "weight": "bold", "ha": "center", "va": "center"}
    below: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "top", "fontsize": 7, "color": INK}
    for name, group in group_of.items():
        ax.annotate(str(group), position[name], zorder=3, **inside)
        if len(graph) <= _NAMED:
            ax.annotate(shorten(name, 18), position[name], xytext=(0, -9), parse_math=False, **below)
    ax.margins(0.05)
    ax.set(xticks=[], yticks=[])
    clean_axes(ax, frame=False)
    return ax


def _layout(graph: nx.Graph[str]) -> dict[str, tuple[float, float]]:
    """Return a spring layout that starts from the groups on a circle; the same graph gives the same layout."""
    groups = np.array(list(nx.get_node_attributes(graph, "group").values()))
    angles = 2 * math.pi * groups / (1 + groups.max())
    jitter = np.random.default_rng(0).normal(0, 0.1, (len(graph), 2))
    start = np.column_stack([np.cos(angles), np.sin(angles)]) + jitter
    springs = nx.spring_layout(
        graph, pos=dict(zip(graph, start, strict=True)), k=1.2 / math.sqrt(len(graph)), iterations=60, seed=0
    )
    points = _spread(np.array([springs[name] for name in graph]))
    return {name: (float(x), float(y)) for name, (x, y) in zip(graph, points, strict=True)}


def _spread(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points (n, 2), scaled to the figure's shape, with those nearer than a node's width pushed apart."""
    points = points - points.mean(0)
    points = points / np.maximum(np.abs(points).max(0), 1e-9) * (_WIDTH / 2, _HEIGHT / 2)
    for _ in range(80):
        gaps = points[:, None] - points  # (n, n, 2)
        distance = np.maximum(np.hypot(gaps[..., 0], gaps[..., 1]), 1e-9)
        lack = np.clip(_NODE - distance, 0.0, None) / distance
        points = points + 0.25 * np.einsum("ij,ijk->ik", lack, gaps)
    return points
