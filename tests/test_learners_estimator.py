"""Estimators that users bring: how they are found and used, and how they fail."""

import json

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR, LinearSVC

from taskgroup.data import InputSchema
from taskgroup.exceptions import ArtifactError, InvalidInputError, LearnerError
from taskgroup.learners import Context, Examples, Inputs, Saved, make_learner
from taskgroup.learners._estimator import UserEstimator
from taskgroup.tasks import Task, TaskSet

COMPILED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
)
N = 120
ROWS = np.arange(90)
LABELS = TaskSet([Task("a"), Task("b"), Task("m", "multiclass", 3)])


def examples(tasks=LABELS, missing=False):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4)).astype(np.float32)
    columns = {
        "a": X[:, 0] > 0, "b": X[:, 1] > 0.3, "m": np.digitize(X[:, 0], (-0.5, 0.5)), "r": 50 + 10 * X[:, 1],
    }  # fmt: skip
    Y = np.stack([columns[name] for name in tasks.names], 1).astype(np.float32)
    if missing:
        Y[rng.random(Y.shape) < 0.2] = np.nan
    schema = InputSchema.fit(X, tuple("wxyz"), {}, (4,))
    return Examples(tasks, schema, Inputs.of(X, schema), Y)


def accuracy(table, packed):
    right = [(packed[90:, t] > 0) == (table.Y[90:, t] > 0) for t in range(2)]
    return np.nanmean([*right, packed[90:, 2:5].argmax(1) == table.Y[90:, 2]])


def pipeline():
    return make_pipeline(StandardScaler(), KNeighborsClassifier())


class Broken(RegressorMixin, BaseEstimator):
    def __init__(self, how="raises"):
        self.how = how

    def fit(self, X, y):
        if self.how == "raises":
            raise ValueError("the moon is full")
        self.width_ = y.shape[1] if y.ndim == 2 else 1
        return self

    def predict(self, X):
        return np.full(len(X), np.nan) if self.how == "nan" else np.zeros(len(X) + 1)


class Refuses(ClassifierMixin, BaseEstimator):
    def __init__(self, needed):
        self.needed = needed

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.zeros(len(X))


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    "estimator",
    [pipeline, LogisticRegression(), LinearSVC(), HistGradientBoostingClassifier(max_iter=5), SVR(), Ridge()],
    ids=lambda estimator: getattr(estimator, "__name__", type(estimator).__name__),
)  # fmt: skip
def test_any_estimator_answers_binary_and_multiclass_tasks(estimator, missing):
    table = examples(missing=missing)
    fitted = UserEstimator(estimator, COMPILED).fit(table, LABELS.names, ROWS)
    packed = fitted.outputs(table.inputs)
    assert packed.shape == (N, 5)
    assert np.isfinite(packed).all()
    assert accuracy(table, packed) > 0.7
    pytest.importorskip("skops")
    loaded = UserEstimator.load(written(fitted.save()), Context(LABELS, table.schema, own=COMPILED))
    np.testing.assert_allclose(loaded.outputs(table.inputs), packed, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("estimator", "missing", "how"),
    [
        (pipeline, False, ["joint", "single"]),
        (pipeline, True, ["pooled", "single"]),
        (LogisticRegression(), False, ["pooled", "single"]),
    ],
)
def test_classifiers_share_where_they_say_that_they_can(estimator, missing, how):
    fitted = UserEstimator(estimator).fit(examples(missing=missing), LABELS.names, ROWS)
    assert [part.how for part in fitted.parts] == how


@pytest.mark.parametrize(("estimator", "pooled"), [(Ridge(), False), (SVR(), True)])
def test_regressors_share_where_they_say_that_they_can(estimator, pooled):
    tasks = TaskSet([Task("a"), Task("r", "regression")])
    table = examples(tasks, missing=True)
    fitted = UserEstimator(estimator).fit(table, tasks.names, ROWS)
    assert fitted.pooled == pooled
    packed = fitted.outputs(table.inputs)
    assert 40 < packed[:, 1].mean() < 60


