"""Data Maps: how each sample fares in each task over the epochs of a training.

Dataset Cartography (Swayamdipta et al., EMNLP 2020, arXiv 2009.10795, section 2) places every sample of one task at its
*confidence* (mean over epochs of the probability given to the true label) and its *variability* (standard deviation of
the same). STG-MTL (Sherif et al., arXiv 2307.03374, section 3) records one map per task. Here a set of maps is
one artefact of (n_samples, n_tasks) arrays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from taskgroup._artifact import artefact, content_hash, read_arrays, write_arrays
from taskgroup._display import clipped, html_table
from taskgroup._validation import check_int, check_matrix
from taskgroup.exceptions import InvalidInputError, MissingDependencyError
from taskgroup.tasks import TaskSet

__all__ = ["HALF", "UNSEEN", "DataMaps", "decode_probability", "encode_probability"]

UNSEEN = 65535
"""The 16-bit code of "no observation"; probabilities use the codes 0 .. 65534."""

HALF = 32767
"""The code of probability 0.5."""

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

    def __repr__(self) -> str:
        epochs = self.info.get("n_epochs", "unknown")
        return (
            f"DataMaps({self.n_tasks:,} tasks over {self.n_samples:,} samples, epochs: {epochs}, "
            f"{self.coverage.mean():.1%} of the cells seen; {clipped(self.tasks.names)})"
        )

    def _repr_html_(self) -> str:
        means = (self._mean(getattr(self, name)) for name in ("confidence", "variability", "correctness"))
        rows = zip(self.tasks.names, self.coverage.tolist(), *means, strict=True)
        heads = ("task", "share seen", "mean confidence", "mean variability", "mean correctness")
        return html_table(heads, [tuple(row) for row in rows], repr(self))

    def _mean(self, values: NDArray[np.float32] | None) -> list[float | None]:
        """Return the mean of every column over the samples that were seen."""
        if values is None:
            return [None] * self.n_tasks
        seen = ~np.isnan(values)
        counts = seen.sum(0)
        totals = np.where(seen, values, 0.0).sum(0, dtype=np.float64)
        return [float(total / count) if count else None for total, count in zip(totals, counts, strict=True)]

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
        right: NDArray[np.uint16] | None = None,
        ddof: int = 0,
        **fields: Any,
    ) -> DataMaps:
        """Return the maps of a (n_epochs, N, T) history of probability codes.

        A binary task's prediction is right where p > 0.5. ``right`` of shape (n_epochs, N, number of multiclass tasks)
        holds the codes of the same fact for the multiclass tasks, in order, above 0.5 where the prediction was right;
        without it their correctness and forgetting are NaN. Sums are exact, in chunks of bounded memory.
        """
        n_epochs, n_samples, n_tasks = history.shape

        def sums(rows: slice) -> dict[str, Any]:
            return _sums(tasks, np.asarray(history[:, rows]), None if right is None else np.asarray(right[:, rows]))

        step = max(1, _CHUNK // max(1, n_epochs * n_tasks))
        return cls.from_sums(tasks, n_samples, sums, step=step, ddof=ddof, history=history, **fields)

    @classmethod
    def from_sums(
        cls,
        tasks: TaskSet,
        n_samples: int,
        sums: Callable[[slice], dict[str, Any]],
        *,
        step: int = 4096,
        ddof: int = 0,
        **fields: Any,
    ) -> DataMaps:
        """Return the maps of sums over epochs, which ``sums(rows)`` gives for ``step`` rows at a time.

        The sums are arrays (n, T) under the names ``count`` (of observations), ``total`` (of codes), ``squares`` (of
        codes), ``right`` (right predictions) and ``lost`` (transitions from right to wrong); the last two are None
        where no task predicts a class.
        """
        out: dict[str, Any] = {}
        for start in range(0, max(n_samples, 1), step):
            rows = slice(start, start + step)
            for name, value in _statistics(tasks, ddof=ddof, **sums(rows)).items():
                out.setdefault(name, np.empty((n_samples, len(tasks)), value.dtype))[rows] = value
        return cls(tasks, ddof=ddof, **out, **fields)

    def upto(self, n_epochs: int) -> DataMaps:
        """Return the maps over the first ``n_epochs`` epochs: a cumulative snapshot as in STG-MTL, section 3.

        Correctness and forgetting of multiclass tasks are NaN and margins are left out: the history does not hold them.

        Raises
        ------
        InvalidInputError
            When the maps hold no history, or fewer epochs.
        """
        if self.history is None:
            raise InvalidInputError("`upto` needs maps with a history; record with mode='history'.")
        check_int("n_epochs", n_epochs, 1, len(self.history))
        fields = {name: getattr(self, name) for name in ("targets", "sample_ids", "info")}
        return DataMaps.from_history(self.tasks, self.history[:n_epochs], ddof=self.ddof, **fields)

    def to_pandas(self) -> Any:
        """Return a long pandas DataFrame: one row per (sample, task) that was seen, with one column per statistic.

        Raises
        ------
        MissingDependencyError
            When pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingDependencyError("to_pandas needs pandas: pip install pandas.") from None
        rows, columns = np.nonzero(self.count)
        ids = np.arange(self.n_samples) if self.sample_ids is None else np.asarray(self.sample_ids)
        frame = {"sample_id": ids[rows], "task": np.array(self.tasks.names, dtype=object)[columns]}
        for name in ("confidence", "variability", "count", *_OPTIONAL):
            value = getattr(self, name)
            if value is not None:
                frame["target" if name == "targets" else name] = np.asarray(value)[rows, columns]
        return pandas.DataFrame(frame)

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
        with artefact(path):
            tasks = TaskSet.from_list(document["tasks"])
            return cls(tasks, ddof=int(document["ddof"]), info=document["info"], **arrays)


