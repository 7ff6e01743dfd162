"""TabM: an ensemble of networks that share almost all weights (Gorishniy et al., arXiv 2410.24210).

Member m's layer is ``s_m * W (r_m * x) + b_m`` (BatchEnsemble, arXiv 2002.06715, equation 5): one matrix W for all,
and vectors r_m, s_m, b_m of the member's own. At the start the members differ by the signs in the r of the first layer
and by their heads, which they do not share. All members read the same batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taskgroup._validation import check_int
from taskgroup.grouping import Grouping
from taskgroup.models._base import MultiTaskModel, Units, check_hidden
from taskgroup.models._heads import output_tasks
from taskgroup.models._layers import BatchedLinear
from taskgroup.tasks import Task, TaskSet

__all__ = ["BatchEnsembleLinear", "PiecewiseLinear", "TabM"]


class TabM(MultiTaskModel):
    """A parameter-efficient ensemble of multilayer perceptrons.

    Parameters
    ----------
    in_features : int
        Features that the first layer reads.
    tasks : TaskSet or sequence of Task or str
        The T tasks.
    hidden : sequence of int, default (256, 256)
        Widths of the layers.
    dropout : float, default 0.1
        Dropout after each hidden layer, in [0, 1).
    members : int, default 32
        Members k of the ensemble.
    n_bins : int, default 0
        Bins of the piecewise-linear embedding of every numeric feature; 0 reads the features as they are.
    d_embedding : int, default 8
        Width of the embeddings.
    n_numeric : int, optional
        How many of the features, the last ones, are numeric; all when left out.
    encoder : Module, optional
        Turns inputs into (B, in_features).
    units, grouping
        Accepted like in every architecture; a shared trunk has nothing that belongs to units.

    Examples
    --------
    >>> model = TabM(5, ["a", "b"], hidden=(8,), members=4)
    >>> model.member_logits(torch.zeros(3, 5)).shape, model.logits(torch.zeros(3, 5)).shape
    (torch.Size([4, 3, 2]), torch.Size([3, 2]))
    """

    def __init__(
        self,
        in_features: int,
        tasks: TaskSet | Sequence[Task | str],
        *,
        hidden: Sequence[int] = (256, 256),
        dropout: float = 0.1,
        members: int = 32,
        n_bins: int = 0,
        d_embedding: int = 8,
        n_numeric: int | None = None,
        encoder: nn.Module | None = None,
        units: Units = "task",
        grouping: Grouping | None = None,
    ) -> None:
        widths = check_hidden(hidden, dropout, 0)
        check_int("members", members, low=1)
        check_int("n_bins", n_bins, low=0)
        options = {
            "hidden": widths, "dropout": dropout, "members": members, "n_bins": n_bins, "d_embedding": d_embedding,
            "n_numeric": n_numeric,
        }  # fmt: skip
        super().__init__(in_features, tasks, encoder=encoder, units=units, grouping=grouping, options=options)
        self.n_numeric = in_features if n_numeric is None else check_int("n_numeric", n_numeric, 0, in_features)
        self.embed = PiecewiseLinear(self.n_numeric, n_bins, d_embedding) if n_bins else None
        width = in_features + self.n_numeric * (d_embedding - 1) if n_bins else in_features
        sizes = [width, *widths]
        self.trunk = nn.ModuleList(
            BatchEnsembleLinear(members, i, o, signs=number == 0)
            for number, (i, o) in enumerate(itertools.pairwise(sizes))
        )
        self.dropout = dropout
        self.heads = BatchedLinear(members, sizes[-1], self.n_outputs, None, "output")  # type: ignore[assignment]

    def body(self, features: Tensor) -> Tensor:
        """Return the members' features (k, B, D') of (1, B, D)."""
        if self.embed is not None:
            split = features.shape[-1] - self.n_numeric
            features = torch.cat([features[..., :split], self.embed(features[..., split:])], -1)
        for layer in self.trunk:
            features = F.dropout(F.relu(layer(features)), self.dropout, self.training)
        return features

    def member_logits(self, x: Tensor) -> Tensor:
        """Return the packed logits of every member, (k, B, n_outputs)."""
        packed: Tensor = self.heads(self.body(self.encode(x)))
        return packed

    def logits(self, x: Tensor) -> Tensor:
        """Return packed logits (B, n_outputs) of the members' mean probabilities, or their mean values."""
        return self.merged(self.member_logits(x))

    def logits_each(self, x: Tensor) -> Tensor:
        """Return packed logits (B, n_outputs) where every task reads a batch of its own, x[t] of (T, B, d)."""
        answers = self.logits(x.flatten(0, 1)).view(len(self.tasks), -1, self.n_outputs)
        return answers[output_tasks(self.tasks), :, range(self.n_outputs)].t()

    def merged(self, members: Tensor) -> Tensor:
        """Return the logits (B, n_outputs) of the members' mean answers, of their packed logits (k, B, n_outputs)."""
        less = math.log(len(members))
        kinds = {task.kind for task in self.tasks}
        if kinds == {"binary"}:
            return F.logsigmoid(members).logsumexp(0) - F.logsigmoid(-members).logsumexp(0)
        merged = []
        pieces = torch.split(members, [task.n_outputs for task in self.tasks], dim=2)
        for task, own in zip(self.tasks, pieces, strict=True):
            if task.kind == "regression":
                merged.append(own.mean(0))
            elif task.kind == "binary":
                merged.append(F.logsigmoid(own).logsumexp(0) - F.logsigmoid(-own).logsumexp(0))
            else:
                merged.append(F.log_softmax(own, -1).logsumexp(0) - less)
        return torch.cat(merged, 1)


