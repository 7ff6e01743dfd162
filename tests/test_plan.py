"""The plan and the verdict on simulated scores, where the truth is known."""

import numpy as np
import pytest

from taskgroup._artifact import read_json
from taskgroup.exceptions import ArtifactError, InvalidInputError
from taskgroup.scoring import PlanChoice, family, judge, make_plan, score
from taskgroup.tasks import TaskSet

METHODS = (
    "linear", "stl", "mtl", "mtl-wide", "mtl-ensemble", "mtl-wide-ensemble", "random-groups", "label-groups", "grouped"
)  # fmt: skip
GROUPS = ("random-groups", "label-groups", "grouped")
ENSEMBLES = ("mtl-ensemble", "mtl-wide-ensemble")
N_TASKS = 30
TASKS = TaskSet([f"t{i}" for i in range(N_TASKS)])
COSTS = {
    "linear": {"n_models": N_TASKS, "inference_flops_per_task": 10},
    "stl": {"n_models": N_TASKS, "inference_flops_per_task": 1000},
    "mtl": {"n_models": 1, "inference_flops_per_task": 100},
    "mtl-wide": {"n_models": 1, "inference_flops_per_task": 400},
    "mtl-ensemble": {"n_models": 3, "inference_flops_per_task": 300},
    "mtl-wide-ensemble": {"n_models": 3, "inference_flops_per_task": 1200},
    "random-groups": {"n_models": 9, "inference_flops_per_task": 900},
    "label-groups": {"n_models": 9, "inference_flops_per_task": 900},
    "grouped": {
        "n_models": 9,
        "inference_flops_per_task": 900,
        "groups": [list(TASKS.names[g::3]) for g in range(3)],
    },
}


def _simulate(seed, add=None, quality=1.0, spread=0.0, n=400, n_seeds=3, methods=METHODS):
    """Labels and logits: quality * y + noise common to all methods + noise of each method and seed.

    ``add`` raises the quality of some methods, on all tasks or by task; an addition of 0.1 is an AUC of about .02.
    """
    rng = np.random.default_rng(seed)
    q = {
        m: quality + np.broadcast_to((add or {}).get(m, 0.0), N_TASKS) + spread * rng.normal(size=N_TASKS)
        for m in METHODS
    }
    labels, predictions = {}, {}
    for split in ("valid", "test"):
        y = (rng.random((n, N_TASKS)) < 0.3).astype(np.float32)
        common = 0.8 * rng.normal(size=y.shape)
        labels[split], predictions[split] = y, {}
        for m in methods:
            own = common + 0.4 * rng.normal(size=y.shape)
            draws = 2 if m == "random-groups" else 1
            predictions[split][m] = {
                s: np.stack([q[m] * y + own + 0.3 * rng.normal(size=y.shape) for _ in range(draws)])
                for s in range(1 if m == "linear" else n_seeds)
            }
    return labels, predictions


def _judge(*arguments, costs=COSTS, **options):
    return judge(*_simulate(*arguments, **options), tasks=TASKS, costs=costs)


def _mean(card, choice):
    return np.mean([card.value(task, method) for task, method in choice])


@pytest.fixture(scope="module")
def split():
    return _judge(0, {"grouped": 0.15})


@pytest.fixture(scope="module")
def mixed():
    """Half of the tasks are best alone, half in groups."""
    half = np.arange(N_TASKS) < 15
    return _judge(2, {"stl": np.where(half, 0.3, -0.3), "grouped": np.where(half, -0.3, 0.3)})


@pytest.mark.parametrize(
    ("add", "decision"),
    [
        ({"grouped": 0.15}, "split"),
        (dict.fromkeys(GROUPS, 0.15), "any-groups"),
        (dict.fromkeys(GROUPS + ENSEMBLES, 0.15), "ensemble"),
        (dict.fromkeys(METHODS[2:], 0.15), "one-model"),
        (dict.fromkeys(("mtl", "mtl-wide"), 0.15), "one-model"),
        ({"stl": 0.15}, "single-task"),
        ({"linear": 0.15}, "linear"),
    ],
)
def test_the_verdict_names_the_simplest_way_that_reaches_the_best(add, decision):
    plan = _judge(3, add)[1]
    assert plan.decision == decision


@pytest.mark.parametrize("seed", range(4))
def test_shuffled_labels_are_not_enough_evidence(seed):
    plan = _judge(seed, quality=0.0)[1]
    assert plan.decision == "not-enough-evidence"
    assert "no method is shown to predict better than guessing" in plan.verdict
    assert plan.gains["stl"]["ci95"][0] <= 0
    assert len(plan.reasons) == 2


