"""The arm "random-groups": groups of the same sizes with the tasks dealt at random, several times.

What our groups gain over these is what it is worth to know which tasks belong together; what these gain over one model
is what several models are worth whoever is in which.
"""

from __future__ import annotations

import numpy as np

from taskgroup.arms._base import Arm, Question
from taskgroup.arms._grouped import grouped
from taskgroup.grouping import Grouping

__all__ = ["random_groups"]


def random_groups(question: Question) -> Arm | None:
    """Return the arm; None when dealing changes nothing."""
    if grouped(question) is None:
        return None
    tasks, membership = question.table.tasks, question.grouping.membership
    generator = np.random.default_rng([question.random_state, 7])
    draws = tuple(Grouping(tasks, membership[generator.permutation(len(tasks))]) for _ in range(question.draws))
    return Arm("random-groups", "control", "a model per group, groups of the same sizes drawn at random", draws)
