"""The tree of the tasks by average linkage, with the groups that were cut from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import ArrayLike

from taskgroup._validation import check_matrix
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import Grouping
from taskgroup.report._marks import entitle
from taskgroup.report._style import INK, MUTED, clean_axes, group_color, new_figure, shorten

__all__ = ["MAX_LEAVES", "plot_tree"]

MAX_LEAVES = 300
"""Most tasks that a report draws as a tree."""

_NAMED = 160  # tasks; with more, leaves show their group by colour only


def plot_tree(similarity: ArrayLike, grouping: Grouping) -> Axes:
    """Return axes with the tree of average linkage, leaves at the left; branches within one group have its colour.

    Parameters
    ----------
    similarity : array-like of shape (T, T)
        Symmetric; larger is more alike.
    grouping : Grouping
        The tasks and their groups.

    Raises
    ------
    InvalidInputError
        When there is one task only, or `similarity` is not of shape (T, T).

    Examples
    --------
    >>> grouping = Grouping.from_labels(["a", "b", "c"], [0, 0, 1])
    >>> ax = plot_tree([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]], grouping)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['c  1', 'a  0', 'b  0']
    """
    from scipy.cluster.hierarchy import dendrogram, linkage
    from scipy.spatial.distance import squareform

    n_tasks = grouping.n_tasks
    matrix = np.array(check_matrix("similarity", similarity, (n_tasks, n_tasks), np.float64))
    if n_tasks < 2:
        raise InvalidInputError("a tree needs two tasks or more; got one.")
    distance = matrix.max() - (matrix + matrix.T) / 2
    np.fill_diagonal(distance, 0.0)
    links = linkage(squareform(np.maximum(distance, 0.0), checks=False), "average")
    drawn: dict[str, Any] = dendrogram(links, no_plot=True, get_leaves=True)
    group_of = _groups_of_links(links, grouping.labels)
    owners = _owners(drawn, links, group_of)
    ax = new_figure(10.6, max(2.2, 0.9 + 0.14 * n_tasks)).add_subplot()
    lines = [np.column_stack([x, y]) for x, y in zip(drawn["dcoord"], drawn["icoord"], strict=True)]
    colors = [MUTED if group < 0 else group_color(group) for group in owners]
    branches = LineCollection(lines, colors=colors, linewidths=1.1)
    ax.add_collection(branches)
    entitle(branches, [
        f"joined at {x[1]:.3f}" + ("" if g < 0 else f", within group {g}")
        for x, g in zip(drawn["dcoord"], owners, strict=True)
    ])  # fmt: skip
    leaves = drawn["leaves"]
    names = [f"{shorten(grouping.tasks.names[t], 24)}  {grouping.labels[t]}" for t in leaves]
    named = n_tasks <= _NAMED
    ax.set_yticks(np.arange(n_tasks) * 10 + 5, names if named else [""] * n_tasks, parse_math=False)
    top = float(links[-1, 2]) or 1.0
    ax.set(xlim=(-0.01 * top, 1.03 * top), ylim=(0, 10 * n_tasks), xlabel="distance at which tasks are joined")
    clean_axes(ax)
    ax.tick_params(axis="y", length=0, labelsize=6.5)
    for label, t in zip(ax.get_yticklabels(), leaves, strict=True):
        label.set_color(group_color(int(grouping.labels[t])) if named else INK)
    return ax


def _groups_of_links(links: Any, labels: Any) -> list[int]:
    """Return the group that all leaves below each link are of, -1 where they are of several."""
    n = len(labels)
    group = [int(label) for label in labels]
    for a, b, *_ in links:
        one, other = group[int(a)], group[int(b)]
        group.append(one if one == other else -1)
    return group[n:]


def _owners(drawn: dict[str, Any], links: Any, group_of: list[int]) -> list[int]:
    """Return the group of each drawn branch; branches are drawn in another order than they were linked."""
    place = {int(t): 10 * i + 5.0 for i, t in enumerate(drawn["leaves"])}
    n = len(place)
    middle = [place[t] for t in range(n)]
    found: dict[tuple[float, float], int] = {}
    for i, (a, b, *_) in enumerate(links):
        ends = sorted((middle[int(a)], middle[int(b)]))
        middle.append(sum(ends) / 2)
        found[ends[0], ends[1]] = group_of[i]
    return [found[min(y[0], y[3]), max(y[0], y[3])] for y in drawn["icoord"]]