def test_features_come_raw_to_what_takes_missing_ones():
    assert not UserEstimator(HistGradientBoostingClassifier())._scaled
    assert UserEstimator(KNeighborsClassifier())._scaled
    assert UserEstimator(make_pipeline(StandardScaler(), KNeighborsClassifier()))._scaled is False


def test_a_name_is_looked_for_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "models_of_mine.py").write_text(
        "from sklearn.linear_model import Ridge\n\ndef make():\n    return Ridge(alpha=2.0)\n\nready = Ridge(alpha=3)\n"
    )
    monkeypatch.chdir(tmp_path)
    table = examples()
    for name in ("make", "ready"):
        learner = make_learner("estimator", estimator=f"models_of_mine:{name}")
        assert learner.supports(table) is None
        assert np.isfinite(learner.fit(table, ["a"], ROWS).outputs(table.inputs)).all()


@pytest.mark.parametrize(
    ("estimator", "match"),
    [
        ("no_such_module_at_all:make", "estimator 'no_such_module_at_all:make': No module named"),
        ("sklearn.svm:SVX", "estimator 'sklearn.svm:SVX': .*has no attribute 'SVX'"),
        ("sklearn.svm", "named as \"module:name\"; got 'sklearn.svm'"),
        (Refuses, "estimator Refuses: making it failed: TypeError: .*needed"),
        (3, "estimator int: it must have `fit` and `predict`.*got int"),
        (StandardScaler(), "estimator StandardScaler: it must have `fit` and `predict`"),
    ],
)
def test_what_is_no_estimator_is_refused(estimator, match):
    with pytest.raises(InvalidInputError, match=match):
        UserEstimator(estimator).fit(examples(), LABELS.names, ROWS)


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("raises", r"Broken\.fit failed: ValueError: the moon is full"),
        ("nan", r"Broken\.predict must return finite numbers; got NaN or infinity in 120 rows"),
        ("shape", r"Broken\.predict must return 1 column\(s\) for 120 rows; got shape \(121, 1\)"),
    ],
)
def test_an_estimator_that_fails_says_so_in_its_own_words(how, match):
    table = examples()
    with pytest.raises(LearnerError, match=match):
        UserEstimator(Broken(how)).fit(table, ["a"], ROWS).outputs(table.inputs)


def test_a_classifier_leaves_regressions_out():
    tasks = TaskSet([Task("a"), Task("r", "regression")])
    assert "is a classifier, and task 'r' is a regression" in UserEstimator(DummyClassifier()).supports(examples(tasks))
    with pytest.raises(InvalidInputError, match="regression tasks need a regressor"):
        UserEstimator(DummyClassifier()).fit(examples(tasks), ["r"], ROWS)


def test_a_file_holds_only_types_that_are_trusted():
    pytest.importorskip("skops")
    table, tree = examples(), "sklearn.tree._tree.Tree"
    source = "sklearn.tree:DecisionTreeRegressor"
    saved = UserEstimator(source).fit(table, LABELS.names, ROWS).save()
    assert not saved.arrays
    with pytest.raises(
        ArtifactError, match=f"cannot be served from its file: DecisionTreeRegressor holds types .*{tree}"
    ):
        UserEstimator.load(written(saved), Context(LABELS, table.schema))
    saved = UserEstimator(source, trusted=[tree]).fit(table, LABELS.names, ROWS).save()
    with pytest.raises(ArtifactError, match=f"not trusted: {tree}; pass those that you trust"):
        UserEstimator.load(written(saved), Context(LABELS, table.schema))
    UserEstimator.load(written(saved), Context(LABELS, table.schema, own=[tree])).outputs(table.inputs)


def written(saved):
    return Saved(dict(saved.arrays), json.loads(json.dumps(saved.document)))
