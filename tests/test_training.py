"""Fitting many models at once: both engines agree, nothing depends on company, seeds and early stopping hold."""

import numpy as np
import pytest
import torch
from torch import nn

from taskgroup.data import TaskTable
from taskgroup.exceptions import InvalidInputError
from taskgroup.models import SharedBottom
from taskgroup.tasks import Task
from taskgroup.training import FitSettings, TrainingData, fit_many, predict
from taskgroup.training._losses import sample_losses, task_means

torch.set_num_threads(1)  # small models: threads only wait for each other

SETTINGS = FitSettings(epochs=4, patience=None, batch_size=32)


def _table(n=160, d=6, seed=0, tasks=None, missing=0.2):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    Z = X @ rng.normal(size=(d, 5)) + 0.3 * rng.normal(size=(n, 5))
    Y = (Z > 0).astype(float)
    if tasks is not None:
        Y[:, 3] = np.digitize(Z[:, 3], [-1, 1])
        Y[:, 4] = 10 + 5 * Z[:, 4]
    Y[rng.random(Y.shape) < missing] = np.nan
    return TaskTable.from_arrays(X, Y, tasks or list("abcde"))


@pytest.fixture(scope="module")
def data():
    return TrainingData.from_table(_table())


@pytest.fixture(scope="module")
def mixed():
    tasks = ["a", "b", "c", Task("m", "multiclass", 3), Task("r", "regression")]
    return TrainingData.from_table(_table(tasks=tasks))


def _models(tasks_of_models, dropout=0.0, hidden=(8, 5)):
    models = []
    for m, names in enumerate(tasks_of_models):
        torch.manual_seed(m)
        models.append(SharedBottom(6, names, hidden=hidden, dropout=dropout))
    return models


UNEQUAL = (["a"], ["b", "c"], ["a", "b", "c", "d", "e"], ["e"])


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("patience", [None, 1])
def test_loop_and_stack_give_the_same_losses_and_predictions(data, dropout, patience):
    settings = FitSettings(epochs=6, patience=patience, batch_size=32, learning_rate=0.05)
    loop, stack = (
        fit_many(_models(UNEQUAL, dropout), data, seeds=[3, 3, 4, 3], settings=settings, engine=engine)
        for engine in ("loop", "stack")
    )
    for one, other in zip(loop, stack, strict=True):
        np.testing.assert_allclose(one.valid_loss, other.valid_loss, atol=1e-5)
        assert one.best_epoch == other.best_epoch
        torch.testing.assert_close(
            predict(one.model, data.valid.x), predict(other.model, data.valid.x), atol=1e-5, rtol=0
        )
        assert one.cost.train_flops == other.cost.train_flops


@pytest.mark.parametrize("engine", ["loop", "stack"])
def test_a_model_does_not_depend_on_its_company(data, engine):
    together = fit_many(_models(UNEQUAL, 0.3), data, seeds=[3] * 4, settings=SETTINGS, engine=engine)
    pair = [_models(UNEQUAL, 0.3)[m] for m in (2, 1)]
    apart = fit_many(pair, data, seeds=[3, 3], settings=SETTINGS, engine=engine)
    np.testing.assert_allclose(together[2].valid_loss, apart[0].valid_loss, atol=1e-5)
    np.testing.assert_allclose(together[1].valid_loss, apart[1].valid_loss, atol=1e-5)


def test_models_of_unequal_seeds_differ_and_equal_seeds_agree(data):
    models = [_models([["a", "b"]], 0.3)[0] for _ in range(3)]
    one, two, three = fit_many(models, data, seeds=[1, 1, 2], settings=SETTINGS)
    assert one.valid_loss == pytest.approx(two.valid_loss, abs=1e-6)
    assert abs(np.subtract(one.valid_loss, three.valid_loss)).max() > 1e-4


def test_loop_equals_a_plain_torch_loop():
    table = _table(missing=0.0)
    data = TrainingData.from_table(table)
    (model,) = _models([["a", "b", "c", "d", "e"]])
    (twin,) = _models([["a", "b", "c", "d", "e"]])
    settings = FitSettings(epochs=5, patience=None, batch_size=1000, learning_rate=0.01, weight_decay=0.01)
    (fitted,) = fit_many([model], data, seeds=[0], settings=settings, engine="loop")
    optimiser = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.01)
    expected = []
    for _ in range(6):
        with torch.no_grad():
            expected.append(
                float(nn.functional.binary_cross_entropy_with_logits(twin.logits(data.valid.x), data.valid.y))
            )
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(twin.logits(data.train.x), data.train.y).backward()
        optimiser.step()
    np.testing.assert_allclose(fitted.valid_loss, expected, atol=1e-5)


def test_weights_of_the_best_epoch_are_kept(data):
    settings = FitSettings(epochs=40, patience=3, batch_size=16, learning_rate=0.05)
    for engine in ("loop", "stack"):
        for fitted in fit_many(_models(UNEQUAL), data, seeds=[0] * 4, settings=settings, engine=engine):
            assert len(fitted.valid_loss) < 41
            assert fitted.best_epoch == int(np.argmin(fitted.valid_loss))
            assert len(fitted.valid_loss) - 1 - fitted.best_epoch == 3
            columns = [data.tasks.index_of(name) for name in fitted.model.tasks.names]
            losses = sample_losses(fitted.model.tasks, predict(fitted.model, data.valid.x), data.valid.y[:, columns])
            kept = task_means(losses, data.valid.seen[:, columns]).mean()
            assert float(kept) == pytest.approx(min(fitted.valid_loss), abs=1e-5)


