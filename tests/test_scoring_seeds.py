"""The luck of seeds: pooled where there is information, left out where the question is of these models."""

import numpy as np
import pytest

from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring import Measured, Resampler, SeedNoise, score
from taskgroup.scoring._noise import task_noise
from taskgroup.scoring._seeds import seed_kind


def _method(rng, n_seeds, n_tasks=20, n=200, *, moves=0.02, apart=0.1, together=0.0):
    """One method whose seeds err on samples of their own, move every task by themselves, and all tasks together."""
    errors = rng.normal(size=(1, n_tasks, n)) + apart * rng.normal(size=(n_seeds, n_tasks, n))
    influence = (errors - errors.mean(-1, keepdims=True)) / n
    values = (
        0.7 + errors.mean(-1) + moves * rng.normal(size=(n_seeds, n_tasks)) + together * rng.normal(size=(n_seeds, 1))
    )
    return Measured(values, influence.astype(np.float32), tuple(range(n_seeds)), np.full(n_tasks, float(n)))


def _methods(rng, n_seeds, names=("nets/a", "nets/b", "nets/c", "nets/d", "nets/e"), **options):
    methods = {}
    noise = SeedNoise(methods)
    for name in names:
        made = _method(rng, n_seeds, **options)
        parts = {name: np.ones(len(made.size))}
        methods[name] = Measured(made.values, made.influence, made.seeds, made.size, None, None, parts, noise)
    return methods


def test_two_seeds_of_five_methods_tell_the_luck_nearly_as_well_as_thirty_of_one():
    rng = np.random.default_rng(0)
    true = 0.02**2 / 20
    pooled, alone = [], []
    for _ in range(60):
        method = _methods(rng, 2)["nets/a"]
        found = method.noise.of_mean(method)
        pooled.append(found.variance * 2)
        assert found.freedom > 5
        alone.append((method.by_seed.var(ddof=1) - found.rows) / true)
    assert np.mean(pooled) == pytest.approx(true, rel=0.2)
    assert np.std(np.array(pooled) / true) < 0.5 < 1.0 < np.std(alone)


def test_what_moves_all_tasks_together_is_seen_in_the_mean_only():
    rng = np.random.default_rng(1)
    apart = np.mean([_spread(_methods(rng, 3)) for _ in range(20)], axis=0)
    moved = np.mean([_spread(_methods(rng, 3, together=0.02)) for _ in range(20)], axis=0)
    assert moved[0] > 6 * apart[0]
    assert moved[1] < 3 * apart[1]


def _spread(methods):
    method = methods["nets/a"]
    return method.noise.of_mean(method).variance, method.noise.of_tasks(method).variance.mean()


def test_these_trained_models_have_no_luck_of_seeds():
    methods = _methods(np.random.default_rng(2), 3, moves=0.1)
    difference = methods["nets/a"].minus(methods["nets/b"])
    trained, retrained = (Resampler().intervals([difference], question)[0] for question in ("trained", "retrained"))
    assert (trained.question, retrained.question) == ("trained", "retrained")
    assert trained.mean == retrained.mean
    assert trained.high - trained.low < 0.8 * (retrained.high - retrained.low)
    rows = np.square(difference.by_sample.mean(0)).sum() ** 0.5
    assert trained.high - trained.low == pytest.approx(2 * 1.96 * rows, rel=0.1)
    assert np.all(task_noise(difference, question="trained").seeds == 0)
    with pytest.raises(InvalidInputError, match="no question 'retained'; did you mean 'retrained'"):
        Resampler().intervals([difference], "retained")


def test_tasks_served_by_the_same_models_have_no_luck_between_them():
    """A plan that leaves one task of twenty to another method moves by that task's seeds alone."""
    methods = _methods(np.random.default_rng(3), 3)
    plan = Measured.mix(methods, ["nets/b"] + ["nets/a"] * 19)
    gain, whole = plan.minus(methods["nets/a"]), methods["nets/b"].minus(methods["nets/a"])
    assert gain.noise.of_mean(gain).variance < 0.2 * whole.noise.of_mean(whole).variance
    assert set(gain.parts) == {"nets/a", "nets/b"}
    assert gain.parts["nets/b"].tolist() == [1.0] + [0.0] * 19


def test_a_method_of_one_seed_borrows_the_luck_of_its_kind_or_says_that_it_cannot():
    rng = np.random.default_rng(4)
    methods = _methods(rng, 3) | _methods(rng, 1, ("nets/f", "extra-trees/a", "linear/a"))
    noise = SeedNoise(methods)
    single = noise.of_mean(methods["nets/f"])
    assert single.variance == pytest.approx(0.02**2 / 20, rel=0.8)
    assert single.unseen == ()
    forest = noise.of_mean(methods["extra-trees/a"].minus(methods["nets/a"]))
    assert forest.unseen == ("extra-trees/a",)
    assert noise.of_mean(methods["linear/a"]).variance == 0
    assert noise.of_mean(methods["linear/a"]).unseen == ()
    assert noise.of_tasks(methods["extra-trees/a"]).unseen == ("extra-trees/a",)
    assert noise.of_tasks(methods["nets/f"]).variance == pytest.approx(np.full(20, 0.02**2), rel=0.6)


def test_a_copy_of_a_method_tells_nothing_more():
    rng = np.random.default_rng(5)
    one = _methods(rng, 2, ("nets/a",))["nets/a"]
    copies = {f"nets/{i}": one for i in range(6)}
    assert SeedNoise(copies).of_mean(one).freedom == pytest.approx(SeedNoise({"nets/a": one}).of_mean(one).freedom)


def test_copies_of_a_method_are_never_better_than_it():
    rng = np.random.default_rng(6)
    y = (rng.random((200, 5)) < 0.4).astype(np.float32)
    z = {s: y + rng.normal(size=y.shape) for s in range(3)}
    again = {s: z[(s + 1) % 3] for s in range(3)}  # the same models under other numbers
    card = score(y, {"nets/a": z, "nets/b": z, "nets/c": again, "nets/d": {s: y + rng.normal(size=y.shape) for s in z}})
    same = card.compare([("nets/b", "nets/a")])[0].difference
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)
    renumbered = card.compare([("nets/c", "nets/a")])[0].difference
    assert renumbered.mean == pytest.approx(0)
    assert renumbered.low < 0 < renumbered.high
    claim = card.better_than_all("nets/b", ["nets/a", "nets/c"])
    assert not claim.shown
    assert claim.p == 1
    assert {row["call"] for row in card.task_gains("nets/b", "nets/a")} == {"open"}
    assert {row["gain"] for row in card.task_gains("nets/b", "nets/a")} == {0.0}


def test_kinds_are_the_learners():
    assert {seed_kind(name) for name in ("stl", "grouped:adatt", "mtl")} == {"nets"}
    assert seed_kind("boosting/grouped") == "boosting"


def test_undefined_everywhere_is_no_luck():
    empty = Measured(np.full((2, 3), np.nan), np.zeros((2, 3, 5), np.float32), (0, 1), np.zeros(3))
    assert SeedNoise().of_mean(empty).variance == 0
    assert SeedNoise().of_tasks(empty).variance.tolist() == [0, 0, 0]
    assert SeedNoise({"nets/a": empty}).of_mean(empty).variance == 0
