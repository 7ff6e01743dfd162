"""What the names of methods mean: ``<learner>/<arm>``."""

from __future__ import annotations

__all__ = ["ROLES", "describe", "family", "split_name"]

ROLES = {
    "all-in-one": "one-model",
    "per-task": "single-task",
    "grouped": "split",
    "units": "split",
    "label-groups": "split",
    "random-groups": "control",
}
"""What each arm stands for."""

_WORDS = {
    "all-in-one": "one model for all tasks",
    "per-task": "a model per task",
    "grouped": "a model per group",
    "units": "one model with a part per group",
    "label-groups": "a model per group of correlated labels",
    "random-groups": "a model per group drawn at random",
}


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


def describe(method: str) -> str:
    """Return what a method is, in words.

    >>> describe("extra-trees/grouped"), describe("mine")
    ('extra-trees, a model per group', 'mine')
    """
    learner, arm = split_name(method)
    return f"{learner}, {_WORDS.get(arm, arm)}" if arm else learner
