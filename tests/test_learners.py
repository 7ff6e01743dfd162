"""What holds for every learner: one harness over all of them, on a small table of mixed kinds with missing labels."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from taskgroup.data import InputSchema
from taskgroup.exceptions import InvalidInputError
from taskgroup.learners import LEARNERS, Context, Examples, Inputs, Order, Saved, learner_class, make_learner
from taskgroup.learners._grow import grow, out_of_bag
from taskgroup.tasks import Task, TaskSet

N, N_FIT = 240, 190
TASKS = TaskSet(
    [
        Task("a"), Task("b"), Task("c"), Task("m", "multiclass", 3), Task("r", "regression"),
        Task("s", "regression"),
    ]
)  # fmt: skip
ROWS = np.random.default_rng(3).permutation(N)[:N_FIT].astype(np.int64)
LEFT = np.setdiff1d(np.arange(N), ROWS)

STEPS = {"epochs": 25, "batch_size": 32, "learning_rate": 0.02}
QUICK = {
    "linear": {},
    "extra-trees": {"trees": 20},
    "random-forest": {"trees": 20},
    "boosting": {"rounds": 20},
    "lightgbm": {"rounds": 20},
    "xgboost": {"rounds": 20},
    "catboost": {"rounds": 20},
    "nets": {"hidden": (16,), "tune_by": 1, "settings": STEPS},
    "wide-nets": {"hidden": (32,), "tune_by": 1, "settings": STEPS},
    "tabm": {"hidden": (16,), "members": 4, "settings": STEPS},
    "estimator": {"estimator": "sklearn.linear_model:Ridge"},
}
NEEDS = {"lightgbm": "lightgbm", "xgboost": "xgboost", "catboost": "catboost", "estimator": "skops"}


HERE = [kind for kind in LEARNERS if kind not in NEEDS or find_spec(NEEDS[kind])]  # xgboost and catboost are large
CATEGORICAL = [kind for kind in ("boosting", "lightgbm", "xgboost", "catboost") if kind in HERE]  # given raw features
JOINT = [kind for kind in ("xgboost", "catboost") if kind in HERE]  # share trees where all labels are there


def make(kind, **options):
    return make_learner(kind, **{**QUICK[kind], **options})


def table(seed=0, *, missing=0.15, categories=True, weights=None):
    """Six tasks that depend on the first columns; the last column holds the codes of four categories."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 6)).astype(np.float32)
    X[:, 5] = rng.integers(1, 5, N)
    noise = rng.normal(size=(N, 6)) * 0.5
    lift = 1.5 * (X[:, 5] == 2)
    Y = np.stack(
        [
            X[:, 0] + lift + noise[:, 0] > 0, X[:, 0] + X[:, 1] + noise[:, 1] > 0.3, X[:, 2] + noise[:, 2] > 1.0,
            np.digitize(X[:, 1] + noise[:, 3], (-0.5, 0.5)), 300 + 40 * (X[:, 0] + noise[:, 4]),
            -2 + 0.01 * (X[:, 2] + lift + noise[:, 5]),
        ], 1,
    ).astype(np.float32)  # fmt: skip
    Y[rng.random(Y.shape) < missing] = np.nan
    names = tuple(f"x{j}" for j in range(6))
    schema = InputSchema.fit(X[ROWS], names, {5: ("p", "q", "r", "s")} if categories else {}, (6,))
    return Examples(TASKS, schema, Inputs.of(X, schema), Y, weights)


def with_targets(examples, Y, weights=None):
    return Examples(examples.tasks, examples.schema, examples.inputs, Y, weights)


def context(examples, own=None):
    return Context(examples.tasks, examples.schema, own)


def round_trip(saved):
    """Return what a file would hold: arrays of plain types, a document that went through JSON."""
    for name, array in saved.arrays.items():
        assert isinstance(array, np.ndarray), name
        assert array.dtype.kind in "fiub", name
    return Saved(dict(saved.arrays), json.loads(json.dumps(saved.document)))


