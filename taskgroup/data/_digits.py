"""The bundled table ``digits``: 100 real tasks that need no download.

Input is the TOP HALF of scikit-learn's 8 x 8 handwritten digits (32 pixels), so that there is something left to learn:
whole images saturate at an AUC of .99. The 100 binary tasks come in four families: which digit (10), what the digit is
like (15), is it one of two digits (45), and is a pixel of the unseen BOTTOM half bright (30).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from taskgroup.tasks import Task

__all__ = ["digits_arrays"]

ATTRIBUTES: dict[str, tuple[int, ...]] = {
    "even": (0, 2, 4, 6, 8),
    "prime": (2, 3, 5, 7),
    "has_loop": (0, 6, 8, 9),
    "five_or_more": (5, 6, 7, 8, 9),
    "multiple_of_3": (0, 3, 6, 9),
    "open_curve": (2, 3, 5),
    "straight": (1, 4, 7),
    "power_of_2": (1, 2, 4, 8),
    "square": (0, 1, 4, 9),
    "fibonacci": (1, 2, 3, 5, 8),
    "middle": (3, 4, 5, 6),
    "mirror": (0, 3, 8),
    "one_mod_4": (1, 5, 9),
    "flat_bar": (2, 4, 5, 7),
    "triangular": (0, 1, 3, 6),
}
THRESHOLDS = (4, 8, 12)
N_PIXEL_TASKS = 30


def digits_arrays() -> tuple[NDArray[np.float32], NDArray[np.float32], list[Task], list[str]]:
    """Return X (1797, 32), Y (1797, 100), the 100 tasks and the 32 feature names."""
    from sklearn.datasets import load_digits

    images, digit = load_digits(return_X_y=True)
    columns: dict[tuple[str, str], NDArray[np.bool_]] = {}
    for d in range(10):
        columns["digit", f"digit_{d}"] = digit == d
    for name, members in ATTRIBUTES.items():
        columns["attribute", f"attr_{name}"] = np.isin(digit, members)
    for a, b in combinations(range(10), 2):
        columns["pair", f"pair_{a}{b}"] = np.isin(digit, (a, b))
    for pixel, threshold in _balanced_pixels(images[:, 32:]):
        name = f"pixel_r{4 + pixel // 8}c{pixel % 8}_gt{threshold}"
        columns["pixel", name] = images[:, 32 + pixel] > threshold
    tasks = [Task(name, family=family) for family, name in columns]
    targets = np.stack(list(columns.values()), axis=1).astype(np.float32)
    features = [f"r{row}c{column}" for row in range(4) for column in range(8)]
    return images[:, :32].astype(np.float32), targets, tasks, features


def _balanced_pixels(bottom: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the (pixel, threshold) pairs whose share of bright samples is nearest to one half, in reading order."""
    pairs = [(pixel, threshold) for pixel in range(32) for threshold in THRESHOLDS]
    imbalance = [abs(float((bottom[:, pixel] > threshold).mean()) - 0.5) for pixel, threshold in pairs]
    best = np.argsort(imbalance, kind="stable")[:N_PIXEL_TASKS]
    return [pairs[i] for i in sorted(best)]
