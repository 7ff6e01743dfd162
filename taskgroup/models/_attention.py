"""Attention over tokens: plain, and through inducing points of groups with squeeze and excitation.

MAB(Q, K) of the Set Transformer (Lee et al., ICML 2019, arXiv 1810.00825, equations 6 and 7) in its pre-norm form:

    H = Q + attention(LN(Q), LN(K));    MAB = H + FF(LN(H))
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from taskgroup._validation import check_int
from taskgroup.exceptions import InvalidInputError

__all__ = ["Attention", "GroupBlock", "MultiheadBlock", "SelfBlock"]


class Attention(nn.Module):
    """Multi-head attention softmax(Q K^T / sqrt(d / heads)) V with its four projections.

    Parameters
    ----------
    width : int
        d, a multiple of `n_heads`.
    n_heads : int
        Number of heads.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        if width % check_int("n_heads", n_heads, low=1):
            raise InvalidInputError(f"`n_heads` must divide the token width {width}; got {n_heads}.")
        self.n_heads = n_heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (..., n, d) of queries (..., n, d) and keys (..., m, d); ``mask`` (..., 1, m) is False for padding."""
        q, k, v = (
            layer(x).unflatten(-1, (self.n_heads, -1)).transpose(-2, -3)
            for layer, x in ((self.query, queries), (self.key, keys), (self.value, keys))
        )  # (..., heads, n, d / heads)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # by hand: the fused kernel cannot be batched by vmap
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(-3), float("-inf"))
        mixed: Tensor = self.out((torch.softmax(scores, -1) @ v).transpose(-2, -3).flatten(-2))
        return mixed


class MultiheadBlock(nn.Module):
    """MAB: attention and a two-layer network, each added to its normalised input."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.norm_queries, self.norm_keys, self.norm_hidden = (nn.LayerNorm(width) for _ in range(3))
        self.attention = Attention(width, n_heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return MAB(Q, K), the shape of the queries."""
        hidden = queries + self.attention(self.norm_queries(queries), self.norm_keys(keys), mask)
        return hidden + self.feed_forward(self.norm_hidden(hidden))  # type: ignore[no-any-return]


class SelfBlock(nn.Module):
    """Plain self-attention, MAB(X, X), as in AutoInt: cost F^2 d."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.block = MultiheadBlock(width, n_heads)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return new tokens (B, F, d)."""
        return self.block(tokens, tokens)  # type: ignore[no-any-return]


class GroupBlock(nn.Module):
    """Compress groups of tokens to inducing points, excite these, and read them back: cost F (m + M) d.

    Parameters
    ----------
    width : int
        Token width d.
    n_tokens, n_groups : int
        F tokens in G groups of neighbours, sizes equal up to one.
    n_inducing : int
        Inducing points m of every group; M = G m in all.
    n_heads : int
        Attention heads.
    squeeze : bool
        Squeeze and excitation of the inducing points; it starts as the identity.
    """

    def __init__(self, width: int, n_tokens: int, n_groups: int, n_inducing: int, n_heads: int, squeeze: bool) -> None:
        super().__init__()
        check_int("n_groups", n_groups, low=1, high=n_tokens, high_name="n_fields")
        n_points = n_groups * check_int("n_inducing", n_inducing, low=1)
        self.members = [list(range(g * n_tokens // n_groups, (g + 1) * n_tokens // n_groups)) for g in range(n_groups)]
        self.inducing = nn.Parameter(torch.randn(n_groups, n_inducing, width))
        self.compress = MultiheadBlock(width, n_heads)
        self.excite = _Excitation(n_points) if squeeze else None
        self.broadcast = MultiheadBlock(width, n_heads)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return new tokens (B, F, d)."""
        grouped, mask = self._grouped(tokens)  # (B, G, n, d)
        points = self.compress(self.inducing.expand(len(tokens), -1, -1, -1), grouped, mask).flatten(1, 2)
        if self.excite is not None:
            points = self.excite(points)
        return self.broadcast(tokens, points)  # type: ignore[no-any-return]

    def _grouped(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the tokens of every group, padded to the largest, and which are real, (G, 1, n)."""
        largest = max(map(len, self.members))
        if len(self.members) * largest == tokens.shape[1]:
            return tokens.reshape(len(tokens), -1, largest, tokens.shape[2]), None
        padded = [members[min(i, len(members) - 1)] for members in self.members for i in range(largest)]
        real = [[[i < len(members) for i in range(largest)]] for members in self.members]
        grouped = tokens.index_select(1, torch.tensor(padded, device=tokens.device))
        return grouped.view(len(tokens), -1, largest, tokens.shape[2]), torch.tensor(real, device=tokens.device)


class _Excitation(nn.Module):
    """P * 2 sigmoid(W2 relu(W1 mean_d(P))): a factor in (0, 2) for every point, 1 at the start."""

    def __init__(self, n_points: int) -> None:
        super().__init__()
        inner = max(1, n_points // 2)
        self.squeeze, self.excite = nn.Linear(n_points, inner), nn.Linear(inner, n_points)
        nn.init.zeros_(self.excite.weight)
        nn.init.zeros_(self.excite.bias)

    def forward(self, points: Tensor) -> Tensor:
        """Return the points (B, M, d), scaled."""
        factors = 2.0 * torch.sigmoid(self.excite(torch.relu(self.squeeze(points.mean(-1)))))
        return points * factors.unsqueeze(-1)