class BatchEnsembleLinear(nn.Module):
    """k linear maps that share one matrix: ``s * W (r * x) + b`` with vectors r, s and b of each member.

    Parameters
    ----------
    members : int
        Number of maps k.
    in_features, out_features : int
        Sizes of each map.
    signs : bool
        Whether r starts as random signs, which tells the members apart; else as ones. s starts as ones, and all biases
        start the same.
    """

    def __init__(self, members: int, in_features: int, out_features: int, signs: bool = False) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(max(in_features, 1))
        self.weight = nn.Parameter(torch.empty(out_features, in_features).uniform_(-bound, bound))
        r = torch.randint(0, 2, (members, in_features)) * 2.0 - 1.0 if signs else torch.ones(members, in_features)
        self.r, self.s = nn.Parameter(r), nn.Parameter(torch.ones(members, out_features))
        self.bias = nn.Parameter(torch.empty(out_features).uniform_(-bound, bound).repeat(members, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return features (k, B, out) of the members' features (k, B, in), or of one input (1, B, in)."""
        product = F.linear(x * self.r.unsqueeze(1), self.weight)
        return torch.addcmul(self.bias.unsqueeze(1), product, self.s.unsqueeze(1))


class PiecewiseLinear(nn.Module):
    """Piecewise-linear embeddings of numeric features (Gorishniy et al., arXiv 2203.05556; version B of TabM).

    Each feature becomes ``a x + b + P e(x)``: e says bin by bin how far x has come through it, and P starts at zero, so
    that the embedding starts as a linear one.

    Parameters
    ----------
    n_features : int
        Number of features d.
    n_bins : int
        Bins of each.
    dim : int
        Width of each embedding.

    Attributes
    ----------
    edges : buffer of shape (d, n_bins + 1)
        Borders of the bins, see :meth:`set_edges`.
    """

    edges: Tensor

    def __init__(self, n_features: int, n_bins: int, dim: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(dim)
        self.weight = nn.Parameter(torch.empty(n_features, dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_features, dim).uniform_(-bound, bound))
        self.pieces = nn.Parameter(torch.zeros(n_features, n_bins, dim))
        self.register_buffer("edges", torch.linspace(-2.0, 2.0, n_bins + 1).repeat(n_features, 1))

    @torch.no_grad()
    def set_edges(self, x: Tensor) -> None:
        """Put the borders of the bins at quantiles of fitted rows (n, d); bins between equal quantiles are empty."""
        levels = torch.linspace(0.0, 1.0, self.edges.shape[1], dtype=torch.float64)
        self.edges.copy_(torch.quantile(x.double(), levels, dim=0).t())

    def forward(self, x: Tensor) -> Tensor:
        """Return embeddings (..., d * dim) of features (..., d)."""
        low, width = self.edges[:, :-1], self.edges.diff(dim=1)
        come = (x.unsqueeze(-1) - low) / width.clamp_min(1e-6)  # (..., d, n_bins)
        first, last = torch.zeros_like(width, dtype=torch.bool), torch.zeros_like(width, dtype=torch.bool)
        first[:, 0], last[:, -1] = True, True
        come = torch.where(first, come, come.clamp_min(0.0))  # the outermost bins go on beyond their borders
        come = torch.where(last, come, come.clamp_max(1.0)) * (width > 0)
        pieces = torch.einsum("...db,dbe->...de", come, self.pieces)
        return (torch.addcmul(self.bias, x.unsqueeze(-1), self.weight) + pieces).flatten(-2)
