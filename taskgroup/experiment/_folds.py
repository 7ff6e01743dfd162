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

from taskgroup._validation import check_int
from taskgroup.data import TaskTable, stratified_split

__all__ = ["Folds", "make_folds"]

Rows = NDArray[np.int64]

_SMALL = 10_000  # development rows below which every row is held out once
_FOLDS = 5


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
        Number of folds, at least 2; 1 holds the validation rows out and nothing else. "auto" is 5 where there are
        fewer than 10,000 development rows, else 1.
    random_state : int
        Seed of the deal.
    """
    rows = np.flatnonzero(table.split != 2)
    count = (_FOLDS if len(rows) < _SMALL else 1) if folds == "auto" else check_int("folds", folds, low=1)
    if count == 1:
        return Folds(rows, np.where(table.split[rows] == 1, 0, -1))
    return Folds(rows, _deal(table, rows, count, random_state))


def _deal(table: TaskTable, rows: Rows, count: int, random_state: int) -> NDArray[np.int64]:
    """Return the fold of every row; rows of one group of the table (a patient, a scaffold) stay in one fold."""
    groups = getattr(table, "groups", None)
    if groups is None:
        return stratified_split(table.Y[rows], table.tasks, [1 / count] * count, random_state).astype(np.int64)
    codes: NDArray[np.int64] = np.unique(np.asarray(groups)[rows], return_inverse=True)[1]
    generator = np.random.default_rng(random_state)
    sizes = np.bincount(codes)
    fold_of_group, filled = np.empty(len(sizes), np.int64), np.zeros(count)
    for group in sorted(generator.permutation(len(sizes)), key=lambda g: -sizes[g]):
        fold_of_group[group] = filled.argmin()
        filled[fold_of_group[group]] += sizes[group]
    folds: NDArray[np.int64] = fold_of_group[codes]
    return folds
