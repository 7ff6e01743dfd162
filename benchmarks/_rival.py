"""A blend without any network or group: what thirty lines of scikit-learn give.

Extremely randomised trees and a random forest of all tasks (200 trees) and a logistic regression per task with
C = .003, .03, .3; logits of the development rows by cross-fitting in five folds; greedy selection with replacement,
twelve rounds, by the mean AUC over the tasks, one set of weights for all; final models on all development rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from taskgroup.data import TaskTable, stratified_split

__all__ = ["direct", "mean_auc", "rival"]

Floats = NDArray[np.float64]

_FOREST = {"min_samples_leaf": 2, "max_features": "sqrt", "random_state": 0, "n_jobs": 1}


def mean_auc(Y: NDArray[np.float32], P: NDArray[Any]) -> float:
    """Return the mean AUC over the tasks that have both classes."""
    found = []
    for y, p in zip(Y.T, P.T, strict=True):
        seen = ~np.isnan(y)
        if len(np.unique(y[seen])) == 2:
            found.append(roc_auc_score(y[seen], p[seen]))
    return float(np.mean(found))


def forest(kind: type, trees: int, X: Any, Y: NDArray[np.float32], rows: list[Any]) -> list[Floats]:
    """Return the answers of a forest of all tasks, missing labels filled with the mean of the task."""
    filled = np.where(np.isnan(Y), np.nanmean(Y, axis=0), Y)
    model = kind(trees, **_FOREST).fit(X, filled)
    return [model.predict(x).reshape(len(x), -1) for x in rows]


def logistic(C: float, X: Any, Y: NDArray[np.float32], rows: list[Any]) -> list[Floats]:
    """Return the probabilities of a logistic regression per task."""
    answers = [np.zeros((len(x), Y.shape[1])) for x in rows]
    for t, y in enumerate(Y.T):
        seen = ~np.isnan(y)
        if len(np.unique(y[seen])) < 2:
            for answer in answers:
                answer[:, t] = y[seen].mean() if seen.any() else 0.5
            continue
        model = LogisticRegression(C=C, max_iter=200, tol=1e-3).fit(X[seen], y[seen])
        for answer, x in zip(answers, rows, strict=True):
            answer[:, t] = model.predict_proba(x)[:, 1]
    return answers


def rival(table: TaskTable) -> dict[str, float]:
    """Return the test AUC of the blend and of each of its parts."""
    X = table.schema.transform(table.X)
    rows, test = np.flatnonzero(table.split != 2), table.rows("test")
    Y, folds = table.Y[rows], stratified_split(table.Y[rows], table.tasks, [0.2] * 5, 0)
    parts = {
        "et200": lambda x, y, s: forest(ExtraTreesRegressor, 200, x, y, s),
        "rf200": lambda x, y, s: forest(RandomForestRegressor, 200, x, y, s),
        **{f"lr{C}": lambda x, y, s, C=C: logistic(C, x, y, s) for C in (0.003, 0.03, 0.3)},
    }
    honest, final = {}, {}
    for name, part in parts.items():
        honest[name] = np.zeros(Y.shape)
        for fold in range(5):
            out = folds == fold
            honest[name][out] = part(X[rows[~out]], Y[~out], [X[rows[out]]])[0]
        final[name] = part(X[rows], Y, [X[test]])[0]
    z = {name: _logit(p) for name, p in honest.items()}
    total, counts = np.zeros(Y.shape), dict.fromkeys(parts, 0)
    for n in range(1, 13):
        best = max(z, key=lambda name: mean_auc(Y, (total + z[name]) / n))
        total += z[best]
        counts[best] += 1
    blend = sum(count / 12 * _logit(final[name]) for name, count in counts.items())
    scores = {name: mean_auc(table.targets("test"), p) for name, p in final.items()}
    return {"rival": mean_auc(table.targets("test"), blend), **scores}


def direct(table: TaskTable) -> dict[str, float]:
    """Return the test AUC of what people would call directly: forests of 300 trees, boosting per task."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    X = table.schema.transform(table.X)
    rows, test = np.flatnonzero(table.split != 2), table.rows("test")
    Y, truth = table.Y[rows], table.targets("test")
    scores = {
        name: mean_auc(truth, forest(kind, 300, X[rows], Y, [X[test]])[0])
        for name, kind in (("ET", ExtraTreesRegressor), ("RF", RandomForestRegressor))
    }
    boosted = np.zeros(truth.shape)
    for t, y in enumerate(Y.T):
        seen = ~np.isnan(y)
        if len(np.unique(y[seen])) == 2:
            model = HistGradientBoostingClassifier(random_state=0).fit(X[rows[seen]], y[seen])
            boosted[:, t] = model.predict_proba(X[test])[:, 1]
    return {**scores, "HGB": mean_auc(truth, boosted)}


def _logit(p: Floats) -> Floats:
    clipped = np.clip(p, 1e-4, 1 - 1e-4)
    return np.log(clipped / (1 - clipped))
