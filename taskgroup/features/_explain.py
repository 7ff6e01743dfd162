"""Why tasks are alike: which samples make the correlation of their confidences, and through what.

The correlation of two tasks is the mean over samples of the product of their standardised confidences, so every sample
has a contribution. By the law of total covariance it splits into a part between the cells of the two labels (the tasks
agree because their labels make the same samples easy or hard) and a part within them (the same samples are hard
whatever their labels). The part between is split once more by whether either label is positive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from taskgroup._display import brief
from taskgroup._validation import check_int
from taskgroup.datamaps import DataMaps
from taskgroup.exceptions import InvalidInputError
from taskgroup.features._views import class_codes
from taskgroup.grouping import Grouping

__all__ = ["Explanation", "explain", "explain_groups"]

_MOST_PAIRS = 200  # of a large group: a mean over so many pairs is close to the mean over all


@brief
@dataclass(frozen=True)
class Explanation:
    """Why some tasks are alike.

    Parameters
    ----------
    tasks : tuple of str
        Two tasks, or the tasks of a group.
    correlation : float
        Correlation of the confidences; of a group, the mean absolute correlation over pairs.
    shares : mapping of str to float
        Parts of the correlation that sum to 1: ``"positives"`` (between label cells, samples positive for either
        task), ``"negatives"`` (between label cells, samples negative for both), ``"within"`` (within-class difficulty);
        ``"classes"`` stands for the first two where a task is not binary. A part that works against the rest is
        negative. Empty when the maps hold no targets.
    sample_ids : tuple of int
        The samples that contribute most, by ``maps.sample_ids``.
    contributions : tuple of float
        Their contributions; those of all samples sum to ``correlation``.
    n_samples : int
        Number of samples labelled for both tasks; of a group, the mean over pairs.
    """

    tasks: tuple[str, ...]
    correlation: float
    shares: Mapping[str, float]
    sample_ids: tuple[int, ...]
    contributions: tuple[float, ...]
    n_samples: float


def explain(maps: DataMaps, tasks: Sequence[str], *, top: int = 10) -> Explanation:
    """Return why the given two or more tasks are alike.

    Parameters
    ----------
    maps : DataMaps
        The maps the tasks were grouped by; shares need targets.
    tasks : sequence of str
        Names of two tasks, or of the tasks of a group.
    top : int
        Number of samples to name.

    Raises
    ------
    InvalidInputError
        When a name is unknown, or fewer than two different tasks are given.

    Examples
    --------
    >>> import numpy as np
    >>> from taskgroup.datamaps import encode_probability
    >>> from taskgroup.tasks import TaskSet
    >>> p = np.full((3, 100, 2), 0.5)
    >>> p[:, :3] = 0.9  # three samples that both tasks find easy
    >>> maps = DataMaps.from_history(TaskSet(["a", "b"]), encode_probability(p))
    >>> why = explain(maps, ["a", "b"], top=3)
    >>> why.sample_ids, round(why.correlation, 2)
    ((0, 1, 2), 1.0)
    """
    columns = sorted({maps.tasks.index_of(name) for name in tasks})
    if len(columns) < 2:
        raise InvalidInputError(f"`tasks` must name at least two different tasks; got {list(tasks)}.")
    check_int("top", top, 0)
    pairs = list(combinations(range(len(columns)), 2))
    if len(pairs) > _MOST_PAIRS:
        chosen = np.random.default_rng(0).choice(len(pairs), _MOST_PAIRS, replace=False)
        pairs = [pairs[i] for i in np.sort(chosen)]
    confidence = np.asarray(maps.confidence[:, columns], np.float64)
    codes = None
    if maps.targets is not None:
        codes = class_codes(maps.select(columns), "explain")(np.arange(maps.n_samples))
    binary = [maps.tasks[c].kind == "binary" for c in columns]
    contributions = np.zeros(maps.n_samples)
    parts: dict[str, float] = {}
    correlations, counts = [], []
    for i, j in pairs:
        rows = np.flatnonzero(~np.isnan(confidence[:, i]) & ~np.isnan(confidence[:, j]))
        x, y = _standardised(confidence[rows, i]), _standardised(confidence[rows, j])
        r = float(np.mean(x * y)) if len(rows) else 0.0
        sign = np.sign(r) if len(pairs) > 1 else 1.0
        contributions[rows] += sign * x * y / max(len(rows), 1) / len(pairs)
        correlations.append(sign * r)
        counts.append(len(rows))
        if codes is not None:
            split = _split(x, y, codes[rows, i], codes[rows, j], binary[i] and binary[j])
            for name, value in split.items():
                parts[name] = parts.get(name, 0.0) + sign * value / len(pairs)
    correlation = float(np.mean(correlations))
    order = np.argsort(-np.sign(correlation or 1.0) * contributions, kind="stable")[:top]
    ids = order if maps.sample_ids is None else maps.sample_ids[order]
    return Explanation(
        tasks=tuple(maps.tasks[c].name for c in columns),
        correlation=correlation,
        shares={name: value / correlation for name, value in parts.items()} if correlation else {},
        sample_ids=tuple(int(i) for i in ids),
        contributions=tuple(float(contributions[i]) for i in order),
        n_samples=float(np.mean(counts)),
    )


def explain_groups(maps: DataMaps, grouping: Grouping, *, top: int = 10) -> dict[int, Explanation]:
    """Return {group: why its tasks are alike} for every group of two or more tasks."""
    return {g: explain(maps, names, top=top) for g, names in enumerate(grouping.groups) if len(names) > 1}


def _standardised(x: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = x - x.mean() if len(x) else x
    spread = float(np.sqrt(np.mean(centred**2))) if len(x) else 0.0
    return centred / spread if spread > 1e-12 else np.zeros_like(x)


def _split(
    x: NDArray[np.float64], y: NDArray[np.float64], a: NDArray[np.int64], b: NDArray[np.int64], binary: bool
) -> dict[str, float]:
    """Return the parts of mean(x y) between and within the cells of the labels a and b."""
    _, cell, size = np.unique(np.stack([a, b], 1), axis=0, return_inverse=True, return_counts=True)
    cell = cell.ravel()
    between = (np.bincount(cell, x) / size)[cell] * (np.bincount(cell, y) / size)[cell]
    within = {"within": float(np.mean(x * y - between))} if len(x) else {"within": 0.0}
    if not binary:
        return {"classes": float(np.sum(between)) / max(len(x), 1), **within}
    positive = (a == 1) | (b == 1)
    return {
        "positives": float(between[positive].sum()) / max(len(x), 1),
        "negatives": float(between[~positive].sum()) / max(len(x), 1),
        **within,
    }
