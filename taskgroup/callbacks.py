"""What a run tells whoever listens: steps, epochs, groups, finished units of work, scores and the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskgroup.cost import Cost
    from taskgroup.grouping import Grouping
    from taskgroup.plan import PlanChoice
    from taskgroup.scoring import Scorecard

__all__ = ["Callback"]


class Callback:
    """Listens to :func:`~taskgroup.profile` and :func:`~taskgroup.retrain`; override what is of interest.

    What a method raises ends the run. Calls come from the process that was called, in the order of the work.

    Examples
    --------
    >>> class Losses(Callback):
    ...     def on_epoch(self, epoch, values):
    ...         print(epoch, sorted(values))
    >>> Losses().on_epoch(1, {"valid_loss": 0.5})
    1 ['valid_loss']
    """

    def on_step(self, step: str, settings: Mapping[str, Any]) -> None:
        """Hear that a step, "profile" or "retrain", begins, with what was asked of it."""

    def on_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Hear that an epoch of the profile, counted from 1, is over: {"valid_loss": mean over tasks}."""

    def on_grouping(self, grouping: Grouping) -> None:
        """Hear of the groups that a retraining judges."""

    def on_unit(self, unit: str, cost: Cost, done: int, total: int) -> None:
        """Hear that a unit of work, ``<learner>/<arm>/<name>``, was fitted, and how many models of its stage are.

        Units that an earlier call has finished are not heard of again.
        """

    def on_result(self, scorecard: Scorecard, plan: PlanChoice) -> None:
        """Hear of the scores of every method, and of the plan that follows."""
