"""What the names of methods mean: ``<learner>/<arm>``."""

from __future__ import annotations

__all__ = ["ROLES", "family", "split_name"]

ROLES = {
    "all-in-one": "one-model",
    "per-task": "single-task",
    "grouped": "split",
    "units": "split",
    "label-groups": "split",
    "random-groups": "control",
}
"""What each arm stands for."""


def split_name(method: str) -> tuple[str, str]:
    """Return the learner and the arm of a method; either is empty where the name has no such part.

    >>> split_name("nets/grouped"), split_name("mine")
    (('nets', 'grouped'), ('mine', ''))
    """
    learner, _, arm = method.partition("/")
    return learner, arm


def family(method: str) -> str:
    """Return what kind of plan a method stands for; a name that is not known is a family of its own.

    Examples
    --------
    >>> family("extra-trees/grouped"), family("nets/all-in-one"), family("mine")
    ('split', 'one-model', 'mine')
    """
    return ROLES.get(split_name(method)[1], method)
