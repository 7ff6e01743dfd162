"""Learners: ways of fitting some tasks jointly, one a file. See :class:`Learner`."""

from taskgroup.learners._base import Context, Fitted, Learner, Order, Saved
from taskgroup.learners._examples import Examples, Inputs, Packed
from taskgroup.learners._registry import ARCHITECTURES, AUTO, LEARNERS, learner_class, make_learner

__all__ = [
    "ARCHITECTURES",
    "AUTO",
    "LEARNERS",
    "Context",
    "Examples",
    "Fitted",
    "Inputs",
    "Learner",
    "Order",
    "Packed",
    "Saved",
    "learner_class",
    "make_learner",
]
