"""What an arm is: which tasks are fitted together. Arms know no learner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from taskgroup._display import brief
from taskgroup.data import TaskTable
from taskgroup.grouping import Grouping

__all__ = ["Answers", "Arm", "Part", "Question", "Role"]

Role = Literal["one-model", "single-task", "split", "control"]
"""What an arm stands for: one model for all tasks, a model per task, a split into groups, a control of such a split."""

Answers = Literal["best", "mean"]
"""Who answers for a task of several groups: its best group, or all by membership (STG-MTL's rule)."""


@brief
@dataclass(frozen=True, eq=False)
class Question:
    """What an arm is made from.

    Parameters
    ----------
    table : TaskTable
        The tasks. Only training rows may be looked at.
    grouping : Grouping
        The groups that are to be judged.
    draws : int
        Groupings of arms that are drawn at random.
    random_state : int
        Seed of what is drawn.
    """

    table: TaskTable
    grouping: Grouping
    draws: int
    random_state: int


class Part(NamedTuple):
    """One model of an arm."""

    tasks: tuple[str, ...]
    weights: tuple[float, ...] | None  # of the tasks' losses; equal when None
    units: tuple[int, ...] | None  # group of each task, for a model whose parts belong to groups
    answers: Mapping[str, float]  # {task: weight of the model's answer in the sum over the arm's models}


@brief
@dataclass(frozen=True, eq=False)
class Arm:
    """A way of putting tasks together.

    Parameters
    ----------
    name : str
        As in "<learner>/<arm>".
    role : str
        See :data:`Role`.
    about : str
        In words.
    draws : tuple of Grouping
        One grouping, or several of which a score is the mean.
    as_units : bool
        Whether one model serves all tasks, with the groups as its units.
    """

    name: str
    role: Role
    about: str
    draws: tuple[Grouping, ...]
    as_units: bool = False

    def parts(self, draw: int, *, soft: bool, answers: Answers = "best") -> list[Part]:
        """Return the models of one of the groupings.

        Parameters
        ----------
        draw : int
            Number of the grouping.
        soft : bool
            Whether the learner can weigh the losses of tasks that belong to several groups; if not, every task belongs
            to its group of largest membership.
        answers : {"best", "mean"}
            See :data:`Answers`.
        """
        grouping = self.draws[draw]
        if self.as_units:
            names = grouping.tasks.names
            units = tuple(int(label) for label in grouping.labels)
            return [Part(names, None, units, dict.fromkeys(names, 1.0))]
        if not (soft and grouping.soft):
            hard = grouping.harden() if grouping.soft else grouping
            return [Part(names, None, None, dict.fromkeys(names, 1.0)) for names in hard.groups if names]
        parts = []
        for g in range(grouping.n_groups):
            losses = grouping.loss_weights(g)
            own = losses if answers == "mean" else dict.fromkeys(grouping.groups[g], 1.0)
            if losses and own:
                parts.append(Part(tuple(losses), tuple(losses.values()), None, own))
        return parts

    def sizes(self) -> list[int]:
        """Return the number of tasks of each model of the first grouping."""
        return [len(part.tasks) for part in self.parts(0, soft=False)]
