"""Features that are labels in disguise: copies of a target, and single features that nearly settle a task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from taskgroup.tasks import TaskSet

__all__ = ["Leaks", "find_leaks"]

_CERTAIN = 30  # labelled rows from which a one-to-one match is no accident
_TELLING = 0.99  # AUC of one feature alone
_CELLS = 2_000_000  # cells of X that the first look reads
_BLOCK = 256

Floats = NDArray[np.float64]


class Leaks(NamedTuple):
    """What was found, by column number and task name."""

    copies: dict[int, str]  # the feature says what the label is: each of its values goes with one label
    telling: list[tuple[int, str, float]]  # (feature, task, AUC of the feature alone), above .99


def find_leaks(X: NDArray[Any], Y: NDArray[np.float32], tasks: TaskSet, ordered: NDArray[np.bool_]) -> Leaks:
    """Return the features (n, d) that give labels (n, T) away; NaN is missing in both.

    A first look at some thousand rows leaves few suspects, which are then tried on all rows. ``ordered`` (d,) says
    which columns are quantities or have two values; codes of more words have no order.
    """
    n_rows = min(len(X), 2500, max(500, _CELLS // max(X.shape[1], 1)))
    rows = np.unique(np.linspace(0, len(X) - 1, n_rows).astype(int))
    copies: dict[int, str] = {}
    telling = []
    for j, t in _suspects(X[rows], Y[rows], tasks, ordered):
        if j in copies:
            continue
        seen = ~np.isnan(Y[:, t]) & ~np.isnan(X[:, j])
        values, labels = X[seen, j], Y[seen, t]
        whole = seen.sum() == (~np.isnan(Y[:, t])).sum() >= _CERTAIN
        same = _linear(values, labels) if tasks[t].kind == "regression" else _one_to_one(values, labels)
        if whole and same:
            copies[j] = tasks[t].name
        elif tasks[t].kind == "binary":
            auc = _auc(values if ordered[j] else _word_means(values, labels), labels)
            telling += [(j, tasks[t].name, auc)] if auc > _TELLING else []
    return Leaks(copies, [row for row in telling if row[0] not in copies])


def _suspects(
    X: NDArray[Any], Y: NDArray[np.float32], tasks: TaskSet, ordered: NDArray[np.bool_]
) -> Iterator[tuple[int, int]]:
    """Yield (feature, task) that a sample of rows cannot clear."""
    binary = np.array([task.kind == "binary" for task in tasks])
    regression = np.array([task.kind == "regression" for task in tasks])
    positive, negative = (Y[:, binary] == 1).astype(np.float64), (Y[:, binary] == 0).astype(np.float64)
    few = np.minimum(positive.sum(0), negative.sum(0)) < 5
    values = _standardised(Y[:, regression].astype(np.float64))
    quantities = np.flatnonzero(ordered)
    for start in range(0, len(quantities), _BLOCK):
        block = quantities[start : start + _BLOCK]
        if binary.any():
            ranks = _ranks(X[:, block])
            with np.errstate(invalid="ignore", divide="ignore"):
                gap = (ranks.T @ positive) / positive.sum(0) - (ranks.T @ negative) / negative.sum(0)
            near = (np.abs(gap) / len(X) > _TELLING - 0.53) & ~few  # .03 for holes, which blur the ranks
            yield from _pairs(block, binary, near)
        if regression.any():
            alike = np.abs(_standardised(X[:, block].astype(np.float64)).T @ values) / len(X) > 0.95
            yield from _pairs(block, regression, alike)
    for j in np.flatnonzero(~ordered) if binary.any() else ():
        codes = np.nan_to_num(X[:, j]).astype(np.intp)
        by_word = [np.stack([np.bincount(codes, column) for column in side.T]) for side in (positive, negative)]
        unclear = np.minimum(*by_word).sum(1) > 0.05 * np.minimum(positive.sum(0), negative.sum(0))
        near = ~unclear & ~few & (len(np.unique(codes)) * 5 < (positive + negative).sum(0))
        yield from _pairs(np.array([j]), binary, near[None])
    counts = None
    for t, task in enumerate(tasks):
        if task.kind == "multiclass":
            counts = [_n_different(X[:, j]) for j in range(X.shape[1])] if counts is None else counts
            seen = ~np.isnan(Y[:, t])
            n = _n_different(Y[:, t])
            yield from ((j, t) for j in range(X.shape[1]) if n >= 2 and counts[j] == n and
                        _one_to_one(X[seen, j], Y[seen, t]))  # fmt: skip


def _word_means(codes: NDArray[Any], labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean label of each row's word."""
    whole = codes.astype(np.intp)
    means = np.bincount(whole, labels) / np.maximum(np.bincount(whole), 1)
    return means[whole].astype(np.float32)


def _pairs(features: NDArray[np.intp], tasks: NDArray[np.bool_], where: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    rows, columns = np.nonzero(where)
    yield from zip(features[rows].tolist(), np.flatnonzero(tasks)[columns].tolist(), strict=True)


def _standardised(columns: Floats) -> Floats:
    holes = np.isnan(columns)
    filled = np.where(holes, 0.0, columns)
    n = np.maximum((~holes).sum(0), 1)
    filled = np.where(holes, 0.0, filled - filled.sum(0) / n)
    scale = np.sqrt((filled**2).sum(0) / n)
    result: Floats = filled / np.where(scale > 0, scale, 1.0) * np.sqrt(len(columns) / n)
    return result


def _ranks(block: NDArray[Any]) -> Floats:
    """Return average ranks of every column; missing cells have the middle rank."""
    import pandas as pd

    ranks: Floats = pd.DataFrame(block).rank().fillna((len(block) + 1) / 2).to_numpy(np.float64)
    return ranks


def _n_different(column: NDArray[Any]) -> int:
    return len(np.unique(column[~np.isnan(column)]))


def _one_to_one(values: NDArray[Any], labels: NDArray[np.float32]) -> bool:
    """Return whether every value goes with one label and every label with one value, and there are two or more."""
    import pandas as pd

    if np.isnan(values).any():
        return False
    pairs = pd.DataFrame({"value": values, "label": labels}).drop_duplicates()
    return bool(pairs["value"].is_unique and pairs["label"].is_unique and len(pairs) > 1)


def _linear(values: NDArray[Any], labels: NDArray[np.float32]) -> bool:
    """Return whether labels are a linear function of the values, to the precision of float32."""
    x, y = values.astype(np.float64), labels.astype(np.float64)
    if not len(x) or x.std() == 0 or y.std() == 0:
        return False
    slope = ((x - x.mean()) * (y - y.mean())).mean() / x.var()
    error = (y - y.mean()) - slope * (x - x.mean())
    return bool(np.abs(error).max() < 1e-4 * y.std())


def _auc(values: NDArray[Any], labels: NDArray[np.float32]) -> float:
    """Return the area under the curve of one feature, in the better of its two directions."""
    import pandas as pd

    positive = labels == 1
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return 0.5
    ranks = pd.Series(values).rank().to_numpy()
    auc = float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
    return max(auc, 1 - auc)
