"""Arms: partitions of the tasks that know no learner."""

import numpy as np
import pytest

from taskgroup.arms import ARMS, DEFAULT_ARMS, Question, label_grouping, make_arms
from taskgroup.data import TaskTable
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import Grouping


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    Y = np.repeat([X[:, 0], X[:, 1]], 3, axis=0).T + 0.3 * rng.normal(size=(200, 6)) > 0
    return TaskTable.from_arrays(X, Y, list("abcdef"))


def _arms(table, labels, names=tuple(ARMS), **changes):
    grouping = labels if isinstance(labels, Grouping) else Grouping.from_labels(table.tasks, labels)
    return make_arms(names, Question(table, grouping, **{"draws": 3, "random_state": 0, **changes}))


def test_every_arm_serves_every_task_once(table):
    for arm in _arms(table, [0, 0, 0, 1, 1, 2]).values():
        for draw in range(len(arm.draws)):
            answered = [name for part in arm.parts(draw, soft=False) for name in part.answers]
            assert sorted(answered) == list("abcdef"), arm.name


def test_sizes_are_those_of_the_question(table):
    arms = _arms(table, [0, 0, 0, 1, 1, 2])
    assert arms["all-in-one"].sizes() == [6]
    assert arms["per-task"].sizes() == [1] * 6
    assert arms["grouped"].sizes() == [3, 2, 1]
    assert len(arms["label-groups"].sizes()) == 3
    for draw in range(3):
        assert sorted(len(part.tasks) for part in arms["random-groups"].parts(draw, soft=False)) == [1, 2, 3]
    assert len(set(arms["random-groups"].draws)) == 3
    (part,) = arms["units"].parts(0, soft=False)
    assert part.units == (0, 0, 0, 1, 1, 2)


@pytest.mark.parametrize("labels", [[0] * 6, range(6)])
def test_arms_that_would_be_the_same_as_a_simpler_one_are_left_out(table, labels):
    arms = _arms(table, labels, DEFAULT_ARMS)
    assert {"grouped", "random-groups"}.isdisjoint(arms)
    assert {"all-in-one", "per-task"} <= set(arms)
    assert ("label-groups" in arms) == (len(set(labels)) == 1)  # one model per task is no number of groups


def test_random_groups_depend_on_the_seed_alone(table):
    one, same, other = (
        _arms(table, [0, 0, 0, 1, 1, 1], ["random-groups"], random_state=seed)["random-groups"].draws
        for seed in (0, 0, 1)
    )
    assert [g.groups for g in one] == [g.groups for g in same]
    assert [g.groups for g in one] != [g.groups for g in other]


def test_label_groups_are_found_from_training_labels_alone(table):
    found = label_grouping(table, 2)
    assert found.groups == (("a", "b", "c"), ("d", "e", "f"))
    Y = table.Y.copy()
    Y[table.split > 0] = np.nan
    assert label_grouping(TaskTable.from_arrays(table.X, Y, table.tasks, table.split), 2).groups == found.groups


def test_soft_groups_weigh_losses_for_learners_that_can_and_harden_for_others(table):
    membership = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    membership[0] = 0.6, 0.4
    arm = _arms(table, Grouping(table.tasks, membership), ["grouped"])["grouped"]
    assert [part.tasks for part in arm.parts(0, soft=False)] == [("a", "b", "c"), ("d", "e", "f")]
    best = arm.parts(0, soft=True)
    assert best[1].tasks == ("a", "d", "e", "f")
    assert best[1].weights == (0.4, 1.0, 1.0, 1.0)
    assert "a" not in best[1].answers
    mean = arm.parts(0, soft=True, answers="mean")
    assert (mean[0].answers["a"], mean[1].answers["a"]) == (0.6, 0.4)


def test_an_unknown_arm_is_an_error_that_suggests(table):
    with pytest.raises(InvalidInputError, match="per-task"):
        _arms(table, [0, 0, 0, 1, 1, 1], ["per-tasks"])
