"""Data Maps: how each sample fares in each task over the epochs of a training.

Dataset Cartography (Swayamdipta et al., EMNLP 2020, arXiv 2009.10795, section 2) places every sample of one task at its
*confidence* (mean over epochs of the probability given to the true label) and its *variability* (standard deviation of
the same). STG-MTL (Sherif et al., arXiv 2307.03374, section 3) records one map per task. Here a set of maps is
one artefact of (n_samples, n_tasks) arrays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from taskgroup._artifact import content_hash, read_arrays, write_arrays
from taskgroup._validation import check_matrix
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import TaskSet

__all__ = ["UNSEEN", "DataMaps", "decode_probability", "encode_probability"]

UNSEEN = 65535
"""The 16-bit code of "no observation"; probabilities use the codes 0 .. 65534."""

_SCALE = 65534.0
_CHUNK = 1 << 20  # values decoded at a time: a few MB, whatever the number of tasks


def encode_probability(probability: NDArray[Any]) -> NDArray[np.uint16]:
    """Return probabilities in [0, 1] as 16-bit fixed point, NaN as :data:`UNSEEN`; the error is at most 7.7e-6."""
    missing = np.isnan(probability)
    codes = np.rint(np.where(missing, 0.0, probability) * _SCALE).astype(np.uint16)
    codes[missing] = UNSEEN
    return codes


def decode_probability(codes: NDArray[np.uint16], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Return the probabilities of 16-bit codes as floats of ``dtype``, :data:`UNSEEN` as NaN."""
    values: NDArray[Any] = codes.astype(dtype)
    values /= values.dtype.type(_SCALE)
    unseen = codes == UNSEEN
    if unseen.any():
        values[unseen] = np.nan
    return values


