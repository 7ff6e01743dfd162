"""Fitted models as torch modules: raw and scaled inputs in, packed outputs of their own tasks out.

Trees are walked level by level, all rows and trees at once, so that a tracer sees plain gathers and comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from taskgroup.exceptions import InvalidInputError
from taskgroup.learners import Fitted
from taskgroup.learners._boosting import _Trees
from taskgroup.learners._forests import FittedForest
from taskgroup.learners._linear import FittedLinear
from taskgroup.learners._nets import FittedNet
from taskgroup.learners._pooled import FittedPooled, _Part

__all__ = ["module_of"]

_NEVER = -30.0  # log-probability of a class that no fitted row has


def module_of(model: Fitted, method: str) -> nn.Module:
    """Return a module that answers as the model does.

    Raises
    ------
    InvalidInputError
        When the model has no such form; the message names the method.
    """
    for kind, make in _MODULES.items():
        if isinstance(model, kind):
            return make(model, method)
    raise _refusal(method)


def _refusal(method: str) -> InvalidInputError:
    learner = method.partition("/")[0]
    return InvalidInputError(
        f"method {method!r} cannot be exported: {learner!r} keeps its models in a form of its own. Serve the run with "
        "`taskgroup predict`, or retrain with `--learners linear,extra-trees,random-forest,boosting,nets`."
    )


class _Linear(nn.Module):
    weight: Tensor
    bias: Tensor

    def __init__(self, model: FittedLinear, method: str) -> None:
        super().__init__()
        self.register_buffer("weight", _tensor(model.weight))
        self.register_buffer("bias", _tensor(model.bias))

    def forward(self, raw: Tensor, scaled: Tensor) -> Tensor:
        return nn.functional.linear(scaled, self.weight, self.bias)  # (n, n_outputs)


class _Net(nn.Module):
    mean: Tensor
    scale: Tensor

    def __init__(self, model: FittedNet, method: str) -> None:
        super().__init__()
        self.model = model.model.eval()
        self.register_buffer("mean", _tensor(model.scale.mean))
        self.register_buffer("scale", _tensor(model.scale.scale))

    def forward(self, raw: Tensor, scaled: Tensor) -> Tensor:
        return self.model.logits(scaled) * self.scale + self.mean


class _Walk(nn.Module):
    """Where every row ends in every tree."""

    first: Tensor
    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor

    def __init__(
        self, first: NDArray[Any], feature: NDArray[Any], threshold: NDArray[Any], left: NDArray[Any],
        right: NDArray[Any],
    ) -> None:  # fmt: skip
        super().__init__()
        self.depth = _depth(first, feature, left, right)
        own = np.arange(len(feature))
        inner = feature >= 0  # a leaf is its own child, so that rows stay where they have come to
        self.register_buffer("first", torch.from_numpy(first.astype(np.int64)))
        self.register_buffer("feature", torch.from_numpy(np.maximum(feature, 0).astype(np.int64)))
        self.register_buffer("threshold", _tensor(threshold))
        self.register_buffer("left", torch.from_numpy(np.where(inner, left, own).astype(np.int64)))
        self.register_buffer("right", torch.from_numpy(np.where(inner, right, own).astype(np.int64)))

    def forward(self, x: Tensor) -> Tensor:
        node = self.first.unsqueeze(0) + torch.zeros_like(x[:, :1]).to(torch.int64)  # (n, trees)
        for _ in range(self.depth):
            goes_left = self.goes_left(torch.gather(x, 1, self.feature[node]), node)
            node = torch.where(goes_left, self.left[node], self.right[node])
        return node

    def goes_left(self, value: Tensor, node: Tensor) -> Tensor:
        return value <= self.threshold[node]


class _Forest(nn.Module):
    value: Tensor
    scale: Tensor
    center: Tensor
    is_class: Tensor
    alone: Tensor

    def __init__(self, model: FittedForest, method: str) -> None:
        super().__init__()
        nodes, tasks = model.nodes, model.columns.tasks
        base = np.repeat(nodes.first[:-1], np.diff(nodes.first))
        left = np.arange(len(nodes.feature)) + 1
        self.walk = _Walk(nodes.first[:-1], nodes.feature, nodes.threshold, left, base + nodes.right)
        self.register_buffer("value", _tensor(_leaf_values(model)))
        self.vote = 0.5 / nodes.n_trees  # half of one, which moves shares away from 0 and 1
        kinds = [task.kind for task in tasks for _ in range(task.n_outputs)]
        widths = [task.n_outputs for task in tasks for _ in range(task.n_outputs)]
        self.register_buffer("is_class", torch.tensor([kind != "regression" for kind in kinds]))
        # as Columns.decode has it: shares of one task of several classes become logs, else log-odds
        self.register_buffer("alone", torch.tensor([width == 1 for width in widths]))
        self.register_buffer("scale", _tensor(model.columns.scale))
        self.register_buffer("center", _tensor(model.columns.center))

    def forward(self, raw: Tensor, scaled: Tensor) -> Tensor:
        mean = self.value[self.walk(scaled)].mean(1)  # (n, n_outputs)
        share = (mean.clamp(0.0, 1.0) + self.vote) / (1.0 + 2.0 * self.vote)
        logits = torch.log(share) - torch.where(self.alone, torch.log1p(-share), torch.zeros_like(share))
        return torch.where(self.is_class, logits, mean * self.scale + self.center)


class _Boosted(_Walk):
    """The trees of one boosted model: logits, or standardised values."""

    missing_left: Tensor
    bitset: Tensor
    sets: Tensor
    value: Tensor
    start: Tensor

    def __init__(self, model: _Trees) -> None:
        at = model.nodes
        super().__init__(at["first"][:-1], at["feature"], at["threshold"], at["left"], at["right"])
        self.register_buffer("missing_left", torch.from_numpy(at["missing_left"].astype(bool)))
        self.register_buffer("value", _tensor(at["value"]))
        self.register_buffer("start", _tensor(model.start))
        self.n_outputs = len(model.start)
        self.categories = {j: [float(v) for v in known] for j, known in model.categories.items()}
        self.has_sets = bool((at["bitset"] >= 0).any())
        bits = (at["bits"][:, :, None] >> np.arange(32, dtype=np.uint32)) & 1
        sets = bits.reshape(-1, 256).astype(bool) if len(at["bits"]) else np.zeros((1, 256), bool)
        self.register_buffer("sets", torch.from_numpy(sets))
        self.register_buffer("bitset", torch.from_numpy(at["bitset"].astype(np.int64)))

    def goes_left(self, value: Tensor, node: Tensor) -> Tensor:
        missing = torch.isnan(value)
        left = value <= self.threshold[node]
        if self.has_sets:
            code = torch.nan_to_num(value, nan=0.0).clamp(0, 255).to(torch.int64)
            bitset = self.bitset[node]
            left = torch.where(bitset >= 0, self.sets[bitset.clamp(min=0), code], left)
        return torch.where(missing, self.missing_left[node], left)

    def raw(self, x: Tensor) -> Tensor:
        """Return the sum of the trees (n, n_outputs)."""
        value = self.value[self(self._coded(x))]  # (n, trees), round by round
        return torch.stack([value[:, k :: self.n_outputs].sum(1) for k in range(self.n_outputs)], 1) + self.start

    def _coded(self, x: Tensor) -> Tensor:
        """Return features whose categories are numbered 0, 1, ...; those that no fitted row has count as missing."""
        columns = list(torch.split(x, 1, dim=1))
        for j, known in self.categories.items():
            code = torch.full_like(columns[j], float("nan"))
            for number, value in enumerate(known):
                code = torch.where(columns[j] == value, torch.full_like(code, float(number)), code)
            columns[j] = code
        return torch.cat(columns, 1) if self.categories else x


class _PoolPart(nn.Module):
    """What answers some tasks of one kind."""

    center: Tensor
    scale: Tensor

    def __init__(self, part: _Part, method: str) -> None:
        super().__init__()
        if part.model is not None and not isinstance(part.model, _Trees):
            raise _refusal(method)
        self.model = None if part.model is None else _Boosted(part.model)
        self.n_tasks = len(part.tasks) if part.how == "pooled" else 1
        self.classes = part.classes
        self.register_buffer("center", _tensor(part.center))
        self.register_buffer("scale", _tensor(part.scale))

    def forward(self, x: Tensor) -> Tensor:
        if self.model is None:
            return self.center + torch.zeros_like(x[:, :1])
        if self.classes is not None:
            raw = self.model.raw(x)
            full = torch.cat([torch.zeros_like(raw), raw], 1) if raw.shape[1] == 1 else raw
            logs = torch.log_softmax(full, 1)
            never = torch.full_like(x[:, :1], _NEVER)
            place = {code: i for i, code in enumerate(self.classes)}
            return torch.cat([logs[:, place[c] : place[c] + 1] if c in place else never
                              for c in range(len(self.center))], 1)  # fmt: skip
        told = [torch.cat([x, torch.full_like(x[:, :1], float(t))], 1) for t in range(self.n_tasks)]
        raw = torch.cat([self.model.raw(own) for own in (told if self.n_tasks > 1 else [x])], 1)
        return raw * self.scale + self.center


class _Pooled(nn.Module):
    order: Tensor

    def __init__(self, model: FittedPooled, method: str) -> None:
        super().__init__()
        if any(part.one_hot for part in model.parts):
            raise _refusal(method)
        self.parts = nn.ModuleList(_PoolPart(part, method) for part in model.parts)
        columns = [column for part in model.parts for column in model.names.output_columns(part.tasks)]
        self.register_buffer("order", torch.from_numpy(np.argsort(columns)))
        self.scaled = model.scaled

    def forward(self, raw: Tensor, scaled: Tensor) -> Tensor:
        return torch.cat([part(scaled if self.scaled else raw) for part in self.parts], 1)[:, self.order]


_MODULES: dict[type[Fitted], Callable[[Any, str], nn.Module]] = {
    FittedLinear: _Linear,
    FittedNet: _Net,
    FittedForest: _Forest,
    FittedPooled: _Pooled,
}


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _leaf_values(model: FittedForest) -> NDArray[np.float64]:
    """Return the mean targets of the fitted rows of every leaf, (nodes, n_outputs), 0 for inner nodes."""
    targets = model.targets.astype(np.float64)
    of_row = np.ones(len(targets)) if model.weight is None else model.weight.astype(np.float64)
    found = np.zeros((len(model.nodes.feature), targets.shape[1]))
    for tree, leaf in enumerate(model.leaf_of_row):
        begin, end = (int(model.nodes.first[tree + i]) for i in (0, 1))
        weight = of_row if model.counts is None else of_row * model.counts[tree]
        within = sparse.csr_array((weight, (leaf.astype(np.int64), np.arange(len(leaf)))), (end - begin, len(leaf)))
        total = np.asarray(within.sum(1)).ravel()
        some = total > 0
        found[begin:end][some] = (within @ targets)[some] / total[some, None]
    return found


def _depth(first: NDArray[Any], feature: NDArray[Any], left: NDArray[Any], right: NDArray[Any]) -> int:
    """Return the most splits on a way from a root to a leaf."""
    level, depth = first[feature[first] >= 0], 0
    while len(level):
        depth += 1
        children: Sequence[Any] = (left[level], right[level])
        level = np.concatenate(children)
        level = level[feature[level] >= 0]
    return depth