@pytest.mark.parametrize("seed", range(8))
def test_no_grouping_is_claimed_where_random_groups_do_as_well(seed):
    plan = _judge(seed, dict.fromkeys(GROUPS, 0.1), n=300)[1]
    assert plan.decision != "split"


@pytest.mark.parametrize("seed", range(6))
def test_the_reference_is_the_steadiest_that_validation_data_do_not_tell_from_the_best(seed):
    order = ("ensemble", "split", "one-model", "linear", "single-task")
    card, plan = _judge(seed, n=100)
    names = [name for name in card.methods if name != "random-groups"]
    best = max(names, key=lambda name: card.main["valid"][name].by_seed.mean())
    close = [best]
    for name in set(names) - {best}:
        gap = card.compare([(best, name)], "valid")[0].difference
        close += [name] if gap.mean <= (gap.high - gap.low) / 3.92 else []
    assert order.index(family(plan.reference)) == min(order.index(family(name)) for name in close)


def test_a_method_that_is_clearly_ahead_is_the_reference(split):
    assert split[1].reference == "grouped"


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_claimed_of_a_small_difference_in_few_samples(seed):
    plan = _judge(seed, {"grouped": 0.02}, n=80)[1]
    assert plan.decision == "not-enough-evidence"


def test_the_sentence_and_the_reasons_hold_the_numbers(split):
    card, plan = split
    row = next(c for c in card.comparisons if (c.method, c.baseline) == ("grouped", "random-groups"))
    assert plan.verdict.startswith("Split the tasks into these 3 groups: grouped beats ")
    assert f"random groups by {row.difference.mean:+.3f} [{row.difference.low:+.3f}" in plan.verdict
    assert plan.reasons[0].startswith("grouped is best on validation data (mean AUC 0.")
    assert any("grouped beats stl" in reason for reason in plan.reasons)


def test_without_random_groups_no_grouping_is_claimed():
    methods = tuple(m for m in METHODS if m != "random-groups")
    plan = _judge(0, {"grouped": 0.15}, methods=methods)[1]
    assert plan.decision == "any-groups"
    assert "random groups were not scored" in plan.verdict


def test_one_method_alone_cannot_be_judged():
    plan = _judge(0, methods=("mtl",))[1]
    assert plan.decision == "not-enough-evidence"
    assert "only one way of training was scored" in plan.verdict
    assert plan.gains["mtl"] == {"mean": 0.0, "ci95": [0.0, 0.0], "p": 1.0}


def test_unknown_methods_are_families_of_their_own():
    labels, predictions = _simulate(0, {"grouped": 0.15}, methods=("stl", "grouped"))
    renamed = {s: {"old": p["stl"], "new": p["grouped"]} for s, p in predictions.items()}
    plan = judge(labels, renamed, tasks=TASKS)[1]
    assert (plan.decision, family("new")) == ("new", "new")
    assert plan.verdict.startswith("Use new: new beats old")
    assert plan.tasks["t0"]["stl_test"] is None


def test_a_gain_that_does_not_replicate_between_seeds_is_not_shown():
    """Every seed gains as much on average, but each on a third of the tasks, and the others lose there."""
    labels, predictions = _simulate(0, methods=("stl", "mtl"))
    for split, by_method in predictions.items():
        for seed, outputs in by_method["mtl"].items():
            outputs += labels[split] * np.where(np.arange(N_TASKS) % 3 == seed, 1.5, -0.25)
    renamed = {s: {"old": p["stl"], "new": p["mtl"]} for s, p in predictions.items()}
    card, plan = judge(labels, renamed, tasks=TASKS)
    assert card.compare([("new", "old")])[0].difference.low > 0.001
    assert card.replication("new", "old")["cosine"] < 0
    assert plan.decision == "not-enough-evidence"
    assert plan.reasons[1].startswith("On test data new beats old, +0.0")
    assert plan.reasons[1].endswith(": not shown, for the gains per task do not replicate.")


def test_a_plan_without_real_differences_is_mostly_one_method():
    plans = [_judge(seed)[1] for seed in range(6)]
    assert np.mean([len(plan.methods) for plan in plans]) < 2
    assert np.mean([len(plan.methods[plan.reference]) for plan in plans]) > 0.8 * N_TASKS