def share_right(examples, task, packed):
    """Return the accuracy, or the correlation, of a task's answers on the rows that nothing was fitted to."""
    t = TASKS.index_of(task)
    y, own = examples.Y[LEFT, t], packed[:, TASKS.output_columns([task])]
    seen = ~np.isnan(y)
    if TASKS[t].kind == "regression":
        return np.corrcoef(own[seen, 0], y[seen])[0, 1]
    guess = own.argmax(1) if TASKS[t].kind == "multiclass" else own[:, 0] > 0
    return (guess[seen] == y[seen]).mean()


every = pytest.mark.parametrize("kind", HERE)


def test_every_learner_is_in_the_harness():
    assert set(QUICK) == set(LEARNERS)


def test_an_unknown_learner_names_the_nearest():
    with pytest.raises(InvalidInputError, match=r"no learner 'extra-tree'; did you mean 'extra-trees'\?"):
        learner_class("extra-tree")


@every
def test_answers_are_finite_and_in_target_units(kind):
    examples = table()
    fitted = make(kind).fit(examples, TASKS.names, ROWS)
    packed = fitted.outputs(examples.inputs.take(LEFT))
    assert fitted.tasks == TASKS.names
    assert packed.shape == (len(LEFT), TASKS.n_outputs)
    assert packed.dtype == np.float32
    assert np.isfinite(packed).all()
    for name in TASKS.names:
        assert share_right(examples, name, packed) > 0.5, name
    r, s = packed[:, TASKS.output_columns(["r", "s"])].T
    assert 200 < r.mean() < 400
    assert -2.1 < s.mean() < -1.9
    assert s.std() < 0.05


@every
def test_costs_are_counted(kind):
    cost = make(kind).fit(table(), TASKS.names, ROWS).cost
    assert cost.n_models == 1
    assert cost.params > 0 or kind in NEEDS
    assert cost.bytes > 0
    assert cost.train_seconds >= 0


@every
@pytest.mark.parametrize("categories", [True, False])
def test_a_saved_model_answers_the_same(kind, categories):
    examples = table(categories=categories)
    fitted = make(kind).fit(examples, TASKS.names, ROWS)
    inputs = examples.inputs.take(LEFT)
    loaded = learner_class(kind).load(round_trip(fitted.save()), context(examples))
    assert loaded.tasks == TASKS.names
    np.testing.assert_allclose(loaded.outputs(inputs), fitted.outputs(inputs), rtol=1e-6, atol=1e-6)
    assert loaded.cost == fitted.cost
    again = learner_class(kind).load(round_trip(loaded.save()), context(examples))
    np.testing.assert_array_equal(again.outputs(inputs), loaded.outputs(inputs))


@every
def test_the_same_seed_gives_the_same_model_whatever_is_fitted_beside_it(kind):
    examples, learner = table(), make(kind)
    orders = [Order(("a", "b"), 7), Order(("r", "m"), 8)]
    first = learner.fit_many(examples, ROWS, orders, seed=2)
    again = learner.fit_many(examples, ROWS, orders, seed=2)
    turned = learner.fit_many(examples, ROWS, orders[::-1], seed=2)[::-1]
    for one, two, three in zip(first, again, turned, strict=True):
        expected = one.outputs(examples.inputs)
        np.testing.assert_array_equal(two.outputs(examples.inputs), expected)
        np.testing.assert_allclose(three.outputs(examples.inputs), expected, rtol=1e-4, atol=1e-4)


@every
def test_rows_that_are_not_given_never_influence_the_fit(kind):
    examples, learner = table(), make(kind)
    garbage, gone = examples.Y.copy(), examples.Y.copy()
    garbage[LEFT] = np.where(np.isnan(garbage[LEFT]), 1.0, (garbage[LEFT] + 1) % 2)
    gone[LEFT] = np.nan
    expected = learner.fit(examples, TASKS.names, ROWS).outputs(examples.inputs)
    for Y in (garbage, gone):
        found = learner.fit(with_targets(examples, Y), TASKS.names, ROWS).outputs(examples.inputs)
        np.testing.assert_array_equal(found, expected)


