"""Gains of tasks, claims over several comparisons, what would settle them, and cheaper choices."""

import numpy as np
import pytest

from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring import Measured, Resampler, among_draws, better_than_all, needed, pareto, score, task_gains
from taskgroup.scoring._truth import gains_of_tasks


def _gains(values, error, n=100, size=100.0):
    """One seed of T tasks, each with a standard error of its own."""
    values = np.asarray(values, float)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(len(values), n))
    influence = signs * np.broadcast_to(error, len(values))[:, None] / n**0.5
    return Measured(values[None], influence[None].astype(np.float32), (0,), np.full(len(values), size))


def test_gains_are_shrunk_and_their_intervals_hold_the_truth():
    rng = np.random.default_rng(0)
    errors, held = [], []
    for _ in range(40):
        true = 0.02 + 0.05 * rng.normal(size=30)
        seen = _gains(true + 0.05 * rng.normal(size=30), 0.05)
        found = gains_of_tasks(seen)
        errors.append([np.square(found.gain - true).mean(), np.square(seen.by_task - true).mean()])
        held.append(np.mean((found.low <= true) & (true <= found.high)))
    shrunk, raw = np.mean(errors, axis=0)
    assert shrunk < 0.65 * raw
    assert 0.93 < np.mean(held) < 0.98


def test_few_of_the_calls_are_false_and_a_clear_gain_is_called():
    rng = np.random.default_rng(1)
    false, called = [], []
    for _ in range(60):
        true = np.where(np.arange(60) < 20, 0.2, 0.0)
        calls = np.array(gains_of_tasks(_gains(true + 0.05 * rng.normal(size=60), 0.05)).calls())
        false.append(((calls != "open") & (true == 0)).sum() / max(1, (calls != "open").sum()))
        called.append((calls[:20] == "helped").mean())
    assert np.mean(false) < 0.06
    assert np.mean(called) > 0.9


def test_nothing_is_called_where_nothing_differs():
    rng = np.random.default_rng(2)
    any_call = [set(gains_of_tasks(_gains(0.05 * rng.normal(size=50), 0.05)).calls()) != {"open"} for _ in range(200)]
    assert np.mean(any_call) < 0.08


def test_the_rows_say_what_to_do_with_every_task():
    seen = _gains([0.3, -0.3, 0.01, np.nan], 0.05)
    rows = task_gains(seen, ["a", "b", "c", "d"])
    assert [row["call"] for row in rows] == ["helped", "hurt", "open", "open"]
    assert [row["task"] for row in rows] == ["a", "b", "c", "d"]
    assert rows[3] == {"task": "d", "gain": None, "low": None, "high": None, "q": None, "call": "open", "seen": None}
    assert 0 < rows[0]["low"] < rows[0]["gain"] < rows[0]["high"]
    assert rows[0]["gain"] < rows[0]["seen"] == pytest.approx(0.3)
    assert rows[0]["q"] < 0.01 < rows[2]["q"]


def test_one_task_keeps_its_gain_and_noise_common_to_all_does_not_average_out():
    alone = gains_of_tasks(_gains([0.1], 0.05))
    assert alone.gain[0] == pytest.approx(0.1)
    assert alone.high[0] - alone.low[0] == pytest.approx(2 * 1.98 * 0.05, rel=0.03)
    same = np.tile(np.random.default_rng(3).choice([-0.005, 0.005], size=(1, 100)), (20, 1)).astype(np.float32)
    together = Measured(np.full((1, 20), 0.06), same[None], (0,), np.full(20, 100.0))
    assert gains_of_tasks(together).low[0] < 0 < gains_of_tasks(_gains(np.full(20, 0.06), 0.05)).low[0]


def test_a_claim_over_several_rivals_is_as_good_as_its_weakest_comparison():
    methods = {name: _gains(np.full(5, value), 0.02) for name, value in (("a", 0.9), ("b", 0.6), ("c", 0.5))}
    methods["d"] = _gains(np.full(5, 0.897), 0.03)
    assert better_than_all(methods, "a", ["a", "b", "c"]).shown
    claim = better_than_all(methods, "a", ["b", "d"], resampler=Resampler(500))
    assert (claim.shown, claim.nearest, claim.others) == (False, "d", ("b", "d"))
    assert claim.p == claim.gains["d"].p > claim.gains["b"].p
    with pytest.raises(InvalidInputError, match="`others` must hold a method other than 'a'"):
        better_than_all(methods, "a", ["a"])