def test_a_plan_follows_real_differences_between_tasks(mixed):
    plan = mixed[1]
    assert plan.decision == "per-task"
    assert [row["method"] for row in plan.tasks.values()][:15] == ["stl"] * 15
    assert [row["method"] for row in plan.tasks.values()].count("grouped") >= 14
    assert plan.left_alone == TASKS.names[:15]
    assert plan.gains["stl"]["ci95"][0] > 0
    assert plan.gains[plan.reference]["ci95"][0] > 0.01


def test_the_plan_is_never_far_below_the_best_method():
    """In expectation, over simulated sets where methods differ on average, by task, or not at all."""
    regrets = []
    for seed in range(9):
        add = {METHODS[seed % len(METHODS)]: 0.05}
        card, plan = _judge(seed, add, spread=(0.0, 0.03, 0.1)[seed % 3], n=300)
        planned = _mean(card, [(t, row["method"]) for t, row in plan.tasks.items()])
        regrets.append(planned - max(i.mean for i in card.means.values()))
    assert np.mean(regrets) > -0.001


def test_scores_and_gains_are_those_of_the_chosen_methods(mixed):
    card, plan = mixed
    for task, row in plan.tasks.items():
        assert row["test"] == pytest.approx(card.value(task, row["method"]))
        assert row["valid"] == pytest.approx(card.value(task, row["method"], split="valid"))
        assert row["stl_test"] == pytest.approx(card.value(task, "stl"))
        assert row["mtl_test"] == pytest.approx(card.value(task, "mtl"))
    planned = _mean(card, [(t, row["method"]) for t, row in plan.tasks.items()])
    assert plan.test["mean"] == pytest.approx(planned)
    for name, gain in plan.gains.items():
        assert gain["mean"] == pytest.approx(planned - card.means[name].mean)
        assert gain["ci95"][0] < gain["mean"] < gain["ci95"][1]
    assert list(plan.gains)[:3] == ["stl", "mtl", "mtl-ensemble"]


def test_test_data_take_no_part_in_the_choice():
    labels, predictions = _simulate(1, spread=0.2)
    plan = judge(labels, predictions, tasks=TASKS, costs=COSTS)[1]
    rng = np.random.default_rng(0)
    predictions["test"] = {
        m: {s: rng.normal(size=z.shape) for s, z in by_seed.items()} for m, by_seed in predictions["test"].items()
    }
    other = judge(labels, predictions, tasks=TASKS, costs=COSTS)[1]
    assert plan.methods == other.methods
    assert plan.decision != other.decision


def test_random_groups_are_a_control_and_never_deployed():
    plan = _judge(2, {"random-groups": 0.5})[1]
    assert "random-groups" not in plan.methods


def test_isolated_tasks_are_left_alone_where_the_grouping_serves_them(split):
    plan = make_plan(split[0], isolated=["t4"])
    assert plan.tasks["t4"]["method"] == "grouped"
    assert plan.left_alone == ("t4",)


def test_a_large_min_gain_keeps_all_tasks_with_the_reference(mixed):
    plan = make_plan(mixed[0], min_gain=0.5)
    assert set(plan.methods) == {plan.reference}


def test_models_are_counted_once_and_only_where_used(mixed):
    card, plan = mixed
    assert set(plan.methods) == {"stl", "grouped"}
    assert plan.n_models == 15 + 9
    for limit, methods in ((1, {"mtl"}), (10, {"mtl", "stl", "grouped"})):
        bounded = make_plan(card, candidates=["mtl", "stl", "grouped"], max_models=limit)
        assert set(bounded.methods) <= methods
        assert bounded.n_models <= limit
    assert bounded.test["mean"] > make_plan(card, candidates=["mtl"]).test["mean"]
    assert bounded.budget == {"max_models": 10, "max_flops": None}


def test_a_budget_of_operations_limits_their_mean_over_the_tasks(mixed):
    cheap = make_plan(mixed[0], candidates=["linear", "stl"], max_flops=100)
    flops = {m: COSTS[m]["inference_flops_per_task"] * len(tasks) / N_TASKS for m, tasks in cheap.methods.items()}
    assert sum(flops.values()) <= 100
    roomy = make_plan(mixed[0], candidates=["linear", "stl"], max_flops=10_000)
    assert len(roomy.methods["stl"]) >= 15 > len(cheap.methods["stl"]) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_models": 0}, "`max_models` must be at least 1; got 0"),
        ({"max_flops": -1.0}, "`max_flops` must be at least 1"),
        ({"candidates": ["stl"], "max_models": 5}, r"no method fits the budget \[5.0\]; the cheapest needs \[30.0\]"),
        ({"candidates": []}, "`candidates` must hold at least one method"),
        ({"candidates": ["stk"]}, "no method 'stk'; did you mean 'stl'"),
        ({"isolated": ["nobody"]}, "no task 'nobody'"),
    ],
)
def test_what_a_plan_cannot_do_is_refused(split, options, message):
    with pytest.raises(InvalidInputError, match=message):
        make_plan(split[0], **options)


