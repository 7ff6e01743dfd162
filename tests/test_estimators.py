"""scikit-learn estimators: the contract, missing labels, mixed kinds, pipelines and searches."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from taskgroup import TaskGroupClassifier, TaskGroupEstimator, TaskGroupRegressor
from taskgroup.exceptions import InvalidInputError

FAST = {"learners": ["linear"], "arms": ["per-task"], "epochs": 1, "folds": 2}

EXCLUDED = {
    "TaskGroupClassifier": {"check_supervised_y_no_nan": "NaN in y is a missing label, which is allowed"},
    "TaskGroupRegressor": {},
}
"""{estimator: {check: why it does not apply}}."""
CHECKS = [
    pytest.param(estimator, check, id=f"{type(estimator).__name__}-{check.func.__name__}-{number}")
    for kind in (TaskGroupClassifier, TaskGroupRegressor)
    for number, (estimator, check) in enumerate(estimator_checks_generator(kind(**FAST)))
    if check.func.__name__ not in EXCLUDED[kind.__name__]
    and "array_api" not in check.func.__name__  # these skip themselves where scipy was not asked for array APIs
]


@pytest.mark.filterwarnings("ignore::taskgroup.exceptions.TaskGroupWarning")
@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_the_contract(estimator, check):
    check(estimator)


def _data(seed=0, n=160):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    signal = X @ rng.normal(size=(4, 3))
    words = np.array(["no", "yes"])[(signal[:, 0] + 0.3 * rng.normal(size=n) > 0).astype(int)].astype(object)
    y = pd.DataFrame({"tox": words, "grade": np.digitize(signal[:, 1], [-1, 1]), "level": 5 + signal[:, 2]})
    y.loc[rng.random(n) < 0.1, "level"] = np.nan
    y.loc[rng.random(n) < 0.1, "tox"] = None
    return pd.DataFrame(X, columns=list("abcd")), y


def test_mixed_kinds_with_missing_labels_from_frames():
    X, y = _data()
    model = TaskGroupEstimator(learners=["linear", "extra-trees"], arms=["all-in-one", "per-task"], epochs=2, folds=2)
    model.fit(X, y)
    assert [task.kind for task in model.tasks_] == ["binary", "multiclass", "regression"]
    predicted = model.predict(X)
    assert predicted.shape == (160, 3)
    assert set(predicted[:, 0]) == {"no", "yes"}
    assert model.score(X, y) > 0.75
    assert "plan" in model.scorecard_.methods
    assert sorted(name for group in model.groups_ for name in group) == ["grade", "level", "tox"]
    assert model.plan_.verdict
    assert list(model.feature_names_in_) == list("abcd")


def test_probabilities_pipelines_clones_and_searches():
    X, y = _data()
    Y = np.column_stack([y["grade"] > 0, y["grade"] > 1]).astype(int)
    model = TaskGroupClassifier(**FAST).fit(X, Y)
    one, other = model.predict_proba(X)
    np.testing.assert_allclose(one.sum(1), 1)
    np.testing.assert_array_equal(model.predict(X)[:, 1], other.argmax(1))
    assert clone(model).get_params() == model.get_params()
    piped = make_pipeline(StandardScaler(), TaskGroupClassifier(**FAST)).fit(X, Y)
    assert piped.score(X, Y) > 0.8
    search = GridSearchCV(TaskGroupClassifier(**FAST), {"plan": ["single", "best"]}, cv=2, error_score="raise")
    assert search.fit(X, Y).best_score_ > 0.7


def test_a_task_of_one_class_is_refused_by_name():
    X, y = _data()
    with pytest.raises(InvalidInputError, match="task 'flat' cannot be learned: one class only"):
        TaskGroupEstimator(**FAST).fit(X, y.assign(flat=1))
