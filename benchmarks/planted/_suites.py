"""The planted suites: inputs, tasks and the true groups of the tasks.

Digits come with scikit-learn; the rest is generated. ``truth`` holds one group number per task, -1 for tasks that
belong to no group. Every suite is a function of a seed alone, but for the mix of real sets, which needs their folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from scipy.linalg import hadamard
from sklearn.datasets import load_digits


@dataclass(frozen=True)
class Suite:
    X: np.ndarray  # (N, d) float32
    Y: np.ndarray  # (N, T) float32, class codes, NaN where missing
    n_classes: np.ndarray  # (T,), 2 for binary
    truth: np.ndarray  # (T,), -1: no group


def _binary(X, Y, truth):
    return Suite(X.astype(np.float32), Y.astype(np.float32), np.full(Y.shape[1], 2), np.asarray(truth))


@cache
def _digits():
    images, digit = load_digits(return_X_y=True)
    return (images / 16.0).astype(np.float32), digit


def _flip(labels, rate, rng):
    return np.where(rng.uniform(size=labels.shape) < rate, 1 - labels, labels)


def copies(rng, hidden=0.0):
    """6 concepts (halves of the ten digits), 6 noisy copies each, every third a complement; 6 random tasks."""
    X, digit = _digits()
    concepts = _unrelated_halves(rng, 6)
    truth = np.repeat(np.arange(6), 6)
    columns = []
    for t, concept in enumerate(truth):
        labels = _flip(concepts[concept][digit], rng.uniform(0.02, 0.2), rng)
        columns.append(1 - labels if t % 3 == 2 else labels)
    columns += [rng.integers(0, 2, len(X)) for _ in range(6)]
    Y = np.stack(columns, 1).astype(np.float32)
    Y[rng.uniform(size=Y.shape) < hidden] = np.nan
    return _binary(X, Y, np.concatenate([truth, np.full(6, -1)]))


def _unrelated_halves(rng, n):
    """Splits of ten classes into five and five, any two with |phi| <= 0.2."""
    chosen = []
    while len(chosen) < n:
        split = np.zeros(10, np.int64)
        split[rng.permutation(10)[:5]] = 1
        if all(abs(np.corrcoef(split, other)[0, 1]) <= 0.21 for other in chosen):
            chosen.append(split)
        elif rng.uniform() < 0.01:
            chosen = []
    return chosen


def strata(rng):
    """6 concepts (random two-layer functions of 32 inputs) x 5 rates of label noise; the truth is the concept."""
    X = rng.normal(size=(2000, 32))
    columns, truth = [], []
    for concept in range(6):
        hidden = np.tanh(X @ rng.normal(size=(32, 8)) / 32**0.5)
        score = hidden @ rng.normal(size=8)
        labels = (score > np.median(score)).astype(int)
        for rate in (0.0, 0.08, 0.16, 0.24, 0.32):
            columns.append(_flip(labels, rate, rng))
            truth.append(concept)
    return _binary(X, np.stack(columns, 1), truth)


def _side_by_side(rng, n_blocks, n=2500, classes=10):
    """n_blocks independent digit images per sample: inputs (n, 64 n_blocks) and digits (n, n_blocks)."""
    images, digit = _digits()
    allowed = np.flatnonzero(digit < classes)
    pick = rng.choice(allowed, size=(n, n_blocks))
    return images[pick], digit[pick]


def blocks(rng):
    """4 images side by side, ten one-vs-rest tasks on each."""
    images, digit = _side_by_side(rng, 4)
    Y = (digit[:, :, None] == np.arange(10)).reshape(len(digit), 40)
    return _binary(images.reshape(len(images), -1), Y, np.repeat(np.arange(4), 10))


def codes(rng, corruption=0.0):
    """4 images side by side of the digits 0-7, seven balanced and mutually orthogonal codes of the digit on each."""
    images, digit = _side_by_side(rng, 4, classes=8)
    level = corruption * rng.uniform(size=(*digit.shape, 1))
    images = images + level * rng.normal(size=images.shape)
    bits = (hadamard(8)[:, 1:] > 0).astype(int)
    Y = np.concatenate([bits[rng.permutation(8)][digit[:, b]] for b in range(4)], 1)
    return _binary(images.reshape(len(images), -1), Y, np.repeat(np.arange(4), 7))


def multiclass(rng):
    """4 images side by side, six tasks on each: the ten digits dealt at random into four classes."""
    images, digit = _side_by_side(rng, 4)
    columns = [rng.permutation(np.arange(10) % 4)[digit[:, b]] for b in range(4) for _ in range(6)]
    Y = np.stack(columns, 1).astype(np.float32)
    return Suite(images.reshape(len(images), -1), Y, np.full(24, 4), np.repeat(np.arange(4), 6))


_REAL = ("yeast", "emotions", "scene", "birds")


def mix(rng, folder):
    """Rows of real multi-label sets side by side; the truth is the set a task comes from."""
    inputs, targets, truth = [], [], []
    for group, name in enumerate(_REAL):
        with np.load(Path(folder) / f"{name}.npz", allow_pickle=False) as data:
            X, Y = data["X"].astype(np.float32), data["Y"]
        pick = rng.integers(0, len(X), 2400) if len(X) < 2400 else rng.permutation(len(X))[:2400]
        X = (X - X.mean(0)) / (X.std(0) + 1e-6)
        common = np.flatnonzero((Y == 1).mean(0) > 0.03)
        inputs.append(np.clip(X[pick], -4, 4))
        targets.append(Y[np.ix_(pick, common)])
        truth += [group] * len(common)
    return _binary(np.concatenate(inputs, 1), np.concatenate(targets, 1), truth)


def noise(rng):
    """20 tasks whose labels are coin flips, on digit images: there is nothing to find."""
    X, _ = _digits()
    return _binary(X, rng.uniform(size=(len(X), 20)) < rng.uniform(0.2, 0.8, 20), np.full(20, -1))


def suites(folder: str | None) -> dict[str, Callable[[np.random.Generator], Suite]]:
    found: dict[str, Callable[[np.random.Generator], Suite]] = {
        "copies": copies,
        "strata": strata,
        "blocks": blocks,
        "codes": codes,
        "corrupted": partial(codes, corruption=0.8),
        "multiclass": multiclass,
        "missing-30": partial(copies, hidden=0.3),
        "missing-60": partial(copies, hidden=0.6),
    }
    if folder is not None and all((Path(folder) / f"{name}.npz").is_file() for name in _REAL):
        found["mix"] = partial(mix, folder=folder)
    return found
