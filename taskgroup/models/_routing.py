"""Gates of sparse parameter allocation: which of K components each unit uses in a layer.

* ``gumbel`` (Maziarz et al., arXiv 1910.04915): one straight-through binary sample per unit and component and step.
* ``dselect`` (Hazimeh et al., NeurIPS 2021, arXiv 2106.03760): k selectors, each a binary code through a smooth step.
* ``softmax``: dense weights, the control that sampling has to beat.
* ``random``, ``all`` and ``own``: fixed controls: a random choice, everything, component u modulo K for unit u.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taskgroup.models._layers import Roles

__all__ = ["GATES", "Gate", "GateTable"]

Gate = Literal["gumbel", "dselect", "softmax", "random", "all", "own"]
GATES: tuple[Gate, ...] = ("gumbel", "dselect", "softmax", "random", "all", "own")

_SPEED = 20.0  # a logit is this times its parameter


class GateTable(nn.Module):
    """Logits of one layer and the mixing weights they stand for.

    Parameters
    ----------
    gate : Gate
        How logits become weights.
    start : Tensor of shape (U, K)
        Starting probability of every component for every unit, in (0, 1).
    n_active : int
        Components a unit uses: selectors of ``dselect``, choices of ``random``.

    Notes
    -----
    Parameters are logits divided by 20, so that Adam moves the gates 20 times as fast as the weights, the ratio of the
    original experiments, with one learning rate. ``dselect`` weights are divided by their sum, which is 1 when K is a
    power of 2 and otherwise excludes codes that stand for no component.
    """

    fixed: Tensor

    def __init__(self, gate: Gate, start: Tensor, n_active: int) -> None:
        super().__init__()
        n_units, self.n_components = start.shape
        self.gate = gate
        if gate in ("gumbel", "softmax"):
            self.logits = nn.Parameter(torch.logit(start) / _SPEED)
        elif gate == "dselect":
            n_bits = max(1, math.ceil(math.log2(self.n_components)))
            self.bits = nn.Parameter(torch.empty(n_units, n_active, n_bits).uniform_(-0.1, 0.1) / _SPEED)
            self.mix = nn.Parameter(torch.zeros(n_units, n_active))
        else:
            self.register_buffer("fixed", _fixed_weights(gate, n_units, self.n_components, n_active))
        self.roles: Roles = dict.fromkeys(("logits", "bits", "mix", "fixed"), ("unit",))

    def weights(self, sample: bool, temperature: float) -> Tensor:
        """Return mixing weights (U, K), rows of sum 1; gumbel gates are drawn when ``sample``, else at their modes."""
        if self.gate != "gumbel":
            return self.probabilities()
        active = self._draw(temperature) if sample else _at_least_one(self.logits >= 0, self.logits)
        return active / active.sum(1, keepdim=True).clamp(min=1.0)

    def probabilities(self) -> Tensor:
        """Return the probability (``gumbel``) or the weight of every component, (U, K), in [0, 1]."""
        if self.gate == "gumbel":
            return torch.sigmoid(_SPEED * self.logits)
        if self.gate == "softmax":
            return torch.softmax(_SPEED * self.logits, 1)
        if self.gate == "dselect":
            mixed = (torch.softmax(_SPEED * self.mix, 1).unsqueeze(2) * self._selectors()).sum(1)
            return mixed / mixed.sum(1, keepdim=True).clamp(min=1e-6)
        return self.fixed

    def entropy(self) -> Tensor:
        """Return the mean entropy a unit, in nats: 0 when every gate, or selector, has made up its mind.

        For ``dselect`` selectors also pay 1 / sum - 1 for weight on codes that stand for no component.
        """
        if self.gate == "gumbel":
            logits = _SPEED * self.logits
            return (F.softplus(logits) - logits * torch.sigmoid(logits)).sum(1).mean()
        if self.gate == "dselect":
            selectors = self._selectors()
            outside = 1.0 / selectors.sum(2).clamp(min=1e-6) - 1.0
            return (outside.sum(1) + _surprise(selectors).sum((1, 2))).mean()
        return _surprise(self.probabilities()).sum(1).mean()

    def _draw(self, temperature: float) -> Tensor:
        """Return a straight-through sample: binary forward, with the gradient of the relaxed one."""
        logits = _SPEED * self.logits
        noisy = logits + torch.logit(torch.rand_like(logits).clamp(1e-6, 1.0 - 1e-6))
        soft = torch.sigmoid(noisy / temperature)
        return _at_least_one(noisy > 0, logits) - soft.detach() + soft

    def _selectors(self) -> Tensor:
        """Return every selector's weight of every component, (U, k, K): products of its code's smooth bits."""
        on = _smooth_step(_SPEED * self.bits).unsqueeze(2)  # (U, k, 1, bits)
        numbers = torch.arange(self.n_components, device=on.device).unsqueeze(1)
        code = (numbers >> torch.arange(on.shape[-1], device=on.device)) & 1  # (K, bits)
        return torch.where(code == 1, on, 1.0 - on).prod(-1)


def _surprise(p: Tensor) -> Tensor:
    """Return -p log p, with a finite gradient at 0."""
    return -p * p.clamp(min=1e-12).log()


def _smooth_step(t: Tensor) -> Tensor:
    """Return S(t) = -2 t^3 + 3/2 t + 1/2 between -1/2 and 1/2, and exactly 0 or 1 outside."""
    t = t.clamp(-0.5, 0.5)
    return -2.0 * t**3 + 1.5 * t + 0.5


def _at_least_one(on: Tensor, logits: Tensor) -> Tensor:
    """Return the gates (U, K) as 0 and 1; a unit whose gates are all off uses its most probable component."""
    best = F.one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)
    return torch.where(on.any(1, keepdim=True), on.to(logits.dtype), best)


def _fixed_weights(gate: Gate, n_units: int, n_components: int, n_active: int) -> Tensor:
    if gate == "all":
        return torch.full((n_units, n_components), 1.0 / n_components)
    if gate == "own":
        return F.one_hot(torch.arange(n_units) % n_components, n_components).float()
    return (torch.rand(n_units, n_components).argsort(1).argsort(1) < n_active).float() / n_active