@every
@pytest.mark.parametrize("name", TASKS.names)
def test_one_task(kind, name):
    examples = table()
    fitted = make(kind).fit(examples, [name], ROWS)
    packed = fitted.outputs(examples.inputs.take(LEFT))
    assert packed.shape == (len(LEFT), TASKS[TASKS.index_of(name)].n_outputs)
    assert np.isfinite(packed).all()


@every
def test_a_task_with_one_class_or_no_label(kind):
    examples = table()
    Y = examples.Y.copy()
    Y[:, 0] = np.where(np.isnan(Y[:, 0]), np.nan, 0.0)
    Y[:, 1] = np.nan
    Y[:, 3] = np.where(Y[:, 3] == 2, 1, Y[:, 3])  # no row of the last class
    Y[:, 4] = np.nan
    learner = make(kind)
    for names in (TASKS.names, ("b",), ("r",), ("a", "b")):
        packed = learner.fit(with_targets(examples, Y), names, ROWS).outputs(examples.inputs.take(LEFT))
        assert np.isfinite(packed).all(), names
        if "a" in names:
            assert (packed[:, 0] < 0).mean() > 0.9
    packed = learner.fit(with_targets(examples, Y), ["m"], ROWS).outputs(examples.inputs.take(LEFT))
    assert (packed.argmax(1) < 2).all()


@every
def test_a_label_of_no_weight_counts_as_missing(kind):
    examples, learner = table(missing=0.0), make(kind)
    rng = np.random.default_rng(5)
    wrong = rng.random(examples.Y.shape) < 0.2
    holes = np.where(wrong, np.nan, examples.Y).astype(np.float32)
    flipped = np.where(wrong, (examples.Y + 1) % 2, examples.Y).astype(np.float32)
    for names in (("a", "c", "r"),):
        missing = learner.fit(with_targets(examples, holes), names, ROWS).outputs(examples.inputs)
        weights = np.where(wrong, 0.0, 1.0).astype(np.float32)
        unweighted = learner.fit(with_targets(examples, flipped, weights), names, ROWS).outputs(examples.inputs)
        columns = [k for k, name in enumerate(names) if name != "r"]
        agree = (unweighted[:, columns] > 0) == (missing[:, columns] > 0)
        assert agree.mean() > 0.9


@every
def test_weights_are_respected(kind):
    """Of every two rows with the same inputs and opposite labels the heavier one is believed."""
    examples = table(missing=0.0, categories=False)
    X = np.concatenate([examples.inputs.raw[:100], examples.inputs.raw[:100]])
    schema = examples.schema
    Y = np.concatenate([examples.Y[:100], examples.Y[:100]])
    Y[100:, :3] = 1 - Y[:100, :3]
    weights = np.repeat(np.array([1.0, 0.02], np.float32), 100)[:, None] * np.ones((1, len(TASKS)), np.float32)
    doubled = Examples(TASKS, schema, Inputs.of(X, schema), Y, weights)
    packed = make(kind).fit(doubled, ("a", "b"), np.arange(200)).outputs(doubled.inputs)
    assert ((packed[:100] > 0) == (Y[:100, :2] > 0)).mean() > 0.7


@pytest.mark.parametrize("kind", ["extra-trees", "random-forest"])
def test_a_weighted_forest_answers_the_same_from_its_file(kind):
    examples = table()
    weights = np.random.default_rng(2).uniform(0.1, 3.0, examples.Y.shape).astype(np.float32)
    weighted = with_targets(examples, examples.Y, weights)
    fitted = make(kind).fit(weighted, TASKS.names, ROWS)
    loaded = learner_class(kind).load(round_trip(fitted.save()), context(examples))
    np.testing.assert_allclose(loaded.outputs(examples.inputs), fitted.outputs(examples.inputs), rtol=1e-6, atol=1e-6)


