"""What would settle an open comparison: how many more seeds, or how many more labelled rows.

The variance of a gain is V_rows n / n' + V_seeds / S' with n' rows and S' seeds. A question is closed when the interval
leaves out zero, or leaves out every gain worth acting on; which of the two is nearer, the gain that was seen tells. It
is not known any better than its interval, so the numbers are rough: "about".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from taskgroup._validation import check_real
from taskgroup.scoring._measured import Measured
from taskgroup.scoring._seeds import SeedNoise

__all__ = ["Needed", "needed"]

_Z = 1.959964
_MOST_SEEDS = 100
_MOST_TIMES = 30.0  # as many rows as there are


@dataclass(frozen=True)
class Needed:
    """What would settle a comparison.

    Parameters
    ----------
    settled : bool
        Whether it is settled already.
    seeds : int or None
        More seeds that would do, with these rows; None where no number within reason would.
    rows : int or None
        More labelled rows that would do, with these seeds; None likewise.
    both : tuple of int, or None
        (seeds, rows) that would do together, where neither does alone.
    unseen : tuple of str
        Methods of one seed whose luck is not known: give them two more seeds first.
    """

    settled: bool
    seeds: int | None
    rows: int | None
    both: tuple[int, int] | None
    unseen: tuple[str, ...]

    def __str__(self) -> str:
        if self.settled:
            return "nothing: it is settled"
        ways = [f"about {_about(self.seeds)} more seeds"] if self.seeds is not None else []
        ways += [f"about {_about(self.rows)} more labelled rows"] if self.rows is not None else []
        if not ways and self.both is not None:
            ways = [f"about {_about(self.both[0])} more seeds and {_about(self.both[1])} more labelled rows"]
        said = " or ".join(ways) or "more labelled rows than are likely to be had"
        return said + (f" (after more seeds of {', '.join(self.unseen)})" if self.unseen else "")


def needed(
    difference: Measured, *, margin: float = 0.01, question: str = "retrained", seeds: SeedNoise | None = None
) -> Needed:
    """Return what would settle whether one method is better than another on average.

    Parameters
    ----------
    difference : Measured
        Gains of one method over another.
    margin : float
        The smallest gain of the mean that is worth acting on.
    question : str
        "retrained" or "trained"; more seeds do nothing for the second.
    seeds : SeedNoise, optional
        What is known of the luck of seeds; what the difference carries when left out.
    """
    check_real("margin", margin, low=0.0)
    n = int((np.abs(difference.influence).max((0, 1)) > 0).sum())
    gain = float(difference.by_seed.mean())
    spread = (seeds or difference.noise or SeedNoise()).of_mean(difference, question)
    rows = float(np.square(difference.by_sample.mean(0)).sum())
    if np.isnan(gain):
        return Needed(False, None, None, None, spread.unseen)
    aim = (max(abs(gain), margin - abs(gain)) / _Z) ** 2  # the variance that closes the question
    if rows + spread.variance <= aim:
        return Needed(True, 0, 0, None, spread.unseen)
    of_seed = max(0.0, spread.between - spread.rows)
    more_seeds = _more(of_seed, aim - rows - spread.single, spread.n_seeds, _MOST_SEEDS)
    more_rows = _more(rows * n, aim - spread.variance, n, n * _MOST_TIMES)
    both = None
    if more_seeds is None and more_rows is None:
        half = (
            _more(of_seed, aim / 2 - spread.single, spread.n_seeds, _MOST_SEEDS),
            _more(rows * n, aim / 2, n, n * _MOST_TIMES),
        )
        both = (half[0], half[1]) if half[0] is not None and half[1] is not None else None
    return Needed(False, more_seeds, more_rows, both, spread.unseen)


def _more(variance: float, aim: float, now: int, most: float) -> int | None:
    """Return how many more than `now` bring variance / number down to the aim; None where too many would."""
    if aim <= 0 or variance <= 0:
        return None
    total = math.ceil(variance / aim)
    return max(1, total - now) if total <= most else None


def _about(number: int | None) -> str:
    """Return a number to two digits."""
    if number is None or number < 20:
        return str(number)
    unit = 10 ** (len(str(number)) - 2)
    return f"{round(number / unit) * unit:,}"
