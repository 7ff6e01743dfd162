"""What a judge answers, and the score of its answer: one main metric per task, with the influence of every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from taskgroup.scoring import main_scores
from taskgroup.scoring._metrics import evaluate
from taskgroup.tasks import TaskSet

__all__ = ["Judge", "Score", "score_outputs"]

Floats = NDArray[np.float64]


class Judge(Protocol):
    """Any learner that tells what training some tasks together is worth.

    Attributes
    ----------
    tasks : TaskSet
        The T tasks.
    targets : ndarray of float32 of shape (n, T)
        Targets of the rows it answers for, NaN where missing.
    """

    tasks: TaskSet
    targets: NDArray[np.float32]

    def outputs(self, tasks: Sequence[int], effort: float) -> NDArray[np.float32]:
        """Return honest outputs of one model fitted to the given tasks, shape (n_draws, n, n_outputs of those tasks).

        Honest means: the answer for a row comes from a model that was not fitted to it (out of bag, out of fold, held
        out). Packed in the order given: a score that rises with the probability of class 1 (binary), one score per
        class (multiclass), the value (regression). The answer is the mean of the draws; independent ones (the halves
        of a forest, the seeds of a net) tell how much of a difference is the luck of the fit.

        Parameters
        ----------
        tasks : sequence of int
            Positions of the tasks that are fitted jointly.
        effort : float
            Share of the full effort to spend, in (0, 1]; a judge that knows no cheaper way may ignore it.
        """


@dataclass(frozen=True, eq=False)
class Score:
    """Main metrics of some tasks on honest rows.

    Parameters
    ----------
    values : ndarray of float64 of shape (m,)
        Area under the ROC curve, accuracy or R2; NaN where undefined.
    influence : ndarray of float32 of shape (n_labels,)
        Of the labelled rows on each value, task after task: giving row i the weight 1 + w_i moves the value by
        sum_i w_i influence_i. A row without a label moves nothing and takes no place.
    draws : ndarray of float64 of shape (n_draws, m)
        The values of each draw on its own.
    """

    values: Floats
    influence: NDArray[np.float32]
    draws: Floats


def score_outputs(judge: Judge, tasks: Sequence[int], outputs: NDArray[np.float32]) -> Score:
    """Return the scores of the mean of draws of packed outputs of some tasks, (n_draws, n, n_outputs)."""
    columns = list(tasks)
    chosen, targets = judge.tasks.select(columns), judge.targets[:, columns]
    found = evaluate(chosen, targets, outputs.mean(0))
    influence = found.influence[~np.isnan(targets.T)]
    if len(outputs) == 1:
        return Score(found.main, influence, found.main[None])
    return Score(found.main, influence, np.stack([main_scores(chosen, targets, draw) for draw in outputs]))
