"""Encoders of tables, and copies of any encoder run side by side.

An encoder turns inputs (B, d) into features (B, D) and says D as ``out_features``. Dense columns need none: the
``"mlp"`` encoder is the columns as they are, followed by the layers of the architecture.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from taskgroup.exceptions import InvalidInputError
from taskgroup.models._layers import Roles

__all__ = ["FieldsEncoder", "StackedEncoder", "encoder_width"]


class FieldsEncoder(nn.Module):
    """Embeddings of the categorical columns beside the numeric columns as they are.

    Parameters
    ----------
    n_features : int
        Number of columns d.
    sizes : mapping of int to int
        Number of categories of each categorical column, by column. Its codes are 0 (unseen or missing) .. size.
    dim : int, default 4
        Width of every embedding.

    Notes
    -----
    The embedding of code 0 starts at zero, so that a value never seen in training adds nothing; a code above the
    column's size counts as unseen.

    Examples
    --------
    >>> FieldsEncoder(3, {1: 5})(torch.tensor([[0.5, 2.0, -1.0]])).shape  # 4 of the embedding and 2 numbers
    torch.Size([1, 6])
    """

    def __init__(self, n_features: int, sizes: Mapping[int, int], dim: int = 4) -> None:
        super().__init__()
        self.columns = sorted(sizes)
        self.sizes = [sizes[j] for j in self.columns]
        self.numeric = [j for j in range(n_features) if j not in sizes]
        self.starts = [sum(size + 1 for size in self.sizes[:i]) for i in range(len(self.sizes))]
        self.table = nn.Parameter(torch.empty(sum(size + 1 for size in self.sizes), dim))
        self.out_features = len(self.columns) * dim + len(self.numeric)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the embeddings anew: normal with standard deviation .1, zero for unseen values."""
        with torch.no_grad():
            self.table.normal_(0.0, 0.1)
            self.table[self.starts] = 0.0

    def tokens(self, x: Tensor) -> Tensor:
        """Return the embeddings of the categorical columns of (B, d), shape (B, n_columns, dim)."""
        index, sizes, starts = (torch.tensor(v, device=x.device) for v in (self.columns, self.sizes, self.starts))
        codes = x.index_select(1, index).long()
        return F.embedding(torch.where(codes <= sizes, codes, 0) + starts, self.table)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (B, out_features) of inputs (B, d)."""
        numbers = x.index_select(1, torch.tensor(self.numeric, dtype=torch.long, device=x.device))
        return torch.cat([self.tokens(x).flatten(1), numbers], 1)


class StackedEncoder(nn.Module):
    """U copies of an encoder with weights of their own, run in one call with ``vmap``.

    Parameters
    ----------
    encoder : Module
        Its layers are drawn anew for every copy where they have ``reset_parameters``, and copied where they have not.
    n_units : int
        Number of copies U.
    """

    def __init__(self, encoder: nn.Module, n_units: int) -> None:
        super().__init__()
        copies = [copy.deepcopy(encoder) for _ in range(n_units)]
        for layer in (layer for unit in copies for layer in unit.modules()):
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()
        self.module = copies[0]
        for name, _ in list(self.module.named_parameters()):
            stacked = torch.stack([unit.get_parameter(name).detach() for unit in copies])
            _owner(self.module, name)._parameters[name.rpartition(".")[2]] = nn.Parameter(stacked)
        for name, _ in list(self.module.named_buffers()):
            buffers = torch.stack([unit.get_buffer(name) for unit in copies])
            _owner(self.module, name)._buffers[name.rpartition(".")[2]] = buffers
        self.roles: Roles = {f"module.{name}": ("unit",) for name in self.module.state_dict()}

    def forward(self, x: Tensor) -> Tensor:
        """Return every copy's features of (B, d), shape (U, B, D)."""
        state = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        run: Callable[..., Tensor] = vmap(self._one, in_dims=(0, None), randomness="different")
        return run(state, x)

    def unstacked(self) -> nn.Module:
        """Return one plain encoder, with the weights of the first copy."""
        one = copy.deepcopy(self.module)
        for name, value in list(one.named_parameters()):
            _owner(one, name)._parameters[name.rpartition(".")[2]] = nn.Parameter(value.detach()[0].clone())
        for name, buffer in list(one.named_buffers()):
            _owner(one, name)._buffers[name.rpartition(".")[2]] = buffer[0].clone()
        return one

    def _one(self, state: dict[str, Tensor], x: Tensor) -> Tensor:
        features: Tensor = functional_call(self.module, state, (x,))
        return features


def encoder_width(encoder: nn.Module, n_features: int) -> int:
    """Return D of an encoder: its ``out_features``, or what it makes of two zero rows.

    Raises
    ------
    InvalidInputError
        When it returns anything but (B, D).
    """
    known = getattr(encoder, "out_features", None)
    if isinstance(known, int):
        return known
    training = encoder.training
    with torch.no_grad():
        features = encoder.eval()(torch.zeros(2, n_features))
    encoder.train(training)
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2:
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise InvalidInputError(f"an `encoder` must turn (B, {n_features}) into (B, D); 2 rows gave {shape}.")
    return int(features.shape[1])


def _owner(module: nn.Module, name: str) -> nn.Module:
    """Return the submodule that holds the parameter or buffer of this full name."""
    return module.get_submodule(name.rpartition(".")[0])
