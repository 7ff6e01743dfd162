"""A tree of tasks: average linkage on a similarity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from taskgroup._validation import check_matrix
from taskgroup.exceptions import InvalidInputError

__all__ = ["Node", "contract", "task_tree"]


@dataclass(frozen=True)
class Node:
    """Some tasks, and the parts they fall into.

    Parameters
    ----------
    tasks : tuple of int
        Positions of the tasks, ascending.
    children : tuple of Node
        Disjoint parts that make up the tasks; none for a single task.
    cut : bool
        Whether the node may not stay whole.
    """

    tasks: tuple[int, ...]
    children: tuple[Node, ...] = ()
    cut: bool = False

    def walk(self) -> Iterator[Node]:
        """Yield the node and all below it, parts before wholes."""
        for child in self.children:
            yield from child.walk()
        yield self


def task_tree(similarity: ArrayLike) -> Node:
    """Return the root of the average-linkage tree of a symmetric similarity (T, T); larger is more alike.

    >>> root = task_tree([[1, 0.1, 0.8], [0.1, 1, 0.2], [0.8, 0.2, 1]])
    >>> [child.tasks for child in root.children]
    [(0, 2), (1,)]
    """
    S: NDArray[np.float64] = check_matrix("similarity", similarity, (None, None), np.float64)
    n_tasks = len(S)
    if S.shape[1] != n_tasks or not n_tasks or not np.isfinite(S).all() or not np.allclose(S, S.T, atol=1e-6):
        raise InvalidInputError(
            f"`similarity` must be a finite, symmetric matrix of one row per task; got shape {S.shape}."
        )
    nodes = [Node((t,)) for t in range(n_tasks)]
    if n_tasks == 1:
        return nodes[0]
    distance = S.max() - (S + S.T) / 2
    np.fill_diagonal(distance, 0.0)
    for merge in linkage(squareform(distance, checks=False), "average"):
        pair = tuple(sorted((nodes[int(merge[0])], nodes[int(merge[1])]), key=lambda node: node.tasks[0]))
        nodes.append(Node(tuple(sorted(pair[0].tasks + pair[1].tasks)), pair))
    return nodes[-1]


def contract(tree: Node, budget: int, most_nodes: int) -> Node:
    """Return the tree without the nodes that tell least: at most ``budget`` task fits, ``most_nodes`` inner nodes.

    A node that goes leaves its children to its parent. First those go that differ least from their parents: that hold
    more than a share of the parent's tasks, which shrinks until the budget, in which a fit of m tasks counts m, is met;
    so a chain of T nodes becomes one of order log T. Then the smallest go: of hundreds of tasks, which three belong
    closest together matters to few.
    """
    share = 1.0
    while sum(len(node.tasks) for node in tree.walk()) > budget and share > 0.5:
        share -= 0.05
        tree = _without(tree, partial(_near, share))
    sizes = sorted((len(node.tasks) for node in tree.walk() if node.children), reverse=True)
    if len(sizes) > most_nodes:
        tree = _without(tree, lambda child, _: len(child.tasks) <= sizes[most_nodes])
    return tree


def _near(share: float, child: Node, parent: Node) -> bool:
    return len(child.tasks) > share * len(parent.tasks)


def _without(node: Node, goes: Callable[[Node, Node], bool]) -> Node:
    """Return the tree without the inner nodes that go; ``goes`` is asked with the node and its parent."""
    children: list[Node] = []
    for child in (_without(child, goes) for child in node.children):
        children += child.children if child.children and goes(child, node) else (child,)
    return Node(node.tasks, tuple(children))
