"""Greedy choice of units against the exact mixed-integer program."""

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from taskgroup.scoring._budget import choose_units


def _exact(value, cost, limits):
    """The optimal worth, by scipy's MILP: open units y_u, serve task t by x_ut <= y_u, sum_u x_ut = 1."""
    n_units, n_tasks = value.shape
    able = np.isfinite(value)
    weights = np.concatenate([np.zeros(n_units), -np.where(able, value, 0.0).ravel()])
    serve = np.hstack([np.zeros((n_tasks, n_units)), np.tile(np.eye(n_tasks), n_units)])
    open_first = np.hstack([np.repeat(-np.eye(n_units), n_tasks, 0), np.eye(n_units * n_tasks)])
    budget = np.hstack([cost.T, np.zeros((cost.shape[1], n_units * n_tasks))])
    found = milp(
        weights,
        integrality=np.concatenate([np.ones(n_units), np.zeros(n_units * n_tasks)]),
        bounds=Bounds(0, np.concatenate([np.ones(n_units), able.ravel().astype(float)])),
        constraints=[
            LinearConstraint(serve, 1, 1),
            LinearConstraint(open_first, -np.inf, 0),
            LinearConstraint(budget, -np.inf, limits),
        ],
        options={"mip_rel_gap": 0},
    )
    return -found.fun if found.success else None


def _methods(rng, n_tasks=12, n_groups=4):
    """Units like those of a plan: a model for all, a 3-ensemble, groups in two ways, one model per task."""
    names = ["mtl", "ensemble", "grouped", "labels", "stl"]
    believed = {
        m: rng.normal(0, 0.02, n_tasks) + shift for m, shift in zip(names, (0, 0.01, 0.01, 0, -0.01), strict=True)
    }
    value, cost, method = [], [], []
    for m, name in enumerate(names):
        if name in ("grouped", "labels"):
            labels = rng.permutation(np.arange(n_tasks) % n_groups)
        else:
            labels = np.arange(n_tasks) if name == "stl" else np.zeros(n_tasks, int)
        for g in np.unique(labels):
            value.append(np.where(labels == g, believed[name], -np.inf))
            models = 3 if name in ("ensemble", "grouped") else 1
            cost.append([models, models * (1.0 if name in ("mtl", "ensemble") else (labels == g).mean())])
            method.append(m)
    method = np.array(method)
    return np.array(value), np.array(cost, float), [np.flatnonzero(method == m) for m in range(len(names))]


def _worth(value, kept):
    return value[kept].max(0).sum()


@pytest.mark.parametrize("max_models", [1, 2, 4, 6, 9, 14])
@pytest.mark.parametrize("seed", range(6))
def test_greedy_equals_the_exact_optimum_under_a_budget_of_models(seed, max_models):
    value, cost, starts = _methods(np.random.default_rng(seed))
    limits = np.array([float(max_models)])
    kept = choose_units(value, cost[:, :1], limits, starts)
    assert cost[kept, 0].sum() <= max_models
    assert _worth(value, kept) == pytest.approx(_exact(value, cost[:, :1], limits), abs=1e-9)


def test_greedy_is_nearly_always_exact_and_never_far_off_under_two_budgets():
    gaps = []
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        value, cost, starts = _methods(rng, n_tasks=10, n_groups=3)
        limits = np.array([rng.integers(1, 12), rng.uniform(1, 4)])
        kept = choose_units(value, cost, limits, starts)
        assert np.all(cost[kept].sum(0) <= limits + 1e-9)
        base, exact = _worth(value, starts[0]), _exact(value, cost, limits)
        gaps.append((exact - _worth(value, kept)) / max(exact - base, 1e-9))
    assert np.mean(np.array(gaps) < 1e-6) >= 0.9
    assert max(gaps) < 0.3


def test_without_a_limit_every_task_gets_its_best_unit():
    value, cost, starts = _methods(np.random.default_rng(0))
    kept = choose_units(value, cost, np.array([np.inf, np.inf]), starts)
    np.testing.assert_array_equal(value[kept].max(0), value.max(0))


def test_units_that_serve_no_task_are_dropped():
    value = np.array([[1.0, 1.0], [2.0, -np.inf], [-np.inf, 2.0]])
    kept = choose_units(value, np.ones((3, 1)), np.array([2.0]), [np.array([0]), np.array([1, 2])])
    assert kept.tolist() == [1, 2]


def test_a_swap_leads_out_of_a_start_that_fills_the_budget():
    value = np.array([[1.0, 1.0], [5.0, 5.0], [0.0, 0.0]])
    kept = choose_units(value, np.ones((3, 1)), np.array([1.0]), [np.array([2])])
    assert kept.tolist() == [1]


def test_nothing_fits_a_budget_that_is_too_small():
    assert choose_units(np.ones((1, 2)), np.array([[3.0]]), np.array([2.0]), [np.array([0])]) is None
