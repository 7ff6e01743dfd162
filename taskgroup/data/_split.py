"""Random splits that keep the share of every label, rare ones first.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011), one label at a time instead of one
sample at a time, which makes it linear in the number of labels present.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from taskgroup.tasks import TaskSet

__all__ = ["grouped_split", "stratified_split"]


def stratified_split(
    Y: NDArray[np.float32], tasks: TaskSet, fractions: Sequence[float], random_state: int = 0
) -> NDArray[np.int8]:
    """Return a part number 0 .. len(fractions) - 1 for every row of ``Y`` (n, T), NaN where not labelled.

    Every (task, class) gets close to its share of each part, the rarest ones first. Regression targets do not
    influence the split.
    """
    rng = np.random.default_rng(random_state)
    shares = np.asarray(fractions, float) / np.sum(fractions)
    label_sets = [
        np.flatnonzero(Y[:, t] == value)
        for t, task in enumerate(tasks)
        if task.kind != "regression"
        for value in (range(task.n_classes or 2) if task.kind == "multiclass" else (1, 0))
    ]
    part = np.full(len(Y), -1, np.int8)
    wanted_rows = shares * len(Y)
    for rows in sorted((rows for rows in label_sets if len(rows)), key=len):
        held = part[rows]
        wanted = shares * len(rows) - np.bincount(held[held >= 0], minlength=len(shares))
        _assign(part, rows[held < 0], wanted, wanted_rows, rng)
    _assign(part, np.flatnonzero(part < 0), wanted_rows, wanted_rows, rng)
    return part


def _assign(
    part: NDArray[np.int8],
    rows: NDArray[np.int64],
    wanted: NDArray[np.float64],
    wanted_rows: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Deal ``rows`` to the parts in proportion to ``wanted``; whole numbers by largest remainder, ties by need."""
    if not len(rows):
        return
    positive = np.maximum(wanted, 0)
    ideal = (
        positive * (len(rows) / positive.sum()) if positive.sum() > 0 else np.full(len(wanted), len(rows) / len(wanted))
    )
    counts = np.floor(ideal + 1e-9).astype(int)
    need = (ideal - counts) + 1e-6 * wanted_rows / max(np.abs(wanted_rows).max(), 1) + 1e-9 * rng.random(len(counts))
    counts[np.argsort(-need)[: len(rows) - counts.sum()]] += 1
    part[rng.permutation(rows)] = np.repeat(np.arange(len(counts), dtype=np.int8), counts)
    wanted_rows -= counts


def grouped_split(
    Y: NDArray[np.float32],
    tasks: TaskSet,
    groups: NDArray[np.intp],
    fractions: Sequence[float],
    random_state: int = 0,
) -> NDArray[np.int8]:
    """Return a part number for every row of ``Y`` (n, T) such that rows of one group have the same part.

    Groups 0 .. G - 1 of one row are dealt like rows of :func:`stratified_split`; larger ones before them, the largest
    first, each to the part that is furthest behind in rows and in labels. No part stays empty where there are as many
    groups as parts.
    """
    rng = np.random.default_rng(random_state)
    shares = np.asarray(fractions, float) / np.sum(fractions)
    sizes = np.bincount(groups)
    large = np.flatnonzero(sizes > 1)
    large = rng.permutation(large)
    large = large[np.argsort(-sizes[large], kind="stable")]
    labels = (
        np.bincount(groups, Y[:, t] == value)
        for t, task in enumerate(tasks)
        if task.kind != "regression"
        for value in (range(task.n_classes or 2) if task.kind == "multiclass" else (1,))
    )
    counts = np.stack([sizes, *labels], 1)  # (G, 1 + labels)
    total = np.maximum(counts.sum(0), 1)
    n_labels = counts.shape[1] - 1
    weight = np.r_[1.0, np.full(n_labels, 1 / max(n_labels, 1))] / total
    held = np.zeros((len(shares), counts.shape[1]))
    of_group = np.full(len(sizes), -1, np.int8)
    for group in large:
        need = (shares[:, None] * total - held) / shares[:, None]  # what a part still lacks, in units of its share
        gain = (need * counts[group] * weight).sum(1)
        best = int(np.argmax(gain))
        of_group[group] = best
        held[best] += counts[group]
    single = np.flatnonzero(sizes[groups] == 1)
    part = of_group[groups]
    if len(single):
        left = np.maximum(shares - held[:, 0] / len(Y), 1e-6)
        part[single] = stratified_split(Y[single], tasks, left, random_state)
    n_groups = [len(np.unique(groups[part == number])) for number in range(len(shares))]
    for number in np.flatnonzero(np.array(n_groups) == 0):  # a part has none: the smallest of the fullest part is its
        several = [other for other, count in enumerate(n_groups) if count > 1]
        if not several:  # fewer groups than parts
            break
        fullest = max(several, key=lambda other: int((part == other).sum()))
        movable = np.unique(groups[part == fullest])
        part[groups == movable[np.argmin(sizes[movable])]] = number
        n_groups[fullest], n_groups[number] = n_groups[fullest] - 1, 1
    return part
