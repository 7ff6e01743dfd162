"""Local moves: what no cut of a tree can reach. Two groups become one, a task goes to another group."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from taskgroup.gain._ledger import ROUGH, Gain, Group, Ledger

__all__ = ["fewer_groups", "join_lonely", "move", "screened"]

_NEAREST = 3  # groups that a lonely task is tried in, beside one of all lonely tasks


def screened(ledger: Ledger, new: Sequence[Group], old: Sequence[Group], least: float) -> Gain | None:
    """Return the gain of a change at full effort; None when it is below ``least`` deviations, or cannot be judged.

    What two deviations more would not save at low effort is not tried at full effort.
    """
    for effort, slack in ((ROUGH, 2.0), (ledger.full, 0.0)):
        gain = ledger.compare(new, old, effort)
        if gain is None or gain.value <= (least - slack) * gain.noise:
            return None
    return gain


def join_lonely(groups: list[Group], similarity: NDArray[np.float64], ledger: Ledger, margin: float) -> list[Group]:
    """Return the groups after every task that is alone has joined another, unless alone is measured to be better.

    A task is tried with all others that are alone, and in the groups it is most similar to; it goes where the total
    gains most, or loses least, and stays alone when every one of these loses more than the margin.
    """
    lonely = [group for group in groups if len(group) == 1]
    if len(lonely) > 2:
        together = tuple(sorted(t for group in lonely for t in group))
        gain = screened(ledger, [together], lonely, -margin)
        if gain is not None and len(lonely) < len(groups):
            groups = [*(group for group in groups if len(group) > 1), together]
    for group in lonely:
        if group not in groups or len(groups) == 1:
            continue
        others = sorted((g for g in groups if g != group), key=lambda g: -_mean(similarity, group, g))[:_NEAREST]
        tried = []
        for other in others:
            joined = tuple(sorted(other + group))
            gain = screened(ledger, [joined], [other, group], -margin)
            if gain is not None:
                tried.append((gain.value, joined, other))
        if tried:
            _, joined, other = max(tried)
            groups = [*(g for g in groups if g not in (group, other)), joined]
    return groups


def move(
    groups: list[Group],
    similarity: NDArray[np.float64],
    ledger: Ledger,
    margin: float,
    trials: int,
    max_size: int | None,
) -> tuple[list[Group], int]:
    """Return the groups after merges and moves of tasks that gain more than the margin, and the number made.

    Pairs of groups are tried by their mean similarity, then tasks by how much more similar they are to another group
    than to their own; no more than ``trials`` of each.
    """
    made, limit = 0, max_size or len(similarity)
    pairs = sorted(combinations(groups, 2), key=lambda pair: -_mean(similarity, *pair))[:trials]
    pairs = [(one, other) for one, other in pairs if len(one) + len(other) <= limit]
    ledger.measure((tuple(sorted(one + other)) for one, other in pairs), ROUGH)  # at once: side by side
    for one, other in pairs:
        if one in groups and other in groups:
            joined = tuple(sorted(one + other))
            if screened(ledger, [joined], [one, other], margin) is not None:
                groups = [*(g for g in groups if g not in (one, other)), joined]
                made += 1
    for t, _ in _candidates(groups, similarity)[:trials]:
        source = next(g for g in groups if t in g)
        if len(source) == 1 or len(groups) == 1:
            continue
        target = max((g for g in groups if g != source), key=lambda g: _mean(similarity, (t,), g))
        if len(target) >= limit:
            continue
        rest, joined = tuple(u for u in source if u != t), tuple(sorted((*target, t)))
        if screened(ledger, [rest, joined], [source, target], margin) is not None:
            groups = [*(g for g in groups if g not in (source, target)), rest, joined]
            made += 1
    return groups, made


def fewer_groups(
    groups: list[Group], similarity: NDArray[np.float64], ledger: Ledger, most: int, max_size: int | None = None
) -> list[Group]:
    """Return at most so many groups: the pair whose union loses least becomes one, of the most similar pairs.

    Where no union keeps to the largest size, the tasks of the smallest group go to the most similar groups with room.
    """
    limit = max_size or len(similarity)
    while len(groups) > most:
        fitting = [pair for pair in combinations(groups, 2) if len(pair[0]) + len(pair[1]) <= limit]
        if not fitting:
            smallest = min(groups, key=len)
            groups = [g for g in groups if g != smallest]
            for t in smallest:
                home = max((g for g in groups if len(g) < limit), key=lambda g: _mean(similarity, (t,), g))
                groups = [*(g for g in groups if g != home), tuple(sorted((*home, t)))]
            continue
        pairs = sorted(fitting, key=lambda pair: -_mean(similarity, *pair))[: 2 * len(groups)]
        gains = [ledger.compare([tuple(sorted(a + b))], [a, b], ROUGH) for a, b in pairs]
        best = int(np.argmax([-np.inf if gain is None else gain.value for gain in gains]))
        one, other = pairs[best]
        groups = [*(g for g in groups if g not in (one, other)), tuple(sorted(one + other))]
    return groups


def _candidates(groups: list[Group], similarity: NDArray[np.float64]) -> list[tuple[int, float]]:
    """Return (task, how much more similar it is to another group than to the rest of its own), best first."""
    found = []
    for group in groups:
        for t in group:
            rest = tuple(u for u in group if u != t)
            others = [_mean(similarity, (t,), g) for g in groups if g != group]
            if rest and others:
                found.append((t, max(others) - _mean(similarity, (t,), rest)))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def _mean(similarity: NDArray[np.float64], one: Group, other: Group) -> float:
    return float(similarity[np.ix_(one, other)].mean())
