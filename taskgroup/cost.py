"""What fitting and serving cost: seconds and bytes for every learner, operations where they can be counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Cost"]


@dataclass(frozen=True)
class Cost:
    """What one or several fittings cost.

    Parameters
    ----------
    n_models : int
        Models that must be kept to answer.
    params : int
        Numbers that were learned and must be kept: weights of a network, nodes and leaves of a forest.
    bytes : int
        Size of the models' arrays as they are kept in a file.
    train_seconds : float
        CPU time of fitting, on one thread.
    train_flops : int
        Operations of fitting, counted for networks and linear models; 0 where they cannot be counted.
    train_examples : int
        Rows seen in fitting, once per pass and model.
    inference_flops : int
        Operations to answer all tasks for one sample, of networks and linear models; 0 where they cannot be counted.

    Examples
    --------
    >>> (Cost(n_models=1, train_seconds=2.0) + Cost(n_models=2, train_seconds=1.0)).train_seconds
    3.0
    """

    n_models: int = 0
    params: int = 0
    bytes: int = 0
    train_seconds: float = 0.0
    train_flops: int = 0
    train_examples: int = 0
    inference_flops: int = 0

    def __add__(self, other: Cost) -> Cost:
        mine, theirs = asdict(self), asdict(other)
        return Cost(**{name: mine[name] + theirs[name] for name in mine})

    def over(self, count: int) -> Cost:
        """Return the cost divided by a number of repetitions; whole numbers are rounded."""
        whole = {name: round(value / count) for name, value in asdict(self).items() if name != "train_seconds"}
        return Cost(**whole, train_seconds=self.train_seconds / count)

    @classmethod
    def total(cls, costs: Iterable[Cost]) -> Cost:
        """Return the sum of several costs."""
        total = cls()
        for cost in costs:
            total = total + cost
        return total

    def to_dict(self) -> dict[str, Any]:
        """Return the cost as a JSON-able dictionary."""
        return asdict(self)