@every
def test_options_make_the_learner_again(kind):
    learner = make(kind)
    assert type(learner)(**json.loads(json.dumps(learner.options()))) == learner


@every
def test_what_it_says_of_itself(kind):
    learner = make(kind)
    assert learner.kind == kind
    assert learner.about
    assert learner.supports(table()) is None


def test_an_ensemble_of_networks_takes_piecewise_linear_embeddings():
    examples = table()
    fitted = make("tabm", n_bins=4).fit(examples, TASKS.names, ROWS)
    edges = fitted.model.embed.edges
    assert edges.shape == (5, 5)  # five numeric columns beside the categorical one
    loaded = learner_class("tabm").load(round_trip(fitted.save()), context(examples))
    np.testing.assert_allclose(loaded.outputs(examples.inputs), fitted.outputs(examples.inputs), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", CATEGORICAL)
@pytest.mark.parametrize("names", [("a", "b", "c"), ("r", "s"), ("m",)])
def test_boosting_stops_by_rows_of_its_own(kind, names):
    examples = table(missing=0.0)
    learner = make(kind, rounds=200, learning_rate=0.3, patience=5, stop_share=0.2)
    fitted = learner.fit(examples, names, ROWS)
    assert all(part.model.rounds < 200 for part in fitted.parts)
    loaded = learner_class(kind).load(round_trip(fitted.save()), context(examples))
    np.testing.assert_allclose(loaded.outputs(examples.inputs), fitted.outputs(examples.inputs), rtol=1e-6, atol=1e-6)


if JOINT:

    @pytest.mark.parametrize("kind", JOINT)
    def test_complete_labels_share_trees(kind):
        examples = table(missing=0.0)
        fitted = make(kind).fit(examples, TASKS.names, ROWS)
        assert [part.how for part in fitted.parts] == ["joint", "joint", "single"]
        assert [part.how for part in make(kind).fit(table(), TASKS.names, ROWS).parts] == ["pooled", "pooled", "single"]
        packed = fitted.outputs(examples.inputs.take(LEFT))
        assert all(share_right(examples, name, packed) > 0.5 for name in TASKS.names)


@pytest.mark.parametrize("kind", CATEGORICAL)
def test_missing_features_and_unseen_categories(kind):
    examples = table()
    X = examples.inputs.raw.copy()
    X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    X[LEFT[:10], 5] = 4.0
    X[ROWS, 5] = np.where(X[ROWS, 5] == 4.0, 3.0, X[ROWS, 5])  # category 4 is not among the fitted rows
    inputs = Inputs(X, np.nan_to_num(X))
    holes = Examples(TASKS, examples.schema, inputs, examples.Y)
    fitted = make(kind).fit(holes, TASKS.names, ROWS)
    packed = fitted.outputs(inputs)
    assert np.isfinite(packed).all()
    loaded = learner_class(kind).load(round_trip(fitted.save()), context(holes))
    np.testing.assert_allclose(loaded.outputs(inputs), packed, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["extra-trees", "random-forest"])
def test_a_forest_keeps_its_answers_in_single_precision(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 5)).astype(np.float32)
    schema = InputSchema.fit(X, tuple("abcde"), {}, (5,))
    tasks = TaskSet([Task("r", "regression"), Task("b")])
    Y = np.stack([1e6 + 1e3 * X[:, 0] + rng.normal(size=3000), X[:, 1] > 0], 1).astype(np.float32)
    examples = Examples(tasks, schema, Inputs.of(X, schema), Y)
    fitted = make(kind, trees=5, min_samples_leaf=1).fit(examples, tasks.names, np.arange(3000))
    assert fitted.leaf_of_row.max() > 2**11
    loaded = learner_class(kind).load(round_trip(fitted.save()), context(examples))
    np.testing.assert_allclose(loaded.outputs(examples.inputs), fitted.outputs(examples.inputs), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["extra-trees", "random-forest"])
