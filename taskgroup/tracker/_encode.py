"""From one batch of outputs and labels to 16-bit codes of the probability given to the true label.

Binary task with logit z: p = sigmoid(z) for y = 1, sigmoid(-z) for y = 0. Multiclass: p = softmax(z)[y].

Everything is elementwise: a sample's code depends neither on its place in the batch nor on the batch's size. Vectorised
sigmoids that treat the last few elements of an array differently do not have this property.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from taskgroup._validation import check_known
from taskgroup.datamaps import UNSEEN, encode_probability
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import Kind
from taskgroup.tracker._kernel import codes_of
from taskgroup.tracker._layout import Layout, share_of_margin
from taskgroup.tracker._regression import closeness, robust_scale

__all__ = ["Encoded", "Encoder", "signed_logits"]

Floats = NDArray[np.float32]

_HALF = np.float32(0.5)
_TINY = 1e-7  # probabilities are read as if they were this far from 0 and 1
_SPREAD, _ENOUGH = 0.2, 64  # outputs within [0, 1] that range over this, and are so many, are taken for probabilities


@dataclass
class Encoded:
    """One batch: codes (B, width), labels (B, T) with NaN where missing, residuals (B, T) while scales are unknown.

    Tasks that are all binary have their logits (B, T) in place of codes, and neither these nor the labels are checked.
    """

    codes: NDArray[np.uint16] | None
    labels: Floats
    logits: Floats | None = None
    residuals: Floats | None = None
    partial: bool = False


@dataclass
class Encoder:
    """Turns the outputs and labels of a batch into codes, after checking them.

    ``scales`` (T,) holds the residual scale of each regression task, NaN while it is unknown.
    """

    layout: Layout
    scales: NDArray[np.float64]
    probability: Callable[[Any, Any], Any] | None = None
    ignore: float | None = None
    outputs: Literal["logits", "probabilities"] | None = None

    def __post_init__(self) -> None:
        tasks = self.layout.tasks
        self._names = tasks.names
        self._n_outputs = sum(task.n_outputs for task in tasks)
        self._starts = np.cumsum([0, *(task.n_outputs for task in tasks)])[:-1]
        self._of_kind = {
            kind: [t for t, task in enumerate(tasks) if task.kind == kind] for kind in ("binary", "regression")
        }
        self._classes = np.repeat([task.kind != "regression" for task in tasks], [task.n_outputs for task in tasks])
        self._low, self._high, self._n_seen = np.inf, -np.inf, 0  # of the outputs of classes; not looked at for long
        self.only_binary = len(self._of_kind["binary"]) == self.layout.width and self.probability is None

    def __call__(self, outputs: Any, targets: Any, mask: Any, n: int, where: str) -> Encoded:
        """Return the codes of a batch of ``n`` samples; errors start with ``where``, the name of the batch."""
        labels = self.labels(targets, mask, n, where)
        if self.probability is not None:
            return Encoded(self._custom(outputs, targets, labels, where), labels)
        logits, absent = self._logits(outputs, n, where)
        if self.outputs == "probabilities":
            logits = self._from_probabilities(logits, where)
        elif self.outputs is None and self._low >= 0 and self._high <= 1:
            self._look(logits)
        if absent:
            labels = labels.copy()
            labels[:, absent] = np.nan
        if self.only_binary:
            return Encoded(None, labels, logits, partial=bool(absent))
        codes, residuals = self._mixed(logits, labels, where)
        return Encoded(codes, labels, residuals=residuals, partial=bool(absent))

    @property
    def settled(self) -> bool:
        """Whether a batch is nothing but logits and labels of binary tasks, and known not to be probabilities."""
        seen = not (self._low >= 0 and self._high <= 1)
        return (
            self.only_binary
            and self.ignore is None
            and self.outputs != "probabilities"
            and (self.outputs == "logits" or seen)
        )

    def labels(self, targets: Any, mask: Any, n: int, where: str) -> Floats:
        """Return the labels as (n, T) float32, NaN where missing, ignored or masked out."""
        names = self._names
        shape = (n, len(names))
        if not isinstance(targets, torch.Tensor) and isinstance(targets, Mapping):
            labels = np.full(shape, np.nan, np.float32)
            for name, value in targets.items():
                check_known(f"task ({where}, `targets`)", name, names)
                labels[:, names.index(name)] = _vector(value, n, f"{where}, task {name!r}: `targets`")
        else:
            labels = _float32(targets)
            if labels.ndim == 1 and shape[1] == 1:
                labels = labels[:, None]
            if labels.shape != shape:
                raise InvalidInputError(f"{where}: `targets` must have shape (B, T) = {shape}; got {labels.shape}.")
        if self.ignore is not None:
            labels = np.where(labels == self.ignore, np.float32(np.nan), labels)
        return labels if mask is None else np.where(self._mask(mask, shape, where), labels, np.float32(np.nan))

    def given(self, targets: Any, n_samples: int) -> Floats:
        """Return all labels (N, T), checked, as a user gives them in advance."""
        labels = self.labels(targets, None, n_samples, "`targets`")
        for t, task in enumerate(self.layout.tasks):
            _check_labels(labels[:, t], task.kind, task.n_outputs, (task.name,), "`targets`")
        return labels

    def from_residuals(self, residuals: Floats) -> NDArray[np.uint16]:
        """Return the codes of residuals (n, T) under the scales, UNSEEN where NaN."""
        return encode_probability(closeness(residuals, self.scales))

    def freeze_scales(self, residuals: Floats) -> None:
        """Set the scales that are still unknown from the residuals (n, T) of all sightings of the first epoch."""
        for t, task in enumerate(self.layout.tasks):
            if task.kind == "regression" and np.isnan(self.scales[t]):
                self.scales[t] = robust_scale(residuals[:, t])

    def check_outputs(self) -> None:
        """Raise when all outputs so far look like probabilities."""
        inside = self._low >= 0 and self._high <= 1
        if self.outputs is None and inside and self._high - self._low > _SPREAD and self._n_seen >= _ENOUGH:
            raise InvalidInputError(
                f"all {self._n_seen} outputs so far are between {self._low:.3g} and {self._high:.3g}: they look like "
                'probabilities, and logits are expected. Say outputs="probabilities" to the tracker, or '
                'outputs="logits" if they are logits.'
            )

    def _look(self, logits: Floats) -> None:
        values = logits[:, self._classes]
        if values.size:
            self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))
            self._n_seen += values.size

    def _from_probabilities(self, values: Floats, where: str) -> Floats:
        """Return the logits of probabilities: log odds of binary tasks, logarithms of multiclass tasks."""
        tasks, names = self.layout.tasks, [task.name for task in self.layout.tasks for _ in range(task.n_outputs)]
        bad = self._classes & ~((values >= 0) & (values <= 1))
        _raise_at(bad, values, names, where, "probabilities must be in [0, 1]")
        logits = values.copy()
        clipped = np.clip(values.astype(np.float64), _TINY, 1 - _TINY)
        for task, start in zip(tasks, self._starts, strict=True):
            of_task = slice(start, start + task.n_outputs)
            if task.kind == "binary":
                logits[:, of_task] = np.log(clipped[:, of_task]) - np.log1p(-clipped[:, of_task])
            elif task.kind == "multiclass":
                logits[:, of_task] = np.log(clipped[:, of_task])
        return logits

    def _mask(self, mask: Any, shape: tuple[int, int], where: str) -> NDArray[np.bool_]:
        names = self._names
        if isinstance(mask, Mapping):
            full = np.zeros(shape, bool)
            for name, value in mask.items():
                check_known(f"task ({where}, `mask`)", name, names)
                full[:, names.index(name)] = _vector(value, shape[0], f"{where}, task {name!r}: `mask`") != 0
            return full
        array = (mask.detach().cpu().numpy() if isinstance(mask, torch.Tensor) else np.asarray(mask)) != 0
        if array.shape == shape[:1]:
            array = array[:, None]
        if array.shape not in (shape, (shape[0], 1)):
            raise InvalidInputError(f"{where}: `mask` must have shape (B, T) = {shape} or (B,); got {array.shape}.")
        return np.asarray(np.broadcast_to(array, shape))

    def _logits(self, outputs: Any, n: int, where: str) -> tuple[Floats, list[int]]:
        """Return the logits packed in task order (n, n_outputs) and the positions of the tasks that gave none."""
        tasks = self.layout.tasks
        if isinstance(outputs, (torch.Tensor, np.ndarray)):
            return self._packed(_float32(outputs), n, where), []
        if isinstance(outputs, Mapping):
            for name in outputs:
                check_known(f"task ({where}, `outputs`)", name, self._names)
            heads = [outputs.get(name) for name in self._names]
        else:
            heads = list(outputs)
            if len(heads) != len(tasks):
                raise InvalidInputError(
                    f"{where}: a list of `outputs` must hold one head per task, {len(tasks)}; got {len(heads)}."
                )
        logits = np.zeros((n, self._n_outputs), np.float32)
        for task, start, head in zip(tasks, self._starts, heads, strict=True):
            if head is None:
                continue
            value, wanted = _float32(head), (n, task.n_outputs)
            if value.shape == (n,) and task.n_outputs == 1:
                value = value[:, None]
            if value.shape != wanted:
                shape = f"({n},)" if task.n_outputs == 1 else str(wanted)
                raise InvalidInputError(
                    f"{where}, task {task.name!r}: `outputs` must have shape {shape}; got {value.shape}."
                )
            logits[:, start : start + task.n_outputs] = value
        return logits, [i for i, head in enumerate(heads) if head is None]

    def _packed(self, logits: Floats, n: int, where: str) -> Floats:
        wanted = (n, self._n_outputs)
        if logits.ndim == 1 and self._n_outputs == 1:
            logits = logits[:, None]
        if logits.shape == wanted:
            return logits
        hint = ""
        if logits.shape == wanted[::-1]:
            hint = " They look transposed: pass outputs.T."
        elif len(self.layout.many) and logits.shape == (n, len(self.layout.tasks)):
            hint = " A multiclass task needs one logit per class."
        raise InvalidInputError(
            f"{where}: `outputs` must have shape {wanted}, one column per task (one per class for a multiclass task); "
            f"got {logits.shape}.{hint}"
        )

    def _mixed(self, logits: Floats, labels: Floats, where: str) -> tuple[NDArray[np.uint16], Floats | None]:
        """Return codes (B, width) of tasks of any kind, and the residuals when a scale is still unknown."""
        layout, names = self.layout, self._names
        codes = np.full((len(labels), layout.width), UNSEEN, np.uint16)
        margins = np.full(labels.shape, np.nan)
        binary, regression = self._of_kind["binary"], self._of_kind["regression"]
        if binary:
            z, y = logits[:, self._starts[binary]], labels[:, binary]
            values = np.empty(y.shape, np.float32)
            signed_logits(z, y, [names[t] for t in binary], where, values)
            codes[:, binary] = codes_of(values)
            margins[:, binary] = (2 * y - 1) * z
        for t in layout.many:
            z = logits[:, self._starts[t] : self._starts[t] + layout.tasks[t].n_outputs]
            p, right, margins[:, t] = _multiclass(z, labels[:, t], names[t], where)
            codes[:, t] = encode_probability(p)
            codes[:, layout.right.start + layout.many.index(t)] = encode_probability(right)
        if layout.margin:
            codes[:, layout.margins] = encode_probability(share_of_margin(margins))
        if not regression:
            return codes, None
        residuals = np.full(labels.shape, np.nan, np.float32)
        z, y = logits[:, self._starts[regression]], labels[:, regression]
        residuals[:, regression] = _residuals(z, y, [names[t] for t in regression], where)
        if np.isnan(self.scales[regression]).any():
            return codes, residuals
        codes[:, regression] = self.from_residuals(residuals)[:, regression]
        return codes, None

    def _custom(self, outputs: Any, targets: Any, labels: Floats, where: str) -> NDArray[np.uint16]:
        assert self.probability is not None
        p = _float32(self.probability(outputs, targets))
        if p.shape != labels.shape:
            raise InvalidInputError(f"{where}: `probability` must return shape (B, T) = {labels.shape}; got {p.shape}.")
        p = np.where(np.isnan(labels), np.float32(np.nan), p)
        _raise_at((p < 0) | (p > 1), p, self._names, where, "probabilities must be in [0, 1]")
        return encode_probability(p)


def signed_logits(logits: Floats, labels: Floats, names: Sequence[str], where: str, out: Floats) -> None:
    """Put -s z / 2 into ``out`` (B, T), with s = 1 for a positive label and -1 for a negative one; NaN where missing.

    Raises when a label is neither 0 nor 1, or a logit is not finite. Few passes, in place: a training loop waits.
    """
    np.subtract(_HALF, labels, out=out)
    missing = None
    if not (np.abs(out) == _HALF).all():  # some label is missing, or neither 0 nor 1: one cheap test for both
        missing = np.isnan(labels)
        _check_labels(labels, "binary", 2, names, where)
    with np.errstate(invalid="ignore"):  # what has no label may be anything
        out *= logits
    if missing is not None:
        np.copyto(out, np.float32(0.0), where=missing)
    if not np.isfinite(_square(out)):
        _raise_at(~np.isfinite(out), logits, names, where, "logits must be finite")
    if missing is not None:
        np.copyto(out, np.float32(np.nan), where=missing)


def _multiclass(
    logits: Floats, labels: Floats, name: str, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return p, 1.0 where right, and the margin of a multiclass task, each (B,), NaN where the label is missing."""
    known = np.logical_not(np.isnan(labels))
    y = np.where(known, labels, 0.0)
    _check_labels(labels, "multiclass", logits.shape[1], (name,), where)
    finite = np.logical_and.reduce(np.isfinite(logits), axis=1)
    _raise_at(known & ~finite, logits.sum(1), (name,), where, "logits must be finite")
    z = np.where(finite[:, None], logits, 0.0).astype(np.float64)
    rows, classes = np.arange(len(y)), y.astype(np.int64)
    weight = np.exp(z - z.max(1, keepdims=True))
    p: NDArray[np.float64] = weight[rows, classes] / weight.sum(1)
    right = (z.argmax(1) == classes).astype(np.float64)
    true = z[rows, classes].copy()
    z[rows, classes] = -np.inf
    margin: NDArray[np.float64] = true - z.max(1)
    p[~known] = right[~known] = margin[~known] = np.nan
    return p, right, margin


