"""Time and memory of features and clustering: python -m benchmarks.grouping [ROW ...], one line of JSON per row.

Each row runs in a process of its own. ``cpu_s`` is process time of the part measured, after imports and the making of
data; ``anon_mb`` is the peak of anonymous memory above what was held before (a mapped history file is not counted).
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from taskgroup.cluster import KMeansGroups, SpectralGroups, group_tasks
from taskgroup.datamaps import DataMaps
from taskgroup.features import embed, task_features
from taskgroup.tasks import TaskSet


def features_100() -> dict:
    """T=100, N=50,000, 10 epochs of history."""
    return _features(100, 8)


def features_1000() -> dict:
    """T=1,000, N=50,000, 10 epochs of history: 10^9 bytes on disk, read as a memory map."""
    return _features(1000, 50)


def _features(n_tasks: int, k: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        maps, truth = _maps_on_disk(Path(folder) / "history.u16", 50_000, n_tasks, 10, k)
        out = {}
        with _measured() as raw:
            features = task_features(maps, "raw")
            raw_features_s = raw.seconds()
            labels = KMeansGroups(k, n_init=100).fit(features.embedding).labels_
        out["raw + k-means, 100 starts"] = raw.row(features_s=raw_features_s, ari=_ari(truth, labels))
        with _measured() as ours:
            grouping = group_tasks(task_features(maps), k=k)
        out["abs-corr + spectral, with stability"] = ours.row(ari=_ari(truth, grouping.labels))
        with _measured() as auto:
            grouping = group_tasks(task_features(maps), k="auto")
        out["the same, k=auto"] = auto.row(ari=_ari(truth, grouping.labels), k=grouping.n_groups)
        return out


def from_gram() -> dict:
    """Clustering alone: T=1,000, k=50, 100 starts, from the Gram matrix."""
    rng = np.random.default_rng(0)
    truth = np.arange(1000) % 50
    points = 2.0 * rng.normal(size=(50, 300))[truth] + rng.normal(size=(1000, 300))
    gram = points @ points.T
    similarity = np.maximum(np.corrcoef(points), 0)
    with _measured() as kmeans:
        labels = KMeansGroups(50, n_init=100).fit(embed(gram)[:, :50]).labels_
    with _measured() as spectral:
        cut = SpectralGroups(50, affinity="precomputed", n_init=100).fit(similarity).labels_
    return {
        "k-means, 100 starts, 50 leading components": kmeans.row(ari=_ari(truth, labels)),
        "spectral, 100 starts": spectral.row(ari=_ari(truth, cut)),
    }


def small() -> dict:
    """The size of the bundled run: T=100, N=1,100."""
    with tempfile.TemporaryDirectory() as folder:
        maps, truth = _maps_on_disk(Path(folder) / "history.u16", 1100, 100, 10, 8)
        with _measured() as fixed:
            grouping = group_tasks(maps, k=8)
        with _measured() as auto:
            chosen = group_tasks(maps, k="auto", soft=True)
        return {
            "k=8": fixed.row(ari=_ari(truth, grouping.labels)),
            "k=auto, soft": auto.row(ari=_ari(truth, chosen.labels)),
        }


def parity() -> dict:
    """Labels and distances of `raw` + k-means against scikit-learn's KMeans on the full vectors: T=60, N=5,000."""
    with tempfile.TemporaryDirectory() as folder:
        maps, _ = _maps_on_disk(Path(folder) / "history.u16", 5000, 60, 10, 6, noise=3)
        vectors = _stg_vectors(np.asarray(maps.history))
        reference = KMeans(6, n_init=20, random_state=0).fit(vectors)
        start = reference.cluster_centers_
        points = task_features(maps, "raw").embedding
        member = np.eye(6)[reference.labels_]
        centres = (member / member.sum(0)).T @ points
        ours = KMeans(6, init=centres, n_init=1).fit(points)
        many = KMeansGroups(6, n_init=100).fit(points)
        full = np.linalg.norm(vectors[:, None] - start[None], axis=2)
        mine = np.linalg.norm(points[:, None] - ours.cluster_centers_[None], axis=2)
        return {
            "largest relative difference of a distance to a centre": float(np.abs(mine / full - 1).max()),
            "ARI from the same start": _ari(reference.labels_, ours.labels_),
            "ARI of independent searches, 20 against 100 starts": _ari(reference.labels_, many.labels_),
            "inertia, theirs": float(reference.inertia_),
            "inertia, ours": many.inertia_,
        }


