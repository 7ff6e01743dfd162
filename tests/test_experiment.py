"""The experiment: honest answers, the same result whoever works, finished work never repeated, models that serve."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from taskgroup.data import TaskTable
from taskgroup.exceptions import ArtifactError, InvalidInputError
from taskgroup.experiment import Plan, make_folds, retrain
from taskgroup.experiment import _experiment as module
from taskgroup.grouping import Grouping
from taskgroup.learners import Examples, make_learner
from taskgroup.learners._linear import Linear
from taskgroup.tasks import Task
from taskgroup.training import FitSettings

torch.set_num_threads(1)

TASKS = [*"abcd", Task("m", "multiclass", 3), Task("r", "regression")]
NETS = {"hidden": (6,), "settings": FitSettings(epochs=3, batch_size=32, learning_rate=0.02), "tune_by": 2}
FAST = {
    "options": {"nets": NETS, "wide-nets": {**NETS, "hidden": (24,)}, "extra-trees": {"trees": 7},
                "random-forest": {"trees": 7}},
    "folds": 3, "draws": 2,
}  # fmt: skip
FEW = {**FAST, "learners": ["linear", "extra-trees", "nets"], "arms": ["all-in-one", "per-task", "grouped"], "seeds": 1}


def _table(seed=0, n=150):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    Z = X @ rng.normal(size=(5, 6)) + 0.3 * rng.normal(size=(n, 6))
    Y = np.column_stack([Z[:, :4] > 0, np.digitize(Z[:, 4], [-1, 1]), 50 + 9 * Z[:, 5]]).astype(float)
    Y[rng.random(Y.shape) < 0.1] = np.nan
    return TaskTable.from_arrays(X, Y, TASKS)


@pytest.fixture(scope="module")
def table():
    return _table()


@pytest.fixture(scope="module")
def grouping(table):
    return Grouping.from_labels(table.tasks, [0, 0, 1, 1, 0, 1])


@pytest.fixture(scope="module")
def finished(table, grouping, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    return retrain(table, grouping, out=out, seeds=2, **FAST), out


def _same(one, other):
    for split in ("honest", "test"):
        assert list(one.predictions[split]) == list(other.predictions[split])
        for method, by_seed in one.predictions[split].items():
            for seed, packed in by_seed.items():
                np.testing.assert_array_equal(packed, other.predictions[split][method][seed], err_msg=method)


def test_every_learner_meets_every_arm_that_makes_sense(table, finished):
    result, _ = finished
    n_honest, n_test = (table.split < 2).sum(), (table.split == 2).sum()
    arms = ("all-in-one", "per-task", "grouped", "random-groups", "label-groups")
    expected = ["linear/per-task", "random-forest/all-in-one", "random-forest/grouped"]
    expected += [f"{learner}/{arm}" for learner in ("extra-trees", "nets") for arm in arms]
    expected += ["wide-nets/all-in-one", "plan", "plan without groups"]
    assert sorted(result.predictions["test"]) == sorted(expected)
    assert "random-forest/per-task" in result.ledger["left_out"]
    for split, n in (("honest", n_honest), ("test", n_test)):
        for method, by_seed in result.predictions[split].items():
            assert list(by_seed) == ([0, 1] if "nets" in method else [0]), method
            for packed in by_seed.values():
                assert packed.shape == ((2, n, 8) if method.endswith("random-groups") else (n, 8))
                assert np.isfinite(packed).all()
                assert 20 < packed[..., -1].mean() < 80, method  # regression answers in the units of its target


def test_costs_are_comparable(finished):
    result, _ = finished
    methods = result.ledger["methods"]
    assert all(cost["train_seconds"] > 0 and cost["bytes"] > 0 for cost in methods.values())
    assert methods["nets/all-in-one"]["n_models"] == 3  # a fold each
    assert methods["nets/per-task"]["n_models"] == 18
    assert methods["nets/grouped"]["train_flops"] > methods["nets/all-in-one"]["train_flops"]  # what it starts from


def test_the_plan_costs_what_its_methods_cost_in_all_repetitions(finished):
    result, _ = finished
    card, plan = result.scorecard, result.plan
    for name in ("n_models", "bytes", "train_seconds"):
        used = [(result.ledger["methods"][m][name], len(card.main["test"][m].seeds)) for m in plan.methods_in_use]
        assert card.costs["plan"][name] == pytest.approx(sum(cost * n for cost, n in used))
        assert card.to_dict()["methods"]["plan"][name] == card.costs["plan"][name]
    assert plan.n_models == card.costs["plan"]["n_models"]


@pytest.mark.parametrize("method", ["extra-trees/grouped", "linear/per-task", "nets/grouped"])
def test_answers_are_honest(table, grouping, method, monkeypatch):
    """The targets of a fold do not change the answers for it."""
    folds = make_folds(table, 3, 0)
    monkeypatch.setattr("taskgroup.experiment._retrain.make_folds", lambda *rest: folds)  # the deal looks at labels
    Y = table.Y.copy()
    held_out = folds.held_out(1)
    Y[held_out] = np.where(np.isnan(Y[held_out]), np.nan, Y[np.random.default_rng(1).permutation(held_out)])
    Y[np.isnan(table.Y)] = np.nan
    other = TaskTable.from_arrays(table.X, Y, table.tasks, table.split)
    options = {**FAST["options"], "nets": {**NETS, "tune_by": 1}, "linear": {"strengths": (0.1,)}}
    learner = method.split("/")[0]
    both = []
    for one in (table, other):
        card = retrain(one, grouping, **{**FAST, "options": options}, learners=learner, methods=[method], seeds=1)
        both.append(card.predictions["honest"][method][0])
    where = folds.fold == 1
    centred = [answers[where] - answers[where].mean(0) for answers in both]
    np.testing.assert_allclose(centred[0][:, :7], centred[1][:, :7], atol=2e-5)
    np.testing.assert_allclose(both[0][where, 7], both[1][where, 7], atol=1e-4)
    assert np.abs(both[0][~where] - both[1][~where]).max() > 1e-3  # elsewhere they do


@pytest.fixture(scope="module")
def few(table, grouping, tmp_path_factory):
    out = tmp_path_factory.mktemp("few")
    return retrain(table, grouping, out=out, **FEW), out


def test_the_result_does_not_depend_on_who_works(table, grouping, few):
    result, _ = few
    _same(result, retrain(table, grouping, jobs=2, **FEW))
    with ThreadPoolExecutor(1) as pool:
        _same(result, retrain(table, grouping, executor=pool, **FEW))


def test_a_killed_run_goes_on_where_it_was(table, grouping, few, tmp_path, monkeypatch):
    result, out = few
    put, count = module.Store.put, iter(range(100))

    def dies(self, unit, key, found):
        if next(count) == 12:
            raise KeyboardInterrupt
        put(self, unit, key, found)

    monkeypatch.setattr(module.Store, "put", dies)
    with pytest.raises(KeyboardInterrupt):
        retrain(table, grouping, out=tmp_path, **FEW)
    monkeypatch.setattr(module.Store, "put", put)
    fitted = []
    monkeypatch.setattr(
        module.Store, "put", lambda self, unit, *rest: (fitted.append(unit.path), put(self, unit, *rest))
    )
    again = retrain(table, grouping, out=tmp_path, resume=True, **FEW)
    n_units = len(list((out / "models").rglob("*.safetensors")))
    assert 0 < len(fitted) == n_units - 12
    _same(result, again)
    for name in ("scores.csv", "plan.json"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_resuming_with_other_inputs_is_refused(table, grouping, few):
    _, out = few
    other = Grouping.from_labels(table.tasks, [0, 1, 1, 0, 0, 1])
    with pytest.raises(ArtifactError, match="was fitted with other data, settings or groups"):
        retrain(table, other, out=out, resume=True, **FEW)


def test_another_grouping_keeps_what_does_not_depend_on_it(table, grouping, tmp_path, monkeypatch):
    options = {**FAST, "learners": ["extra-trees"], "arms": ["all-in-one", "grouped"]}
    retrain(table, grouping, out=tmp_path, **options)
    fitted, put = [], module.Store.put
    monkeypatch.setattr(
        module.Store, "put", lambda self, unit, *rest: (fitted.append(unit.method), put(self, unit, *rest))
    )
    retrain(table, Grouping.from_labels(table.tasks, [0, 1, 1, 0, 0, 1]), out=tmp_path, **options)
    assert set(fitted) == {"extra-trees/grouped"}


@pytest.mark.parametrize("rule", ["best", "single", "simplest", "within=0.05"])
def test_a_fresh_process_serves_what_was_scored(table, grouping, tmp_path, rule):
    result = retrain(table, grouping, out=tmp_path / "run", plan=rule, **FEW)
    np.save(tmp_path / "x.npy", table.X[table.split == 2])
    code = (
        "import sys, numpy as np; from taskgroup import Plan; plan = Plan.load(sys.argv[1]);"
        "np.save(sys.argv[3], plan.predict(np.load(sys.argv[2])))"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "run", tmp_path / "x.npy", tmp_path / "y.npy"], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), result.predictions["test"]["plan"][0], rtol=1e-6, atol=1e-5)
    assert result.plan.rule == rule


@pytest.mark.parametrize("learner", ["linear", "extra-trees", "random-forest", "nets"])
def test_every_learner_serves_from_its_files(table, grouping, tmp_path, learner):
    arm = "per-task" if learner == "linear" else "grouped"
    method = f"{learner}/{arm}"
    result = retrain(table, grouping, out=tmp_path, learners=learner, methods=[method], seeds=1, plan="single", **FAST)
    plan = Plan.load(tmp_path)
    answers = plan._outputs(method, __import__("taskgroup.learners", fromlist=["Inputs"]).Inputs.of(
        table.X[table.split == 2], plan.schema))  # fmt: skip
    np.testing.assert_allclose(answers, result.predictions["test"][method][0], rtol=1e-6, atol=2e-6)


def test_probabilities_are_of_every_kind(table, finished):
    _, out = finished
    answers = Plan.load(out).predict_proba(table.X[:5])
    assert answers["a"].shape == (5,)
    assert ((answers["a"] > 0) & (answers["a"] < 1)).all()
    np.testing.assert_allclose(answers["m"].sum(1), 1, atol=1e-6)
    assert 0 < answers["r"].mean() < 100


@dataclass(frozen=True)
class Broken(Linear):
    """A learner that fails in a way of one's choice."""

    kind: ClassVar[str] = "broken"
    how: str = "raises"

    def fit_many(self, examples, rows, orders, **rest):
        if self.how == "raises":
            raise RuntimeError("out of luck")
        fitted = super().fit_many(examples, rows, orders, **rest)
        for one in fitted:
            one.bias[:] = np.nan
        return fitted


