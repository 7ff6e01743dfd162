"""Intervals against an exact bootstrap, tests against scipy, replication and belief against what they are for."""

import numpy as np
import pytest
from scipy import stats

from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring import Measured, holm, paired_tests, score
from taskgroup.scoring._comparison import Resampler
from taskgroup.scoring._measured import replication
from taskgroup.scoring._metrics import evaluate
from taskgroup.scoring._noise import believed, noise_variance
from taskgroup.scoring._seeds import SeedNoise
from taskgroup.tasks import TaskSet


def _measured(values, influence=None, size=None):
    values = np.atleast_2d(np.asarray(values, float))
    n_tasks = values.shape[1]
    influence = np.zeros((n_tasks, 4), np.float32) if influence is None else influence
    every = np.broadcast_to(influence, (len(values), *influence.shape[-2:]))
    size = np.full(n_tasks, 100.0) if size is None else np.asarray(size, float)
    return Measured(values, every, tuple(range(len(values))), size)


def _one_seed(y, z):
    tasks = TaskSet([f"t{i}" for i in range(y.shape[1])])
    found = evaluate(tasks, y, z)
    return Measured(found.main[None], found.influence[None], (0,), np.full(len(tasks), 50.0))


def test_intervals_equal_those_of_an_exact_bootstrap():
    """Row by row, with the metric computed anew for each resample."""
    rng = np.random.default_rng(0)
    y = (rng.random((400, 3)) < 0.3).astype(np.float32)
    y[rng.random(y.shape) < 0.2] = np.nan
    signal = rng.normal(size=(400, 1)) + np.nan_to_num(y)  # one noise for all tasks: they are far from independent
    a = (signal + 0.6 * rng.normal(size=y.shape)).astype(np.float32)
    b = (signal + 1.0 * rng.normal(size=y.shape)).astype(np.float32)

    draws = [rng.integers(0, 400, 400) for _ in range(1500)]
    exact = np.array([[_one_seed(y[rows], z[rows]).by_seed[0] for z in (a, b)] for rows in draws])
    first, second = _one_seed(y, a), _one_seed(y, b)
    mean, difference = Resampler(4000).intervals([first, first.minus(second)])
    for interval, sample in ((mean, exact[:, 0]), (difference, exact[:, 0] - exact[:, 1])):
        width = np.subtract(*np.quantile(sample, [0.975, 0.025]))
        assert interval.high - interval.low == pytest.approx(width, rel=0.1)
        assert interval.low == pytest.approx(np.quantile(sample, 0.025), abs=0.08 * width)


def test_without_sample_noise_the_interval_is_students():
    values = np.array([[0.71], [0.74], [0.72], [0.75]])
    interval = Resampler(20_000).intervals([_measured(values)])[0]
    low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values)[0])
    assert interval.low == pytest.approx(low, abs=0.002)
    assert interval.high == pytest.approx(high, abs=0.002)


