"""Choosing between groupings by what they are for: the validation scores of the networks fitted on them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from taskgroup.data import TaskTable
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import Grouping
from taskgroup.training._retrain import retrain

__all__ = ["choose_grouping"]


def choose_grouping(
    table: TaskTable, groupings: Sequence[Grouping], *, seeds: int = 1, random_state: int = 0, **options: Any
) -> tuple[Grouping, list[float]]:
    """Return the grouping whose networks do best on the validation rows, and the score of each.

    Where the stability of a grouping does not settle the number of groups, this does, for the price of the group
    networks: the all-in-one networks that they start from are trained once.

    Parameters
    ----------
    table : TaskTable
        The tasks.
    groupings : sequence of Grouping
        Candidates, for example of several k. The first of equals is chosen.
    seeds, random_state
        As for :func:`retrain`, which should be given another `random_state` afterwards.
    **options
        Further arguments of :func:`retrain`; nothing is tuned unless `tune` says so.

    Returns
    -------
    grouping : Grouping
    scores : list of float
        Mean main metric over tasks and seeds on validation data, one for each candidate.

    Raises
    ------
    InvalidInputError
        When there is no candidate.
    """
    if not groupings:
        raise InvalidInputError("`groupings` must hold at least one grouping; got none.")
    scores = []
    with tempfile.TemporaryDirectory() as folder:  # finished all-in-one networks are found there again
        for grouping in groupings:
            result = retrain(
                table, grouping, methods=["grouped"], seeds=seeds, random_state=random_state, out=folder,
                **{"tune": 1, **options},
            )  # fmt: skip
            scores.append(float(np.nanmean(result.scorecard.main["valid"]["grouped"].by_seed)))
    return groupings[int(np.argmax(scores))], scores