@pytest.mark.parametrize(("how", "message"), [("raises", "out of luck"), ("nan", "outputs must be finite")])
def test_a_learner_that_fails_is_left_out_with_its_message(table, grouping, how, message):
    result = retrain(
        table, grouping, learners=["extra-trees", Broken(how=how)], arms=["all-in-one", "per-task"], **FAST
    )
    assert message in result.ledger["failed"]["broken/per-task"]
    assert set(result.ledger["methods"]) == {"extra-trees/all-in-one", "extra-trees/per-task"}
    with pytest.raises(InvalidInputError, match=f"every method failed; broken/per-task: .*{message}"):
        retrain(table, grouping, learners=[Broken(how=how)], **FAST)


def test_large_tables_hold_out_their_validation_rows(table, grouping):
    result = retrain(table, grouping, learners=["linear", "extra-trees"], **{**FAST, "folds": 1})
    assert result.folds.n_folds == 1
    np.testing.assert_array_equal(result.folds.honest, table.rows("valid"))
    cost = result.ledger["methods"]["extra-trees/all-in-one"]
    assert cost["n_models"] == 1  # fitted again, on all development rows
    assert make_folds(_table(n=120), "auto").n_folds == 5


def test_many_rows_with_few_labels_each_are_all_held_out_once():
    rng = np.random.default_rng(0)
    Y = (rng.random((15_000, 30)) < 0.5).astype(float)
    full = TaskTable.from_arrays(rng.normal(size=(15_000, 2)), Y, [f"t{t}" for t in range(30)])
    assert make_folds(full, "auto").n_folds == 1
    own = rng.integers(0, 30, 15_000)[:, None] == np.arange(30)  # every row is labelled for one task
    sparse = TaskTable.from_arrays(full.X, np.where(own, Y, np.nan), full.tasks)
    assert make_folds(sparse, "auto").n_folds == 5


