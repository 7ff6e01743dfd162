"""What a cheaper choice would lose: the methods that nothing cheaper or as cheap does better than."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring._comparison import Resampler
from taskgroup.scoring._measured import Measured

__all__ = ["pareto"]


def pareto(
    methods: Mapping[str, Measured],
    costs: Mapping[str, float],
    *,
    chosen_on: Mapping[str, Measured] | None = None,
    resampler: Resampler | None = None,
    question: str = "trained",
) -> list[dict[str, Any]]:
    """Return the Pareto set of methods by cost against quality, the cheapest first.

    Parameters
    ----------
    methods : dict of str to Measured
        What is compared; plans may be among them.
    costs : dict of str to float
        What each costs, lower being better: models, bytes, seconds. A method without one is left out.
    chosen_on : dict of str to Measured, optional
        Scores that decide who is in the set, as those on validation data: chosen and measured on the same rows, the set
        looks better than it is. `methods` when left out.
    resampler : Resampler, optional
        Source of the intervals.
    question : str
        "trained", of these trained models, or "retrained".

    Returns
    -------
    list of dict
        {"method", "cost", "mean", "ci95", "loss", "loss_ci95", "p"}: "loss" is the difference to the best of the set,
        the dearest one, negative where the cheaper choice is worse; 0 for that one itself.

    Raises
    ------
    InvalidInputError
        When no method has a cost.
    """
    priced = [name for name in methods if name in costs and np.isfinite(costs[name])]
    if not priced:
        raise InvalidInputError(f"`costs` must hold a number for one of {', '.join(methods)}; got {dict(costs)!r}.")
    deciding = methods if chosen_on is None else chosen_on
    quality = {name: float(np.nan_to_num(deciding[name].by_seed.mean(), nan=-np.inf)) for name in priced}
    kept: list[str] = []
    for name in sorted(priced, key=lambda name: (costs[name], -quality[name])):
        if not kept or quality[name] > quality[kept[-1]]:
            kept.append(name)
    source, best = resampler or Resampler(), methods[kept[-1]]
    means = source.intervals((methods[name] for name in kept), question)
    losses = source.intervals((methods[name].minus(best) for name in kept), question)
    return [
        {"method": name, "cost": float(costs[name]), "mean": mean.mean, "ci95": mean.ci95, "loss": loss.mean,
         "loss_ci95": loss.ci95, "p": loss.p}
        for name, mean, loss in zip(kept, means, losses, strict=True)
    ]  # fmt: skip
