"""What taskgroup is compared with: published affinities, transcribed from their formulas, and chance.

Affinity matrices are symmetrised, their negative part dropped, and cut by the same spectral clustering as ours, so that
rows of the table differ in the affinity alone; STG-MTL's are k-means and fuzzy c-means on its vectors, as published.
"""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from benchmarks.planted._profile import Recording
from taskgroup.cluster import FuzzyCMeans, SpectralGroups
from taskgroup.datamaps import decode_probability


def stg_vectors(recording: Recording) -> np.ndarray:
    """(T, 2 N E): running mean and standard deviation (ddof=1) of the probability after every epoch."""
    p = decode_probability(recording.maps.history)
    # The published code records every sample for every task; a missing label counts as the task's mean.
    p = np.where(np.isnan(p), np.nanmean(p, axis=1, keepdims=True), p)
    count = np.arange(1, len(p) + 1)[:, None, None]
    mean = np.cumsum(p, 0) / count
    variance = np.maximum(np.cumsum(p**2, 0) / count - mean**2, 0) * count / np.maximum(count - 1, 1)
    return np.concatenate([mean, np.sqrt(variance)]).reshape(-1, p.shape[2]).T


def stg_kmeans(recording, k, seed):
    return KMeans(k, n_init=10, random_state=seed).fit(stg_vectors(recording)).labels_


def stg_fuzzy(recording, k, seed):
    vectors = stg_vectors(recording)
    vectors = vectors - vectors.mean(0)
    values, axes = np.linalg.eigh(vectors @ vectors.T)  # same distances in T coordinates
    return FuzzyCMeans(k, m=1.07, random_state=seed).fit(axes * np.sqrt(np.maximum(values, 0))).labels_


def tag(recording, k, seed):
    return _cut(recording.lookahead, k, seed)


def gradient_cosine(recording, k, seed):
    return _cut(recording.gradient_cosine, k, seed)


def head_cosine(recording, k, seed):
    unit = recording.heads / np.linalg.norm(recording.heads, axis=1, keepdims=True)
    return _cut(unit @ unit.T, k, seed)


def random(recording, k, seed):
    labels = np.arange(recording.maps.n_tasks) % k
    return np.random.default_rng(seed).permutation(labels)


RIVALS = {
    "STG-MTL raw k-means": stg_kmeans,
    "STG-MTL raw fuzzy (m=1.07)": stg_fuzzy,
    "TAG look-ahead": tag,
    "gradient cosine": gradient_cosine,
    "task-head cosine": head_cosine,
    "random": random,
}


def _cut(affinity: np.ndarray, k: int, seed: int) -> np.ndarray:
    positive = np.maximum((affinity + affinity.T) / 2, 0)
    np.fill_diagonal(positive, positive.max())
    return SpectralGroups(k, affinity="precomputed", random_state=seed).fit(positive).labels_
