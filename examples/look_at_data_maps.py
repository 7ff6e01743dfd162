"""Data Maps without any network: ten tasks on handwritten digits, a few labels made wrong, and how the maps show them.

    python examples/look_at_data_maps.py [FOLDER]     writes data_map.png and data_maps.png into FOLDER (default: here)

Any model that gives a probability per epoch will do; here it is scikit-learn's logistic regression.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

from taskgroup import DataMaps, TaskSet
from taskgroup.datamaps import encode_probability
from taskgroup.report import plot_data_map, plot_data_maps, sample_table

N_EPOCHS, N_WRONG = 12, 40


def record(X: np.ndarray, Y: np.ndarray, tasks: TaskSet) -> DataMaps:
    """Train one classifier per task and record, after every epoch, what it thinks of the true labels."""
    history = np.empty((N_EPOCHS, *Y.shape), np.uint16)
    for t in range(len(tasks)):
        model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.002, random_state=t)
        for epoch in range(N_EPOCHS):
            model.partial_fit(X, Y[:, t], classes=[0, 1])
            positive = model.predict_proba(X)[:, 1]
            truth = np.where(Y[:, t] == 1, positive, 1 - positive)
            history[epoch, :, t] = encode_probability(truth)
    return DataMaps.from_history(tasks, history, targets=Y.astype(np.float32))


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    X, digit = load_digits(return_X_y=True)
    tasks = TaskSet([f"is_{d}" for d in range(10)])
    Y = (digit[:, None] == np.arange(10)).astype(int)
    wrong = np.random.default_rng(0).choice(len(Y), N_WRONG, replace=False)
    Y[wrong, 3] = 1 - Y[wrong, 3]

    maps = record(X / 16, Y, tasks)
    hardest = sample_table(maps, "is_3", "hard", n=N_WRONG)
    found = len({row.sample_id for row in hardest} & set(wrong.tolist()))
    print(f"{found} of the {N_WRONG} hardest samples of is_3 are among the {N_WRONG} labels made wrong.")
    for row in hardest[:5]:
        print(f"  sample {row.sample_id}: confidence {row.confidence:.3f}, label {row.target:.0f}")

    plot_data_map(maps, "is_3").figure.savefig(folder / "data_map.png", dpi=120)
    plot_data_maps(maps).savefig(folder / "data_maps.png", dpi=120)


if __name__ == "__main__":
    main()
