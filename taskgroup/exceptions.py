"""Errors and warnings that taskgroup raises.

Every error is a :class:`TaskGroupError` and also the built-in class that users of the standard library would catch.
A message names the thing, the rule, the value found and the next step.
"""

__all__ = [
    "ArtifactError",
    "InvalidInputError",
    "LearnerError",
    "MissingDependencyError",
    "OverlapWarning",
    "TaskGroupError",
    "TaskGroupWarning",
]


class TaskGroupError(Exception):
    """Base class of every error raised on purpose by taskgroup."""


class InvalidInputError(TaskGroupError, ValueError):
    """An argument, a table or a batch breaks a rule that its message states."""


class ArtifactError(TaskGroupError, OSError):
    """A file or run directory is missing, damaged, of another format, or would be overwritten."""


class LearnerError(TaskGroupError, RuntimeError):
    """A learner has failed: its training diverged, or somebody else wrote it and the message is its own."""


class MissingDependencyError(TaskGroupError, ImportError):
    """An optional dependency is needed; the message names the extra that installs it."""


class TaskGroupWarning(UserWarning):
    """Base class of every warning issued by taskgroup."""


class OverlapWarning(TaskGroupWarning):
    """Tasks share so few samples that similarities between them rest on little evidence."""
