"""A training that is killed goes on where it was and ends the same; one that diverges is tried once more, then said."""

import numpy as np
import pytest
import torch

from taskgroup import TaskTable
from taskgroup._artifact import read_arrays, write_arrays
from taskgroup.exceptions import ArtifactError, InvalidInputError, LearnerError
from taskgroup.learners import Examples, Order, make_learner
from taskgroup.tasks import Task
from taskgroup.training import FitSettings, profile
from taskgroup.training import _profile as module


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 4)).astype(np.float32)
    Y = np.c_[X[:, :2] > 0, X[:, 2] * 3].astype(np.float32)
    Y[rng.random(Y.shape) < 0.1] = np.nan
    return TaskTable.from_arrays(X, Y, [Task("a"), Task("b"), Task("c", kind="regression")])


class Killed(BaseException):
    """Stands for the death of the process."""


@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
def test_a_profile_that_is_killed_goes_on_and_ends_identical(schedule, table, tmp_path, monkeypatch):
    settings = FitSettings(schedule=schedule)
    monkeypatch.setattr(module.Checkpoint.__init__, "__defaults__", (0.0,))
    straight = profile(table, epochs=6, hidden=(8,), settings=settings)

    def die_after(epoch):
        def progress(stage, done, total):
            if done == epoch:
                raise Killed

        return progress

    kept, seen = tmp_path / "checkpoint.safetensors", []
    for epoch in (2, 3, 5):
        with pytest.raises(Killed):
            profile(table, epochs=6, hidden=(8,), settings=settings, checkpoint=kept, progress=die_after(epoch))
    resumed = profile(
        table,
        epochs=6,
        hidden=(8,),
        settings=settings,
        checkpoint=kept,
        progress=lambda stage, done, total: seen.append(done),
    )
    assert seen == [5, 6]  # the epoch after which it died was not written yet
    assert resumed.history == straight.history
    for name in ("confidence", "variability", "correctness", "forgetting"):
        np.testing.assert_array_equal(getattr(resumed.maps, name), getattr(straight.maps, name))
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    other = profile(table, epochs=7, hidden=(8,), settings=settings, checkpoint=kept)
    assert other.history[:7] != resumed.history[:7] or len(other.history) == 8  # another training starts anew
    with pytest.raises(InvalidInputError, match="for one training"):
        profile(table, epochs=2, repeats=2, checkpoint=kept)


def test_a_diverging_network_is_tried_once_more_then_said(table):
    examples = Examples.from_table(table)
    rows, orders = table.rows("train"), [Order(("a", "b"), 0), Order(("c",), 1)]
    wild = make_learner("nets", hidden=(8,), settings=FitSettings(epochs=3, learning_rate=1e30))
    with pytest.raises(LearnerError, match="the network of a, b diverged"):
        wild.fit_many(examples, rows, orders)
    with pytest.raises(LearnerError, match="diverged"):
        profile(table, epochs=3, hidden=(8,), settings=FitSettings(learning_rate=1e30))


def test_a_network_that_diverged_once_recovers_at_a_lower_rate(table, monkeypatch):
    import taskgroup.training._fit as fit

    rates = []
    original = fit.fit_loop

    def loop(jobs, data, settings, *others):
        rates.append((settings.learning_rate, len(jobs)))
        original(jobs, data, settings, *others)
        if len(rates) == 1:
            jobs[0].diverged = True

    monkeypatch.setattr(fit, "fit_loop", loop)
    learner = make_learner("nets", hidden=(8,), settings=FitSettings(epochs=3))
    found = learner.fit_many(Examples.from_table(table), table.rows("train"), [Order(("a", "b"), 0)])
    assert rates == [(4e-3, 1), (pytest.approx(4e-4), 1)]
    assert np.isfinite(found[0].outputs(Examples.from_table(table).inputs)).all()


def test_files_of_a_profile_that_hold_something_else_are_refused_by_name(table, tmp_path):
    profile(table, epochs=1, hidden=(4,)).save(tmp_path)
    history = tmp_path / "profile" / "history.jsonl"
    for text in ("{", "[]\n", '{"epoch": 1}\n'):
        history.write_text(text)
        with pytest.raises(ArtifactError, match=r"history\.jsonl: does not hold what it must"):
            module.Profile.load(tmp_path, table)
    path = tmp_path / "profile" / "model.safetensors"
    arrays, document = read_arrays(path, "network")
    write_arrays(path, "network", arrays, {**document, "network": {**document["network"], "hidden": [5]}})
    with pytest.raises(ArtifactError, match=r"model\.safetensors: does not hold what it must"):
        module.Profile.load(tmp_path, table)


def test_a_checkpoint_that_holds_something_else_is_refused_by_name(table, tmp_path, monkeypatch):
    monkeypatch.setattr(module.Checkpoint.__init__, "__defaults__", (0.0,))
    path = tmp_path / "checkpoint.safetensors"
    profile(table, epochs=2, hidden=(4,), checkpoint=path)
    arrays, document = read_arrays(path, "checkpoint")
    write_arrays(path, "checkpoint", arrays, {**document, "state": {"items": []}})
    with pytest.raises(ArtifactError, match=r"checkpoint\.safetensors: does not hold what it must"):
        profile(table, epochs=2, hidden=(4,), checkpoint=path)