_OPTIONAL = ("correctness", "forgetting", "aleatoric", "margin", "targets")
_ARRAYS = ("confidence", "variability", "count", *_OPTIONAL, "history", "sample_ids")


def _statistics(
    tasks: TaskSet,
    *,
    count: NDArray[Any],
    total: NDArray[Any],
    squares: NDArray[Any],
    right: NDArray[Any] | None,
    lost: NDArray[Any] | None,
    ddof: int,
) -> dict[str, NDArray[Any]]:
    """Return the map arrays (n, T) of exact sums over epochs, as :meth:`DataMaps.from_sums` names them.

    Notes
    -----
    The difference of the two sums loses its digits when p hardly moves and the sums are rounded. Here both are exact
    integers, and so is their difference in float64 for up to 1,448 epochs: a constant p has variability 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        n, first = count.astype(np.float64), total.astype(np.float64)
        variance = (n * squares - first * first) / (n * np.where(n > ddof, n - ddof, np.nan) * _SCALE**2)
        out = {
            "confidence": (first / (n * _SCALE)).astype(np.float32),
            "variability": np.sqrt(np.maximum(variance, 0.0)).astype(np.float32),
            "count": count.astype(np.uint16),
            "aleatoric": ((first * _SCALE - squares) / (n * _SCALE**2)).astype(np.float32),
        }
        if right is not None and lost is not None:
            blank = np.where([task.kind == "regression" for task in tasks], np.float32(np.nan), np.float32(0.0))
            out["correctness"] = (right / count).astype(np.float32) + blank
            out["forgetting"] = np.where(count > 0, lost, np.nan).astype(np.float32) + blank
    return out


def _sums(
    tasks: TaskSet, codes: NDArray[np.uint16], right_codes: NDArray[np.uint16] | None
) -> dict[str, NDArray[Any] | None]:
    """Return the arguments of :func:`_statistics` for a (n_epochs, n, T) chunk of codes."""
    seen = codes != UNSEEN
    values = np.where(seen, codes, np.uint16(0))
    count = seen.sum(0)
    squares = np.zeros(count.shape)
    for value in values:
        squares += value.astype(np.float64) ** 2
    sums: dict[str, NDArray[Any] | None] = {
        "count": count, "total": values.sum(0, dtype=np.uint64), "squares": squares, "right": None, "lost": None
    }  # fmt: skip
    if all(task.kind == "regression" for task in tasks):
        return sums
    right = seen & (codes > HALF)
    many = [i for i, task in enumerate(tasks) if task.kind == "multiclass"]
    right[:, :, many] = False if right_codes is None else seen[:, :, many] & (right_codes > HALF)
    lost = np.zeros(count.shape, np.uint16)
    last = np.zeros(count.shape, bool)
    for now, here in zip(right, seen, strict=True):
        lost += last & here & ~now
        last = np.where(here, now, last)
    sums |= {"right": right.sum(0, dtype=np.float64), "lost": lost.astype(np.float64)}
    if right_codes is None:
        for name in ("right", "lost"):
            sums[name][:, many] = np.nan  # type: ignore[index]
    return sums
