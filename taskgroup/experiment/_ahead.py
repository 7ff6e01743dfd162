"""What can be known to fail before anything is fitted, whatever the groups will be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskgroup.arms import DEFAULT_ARMS, Question, make_arms
from taskgroup.data import TaskTable
from taskgroup.experiment._lineup import line_up, make_learners
from taskgroup.grouping import Grouping
from taskgroup.learners import Examples
from taskgroup.plan import Rule, check_rule
from taskgroup.scoring import Average, MetricChoice, Objective, TaskWeights

__all__ = ["check_request"]


def check_request(
    table: TaskTable,
    *,
    learners: Any = "auto",
    arch: str | Sequence[str] = (),
    encoder: str | Callable[[], Any] | None = None,
    arms: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    plan: Rule = "best",
    metric: MetricChoice = None,
    task_weights: TaskWeights = None,
    average: Average = "macro",
) -> None:
    """Raise what :func:`~taskgroup.retrain` would raise with these arguments and some grouping of the table's tasks.

    Raises
    ------
    InvalidInputError
        When a learner, an arm, a method, a rule or a metric is unknown, or nothing of it can be fitted on this table.
    """
    check_rule(plan)
    Objective.of(table.tasks, metric, task_weights, average)
    halves = Grouping.from_labels(table.tasks, [t % 2 for t in range(table.n_tasks)])  # some groups, to have every arm
    made = make_arms(arms or DEFAULT_ARMS, Question(table, halves, 1, 0))
    chosen = make_learners(learners, options or {}, arch, encoder)
    line_up(chosen, made, Examples.from_table(table), asked_arms=arms is not None, methods=methods, seeds=1)
