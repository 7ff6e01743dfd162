"""Which rows are fitted, and which are answered for without having been fitted.

Development rows are the training and validation rows of the table. On a small table each of them is held out once, in
five folds that all learners share: every row then has an honest answer. On a large one the validation rows are held
out, once. Final models may be fitted on all development rows; test rows take part in nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from taskgroup._display import brief
from taskgroup._validation import check_int
from taskgroup.data import TaskTable, grouped_split, stratified_split

__all__ = ["Folds", "make_folds"]

Rows = NDArray[np.int64]

_SMALL = 10_000  # development rows below which every row is held out once
_SPARSE = 50_000  # ... where the validation rows alone tell little of most tasks
_FEW = 100  # labels of the rarer class, of the median task, below which they tell little
_FOLDS = 5


@brief
@dataclass(frozen=True, eq=False)
class Folds:
    """Development rows, and the fold in which each of them is held out.

    Parameters
    ----------
    rows : ndarray of int64 of shape (n,)
        Row numbers of the development rows, ascending.
    fold : ndarray of int64 of shape (n,)
        Number of the fold that holds the row out; -1 when none does.
    """

    rows: Rows
    fold: NDArray[np.int64]

    @property
    def n_folds(self) -> int:
        """Number of folds K."""
        return int(self.fold.max()) + 1

    @property
    def honest(self) -> Rows:
        """Row numbers that are held out once, ascending: those that have honest answers."""
        return self.rows[self.fold >= 0]

    def fitted(self, fold: int | None) -> Rows:
        """Return the rows to fit: all but those of a fold, or all of them."""
        kept: Rows = self.rows if fold is None else self.rows[self.fold != fold]
        return kept

    def held_out(self, fold: int) -> Rows:
        """Return the rows of a fold."""
        rows: Rows = self.rows[self.fold == fold]
        return rows


def make_folds(table: TaskTable, folds: int | Literal["auto"] = "auto", random_state: int = 0) -> Folds:
    """Return the folds of a table.

    Parameters
    ----------
    table : TaskTable
        Its training and validation rows are the development rows.
    folds : int or "auto"
        Number of folds, at least 2; 1 holds the validation rows out and nothing else. "auto" is 1 for rows that are
        ordered in time; else 5 below 10,000 development rows, and below 50,000 where the validation rows hold fewer
        than 100 labels (of the rarer class, if the task is binary) of the median task; else 1. There are no more
        folds than sets of rows that belong together.
    random_state : int
        Seed of the deal.
    """
    rows = np.flatnonzero(table.split != 2)
    count = _automatic(table, len(rows)) if folds == "auto" else check_int("folds", folds, low=1)
    sets = np.arange(len(rows)) if table.together is None else np.unique(table.together[rows], return_inverse=True)[1]
    count = min(count, int(sets.max()) + 1)
    if count == 1:
        return Folds(rows, np.where(table.split[rows] == 1, 0, -1))
    return Folds(rows, _deal(table, rows, sets, count, random_state))


def _automatic(table: TaskTable, n_rows: int) -> int:
    """Return the number of folds that a table is worth."""
    if table.ordered or n_rows >= _SPARSE:
        return 1
    if n_rows < _SMALL:
        return _FOLDS
    Y = table.targets("valid")
    labelled, positive = (~np.isnan(Y)).sum(0), (Y == 1).sum(0)
    binary = np.array([task.kind == "binary" for task in table.tasks])
    told = np.where(binary, np.minimum(positive, labelled - positive), labelled)
    return _FOLDS if np.median(told) < _FEW else 1


def _deal(table: TaskTable, rows: Rows, sets: Rows, count: int, random_state: int) -> NDArray[np.int64]:
    """Return the fold of every row; rows of one set (of one patient, or equal) stay in one fold."""
    shares = [1 / count] * count
    if table.together is None:
        return stratified_split(table.Y[rows], table.tasks, shares, random_state).astype(np.int64)
    return grouped_split(table.Y[rows], table.tasks, sets, shares, random_state).astype(np.int64)