def test_folds_keep_the_groups_of_a_table_together(table):
    grouped = _table()
    object.__setattr__(grouped, "together", np.arange(150) // 5)
    folds = make_folds(grouped, 4, 0)
    for fold in range(4):
        inside = set(folds.held_out(fold) // 5)
        assert inside.isdisjoint(set(folds.fitted(fold) // 5))
    for sizes in ([50, 100], [140, 5, 5], [146, 1, 1, 1, 1]):  # fewer groups than folds, or hardly as many
        object.__setattr__(grouped, "together", np.repeat(np.arange(len(sizes)), sizes))
        few = make_folds(grouped)
        assert few.n_folds == len(np.unique(grouped.together[few.rows]))
        assert all(len(few.fitted(fold)) and len(few.held_out(fold)) for fold in range(few.n_folds))
    object.__setattr__(grouped, "ordered", True)
    assert make_folds(grouped).n_folds == 1  # rows that follow one another in time are not dealt anew


def test_the_answer_says_nothing_of_one_task_or_of_the_plan_against_itself():
    table, options = _table(), {"extra-trees": {"trees": 20}}
    one = table.select(["a"])
    result = retrain(one, Grouping.from_labels(one.tasks, [0]), learners=["extra-trees", "linear"], options=options)
    assert result.scorecard.methods[:2] == ("extra-trees/per-task", "linear/per-task")
    assert str(result.plan.answer).startswith("Serve the task with ")
    assert "all tasks" not in str(result.plan.answer)
    two = table.select(["a", "b"])
    for labels, why in (([0, 0], "all tasks in one group"), ([0, 1], "every task alone")):
        result = retrain(two, Grouping.from_labels(two.tasks, labels), learners=["linear"])
        assert result.plan.answer.headline.startswith("Serve all 2 tasks with linear, a model per task: mean test AUC")
        assert result.plan.answer.lines == (f"Groups were not tried: the grouping holds {why}.",)


def test_the_answer_names_how_many_tasks_the_test_rows_tell_of():
    table = _table().select(["a", "b"])
    grouping = Grouping.from_labels(table.tasks, [0, 0])
    for flat, said in ((["b"], "mean test AUC of the 1 that the test rows tell of"), (["a", "b"], "too few to tell")):
        Y = table.Y.copy()
        for name in flat:
            Y[table.rows("test"), table.tasks.index_of(name)] = 1
        result = retrain(replace(table, Y=Y), grouping, learners=["linear"])
        assert said in result.plan.answer.headline
        assert "nan" not in str(result.plan.answer)
    assert "open whether anything here predicts better than guessing" in str(result.plan.answer)


def test_soft_groups_and_units_take_part(table, grouping):
    membership = grouping.membership * 0.7 + 0.15
    soft = Grouping(table.tasks, membership)
    options = {**FAST["options"], "adatt": NETS}
    result = retrain(
        table, soft, learners="nets", arch="adatt", arms=["all-in-one", "grouped", "units"], seeds=1, answers="mean",
        **{**FAST, "options": options},
    )  # fmt: skip
    assert {"nets/grouped", "adatt/grouped", "adatt/units"} <= set(result.ledger["methods"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learners": "extra-tree"}, "did you mean 'extra-trees'"),
        ({"arms": ["group"]}, "grouped"),
        ({"methods": ["nets/al"]}, "no method 'nets/al'"),
        ({"plan": "cheapest"}, "`plan` must be among best, blend, single, simplest"),
        ({"learners": []}, "at least one learner"),
        ({"seeds": 0}, "`seeds` must be"),
        ({"max_models": 1}, "no method fits `max_models`=1"),
        ({"arch": "adat"}, "got 'adat'"),
    ],
)
def test_bad_arguments_are_refused(table, grouping, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        retrain(table, grouping, **{**FAST, "learners": ["linear", "extra-trees"], **changes})


def test_the_grouping_must_be_of_the_tables_tasks(table):
    with pytest.raises(InvalidInputError, match="must be one of the table's 6 tasks"):
        retrain(table, Grouping.from_labels(["x", "y"], [0, 1]), **FAST)


def test_a_damaged_run_directory_is_refused_by_name(finished, tmp_path):
    import shutil

    _, out = finished
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    plan = json.loads((copy / "plan.json").read_text())
    del plan["tasks"]["a"]
    (copy / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ArtifactError, match="hold different tasks"):
        Plan.load(copy)
    plan["tasks"]["a"] = {"weights": {"nets/grouped": 0.4}}
    (copy / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ArtifactError, match=r"weights of task 'a' must sum to 1; got 0\.4"):
        Plan.load(copy)


def test_inputs_are_scaled_once_for_all_learners(table):
    examples = Examples.from_table(table)
    np.testing.assert_array_equal(examples.inputs.scaled, table.schema.transform(table.X))
    assert make_learner("extra-trees", trees=3).options() == {
        "trees": 3, "min_samples_leaf": 2, "max_features": "sqrt",
    }  # fmt: skip


def test_weights_of_a_table_reach_losses_choices_and_scores(table, grouping):
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.1, 5.0, table.n_samples)
    weights[rng.random(table.n_samples) < 0.1] = 0.0
    weighed = TaskTable.from_arrays(table.X, table.Y, table.tasks, table.split, weights=weights)
    plain = retrain(table, grouping, learners="linear", arms=["all-in-one", "per-task"], folds=3)
    result = retrain(weighed, grouping, learners="linear", arms=["all-in-one", "per-task"], folds=3)
    answers = result.predictions["test"]["linear/per-task"][0]
    assert not np.allclose(answers, plain.predictions["test"]["linear/per-task"][0])
    rows = table.rows("test")
    seen = ~np.isnan(weighed.Y[rows, 0])
    expected = roc_auc_score(weighed.Y[rows, 0][seen], answers[seen, 0], sample_weight=weights[rows][seen])
    assert result.scorecard.value("a", "linear/per-task") == pytest.approx(expected)
    assert result.plan.calibration != plain.plan.calibration


def test_the_plan_does_best_by_the_metric_that_was_asked_for(table, grouping):
    results = {metric: retrain(table, grouping, **FEW, metric=metric) for metric in (None, "log-loss")}
    honest = {metric: result.scorecard.main["honest"] for metric, result in results.items()}
    for metric, result in results.items():
        plan = honest[metric]["plan"].by_seed.mean()
        assert plan >= max(honest[metric][m].by_seed.mean() for m in result.ledger["methods"]) - 1e-6
    assert "log_loss" in results["log-loss"].scorecard.main_metrics
    with pytest.raises(InvalidInputError, match="must be one of"):
        retrain(table, grouping, **FEW, metric="acuracy")


def test_a_task_of_weight_zero_does_not_choose(table, grouping):
    weights = dict.fromkeys(table.tasks.names, 0.0) | {"a": 1.0}
    result = retrain(table, grouping, **FEW, task_weights=weights, plan="single")
    scores = {m: result.scorecard.value("a", m, split="honest") for m in result.ledger["methods"]}
    assert list(result.plan.common) == [max(scores, key=scores.get)]