def test_nineteen_draws_make_a_claim_at_the_twentieth():
    draws = np.linspace(0.6, 0.7, 19)
    assert among_draws(0.71, draws).p == pytest.approx(0.05)
    assert among_draws(0.71, draws).enough
    few = among_draws(0.71, draws[:5])
    assert (few.p, few.enough, few.needed) == (pytest.approx(1 / 6), False, 19)
    assert among_draws(0.65, draws).p > 0.4
    assert np.isnan(among_draws(0.7, []).p)
    assert among_draws(0.7, [0.7, 0.7]).p_normal == 1
    assert among_draws(0.8, [0.7, 0.7]).p_normal == 0


def test_the_p_of_draws_is_uniform_where_ours_is_one_of_them():
    rng = np.random.default_rng(4)
    found = [among_draws(s[0], s[1:]) for s in rng.normal(size=(2000, 20))]
    assert np.mean([f.p <= 0.05 for f in found]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([f.p_normal <= 0.05 for f in found]) == pytest.approx(0.05, abs=0.015)


def test_the_scorecard_keeps_the_draws_of_a_control():
    rng = np.random.default_rng(5)
    y = (rng.random((150, 4)) < 0.4).astype(np.float32)
    random = {s: y + rng.normal(size=(10, *y.shape)) for s in range(2)}
    card = score(y, {"grouped": {s: 2 * y + rng.normal(size=y.shape) for s in range(2)}, "random-groups": random})
    assert card.draws["test"]["random-groups"].shape == (2, 10, 4)
    stands = card.among_draws("grouped")
    assert (stands.n_draws, stands.enough) == (20, True)
    assert stands.p == pytest.approx(1 / 21)
    assert card.among_draws("random-groups", "grouped").n_draws == 0


def test_what_would_settle_a_comparison_does():
    open_now = _gains([0.01] * 4, 0.03, n=100)
    ask = needed(open_now, margin=0.0)
    assert ask.seeds is None
    assert not ask.settled
    n = 100 + ask.rows
    after = _gains([0.01] * 4, 0.03 * (100 / n) ** 0.5, n=n)
    assert needed(after, margin=0.0).settled or needed(after, margin=0.0).rows < 0.3 * ask.rows
    assert str(ask) == f"about {round(ask.rows, -1)} more labelled rows"
    assert str(needed(_gains([0.5], 0.03))) == "nothing: it is settled"
    assert needed(_gains([0.0], 0.1), margin=0.0).rows is None
    assert "than are likely to be had" in str(needed(_gains([0.0], 0.1), margin=0.0))
    assert needed(_gains([np.nan], 0.1)).rows is None


def test_seeds_settle_what_seeds_leave_open():
    rng = np.random.default_rng(6)
    influence = (rng.normal(size=(3, 10, 400)) * 0.05 / 400).astype(np.float32)
    values = 0.02 + 0.05 * rng.normal(size=(3, 10)) + np.array([[-0.03], [0.0], [0.03]])
    ask = needed(Measured(values, influence, (0, 1, 2), np.full(10, 400.0)), margin=0.0)
    assert 1 <= ask.seeds < 60
    assert ask.rows is None
    assert "more seeds" in str(ask)
    assert needed(Measured(values, influence, (0, 1, 2), np.full(10, 400.0)), question="trained").settled


def test_the_pareto_set_holds_what_nothing_cheaper_beats():
    values = {"linear": 0.70, "one": 0.80, "wide": 0.79, "many": 0.82, "dear": 0.81, "free": 0.6}
    methods = {name: _gains(np.full(5, value), 0.02) for name, value in values.items()}
    costs = {"linear": 1, "one": 2, "wide": 3, "many": 9, "dear": 20}
    rows = pareto(methods, costs)
    assert [row["method"] for row in rows] == ["linear", "one", "many"]
    assert [row["loss"] for row in rows] == pytest.approx([-0.12, -0.02, 0.0])
    assert rows[-1]["loss_ci95"] == [0.0, 0.0]
    low, high = rows[0]["loss_ci95"]
    assert low - 1e-9 <= -0.12 <= high + 1e-9
    on_valid = {name: _gains(np.full(5, value), 0.02) for name, value in (values | {"wide": 0.9}).items()}
    assert [row["method"] for row in pareto(methods, costs, chosen_on=on_valid)] == ["linear", "one", "wide"]
    with pytest.raises(InvalidInputError, match="`costs` must hold a number for one of"):
        pareto(methods, {"other": 3})
