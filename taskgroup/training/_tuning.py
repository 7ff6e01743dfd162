"""The same small tuning budget for every family of networks, spent on validation data.

One repetition of its own seed is trained for every candidate; the least validation loss at the best epoch, averaged
over the networks of the family, decides. Groups take over the choice of the all-in-one networks that they start from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np

from taskgroup.training._methods import Design, Family
from taskgroup.training._settings import Recipe
from taskgroup.training._unit import Unit

__all__ = ["CANDIDATES", "tune"]

CANDIDATES: tuple[tuple[float, float, float], ...] = (
    (1.0, 0.2, 1.0), (0.33, 0.3, 1.0), (0.33, 0.5, 1.0), (1.0, 0.5, 2.0), (0.33, 0.3, 0.5), (3.0, 0.2, 1.0),
)  # fmt: skip
"""(factor on the learning rate, dropout, factor on the widths), in the order in which they are tried."""

_SEED = -1  # a repetition that no score is taken from

Make = Callable[[Design], list[Unit]]
LossesOf = Callable[[list[list[Unit]]], list[float]]
"""The mean over the networks of each list of units of the least validation loss."""


def tune(
    design: Design,
    families: Collection[Family],
    n_candidates: int,
    widen: Callable[[Design], Design],
    losses_of: LossesOf,
) -> tuple[Design, dict[str, Any]]:
    """Return the design with the best recipe of each family, and {family: trials}.

    Parameters
    ----------
    design : Design
        Its recipes are the starting points.
    families : collection of str
        The families to tune.
    n_candidates : int
        How many of :data:`CANDIDATES` are tried for each family.
    widen : callable
        Sets the widths of the wide network, which follow from those of the group networks.
    losses_of : callable
        Trains units of work and judges them.
    """
    trials: dict[str, Any] = {}
    makers: dict[Family, Make] = {
        "stl": lambda d: d.single(_SEED)[0],
        "mtl": lambda d: d.all_in_one(_SEED, [0]),
        "mtl-wide": lambda d: widen(d).all_in_one(_SEED, [0], wide=True),
    }
    for family, make in makers.items():
        if family not in families:
            continue
        designs = [_with(design, family, candidate) for candidate in CANDIDATES[:n_candidates]]
        losses = losses_of([make(trial) for trial in designs])
        trials[family] = [
            {**trial.recipes[family].to_dict(), "valid_loss": loss} for trial, loss in zip(designs, losses, strict=True)
        ]
        design = designs[int(np.argmin(losses))]
    return widen(design), trials


def _with(design: Design, family: Family, candidate: tuple[float, float, float]) -> Design:
    """Return the design with another recipe of one family."""
    factor, dropout, width = candidate
    recipe = design.recipes[family]
    settings = replace(recipe.settings, learning_rate=recipe.settings.learning_rate * factor)
    hidden = tuple(max(1, round(h * width)) for h in recipe.hidden)
    return replace(design, recipes={**design.recipes, family: Recipe(hidden, dropout, settings)})
