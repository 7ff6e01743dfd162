"""Claims that keep their error rate, however many comparisons they need.

"Better than all of these" holds only if every single comparison does. So each is made at the full level, and the claim
has the largest of their p values: the chance that it is false is no larger than of one test (the intersection-union
rule). "Better than random groups" is about *these* groups against others that might have been drawn: were these random
too, their rank among R draws would be any with the same chance, so p is (1 + draws that do as well) / (1 + R), and a
claim at level .05 takes 19 draws, whatever the scores.

References
----------
Berger, Technometrics 24 (1982), pages 295-300. Phipson & Smyth, Statistical Applications in Genetics and Molecular
Biology 9 (2010), doi 10.2202/1544-6115.1585 (permutation p values are never zero).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from taskgroup._display import brief
from taskgroup.exceptions import InvalidInputError
from taskgroup.scoring._comparison import Interval, Resampler
from taskgroup.scoring._measured import Measured

__all__ = ["AmongDraws", "Claim", "among_draws", "better_than_all"]


@dataclass(frozen=True)
class Claim:
    """Whether a method is better than all of some others.

    Parameters
    ----------
    method : str
        The method.
    others : tuple of str
        Those that it should beat.
    shown : bool
        Whether every gain is above zero at the level.
    p : float
        The largest p of the comparisons.
    nearest : str
        The one that it gains least over.
    gains : dict
        {other: :class:`Interval`}.
    """

    method: str
    others: tuple[str, ...]
    shown: bool
    p: float
    nearest: str
    gains: Mapping[str, Interval]


def better_than_all(
    methods: Mapping[str, Measured],
    method: str,
    others: Sequence[str],
    *,
    resampler: Resampler | None = None,
    question: str = "retrained",
    alpha: float = 0.05,
) -> Claim:
    """Return whether a method is better than all of some others, by the intersection-union rule.

    Raises
    ------
    InvalidInputError
        When there is no other method.
    """
    rivals = [name for name in others if name != method]
    if not rivals:
        raise InvalidInputError(f"`others` must hold a method other than {method!r}; got {list(others)!r}.")
    differences = (methods[method].minus(methods[name]) for name in rivals)
    found = (resampler or Resampler()).intervals(differences, question)
    gains = dict(zip(rivals, found, strict=True))
    nearest = min(gains, key=lambda name: np.nan_to_num(gains[name].mean, nan=-np.inf))
    p = float(np.max([gain.p for gain in gains.values()]))  # NaN where one is not defined
    shown = all(gain.mean > 0 and gain.p < alpha for gain in gains.values())
    return Claim(method, tuple(rivals), shown, p, nearest, gains)


@brief
@dataclass(frozen=True)
class AmongDraws:
    """Where a score stands among those of random draws.

    Parameters
    ----------
    p : float
        (1 + draws that do as well) / (1 + draws); NaN without draws.
    n_draws : int
        Draws compared with.
    enough : bool
        Whether so many draws can show anything at the level; if not, `needed` can.
    needed : int
        The fewest draws that can.
    p_normal : float
        The p if the scores of draws are normal, which a few draws suffice for: a one-sided t test of one new value
        against a sample; NaN with fewer than two draws. It is weaker evidence, and to be called so.
    """

    p: float
    n_draws: int
    enough: bool
    needed: int
    p_normal: float


def among_draws(score: float, draws: ArrayLike, alpha: float = 0.05) -> AmongDraws:
    """Return how a score stands among the scores of random draws made and fitted in the same way.

    Examples
    --------
    >>> among_draws(0.80, [0.70, 0.71, 0.72, 0.69])
    AmongDraws(p=0.2, n_draws=4, enough=False, needed=19, p_normal=0.003...)
    """
    others = np.asarray(draws, np.float64).ravel()
    others = others[np.isfinite(others)]
    n, needed = len(others), math.ceil(1 / alpha - 1e-9) - 1
    if n == 0 or not np.isfinite(score):
        return AmongDraws(float("nan"), n, False, needed, float("nan"))
    p = (1 + int((others >= score).sum())) / (1 + n)
    spread = others.std(ddof=1) * (1 + 1 / n) ** 0.5 if n > 1 else float("nan")
    beyond = score - others.mean()
    normal = float("nan") if n < 2 else float(beyond <= 0) if spread == 0 else float(stats.t.sf(beyond / spread, n - 1))
    return AmongDraws(p, n, n >= needed, needed, normal)