def test_a_forest_of_many_tasks_is_grown_on_combinations_and_answers_with_the_tasks_themselves(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 6)).astype(np.float32)
    hidden = X @ rng.normal(size=(6, 2))
    Y = (hidden @ rng.normal(size=(2, 140)) + 0.3 * rng.normal(size=(500, 140)) > 0).astype(np.float32)
    tasks = TaskSet([f"t{i}" for i in range(140)])
    schema = InputSchema.fit(X, tuple("abcdef"), {}, (6,))
    examples = Examples(tasks, schema, Inputs.of(X, schema), Y)
    learner, order = make_learner(kind, trees=40), Order(tasks.names, 3)
    fitted = learner.fit_many(examples, np.arange(400), [order])[0]
    out = fitted.outputs(examples.inputs.take(np.arange(400, 500)))
    right = ((out > 0) == Y[400:]).mean(0)
    assert right.mean() > 0.8
    assert right.min() > 0.6
    again = learner.fit_many(examples, np.arange(400), [order])[0].outputs(examples.inputs.take(np.arange(400, 500)))
    np.testing.assert_array_equal(out, again)
    loaded = learner_class(kind).load(round_trip(fitted.save()), context(examples))
    np.testing.assert_allclose(loaded.outputs(examples.inputs.take(np.arange(400, 500))), out, atol=1e-6)


def test_out_of_bag_answers_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 4)).astype(np.float32), rng.normal(size=(200, 3)).astype(np.float32)

    def make_forest(n_trees, seed):
        return ExtraTreesRegressor(n_trees, bootstrap=True, oob_score=True, random_state=seed)

    forests = grow(make_forest, x, y, None, 30, 5)
    np.testing.assert_allclose(out_of_bag(forests, x, y), forests[0].oob_prediction_, atol=1e-6)


def wide_table(n_tasks, n_rows):
    names = [f"t{t}" for t in range(n_tasks)]
    X = np.zeros((n_rows, 40), np.float32)
    schema = InputSchema.fit(X, tuple(f"x{j}" for j in range(40)), {}, (40,))
    return Examples(TaskSet(names), schema, Inputs(X, X), np.zeros((n_rows, n_tasks), np.float32))


@pytest.mark.parametrize(
    ("kind", "arm", "sizes", "n_rows", "match"),
    [
        ("extra-trees", "per-task", [1] * 100, 2000, "100 tasks on 2,000 rows take long; ask for it with --arms"),
        ("extra-trees", "grouped", [50, 50], 2000, None),
        ("random-forest", "random-groups", [1, 1], 10, "controls are fitted with extra-trees"),
        ("wide-nets", "per-task", [1, 1], 10, "a control of width, for one model only"),
        ("boosting", "per-task", [1] * 4, 500, "forests do better on few rows"),
        ("boosting", "all-in-one", [600], 4000, "600 tasks on 4,000 rows each make more than 300,000 stacked rows"),
        ("boosting", "per-task", [1] * 4, 5000, None),
        ("nets", "per-task", [1] * 100, 2000, None),
        ("nets", "per-task", [1] * 201, 500, "201 networks on 500 rows of 40 features take long; ask for it with"),
        ("nets", "per-task", [1] * 200, 200_000, "200 networks on 200,000 rows of 40 features take long"),
        ("nets", "random-groups", [1] * 40, 200_000, "40 networks on 200,000 rows of 40 features take long"),
        ("nets", "label-groups", [10] * 4, 2000, None),
        ("tabm", "per-task", [1] * 100, 2000, "100 ensembles of 4 networks on 2,000 rows each take too long"),
        ("lightgbm", "all-in-one", [600], 2000, "600 tasks on 2,000 rows each make more than 300,000 stacked rows"),
    ],
)
def test_what_costs_too_much_is_declined_with_its_reason(kind, arm, sizes, n_rows, match):
    reason = make(kind).declines(arm, sizes, wide_table(sum(sizes), n_rows))
    assert (reason or "").startswith(match or "")
    assert (reason is None) == (match is None)