def thousand() -> dict:
    """Profile and cluster 1,000 planted tasks, 50 groups of 20: N=6,000, 3,200 inputs, k=auto."""
    from benchmarks.planted._profile import record
    from benchmarks.planted._suites import thousand as make

    suite = make(np.random.default_rng(0))
    wall = time.perf_counter()
    with _measured() as profile:
        maps = record(suite, epochs=8, hidden=256, batch=256, seed=0).maps
    with _measured() as cluster:
        grouping = group_tasks(maps, k="auto")
    return {
        "profile": profile.row(),
        "cluster": cluster.row(
            ari=_ari(suite.truth, grouping.labels), k=grouping.n_groups, stability=grouping.stability
        ),
        "wall_s": round(time.perf_counter() - wall, 1),
    }


def _maps_on_disk(path: Path, n: int, n_tasks: int, epochs: int, k: int, noise: int = 1) -> tuple[DataMaps, np.ndarray]:
    """Maps with a mapped history: a latent value per (sample, group), and noise per (epoch, sample, task)."""
    rng = np.random.default_rng(0)
    truth = np.arange(n_tasks) % k
    history = np.memmap(path, np.uint16, "w+", shape=(epochs, n, n_tasks))
    latent = rng.integers(0, 65534 // (noise + 1), (n, k), dtype=np.uint16)
    step = max(1, (1 << 24) // n_tasks)
    for epoch in range(epochs):
        for start in range(0, n, step):
            rows = slice(start, start + step)
            shape = history[epoch, rows].shape
            part = rng.integers(0, noise * (65534 // (noise + 1)), shape, dtype=np.uint16)
            history[epoch, rows] = latent[rows][:, truth] + part
    history.flush()
    mapped = np.memmap(path, np.uint16, "r", shape=history.shape)
    return DataMaps.from_history(TaskSet([f"t{t:04d}" for t in range(n_tasks)]), mapped), truth


def _stg_vectors(history: np.ndarray) -> np.ndarray:
    p = history / 65534.0
    snapshots = [part for e in range(len(p)) for part in (p[: e + 1].mean(0), p[: e + 1].std(0))]
    return np.concatenate(snapshots).T


def _ari(truth: np.ndarray, labels: np.ndarray) -> float:
    return round(float(adjusted_rand_score(truth, labels)), 4)


class _Measure:
    def __init__(self) -> None:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before must not hide what is taken now
        self.cpu, self.base, self.peak = time.process_time(), _anonymous(), 0

    def seconds(self) -> float:
        return round(time.process_time() - self.cpu, 2)

    def row(self, **more: float) -> dict:
        return {"cpu_s": self.total, "anon_mb": round((self.peak - self.base) / 1e6), **more}


@contextmanager
def _measured():
    """Measure CPU seconds of this process and, by sampling, its peak of anonymous memory."""
    measure, done = _Measure(), threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            measure.peak = max(measure.peak, _anonymous())

    thread = threading.Thread(target=watch)
    thread.start()
    yield measure
    measure.total = measure.seconds()
    done.set()
    thread.join()


def _anonymous() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


ROWS: dict[str, Callable[[], dict]] = {
    row.__name__: row for row in (small, features_100, features_1000, from_gram, parity, thousand)
}


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    found = []
    for name in ("small", "from_gram") if quick else ROWS:  # each in a process of its own, for its memory
        out = subprocess.run([sys.executable, "-m", "benchmarks.grouping", name], capture_output=True, check=True)
        found += [row for case, measured in json.loads(out.stdout).items() for row in flat(case, measured)]
    return found


def flat(case: str, measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each thing of which several were measured, and one for the rest."""
    several = {what: of for what, of in measured.items() if isinstance(of, dict)}
    rest = {what: of for what, of in measured.items() if what not in several}
    found = [{"case": case, "what": what, **of} for what, of in several.items()]
    return [*found, {"case": case, **rest}] if rest else found


def main() -> None:
    names = sys.argv[1:]
    if len(names) == 1 and names[0] in ROWS:
        print(json.dumps({names[0]: ROWS[names[0]]()}))
        return
    for name in names or ROWS:
        subprocess.run([sys.executable, "-m", "benchmarks.grouping", name], check=True)


if __name__ == "__main__":
    main()
