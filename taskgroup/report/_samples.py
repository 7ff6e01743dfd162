"""The samples worth looking at: the easiest, the most ambiguous and the hardest ones of a task."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from taskgroup._validation import check_choice, check_int
from taskgroup.datamaps import DataMaps

__all__ = ["Region", "SampleRow", "sample_table"]

Region = Literal["easy", "ambiguous", "hard"]
_REGIONS: tuple[Region, ...] = ("easy", "ambiguous", "hard")


class SampleRow(NamedTuple):
    """One sample of a data map; a value that was not recorded is NaN."""

    sample_id: int
    confidence: float
    variability: float
    correctness: float
    forgetting: float
    target: float


def sample_table(maps: DataMaps, task: str, region: Region = "hard", n: int = 10) -> list[SampleRow]:
    """Return the ``n`` samples of ``task`` that lie deepest in a region of its data map.

    Easy samples are those of highest confidence, hard ones of lowest confidence (often wrong labels), ambiguous ones
    of highest variability: the order of Dataset Cartography (arXiv 2009.10795, section 2). Equal values keep the order
    of the rows. ``pandas.DataFrame(sample_table(...))`` makes a frame with named columns.

    Parameters
    ----------
    maps : DataMaps
        The recorded maps.
    task : str
        Name of one of their tasks.
    region : {"easy", "ambiguous", "hard"}
        Where to look.
    n : int
        Number of rows; fewer come back when fewer samples were seen.

    Raises
    ------
    InvalidInputError
        When `maps` has no such task, or `region` or `n` break their rules.

    Examples
    --------
    >>> import numpy as np
    >>> from taskgroup.tasks import TaskSet
    >>> p = np.array([[0.9], [0.5], [0.125]], np.float32)
    >>> maps = DataMaps(TaskSet(["a"]), p, p * (1 - p), np.ones((3, 1), np.uint16))
    >>> [row.sample_id for row in sample_table(maps, "a", "hard", n=2)]
    [2, 1]
    """
    column = maps.tasks.index_of(task)
    check_choice("region", region, _REGIONS)
    check_int("n", n, low=1)
    key = maps.variability[:, column] if region == "ambiguous" else maps.confidence[:, column]
    order = np.argsort(key if region == "hard" else -key, kind="stable")  # NaN comes last either way
    chosen = order[np.isfinite(key[order])][:n]
    ids = np.arange(maps.n_samples) if maps.sample_ids is None else maps.sample_ids
    columns = (maps.confidence, maps.variability, maps.correctness, maps.forgetting, maps.targets)
    values = [[float("nan") if array is None else float(array[i, column]) for array in columns] for i in chosen]
    return [SampleRow(int(ids[i]), *row) for i, row in zip(chosen, values, strict=True)]