@dataclass(frozen=True, eq=False)
class DataMaps:
    """Data Maps of T tasks over N samples.

    Every array is (N, T), row-major, with NaN where a task never saw a sample.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks, in column order.
    confidence : ndarray of float32, in [0, 1]
        Mean over epochs of the probability given to the true label.
    variability : ndarray of float32, in [0, 0.5] for ddof=0
        Standard deviation of that probability over epochs.
    count : ndarray of uint16
        Number of epochs in which the task saw the sample with a label.
    correctness : ndarray of float32, in [0, 1], optional
        Share of epochs with the right prediction; NaN for regression.
    forgetting : ndarray of float32, optional
        Number of transitions from right to wrong between consecutive observations.
    aleatoric : ndarray of float32, in [0, 0.25], optional
        Mean of p (1 - p).
    margin : ndarray of float32, optional
        Area under the margin: mean over epochs of (true logit - largest other logit), in logit space.
    targets : ndarray of float32, optional
        The labels, NaN where missing: 0/1, class codes or real numbers by task kind.
    history : ndarray of uint16 of shape (n_epochs, N, T), optional
        Every epoch's probability, as :func:`encode_probability` writes it; may be a memory map.
    sample_ids : ndarray of int64 of shape (N,), optional
        What row i stands for in the user's data; 0 .. N - 1 when left out.
    ddof : {0, 1}
        Divisor of the variability: count - ddof. 0 is cartography's, 1 is STG-MTL's.
    info : dict
        JSON-able facts about the recording (mode, epochs, scales of regression residuals).
    """

    tasks: TaskSet
    confidence: NDArray[np.float32]
    variability: NDArray[np.float32]
    count: NDArray[np.uint16]
    correctness: NDArray[np.float32] | None = None
    forgetting: NDArray[np.float32] | None = None
    aleatoric: NDArray[np.float32] | None = None
    margin: NDArray[np.float32] | None = None
    targets: NDArray[np.float32] | None = None
    history: NDArray[np.uint16] | None = None
    sample_ids: NDArray[np.int64] | None = None
    ddof: int = 0
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = np.asarray(self.confidence).shape
        if len(shape) != 2 or shape[1] != len(self.tasks):
            raise InvalidInputError(
                f"`confidence` must have shape (n_samples, n_tasks={len(self.tasks)}); got {shape}."
            )
        for name in ("variability", "count", *_OPTIONAL):
            value = getattr(self, name)
            if value is not None:
                check_matrix(name, value, shape)
        if self.history is not None:
            check_matrix("history", self.history, (None, *shape))
        if self.sample_ids is not None:
            check_matrix("sample_ids", self.sample_ids, shape[:1])

    @property
    def n_samples(self) -> int:
        """Number of samples N."""
        return int(self.confidence.shape[0])

    @property
    def n_tasks(self) -> int:
        """Number of tasks T."""
        return len(self.tasks)

    @property
    def coverage(self) -> NDArray[np.float64]:
        """Share of the samples that each task saw at least once, shape (T,), in [0, 1]."""
        share: NDArray[np.float64] = np.count_nonzero(self.count, axis=0) / max(self.n_samples, 1)
        return share

    @classmethod
    def from_history(
        cls,
        tasks: TaskSet,
        history: NDArray[np.uint16],
        *,
        correct: NDArray[np.bool_] | None = None,
        ddof: int = 0,
        **fields: Any,
    ) -> DataMaps:
        """Return the maps of a (n_epochs, N, T) history of probability codes.

        ``correct``, of the same shape, says whether the prediction was right; without it correctness and
        forgetting are left out. Statistics are taken in float64, in chunks of bounded memory.
        """
        _, n_samples, n_tasks = history.shape
        names = ("confidence", "variability", "aleatoric")
        out: dict[str, Any] = {name: np.empty((n_samples, n_tasks), np.float32) for name in names}
        out["count"] = np.empty((n_samples, n_tasks), np.uint16)
        if correct is not None:
            out |= {name: np.empty((n_samples, n_tasks), np.float32) for name in ("correctness", "forgetting")}
        step = max(1, _CHUNK // max(1, history.shape[0] * n_tasks))
        for start in range(0, n_samples, step):
            rows = slice(start, start + step)
            codes = np.asarray(history[:, rows])
            for name, value in _statistics(codes, None if correct is None else correct[:, rows], ddof).items():
                out[name][rows] = value
        return cls(tasks, history=history, ddof=ddof, **out, **fields)

    def select(self, tasks: Any) -> DataMaps:
        """Return the maps of some tasks, given by name or position."""
        chosen = self.tasks.select(tasks)
        columns = [self.tasks.index_of(name) for name in chosen.names]
        changes: dict[str, Any] = {}
        for name in ("confidence", "variability", "count", *_OPTIONAL, "history"):
            value = getattr(self, name)
            changes[name] = None if value is None else value[..., columns]
        return replace(self, tasks=chosen, **changes)

    def content_hash(self) -> str:
        """Return a hash of the tasks, confidence, variability and counts, by value."""
        return content_hash(self.tasks.to_list(), self.confidence, self.variability, self.count)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the maps as one safetensors file, atomically."""
        arrays = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        document = {"tasks": self.tasks.to_list(), "ddof": self.ddof, "info": dict(self.info)}
        write_arrays(path, "datamaps", arrays, document)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> DataMaps:
        """Return the maps saved at ``path``; arrays are memory-mapped, read-only.

        Raises
        ------
        ArtifactError
            When the file is missing, damaged, or of another format or version.
        """
        arrays, document = read_arrays(path, "datamaps")
        tasks = TaskSet.from_list(document["tasks"])
        return cls(tasks, ddof=int(document["ddof"]), info=document["info"], **arrays)


_OPTIONAL = ("correctness", "forgetting", "aleatoric", "margin", "targets")
_ARRAYS = ("confidence", "variability", "count", *_OPTIONAL, "history", "sample_ids")


def _statistics(
    codes: NDArray[np.uint16], correct: NDArray[np.bool_] | None, ddof: int
) -> dict[str, NDArray[np.float64]]:
    """Return the statistics over the first axis of a chunk of codes; NaN where fewer than 1 (+ ddof) epochs count."""
    seen = codes != UNSEEN
    probability = np.where(seen, codes / _SCALE, 0.0)
    count = seen.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = probability.sum(0) / count
        squares = np.where(seen, (probability - mean) ** 2, 0.0).sum(0)
        spread = np.sqrt(squares / np.maximum(count - ddof, 0))
        out = {
            "count": count,
            "confidence": mean,
            "variability": spread,
            "aleatoric": (probability * (1.0 - probability)).sum(0) / count,
        }
        if correct is not None:
            right = correct & seen
            out["correctness"] = right.sum(0) / count
            lost = np.zeros(count.shape)
            last = np.zeros(count.shape, bool)
            for now, here in zip(right, seen, strict=True):
                lost += last & here & ~now
                last = np.where(here, now, last)
            out["forgetting"] = np.where(count > 0, lost, np.nan)
    return out