def _residuals(outputs: Floats, labels: Floats, names: Sequence[str], where: str) -> Floats:
    """Return predictions minus labels (B, len(names)), NaN where the label is missing."""
    known = np.logical_not(np.isnan(labels))
    _check_labels(labels, "regression", 1, names, where)
    _raise_at(known & ~np.isfinite(outputs), outputs, names, where, "predictions must be finite")
    return np.where(known, np.where(known, outputs, 0) - labels, np.float32(np.nan))


def _check_labels(labels: Floats, kind: Kind, n_classes: int, names: Sequence[str], where: str) -> None:
    """Raise when a label that is not NaN does not fit the kind of its task; ``labels`` (B,) or (B, len(names))."""
    if kind == "regression":
        bad, rule = np.isinf(labels), "labels must be finite"
    elif kind == "binary":
        bad, rule = (labels != 0) & (labels != 1) & ~np.isnan(labels), "labels must be 0 or 1"
    else:
        bad = (labels < 0) | (labels >= n_classes) | (labels != np.floor(labels)) & ~np.isnan(labels)
        rule = f"labels must be integers from 0 to {n_classes - 1}"
    _raise_at(bad, labels, names, where, f"{rule}, or NaN where missing")


def _raise_at(bad: NDArray[np.bool_], values: Floats, names: Sequence[str], where: str, rule: str) -> None:
    """Raise, naming the task and the row of the first bad value."""
    if not bad.any():
        return
    row, column = (int(i) for i in np.argwhere(bad.reshape(len(bad), -1))[0])
    value = values.reshape(len(bad), -1)[row, column]
    raise InvalidInputError(
        f"{where}, task {names[column]!r}: {rule}; got {value:g} in row {row} of the batch. Nothing was recorded."
    )


def _square(values: Floats) -> float:
    """Return the sum of squares: one fast reduction that is NaN or infinite when a value is."""
    flat = values.reshape(-1)
    with np.errstate(over="ignore"):
        return float(np.dot(flat, flat))


def _vector(value: Any, n: int, what: str) -> Floats:
    array = _float32(value)
    if array.shape not in ((n,), (n, 1)):
        raise InvalidInputError(f"{what} must have shape ({n},); got {array.shape}.")
    return array.reshape(n)


def _float32(value: Any) -> Floats:
    """Return a tensor or array-like as a float32 array, detached and on the CPU."""
    if isinstance(value, torch.Tensor):
        value = (value.float() if value.is_floating_point() else value).numpy(force=True)
    return np.asarray(value, np.float32)
