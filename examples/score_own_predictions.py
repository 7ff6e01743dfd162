"""Judge predictions that were made without taskgroup: which blend of your models should serve the tasks.

Three scikit-learn ways of telling ten digits from the top half of their images, one task per digit. Any other source
of predictions does as well: all that is needed are targets (n, T), NaN where missing, and logits (n, T) of each method.

    python examples/score_own_predictions.py
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from taskgroup.plan import judge


def logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-3, 1 - 1e-3)
    return np.log(p / (1 - p))


def main() -> None:
    images, digit = load_digits(return_X_y=True)
    X, Y = images[:, :32] / 16, np.eye(10)[digit]
    order = np.random.default_rng(0).permutation(len(X))
    rows = {"train": order[:900], "honest": order[900:1350], "test": order[1350:]}
    X_train, digit_train = X[rows["train"]], digit[rows["train"]]

    # A method that depends on chance is fitted several times; one that does not has a single seed.
    models = {
        "logistic": {0: LogisticRegression(max_iter=500)},
        "neighbours": {0: KNeighborsClassifier(15)},
        "trees": {seed: ExtraTreesClassifier(100, random_state=seed) for seed in range(3)},
    }
    fitted = {m: {s: model.fit(X_train, digit_train) for s, model in seeds.items()} for m, seeds in models.items()}
    splits = ("honest", "test")  # rows that nothing was fitted to: to choose by, and to report on
    predictions = {
        split: {
            m: {s: logit(model.predict_proba(X[rows[split]])) for s, model in seeds.items()}
            for m, seeds in fitted.items()
        }
        for split in splits
    }
    targets = {split: Y[rows[split]] for split in splits}
    card, plan, _ = judge(targets, predictions, tasks=[f"is {d}" for d in range(10)])

    for row in card.summary():
        low, high = row["ci95"]
        print(f"{row['method']:10s}  mean test AUC {row['mean']:.4f}  [{low:.4f}, {high:.4f}]")
    for task, choice in plan.tasks.items():
        shares = ", ".join(f"{weight:.0%} {name}" for name, weight in choice["weights"].items())
        print(f"{task}: {shares}, test AUC {choice['test']:.4f}")
    print(plan.answer)


if __name__ == "__main__":
    main()
