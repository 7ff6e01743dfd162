"""Arms by name. A new one is a file of its own and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from taskgroup._validation import check_known
from taskgroup.arms._all_in_one import all_in_one
from taskgroup.arms._base import Arm, Question
from taskgroup.arms._grouped import grouped, units
from taskgroup.arms._label_groups import label_groups
from taskgroup.arms._per_task import per_task
from taskgroup.arms._random_groups import random_groups

__all__ = ["ARMS", "DEFAULT_ARMS", "make_arms"]

ARMS: Mapping[str, Callable[[Question], Arm | None]] = {
    "all-in-one": all_in_one,
    "per-task": per_task,
    "grouped": grouped,
    "random-groups": random_groups,
    "label-groups": label_groups,
    "units": units,
}
"""What makes each arm; None where the arm would be the same as a simpler one."""

DEFAULT_ARMS = ("all-in-one", "per-task", "grouped", "random-groups", "label-groups")
"""Arms that are tried unasked."""


def make_arms(names: Sequence[str], question: Question) -> dict[str, Arm]:
    """Return the arms of some names, without those that would be the same as a simpler one.

    Raises
    ------
    InvalidInputError
        When there is no arm of a name; the message says which one may be meant.
    """
    made = {name: ARMS[check_known("arm", name, ARMS)](question) for name in dict.fromkeys(names)}
    return {name: arm for name, arm in made.items() if arm is not None}
