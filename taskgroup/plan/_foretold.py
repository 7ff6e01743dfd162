"""What the groups were expected to gain, beside what they gained on test rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskgroup.scoring import Scorecard

__all__ = ["foretold"]

_RIVALS = {"all-in-one": "all-in-one", "alone": "per-task"}  # as the estimate names them -> arm
_FORESTS = ("extra-trees", "random-forest")


def foretold(card: Scorecard, expected: Mapping[str, Mapping[str, float] | None]) -> list[dict[str, Any]]:
    """Return, of every learner that was fitted both ways, the gain of our groups beside the one that was expected.

    Parameters
    ----------
    card : Scorecard
        With the split "test".
    expected : dict
        {"all-in-one" | "alone": {"gain", "low", "high"} per task}, from :func:`taskgroup.gain.find_groups`: measured
        out of bag with small forests, before anything was trained.

    Returns
    -------
    list of dict
        {"learner", "against": arm, "expected", "low", "high", "realised", "ci95"}; the forests, which the estimate
        comes from, first.
    """
    main = card.main["test"]
    wanted: list[tuple[str, str, Mapping[str, float]]] = []
    for key, arm in _RIVALS.items():
        row = expected.get(key)
        for name in main if row else ():
            learner, _, own = name.partition("/")
            if row is not None and own == "grouped" and f"{learner}/{arm}" in main:
                wanted.append((learner, arm, row))
    found = card.resampler.intervals(
        [main[f"{learner}/grouped"].minus(main[f"{learner}/{arm}"]) for learner, arm, _ in wanted], "trained"
    )
    rows = [
        {
            "learner": learner, "against": arm, "expected": row["gain"], "low": row["low"], "high": row["high"],
            "realised": gain.mean, "ci95": gain.ci95,
        }
        for (learner, arm, row), gain in zip(wanted, found, strict=True)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["against"] != "all-in-one", row["learner"] not in _FORESTS))
