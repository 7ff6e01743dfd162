"""What the names of methods mean: which of them are ways of training, which are controls, which are simpler."""

from __future__ import annotations

__all__ = ["CONTROLS", "family", "simplicity", "steadiness"]

_FAMILIES = {
    "linear": "linear",
    "mtl": "one-model",
    "mtl-wide": "one-model",
    "stl": "single-task",
    "mtl-ensemble": "ensemble",
    "mtl-wide-ensemble": "ensemble",
    "random-groups": "control",
    "label-groups": "split",
    "grouped": "split",
    "units": "split",
}
_STEADIEST_FIRST = ("ensemble", "split", "one-model", "linear", "single-task")
_SIMPLEST_FIRST = ("linear", "one-model", "single-task", "ensemble")

CONTROLS = tuple(name for name in _FAMILIES if name not in {"grouped", "units"})
"""What a grouping is measured against."""


def family(method: str) -> str:
    """Return what kind of plan a method stands for; a name that is not known is a family of its own.

    Examples
    --------
    >>> family("mtl-wide"), family("grouped:adatt"), family("mtl:mmoe"), family("mine")
    ('one-model', 'split', 'one-model', 'mine')
    """
    return _FAMILIES.get(method, _FAMILIES.get(method.split(":")[0], method))


def simplicity(name: str) -> int:
    """Return the place of a family when the simplest to train and keep comes first; splitting comes last."""
    if name == "split":
        return len(_SIMPLEST_FIRST) + 1
    return _SIMPLEST_FIRST.index(name) if name in _SIMPLEST_FIRST else len(_SIMPLEST_FIRST)


def steadiness(name: str) -> int:
    """Return the place of a family when the one whose scores depend least on the validation rows comes first."""
    return _STEADIEST_FIRST.index(name) if name in _STEADIEST_FIRST else len(_STEADIEST_FIRST)
