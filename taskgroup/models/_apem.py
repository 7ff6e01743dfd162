"""APEM-style model: group attention over feature fields and a pattern selector for each task.

A reconstruction from the ABSTRACT of Tao, Ha, Guo, Ma, Cheng and Lin (arXiv 2301.02494), which names a "group
transformer", squeeze and excitation and a "pattern selector by adaptive task-indicator vectors", and from the blocks
it builds on (Set Transformer, arXiv 1810.00825; squeeze-and-excitation, arXiv 1709.01507). No code of it is public.

    tokens    E in (B, F, d), one a field
    block     P_g = MAB(I_g, X_g);    P <- P * 2 sigmoid(W2 relu(W1 mean_d P));    X <- MAB(X, P)
    selector  a_tp = 2 sigmoid(<u_t, K x_p + c_p> / (sqrt(d) tau));    z_t = relu(sum_p a_tp W_p x_p + b)

The selector equals: scale every token by its gate, flatten, apply one linear map that all tasks share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from taskgroup._validation import check_choice, check_int, check_real
from taskgroup.grouping import Grouping
from taskgroup.models._attention import GroupBlock, SelfBlock
from taskgroup.models._base import MultiTaskModel, Units, check_levels
from taskgroup.models._encoders import FieldsEncoder
from taskgroup.models._heads import TaskHeads
from taskgroup.models._layers import MLP, Roles, fuse
from taskgroup.tasks import Task, TaskSet

__all__ = ["APEM"]

_DENSE_ABOVE = 128  # numeric columns above which columns are mixed into a few tokens
_GROUPS_ABOVE = 50  # tokens above which group attention is faster than plain attention


class APEM(MultiTaskModel):
    """Interactions of feature fields, and a choice among them for each task or group.

    Parameters
    ----------
    in_features : int
        Columns of the input, or features of `encoder`.
    tasks : TaskSet or sequence of Task or str
        The T tasks.
    hidden : sequence of int, default (128, 64)
        Width of the selected features of every unit, then widths of further layers that units share.
    categories : mapping of int to int, optional
        Number of categories of each categorical column, whose values are codes 0 .. number.
    n_tokens : int, optional
        Cut a dense linear map of the features into this many tokens. Left out: one token a column, or 16 dense ones
        above 128 numeric columns and with an encoder.
    token_width : int, default 16
        Width d of a token.
    n_blocks : int, default 1
        Attention blocks; 0 selects among the tokens themselves.
    attention : {"auto", "group", "plain"}, default "auto"
        Attention through inducing points of groups of fields, or of all fields to all; ``"auto"`` takes groups above
        50 tokens, where they are faster.
    n_groups : int, optional
        Groups of neighbouring fields, about equal; one for 16 fields when left out.
    n_inducing : int, default 4
        Inducing points of every group.
    squeeze : bool, default True
        Squeeze and excitation of the inducing points.
    n_heads : int, default 2
        Attention heads; must divide `token_width`.
    n_selected : int, optional
        Tokens that each unit keeps; all of them, softly weighted, when left out.
    temperature : float, default 1
        tau of the selector.
    tower : int, default 32
        Width of each task's own hidden layer; 0 for a linear head.
    dropout : float, default 0
        Dropout after the selected features and the further layers, in [0, 1).
    encoder : Module, optional
        Turns inputs into (B, in_features).
    units : {"task", "group"}, default "task"
        An indicator vector for each task or for each group.
    grouping : Grouping, optional
        The groups, for ``units="group"``.

    Raises
    ------
    InvalidInputError
        When an argument breaks its rule.

    Notes
    -----
    On common tables it ties with a shared bottom of equal size at several times its cost; it helps where tasks depend
    on different fields.

    Examples
    --------
    >>> model = APEM(6, ["a", "b"], hidden=(8,), token_width=4)
    >>> model.logits(torch.zeros(3, 6)).shape
    torch.Size([3, 2])
    >>> model.selection(torch.zeros(3, 6)).shape  # samples, tasks, fields
    torch.Size([3, 2, 6])
    """

    def __init__(
        self,
        in_features: int,
        tasks: TaskSet | Sequence[Task | str],
        *,
        hidden: Sequence[int] = (128, 64),
        categories: Mapping[int, int] | None = None,
        n_tokens: int | None = None,
        token_width: int = 16,
        n_blocks: int = 1,
        attention: Literal["auto", "group", "plain"] = "auto",
        n_groups: int | None = None,
        n_inducing: int = 4,
        squeeze: bool = True,
        n_heads: int = 2,
        n_selected: int | None = None,
        temperature: float = 1.0,
        tower: int = 32,
        dropout: float = 0.0,
        encoder: nn.Module | None = None,
        units: Units = "task",
        grouping: Grouping | None = None,
    ) -> None:
        levels = check_levels(hidden, dropout, tower)
        widths = tuple(width for level in levels for width in level)
        options: dict[str, Any] = {
            "hidden": widths, "categories": categories, "n_tokens": n_tokens, "token_width": token_width,
            "n_blocks": n_blocks, "attention": attention, "n_groups": n_groups, "n_inducing": n_inducing,
            "squeeze": squeeze, "n_heads": n_heads, "n_selected": n_selected, "temperature": temperature,
            "tower": tower, "dropout": dropout,
        }  # fmt: skip
        super().__init__(in_features, tasks, encoder=encoder, units=units, grouping=grouping, options=options)
        check_choice("attention", attention, ("auto", "group", "plain"))
        check_real("temperature", temperature, 1e-6)
        if n_tokens is None and not categories and (encoder is not None or in_features > _DENSE_ABOVE):
            n_tokens = 16
        self.tokens: _FieldTokens | _DenseTokens
        if n_tokens is None:
            self.tokens = _FieldTokens(in_features, categories or {}, token_width)
            n_fields = in_features
        else:
            self.tokens = _DenseTokens(in_features, check_int("n_tokens", n_tokens, low=1), token_width)
            n_fields = n_tokens
        if n_selected is not None:
            check_int("n_selected", n_selected, low=1, high=n_fields, high_name="n_fields")
        if attention == "auto":
            attention = "group" if n_fields > _GROUPS_ABOVE else "plain"
        n_groups = max(1, n_fields // 16) if n_groups is None else n_groups
        self.blocks = nn.Sequential(*(
            GroupBlock(token_width, n_fields, n_groups, n_inducing, n_heads, squeeze)
            if attention == "group" else SelfBlock(token_width, n_heads)
            for _ in range(check_int("n_blocks", n_blocks, low=0))
        ))  # fmt: skip
        self.selector = _PatternSelector(self.n_units, n_fields, token_width, widths[0], n_selected, temperature)
        self.trunk = nn.Sequential(nn.Dropout(dropout), MLP(widths, dropout))
        self.heads = TaskHeads(self.tasks, widths[-1], tower, self.unit_of_task)

    def body(self, features: Tensor) -> Tensor:
        """Return the selected features of every unit, (U, B, D'), of (1, B, D)."""
        selected: Tensor = self.trunk(self.selector(self.blocks(self.tokens(features.squeeze(0)))))
        return selected

    @torch.no_grad()
    def selection(self, x: Tensor) -> Tensor:
        """Return the gates of every sample, task and token, (B, T, P), in [0, 2]; 1 is indifferent."""
        gates = self.selector.gates(self.blocks(self.tokens(self.encode(x).squeeze(0))))
        return gates[list(self.unit_of_task)].transpose(0, 1)

    def task_profiles(self, x: Tensor) -> Tensor:
        """Return the mean gates over samples, (T, P): which fields serve which task."""
        return self.selection(x).mean(0)


class _FieldTokens(nn.Module):
    """One token a column: the embedding of its category, or value times a vector plus a vector."""

    def __init__(self, n_features: int, categories: Mapping[int, int], width: int) -> None:
        super().__init__()
        self.categorical = FieldsEncoder(n_features, categories, width) if categories else None
        self.numeric = [j for j in range(n_features) if j not in categories]
        self.slope = nn.Parameter(torch.randn(len(self.numeric), width) / math.sqrt(width))
        self.offset = nn.Parameter(torch.randn(len(self.numeric), width) / math.sqrt(width))
        position = {j: i for i, j in enumerate([*sorted(categories), *self.numeric])}
        self.order = [position[j] for j in range(n_features)]

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens (B, F, d), in column order, of inputs (B, F)."""
        index = torch.tensor(self.numeric, dtype=torch.long, device=x.device)
        tokens = torch.addcmul(self.offset, x.index_select(1, index).unsqueeze(2), self.slope)
        if self.categorical is None:
            return tokens
        both = torch.cat([self.categorical.tokens(x), tokens], 1)
        return both.index_select(1, torch.tensor(self.order, device=x.device))


class _DenseTokens(nn.Module):
    """Tokens cut from one linear map, each plus an identity of its own."""

    def __init__(self, in_features: int, n_tokens: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, n_tokens * width, bias=False)
        self.identity = nn.Parameter(torch.randn(n_tokens, width) / math.sqrt(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens (B, n, d) of features (B, D)."""
        tokens: Tensor = self.linear(x).view(-1, *self.identity.shape) + self.identity
        return tokens


class _PatternSelector(nn.Module):
    """Gates of every unit on every token, and the gated tokens through one shared linear map and ReLU."""

    def __init__(
        self, n_units: int, n_tokens: int, width: int, out_features: int, n_selected: int | None, temperature: float
    ) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(n_tokens * width)
        self.indicator = nn.Parameter(torch.randn(n_units, width))
        self.identity = nn.Parameter(torch.randn(n_tokens, width))
        self.key = nn.Linear(width, width, bias=False)
        self.weight = nn.Parameter(torch.empty(n_tokens, width, out_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_features).uniform_(-bound, bound))
        self.n_selected = n_selected
        self.scale = 1.0 / (math.sqrt(width) * temperature)
        self.roles: Roles = {"indicator": ("unit", None)}

    def gates(self, tokens: Tensor) -> Tensor:
        """Return the gates (U, B, P) of tokens (B, P, d)."""
        keys = self.key(tokens) + self.identity
        scores = (keys @ self.indicator.t()).permute(2, 0, 1) * self.scale
        gates = 2.0 * torch.sigmoid(scores)
        if self.n_selected is None:
            return gates
        best = scores.topk(self.n_selected, -1).indices
        return gates * torch.zeros_like(gates).scatter(-1, best, 1.0)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return z, (U, B, out), of tokens (B, P, d)."""
        patterns = torch.bmm(tokens.transpose(0, 1), self.weight)  # (P, B, out)
        return torch.relu(fuse(self.gates(tokens), patterns) + self.bias)