def test_a_model_that_only_gets_worse_keeps_its_start(data):
    (model,) = _models([["a", "b"]])
    (fitted,) = fit_many([model], data, seeds=[0], settings=SETTINGS)
    again = FitSettings(epochs=5, patience=2, learning_rate=3.0)
    (spoiled,) = fit_many([fitted.model], data, seeds=[1], settings=again)
    assert spoiled.best_epoch == 0
    assert spoiled.valid_loss[0] == pytest.approx(min(fitted.valid_loss), abs=1e-6)


def test_tasks_of_all_kinds_and_missing_labels_learn(mixed):
    (model,) = _models([mixed.tasks], hidden=(16,))
    (fitted,) = fit_many([model], mixed, seeds=[0], settings=FitSettings(epochs=30, batch_size=16, learning_rate=0.02))
    assert min(fitted.valid_loss) < 0.8 * fitted.valid_loss[0]


@pytest.mark.parametrize("engine", ["loop", "stack"])
def test_missing_labels_cost_nothing(engine):
    table = _table(missing=0.4)
    data = TrainingData.from_table(table)
    garbled = TrainingData.from_table(table)
    for part in (garbled.train, garbled.valid):
        part.y[part.seen == 0] = 1e3
    one, two = (
        fit_many(_models(UNEQUAL), source, seeds=[0] * 4, settings=SETTINGS, engine=engine)
        for source in (data, garbled)
    )
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a.valid_loss, b.valid_loss, atol=1e-6)


@pytest.mark.parametrize("engine", ["loop", "stack"])
def test_a_task_of_weight_zero_does_not_count(data, engine):
    weights = [{"a": 1.0, "b": 0.0}, {}]
    both, alone = (
        fit_many(_models(tasks), data, seeds=[0] * 2, settings=SETTINGS, weights=w, engine=engine)
        for tasks, w in (((["a", "b"], ["c"]), weights), ((["a", "b"], ["c"]), [{"a": 2.0, "b": 0.0}, {}]))
    )
    np.testing.assert_allclose(both[0].valid_loss, alone[0].valid_loss, atol=1e-6)
    columns = [data.tasks.index_of("a")]
    outputs = predict(both[0].model, data.valid.x)[:, :1]
    loss = task_means(
        sample_losses(data.tasks.select(["a"]), outputs, data.valid.y[:, columns]), data.valid.seen[:, columns]
    )
    assert float(loss) == pytest.approx(min(both[0].valid_loss), abs=1e-5)


def test_regression_can_be_stacked_beside_binary_tasks():
    tasks = ["a", "b", "c", "d", Task("r", "regression")]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 6))
    Y = np.column_stack([X[:, :4] > 0, 7 + 3 * X[:, 4]])
    data = TrainingData.from_table(TaskTable.from_arrays(X, Y, tasks))
    groups = (["a", tasks[4]], [tasks[4]], ["b"])
    loop, stack = (
        fit_many(_models(groups), data, seeds=[0] * 3, settings=SETTINGS, engine=engine) for engine in ("loop", "stack")
    )
    for one, other in zip(loop, stack, strict=True):
        np.testing.assert_allclose(one.valid_loss, other.valid_loss, atol=1e-5)


def test_output_bias_is_the_label_log_odds_and_targets_are_standardised(mixed):
    labelled = mixed.train.seen[:, 0] > 0
    share = (mixed.train.y[labelled, 0].sum() + 0.5) / (labelled.sum() + 1)
    assert mixed.output_bias[0] == pytest.approx(float(torch.logit(share)), abs=1e-5)
    values = mixed.train.y[mixed.train.seen[:, 4] > 0, 4]
    assert float(values.mean()) == pytest.approx(0, abs=1e-5)
    assert float(values.std(correction=0)) == pytest.approx(1, abs=1e-5)
    assert mixed.outputs_of(["r", "m"]) == [6, 3, 4, 5]


def test_the_global_generator_is_left_as_it_was(data):
    models = _models(UNEQUAL[:2], 0.3)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit_many(models, data, seeds=[0, 0], settings=SETTINGS)
    torch.testing.assert_close(torch.rand(3), expected)


def test_cost_is_counted(data):
    (fitted,) = fit_many(_models([["a", "b"]]), data, seeds=[0], settings=SETTINGS)
    forward = 2 * (6 * 8 + 8 * 5 + 5 * 2)
    backward = 2 * forward - 2 * 6 * 8  # no gradient of the inputs
    n_train, n_valid = len(data.train.x), len(data.valid.x)
    assert fitted.cost.train_flops == 4 * n_train * (forward + backward) + 5 * n_valid * forward
    assert fitted.cost.train_examples == 4 * n_train
    assert fitted.cost.params == 6 * 8 + 8 + 8 * 5 + 5 + 5 * 2 + 2
    assert fitted.cost.inference_flops == forward


def test_errors(data):
    with pytest.raises(InvalidInputError, match="one entry for each of 2 models; got 1"):
        fit_many(_models(UNEQUAL[:2]), data, seeds=[0])
    with pytest.raises(InvalidInputError, match="no task 'zz'"):
        fit_many(_models([["zz"]]), data, seeds=[0])
    with pytest.raises(InvalidInputError, match='engine="stack"` needs SharedBottom'):
        fit_many([SharedBottom(6, ["a"], tower=3), SharedBottom(6, ["b"], tower=3)], data, seeds=[0, 0], engine="stack")
    with pytest.raises(InvalidInputError, match="`engine` must be one of"):
        fit_many(_models([["a"]]), data, seeds=[0], engine="fast")
    with pytest.raises(InvalidInputError, match="`patience` must be at least 1"):
        FitSettings(patience=0)
