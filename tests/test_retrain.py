"""Retraining: every method on the same footing, the same result whoever works, finished work never repeated."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from taskgroup.data import TaskTable
from taskgroup.exceptions import ArtifactError, InvalidInputError
from taskgroup.grouping import Grouping
from taskgroup.tasks import Task
from taskgroup.training import METHODS, FitSettings, Plan, Profile, choose_grouping, profile, retrain

torch.set_num_threads(1)

TASKS = [*"abcd", Task("m", "multiclass", 3), Task("r", "regression")]
FAST = {"hidden": (6,), "settings": FitSettings(epochs=3, batch_size=32, learning_rate=0.02), "seeds": 2, "members": 2}


def _table(seed=0, tasks=TASKS, n=150):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    Z = X @ rng.normal(size=(5, 6)) + 0.3 * rng.normal(size=(n, 6))
    Y = np.column_stack([Z[:, :4] > 0, np.digitize(Z[:, 4], [-1, 1]), 50 + 9 * Z[:, 5]]).astype(float)
    Y[rng.random(Y.shape) < 0.1] = np.nan
    return TaskTable.from_arrays(X, Y[:, : len(tasks)], tasks)


@pytest.fixture(scope="module")
def table():
    return _table()


@pytest.fixture(scope="module")
def grouping(table):
    return Grouping.from_labels(table.tasks, [0, 0, 1, 1, 0, 1])


@pytest.fixture(scope="module")
def result(table, grouping):
    return retrain(table, grouping, **FAST)


def _same(one, other):
    for split in ("valid", "test"):
        assert list(one.predictions[split]) == list(other.predictions[split])
        for method, by_seed in one.predictions[split].items():
            for seed, packed in by_seed.items():
                np.testing.assert_array_equal(packed, other.predictions[split][method][seed])


def test_every_method_predicts_every_task_for_every_seed(table, result):
    n_test = len(table.rows("test"))
    assert list(result.predictions["test"]) == list(METHODS)
    for method, by_seed in result.predictions["test"].items():
        assert list(by_seed) == ([0] if method == "linear" else [0, 1])
        for packed in by_seed.values():
            assert packed.shape == ((3, n_test, 8) if method == "random-groups" else (n_test, 8))
            assert np.isfinite(packed).all()
            assert 20 < packed[..., -1].mean() < 80  # regression answers in the units of its target
    assert set(result.plan.tasks) == set(table.tasks.names)
    assert result.scorecard.value("a", "stl") == pytest.approx(result.scorecard.value("a", "stl"))


def test_groups_start_from_the_members_and_are_never_worse_on_validation_data(table, grouping, result):
    trained = result._bench.store.trained
    for path, item in trained.items():
        if path.startswith(("grouped/", "random-groups/")):
            assert (
                item.network.start == path.split("/")[1].join(("mtl/", "/m0")) or "mtl-ensemble" in item.network.start
            )
            assert min(item.history["valid_loss"]) <= item.history["valid_loss"][0]


def test_ensembles_average_their_members(result):
    trained = result._bench.store.trained
    members = [share.path for share in result._bench.answers["mtl-ensemble"][0][0]]
    assert len(members) >= 2
    mean = np.mean([trained[path].outputs["test"] for path in members], axis=0)
    np.testing.assert_allclose(result.predictions["test"]["mtl-ensemble"][0], mean, rtol=1e-5, atol=1e-5)


def test_controls_have_equal_means(result):
    costs = result.ledger["methods"]
    assert costs["mtl-wide"]["params"] >= costs["grouped"]["params"]
    assert costs["mtl-wide-ensemble"]["n_models"] >= 2
    for method in ("mtl-ensemble", "mtl-wide-ensemble"):
        assert costs[method]["train_flops"] >= costs["grouped"]["train_flops"] or costs[method]["n_models"] == 12
    assert costs["grouped"]["groups"] == [["a", "b", "m"], ["c", "d", "r"]]
    assert costs["grouped"]["n_models"] == 4
    assert costs["random-groups"]["n_models"] == 4
    assert costs["stl"]["n_models"] == 6
    sizes = sorted(map(len, costs["random-groups"]["groups"]))
    assert sizes == [3, 3]


def test_result_is_the_same_again_and_through_an_executor(table, grouping, result):
    with ThreadPoolExecutor(1) as pool:
        _same(result, retrain(table, grouping, executor=pool, **FAST))


def test_result_is_the_same_with_two_processes(table, grouping, result, tmp_path):
    parallel = retrain(table, grouping, jobs=2, out=tmp_path, methods=["stl", "mtl", "grouped"], **FAST)
    for method in parallel.predictions["test"]:
        for seed in (0, 1):
            np.testing.assert_array_equal(
                parallel.predictions["test"][method][seed], result.predictions["test"][method][seed]
            )


def test_another_random_state_gives_another_result(table, grouping, result):
    other = retrain(table, grouping, random_state=1, methods=["mtl"], **FAST)
    assert abs(other.predictions["test"]["mtl"][0] - result.predictions["test"]["mtl"][0]).max() > 1e-3


def test_run_directory_holds_what_the_design_says(table, grouping, tmp_path):
    result = retrain(table, grouping, out=tmp_path, methods=["linear", "stl", "mtl", "grouped"], **FAST)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"scores.csv", "scores.json", "plan.json", "ledger.json", "models/inputs.json"} <= files
    assert {
        "models/stl/0/t0.safetensors",
        "models/grouped/1/m1-g1.safetensors",
        "models/grouped/1/all.done.json",
    } <= files
    header = (tmp_path / "scores.csv").read_text().splitlines()[0]
    assert header == "task,method,seed,split,metric,value,n,n_positive"
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["format"] == "taskgroup.plan"
    assert set(plan["tasks"]) == set(table.tasks.names)
    assert result.ledger["methods"]["mtl"]["n_models"] == 1


def test_finished_units_are_not_trained_again(table, grouping, tmp_path, monkeypatch):
    first = retrain(table, grouping, out=tmp_path, methods=["stl", "mtl", "grouped"], **FAST)
    (tmp_path / "models/grouped/1/all.done.json").unlink()
    ran = _spy(monkeypatch)
    again = retrain(table, grouping, out=tmp_path, resume=True, methods=["stl", "mtl", "grouped"], **FAST)
    assert ran == ["grouped/1/all"]
    _same(first, again)
    for method, costs in again.ledger["methods"].items():
        assert costs["train_flops"] == first.ledger["methods"][method]["train_flops"]


def test_single_task_networks_survive_another_grouping(table, grouping, tmp_path, monkeypatch):
    retrain(table, grouping, out=tmp_path, methods=["stl", "grouped"], **FAST)
    ran = _spy(monkeypatch)
    other = Grouping.from_labels(table.tasks, [0, 1, 0, 1, 0, 1])
    retrain(table, other, out=tmp_path, methods=["stl", "grouped"], **FAST)
    assert ran == ["grouped/0/all", "grouped/1/all"]


def test_resume_refuses_other_inputs(table, grouping, tmp_path):
    retrain(table, grouping, out=tmp_path, methods=["mtl"], **FAST)
    with pytest.raises(ArtifactError, match="was trained with other data, settings or groups"):
        retrain(_table(seed=1), grouping, out=tmp_path, methods=["mtl"], resume=True, **FAST)


def test_a_crash_keeps_what_was_finished(table, grouping, tmp_path, monkeypatch):
    ran = _spy(monkeypatch, fail_at="grouped/0/all")
    with pytest.raises(RuntimeError, match="power cut"):
        retrain(table, grouping, out=tmp_path, methods=["stl", "grouped"], **FAST)
    finished = list(ran)
    monkeypatch.undo()
    ran = _spy(monkeypatch)
    resumed = retrain(table, grouping, out=tmp_path, methods=["stl", "grouped"], resume=True, **FAST)
    assert not set(finished) & set(ran)
    monkeypatch.undo()
    _same(resumed, retrain(table, grouping, methods=["stl", "grouped"], **FAST))


@pytest.mark.parametrize("method", ["linear", "stl", "mtl", "mtl-wide-ensemble", "grouped"])
def test_plan_serves_what_was_scored(table, grouping, tmp_path, method):
    result = retrain(table, grouping, out=tmp_path, methods=[method], **FAST)
    plan = Plan.load(tmp_path)
    served = plan.predict(table.X[table.rows("test")])
    np.testing.assert_allclose(served, result.predictions["test"][method][0], rtol=1e-4, atol=1e-4)
    assert plan.n_models == result.ledger["methods"][method]["n_models"]
    shares = plan.predict_proba(table.X[:4])
    assert shares["m"].sum(1) == pytest.approx(np.ones(4), abs=1e-5)
    assert ((shares["a"] > 0) & (shares["a"] < 1)).all()


def test_plan_refuses_wrong_inputs(table, grouping, tmp_path):
    with pytest.raises(ArtifactError, match="no such file"):
        Plan.load(tmp_path)
    retrain(table, grouping, out=tmp_path, methods=["mtl"], **FAST)
    plan = Plan.load(tmp_path)
    with pytest.raises(InvalidInputError, match=r"`X` must have shape \(any, 5\)"):
        plan.predict(np.zeros((2, 4)))
    with pytest.raises(InvalidInputError, match="`X` must be finite"):
        plan.predict(np.full((2, 5), np.inf))
    assert np.isfinite(plan.predict(np.full((2, 5), np.nan))).all()  # the average stands in for what is missing


def test_soft_groupings_answer_by_best_group_or_by_membership(table):
    membership = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    soft = Grouping(table.tasks, membership)
    best, mean = (
        retrain(table, soft, methods=["grouped"], soft=rule, **FAST | {"members": 1, "seeds": 1})
        for rule in ("best", "mean")
    )
    trained = mean._bench.store.trained
    assert trained["grouped/0/m0-g0"].network.tasks == ("a", "b", "c", "m", "r")
    assert trained["grouped/0/m0-g0"].network.weights == (0.8, 0.6, 0.1, 1.0, 0.5)
    first, second = (trained[f"grouped/0/m0-g{g}"].outputs["test"][:, 0] for g in (0, 1))
    np.testing.assert_allclose(mean.predictions["test"]["grouped"][0][:, 0], 0.8 * first + 0.2 * second, atol=1e-5)
    np.testing.assert_allclose(best.predictions["test"]["grouped"][0][:, 0], first, atol=1e-6)


@pytest.mark.parametrize("start", ["profile", "scratch"])
def test_groups_can_start_elsewhere(table, grouping, start):
    found = profile(table, epochs=2, hidden=(6,))
    result = retrain(table, grouping, profile=found, start=start, methods=["grouped"], **FAST)
    networks = [
        item.network for item in result._bench.store.trained.values() if item.network.path.startswith("grouped")
    ]
    assert {network.start for network in networks} == {"profile/model" if start == "profile" else None}
    assert len(networks) == 2 * 2 * (1 if start == "profile" else 2)
    assert result.ledger["profile"]["train_flops"] > 0


@pytest.mark.parametrize("n_groups", [1, 3])
def test_groups_can_share_the_lower_layers(table, n_groups):
    grouping = Grouping.from_labels(table.tasks, np.arange(6) % n_groups)  # one network is looped, several are stacked
    deep = FAST | {"hidden": (6, 4), "members": 1, "seeds": 1}
    result = retrain(table, grouping, shared_layers=1, methods=["mtl", "grouped"], **deep)
    trained = result._bench.store.trained
    start = trained["mtl/0/m0"].state
    for item in trained.values():
        if item.network.path.startswith("grouped") and item.history["best_epoch"] > 0:
            np.testing.assert_array_equal(item.state["trunk.0.weight"], start["trunk.0.weight"])
            assert (item.state["trunk.3.weight"] != start["trunk.3.weight"]).any()
    assert any(item.history["best_epoch"] > 0 for path, item in trained.items() if path.startswith("grouped"))


def test_choose_grouping_takes_the_best_on_validation_data(table, grouping):
    other = Grouping.from_labels(table.tasks, [0, 1, 1, 0, 1, 0])
    chosen, scores = choose_grouping(table, [other, grouping], **{k: v for k, v in FAST.items() if k != "seeds"})
    assert chosen is (other, grouping)[int(np.argmax(scores))]
    alone = retrain(table, grouping, methods=["grouped"], **FAST | {"seeds": 1})
    assert scores[1] == pytest.approx(alone.scorecard.main["valid"]["grouped"].by_seed.mean())
    with pytest.raises(InvalidInputError, match="`groupings` must hold at least one grouping"):
        choose_grouping(table, [])


def test_other_architectures_are_fitted_by_group_and_over_groups(table, grouping):
    result = retrain(table, grouping, arch="mmoe", units="both", methods=["mtl"], **FAST | {"seeds": 1})
    assert list(result.predictions["test"]) == ["mtl", "grouped:mmoe", "units:mmoe"]


def test_tuning_spends_the_same_budget_on_every_family(table, grouping):
    result = retrain(table, grouping, methods=["stl", "mtl", "mtl-wide"], tune=3, **FAST | {"seeds": 1})
    for family in ("stl", "mtl", "mtl-wide"):
        trials = result.ledger["tuning"][family]
        assert len(trials) == 3
        best = min(trials, key=lambda trial: trial["valid_loss"])
        chosen = result.ledger["recipes"][family]
        assert chosen["learning_rate"] == best["learning_rate"]
        assert chosen["dropout"] == best["dropout"]
    assert result.ledger["recipes"]["mtl-wide"]["hidden"] > result.ledger["recipes"]["mtl"]["hidden"]


def test_finished_trials_of_the_tuning_are_not_run_again(table, grouping, tmp_path, monkeypatch):
    options = {"methods": ["stl", "mtl-wide"], "tune": 2, "out": tmp_path, **FAST | {"seeds": 1}}
    _spy(monkeypatch, fail_at="mtl-wide/-1/m0")
    with pytest.raises(RuntimeError, match="power cut"):
        retrain(table, grouping, **options)
    monkeypatch.undo()
    ran = _spy(monkeypatch)
    resumed = retrain(table, grouping, resume=True, **options)
    assert ran.count("mtl-wide/-1/m0") == 2
    assert "stl/-1/part0" not in ran
    del ran[:]
    again = retrain(table, grouping, resume=True, **options)
    assert not ran
    assert again.ledger["tuning"] == resumed.ledger["tuning"]


def test_groups_that_start_from_the_profile_keep_its_recipe(table, grouping):
    found = profile(table, epochs=2, hidden=(6,))
    result = retrain(table, grouping, profile=found, start="profile", methods=["grouped", "stl"], **FAST | {"seeds": 1})
    assert set(result.ledger["tuning"]) == {"stl"}
    assert result.ledger["recipes"]["mtl"]["hidden"] == (6,)


def test_one_group_leaves_out_what_would_be_the_same(table):
    whole = Grouping.from_labels(table.tasks, [0] * 6)
    result = retrain(table, whole, **FAST | {"seeds": 1})
    assert "random-groups" not in result.predictions["test"]
    assert "label-groups" not in result.predictions["test"]


def test_linear_is_the_solution_of_scikit_learn():
    table = _table(tasks=["a", "b"])
    result = retrain(table, Grouping.from_labels(table.tasks, [0, 1]), methods=["linear"], **FAST)
    (item,) = result._bench.store.trained.values()
    strength = item.history["strength"][0]
    y = table.targets("train")[:, 0]
    seen = ~np.isnan(y)
    model = LogisticRegression(C=strength, tol=1e-6).fit(table.inputs("train")[seen], y[seen])
    expected = model.decision_function(table.inputs("test"))
    np.testing.assert_allclose(result.predictions["test"]["linear"][0][:, 0], expected, atol=0.03 * abs(expected).max())


def test_errors(table, grouping):
    other = Grouping.from_labels(list("abc"), [0, 0, 1])
    with pytest.raises(InvalidInputError, match="`grouping` must be one of the table's 6 tasks"):
        retrain(table, other)
    with pytest.raises(InvalidInputError, match='`start="profile"` needs a `profile`'):
        retrain(table, grouping, start="profile")
    with pytest.raises(InvalidInputError, match="`methods` must be one of"):
        retrain(table, grouping, methods=["magic"])
    with pytest.raises(InvalidInputError, match="`arch` must be one of"):
        retrain(table, grouping, arch="magic")
    with pytest.raises(InvalidInputError, match="`jobs` must be at least 1"):
        retrain(table, grouping, jobs=0)
    constant = TaskTable.from_arrays(table.X, np.column_stack([table.Y[:, 0], 0 * table.X[:, 0]]), ["a", "b"])
    with pytest.raises(InvalidInputError, match="task 'b' cannot be learned: one class only"):
        retrain(constant, Grouping.from_labels(["a", "b"], [0, 1]))


def test_profile_records_every_epoch_and_round_trips(table, tmp_path):
    seen = []
    found = profile(table, epochs=3, hidden=(6,), progress=lambda *a: seen.append(a))
    assert seen == [("profile", 1, 3), ("profile", 2, 3), ("profile", 3, 3)]
    assert found.maps.history.shape == (3, len(table.rows("train")), 6)
    np.testing.assert_array_equal(found.maps.sample_ids, table.rows("train"))
    np.testing.assert_array_equal(found.maps.targets, table.targets("train"))
    assert (found.maps.count == 3 * ~np.isnan(table.targets("train"))).all()
    found.save(tmp_path)
    again = Profile.load(tmp_path, table)
    assert again.history == found.history
    assert again.network == found.network
    np.testing.assert_array_equal(again.maps.confidence, found.maps.confidence)
    x = torch.zeros(2, 5)
    torch.testing.assert_close(again.model.logits(x), found.model.logits(x))
    np.testing.assert_array_equal(profile(table, epochs=3, hidden=(6,)).maps.history, found.maps.history)


def test_a_repeated_profile_records_every_network(table):
    seen = []
    twice = profile(table, epochs=2, repeats=2, hidden=(6,), progress=lambda *a: seen.append(a))
    once = profile(table, epochs=2, hidden=(6,))
    assert seen[-1] == ("profile", 4, 4)
    np.testing.assert_array_equal(twice.maps.history[:2], once.maps.history)
    assert (twice.maps.history[2:] != once.maps.history).mean() > 0.5
    assert twice.cost.train_flops == 2 * once.cost.train_flops
    assert twice.history == once.history


def _spy(monkeypatch, fail_at=None):
    """Return the growing list of the names of units that are run, and fail at one of them."""
    from taskgroup.training import _executors

    ran, run_unit = [], _executors.run_unit

    def spy(unit, *args):
        if unit.name == fail_at:
            raise RuntimeError("power cut")
        ran.append(unit.name)
        return run_unit(unit, *args)

    monkeypatch.setattr(_executors, "run_unit", spy)
    return ran