def test_a_budget_needs_costs():
    card = score(*_simulate(0, methods=("stl", "mtl"), n=60), tasks=TASKS)
    assert make_plan(card).n_models is None
    with pytest.raises(InvalidInputError, match="a budget needs the costs of every candidate"):
        make_plan(card, max_models=3)


@pytest.mark.parametrize("groups", [[["stl", *TASKS.names]], [TASKS.names[1:]]])
def test_groups_of_a_method_must_be_the_tasks(groups):
    with pytest.raises(
        InvalidInputError, match=r"`groups` of method 'stl' must hold every task and no other; see '(stl|t0)'"
    ):
        judge(*_simulate(0, methods=("stl", "mtl"), n=60), tasks=TASKS, costs={"stl": {"groups": groups}})


def test_a_plan_needs_validation_and_test():
    labels, predictions = _simulate(0, methods=("stl", "mtl"), n=60)
    with pytest.raises(InvalidInputError, match="needs the splits 'valid' and 'test'; got test"):
        make_plan(score(labels["test"], predictions["test"], tasks=TASKS))


def test_tasks_undefined_on_a_split_are_served_and_reported_as_null(tmp_path):
    labels, predictions = _simulate(0, {"grouped": 0.15}, n=200)
    labels["valid"][:, 0] = 0
    labels["test"][:, 1] = np.nan
    plan = judge(labels, predictions, tasks=TASKS)[1]
    plan.save(tmp_path / "plan.json")
    rows = read_json(tmp_path / "plan.json", "plan")["tasks"]
    assert (rows["t0"]["method"], rows["t0"]["valid"]) == (plan.reference, None)
    assert rows["t0"]["test"] is not None
    assert (rows["t1"]["test"], rows["t1"]["stl_test"]) == (None, None)


def test_labels_without_any_defined_metric_give_a_plan_and_no_claim():
    labels, predictions = _simulate(0, methods=("stl", "mtl", "grouped"), n=50)
    for y in labels.values():
        y[:] = 0
    card, plan = judge(labels, predictions, tasks=TASKS)
    assert plan.decision == "not-enough-evidence"
    assert set(plan.methods) == {"stl"}
    assert all(row["mean"] is None or np.isnan(row["mean"]) for row in card.summary())


def test_a_plan_survives_its_file(split, tmp_path):
    plan = split[1]
    plan.save(tmp_path / "plan.json")
    assert PlanChoice.load(tmp_path / "plan.json") == plan
    document = read_json(tmp_path / "plan.json", "plan")
    assert set(document["tasks"]["t0"]) == {"method", "valid", "test", "stl_test", "mtl_test", "leave_alone"}
    with pytest.raises(ArtifactError, match="no such file"):
        PlanChoice.load(tmp_path / "none.json")


def test_the_same_inputs_give_the_same_plan(split):
    assert _judge(0, {"grouped": 0.15})[1] == split[1]


def test_one_seed_is_enough_for_a_plan():
    card, plan = _judge(0, {"grouped": 0.3}, n_seeds=1)
    assert plan.decision == "split"
    assert card.replication("grouped") == {"correlation": None, "cosine": None, "n_tasks": N_TASKS}


@pytest.mark.parametrize(("n_tasks", "n"), [(1, 50), (1, 3), (2, 2), (3, 1)])
def test_few_tasks_and_few_samples_are_judged_without_a_warning(n_tasks, n, tmp_path):
    rng = np.random.default_rng(0)
    labels = {split: (rng.random((n, n_tasks)) < 0.5).astype(float) for split in ("valid", "test")}
    predictions = {
        split: {m: {s: rng.normal(size=(n, n_tasks)) for s in range(2)} for m in ("stl", "mtl", "grouped")}
        for split in labels
    }
    card, plan = judge(labels, predictions)
    assert plan.decision == "not-enough-evidence"
    card.to_csv(tmp_path / "scores.csv")
    card.to_json(tmp_path / "scores.json")
    plan.save(tmp_path / "plan.json")