def test_what_samples_explain_of_the_spread_between_seeds_is_counted_once():
    """Seeds that are alike in truth, but err on other samples: their spread is the samples' doing."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(100):
        errors = rng.normal(size=(3, 40, 50))
        errors -= errors.mean(-1, keepdims=True)
        values, influence = rng.normal(0, 1 / 50**0.5, (3, 40)), (errors / 50).astype(np.float32)
        alike = Measured(values, influence, (0, 1, 2), np.full(40, 50.0))
        found.append(SeedNoise().of_mean(alike).variance / (1 / 50 / 40))
    assert np.mean(found) < 0.1  # of the samples' variance
    shifted = [SeedNoise().of_mean(_measured(rng.normal(size=(3, 1)))).variance for _ in range(300)]
    assert np.mean(shifted) == pytest.approx(1 / 3, rel=0.15)


def test_three_paired_seeds_that_agree_tell_more_than_three_that_do_not():
    base = _measured([[0.70], [0.75], [0.72]])
    steady = _measured([[0.72], [0.77], [0.74]]).minus(base)
    shaky = _measured([[0.76], [0.70], [0.77]]).minus(base)
    narrow, wide = Resampler().intervals([steady, shaky])
    assert narrow.mean == pytest.approx(wide.mean)
    assert narrow.p < 0.01 < 0.2 < wide.p


def test_the_same_predictions_differ_by_nothing():
    y = np.array([[0, 1], [1, 0], [1, 1], [0, 0]] * 5, np.float32)
    z = np.random.default_rng(0).normal(size=y.shape)
    row = score(y, {"a": z, "b": z}).compare([("a", "b")])[0]
    assert (row.difference.mean, row.difference.low, row.difference.high, row.difference.p) == (0, 0, 0, 1)


def test_intervals_are_the_same_alone_and_together_and_for_every_call():
    rng = np.random.default_rng(0)
    both = [_measured(rng.normal(size=(3, 2)), rng.normal(size=(2, 30)).astype(np.float32) / 30) for _ in range(2)]
    resampler = Resampler(500, 7)
    assert resampler.intervals(both)[1] == resampler.intervals(both[1:])[0] == Resampler(500, 7).intervals(both)[1]
    assert resampler.intervals(both)[1] != Resampler(500, 8).intervals(both)[1]
    assert resampler.intervals([]) == []


def test_many_samples_are_resampled_in_blocks_that_do_not_change_the_law():
    influence = (np.random.default_rng(1).normal(size=(1, 30_000)) / 30_000).astype(np.float32)
    interval = Resampler(400).intervals([_measured([[0.0]], influence)])[0]
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / 30_000**0.5, rel=0.15)


def test_holm_is_its_definition_and_passes_over_nan():
    p = np.array([0.02, np.nan, 0.001, 0.04, 0.03])
    expected, running = np.full(5, np.nan), 0.0
    for rank, i in enumerate([2, 0, 4, 3]):
        running = max(running, min(1.0, (4 - rank) * p[i]))
        expected[i] = running
    np.testing.assert_allclose(holm(p), expected)
    assert holm([]).shape == (0,)
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]


def test_paired_tests_are_scipys():
    rng = np.random.default_rng(0)
    units = {"plan": rng.normal(0.75, 0.01, 10), "mtl": rng.normal(0.74, 0.01, 10), "stl": rng.normal(0.70, 0.01, 10)}
    rows = paired_tests(units, [("plan", "mtl"), ("plan", "stl")])
    for row in rows:
        expected = stats.ttest_rel(units[row["method"]], units[row["baseline"]])
        assert row["p"] == pytest.approx(expected.pvalue)
        assert row["ci95"] == pytest.approx(list(expected.confidence_interval()))
        assert row["n_units"] == 10
    np.testing.assert_allclose([row["p_holm"] for row in rows], holm([row["p"] for row in rows]))


def test_paired_tests_of_one_unit_claim_nothing():
    row = paired_tests({"a": [0.8], "b": [0.7]}, [("a", "b")])[0]
    assert np.isnan(row["p"])
    assert np.isnan(row["p_holm"])
    assert row["difference"] == pytest.approx(0.1)


def test_paired_tests_need_one_score_per_unit():
    with pytest.raises(InvalidInputError, match=r"'a' and 'b' must have one score per unit; got shapes \(2,\) and \(3"):
        paired_tests({"a": [1, 2], "b": [1, 2, 3]}, [("a", "b")])


def test_a_method_of_one_seed_pairs_with_every_seed():
    several, single = _measured([[0.7, 0.8], [0.6, 0.9]]), _measured([[0.5, 0.5]])
    np.testing.assert_allclose(several.minus(single).values, [[0.2, 0.3], [0.1, 0.4]])
    np.testing.assert_allclose(single.minus(several).values, [[-0.2, -0.3], [-0.1, -0.4]])
    assert single.minus(several).seeds == several.minus(single).seeds == (0, 1)
    mixed = Measured.mix({"a": single, "b": several}, ["a", "b"])
    np.testing.assert_allclose(mixed.values, [[0.5, 0.8], [0.5, 0.9]])


def test_undefined_tasks_are_left_out_of_the_mean():
    measured = _measured([[0.7, np.nan, 0.9], [0.5, np.nan, 0.9]])
    np.testing.assert_allclose(measured.by_seed, [0.8, 0.7])
    empty = Resampler(100).intervals([_measured([[np.nan]])])[0]
    assert np.isnan([empty.mean, empty.low, empty.high, empty.p]).all()


def test_gains_of_the_tasks_replicate_and_noise_does_not():
    rng = np.random.default_rng(0)
    gains = rng.normal(size=200)
    noise = rng.normal(size=(3, 200))
    assert replication(_measured(gains + noise))["correlation"] > 0.4
    assert abs(replication(_measured(noise))["correlation"]) < 0.2
    constant = replication(_measured(1 + 0.1 * noise))
    assert constant["cosine"] > 0.9
    assert abs(constant["correlation"]) < 0.2


def test_luck_of_the_samples_shared_by_all_seeds_does_not_replicate():
    """All seeds see the same gains, which are nothing but the draw of the samples."""
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(200, 40))
    influence = (draws - draws.mean(1, keepdims=True)) / 40
    lucky = _measured(np.tile(draws.mean(1), (4, 1)), influence)
    assert np.corrcoef(lucky.values)[0, 1] == pytest.approx(1)
    assert abs(replication(lucky)["correlation"]) < 0.15
    assert abs(replication(lucky)["cosine"]) < 0.15


@pytest.mark.parametrize(("n_seeds", "n_tasks", "n"), [(1, 10, 9), (3, 2, 9), (3, 10, 1)])
def test_replication_is_unknown_with_one_seed_two_tasks_or_one_sample(n_seeds, n_tasks, n):
    some = _measured(np.ones((n_seeds, n_tasks)), np.zeros((n_tasks, n), np.float32))
    assert replication(some) == {"correlation": None, "cosine": None, "n_tasks": n_tasks}


def test_noise_variance_is_that_of_repeated_experiments():
    """The spread of measured differences over many draws of samples and seeds, against its estimate from each draw."""
    rng = np.random.default_rng(0)
    shape, differences, estimates = (300, 40), [], []
    for _ in range(60):
        y = (rng.random(shape) < 0.3).astype(np.float32)
        common = rng.normal(size=shape) + y
        cards = {
            m: {s: common + own + 0.5 * rng.normal(size=shape) + 0.2 * rng.normal(size=(1, 40)) * y for s in range(3)}
            for m, own in (("a", 0.5 * rng.normal(size=shape)), ("b", 0.5 * rng.normal(size=shape)))
        }
        card = score(y, cards)
        difference = card.main["test"]["a"].minus(card.main["test"]["b"])
        differences.append(difference.by_task)
        estimates.append(noise_variance(difference))
    assert np.mean(estimates) == pytest.approx(np.var(differences, axis=0, ddof=1).mean(), rel=0.15)


def test_a_rare_task_borrows_its_variance_from_the_others():
    influence = np.full((3, 100), 0.01, np.float32)
    influence[2] = 0  # ranked perfectly by luck: seems to have no noise
    variance = noise_variance(_measured([[0.0, 0.0, 0.1]], influence, size=[20, 20, 2]))
    assert variance[2] > 3 * variance[0] > 0


def test_without_sample_noise_the_tasks_share_most_of_that_of_the_seeds():
    variance = noise_variance(_measured([[0.1, 0.5], [0.3, 0.5]]))
    np.testing.assert_allclose(variance, [0.005 * 12 / 11, 0.005 * 10 / 11])


def test_differences_no_wider_than_their_noise_are_all_believed_to_be_their_mean():
    rng = np.random.default_rng(0)
    influence = np.full((50, 100), 0.01, np.float32)  # standard error 0.1
    tight = _measured(0.02 + 0.05 * rng.normal(size=(1, 50)), influence)
    np.testing.assert_allclose(believed(tight)[0], tight.by_task.mean())
    wide = _measured(0.02 + 0.5 * rng.normal(size=(1, 50)), influence)
    slope = np.polyfit(wide.by_task, believed(wide)[0], 1)[0]
    share = 1 - 0.1**2 / wide.by_task.var(ddof=1)
    assert slope == pytest.approx(share, abs=0.02)
    np.testing.assert_allclose(believed(wide)[1], 0.1 * share**0.5, rtol=0.05)
    assert not believed(tight)[1].any()


def test_spread_that_chance_could_make_is_not_believed():
    """Without true differences between tasks they are believed once in twenty times."""
    rng = np.random.default_rng(0)
    influence = np.full((12, 100), 0.01, np.float32)
    differences = [_measured(0.1 * rng.normal(size=(1, 12)), influence) for _ in range(400)]
    believed_to_differ = np.mean([np.ptp(believed(d)[0]) > 0 for d in differences])
    assert 0.02 < believed_to_differ < 0.09


def test_belief_about_an_undefined_task_is_the_mean_of_the_others():
    influence = np.full((3, 100), 0.001, np.float32)
    assert believed(_measured([[0.4, np.nan, 0.2]], influence))[0][1] == pytest.approx(0.3)
    assert believed(_measured([[np.nan, np.nan]]))[0].tolist() == [0, 0]
    assert believed(_measured([[0.1, 0.3]]))[0].tolist() == [0.2, 0.2]
