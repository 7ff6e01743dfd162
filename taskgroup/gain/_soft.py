"""Soft groups: a task is served by the blend of its two best groups where that is measured to help."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from taskgroup.gain._judge import score_outputs
from taskgroup.gain._ledger import Group, Ledger
from taskgroup.scoring import Measured
from taskgroup.scoring._noise import believed, noise_variance

__all__ = ["soften"]

Floats = NDArray[np.float64]


def soften(groups: Sequence[Group], similarity: Floats, ledger: Ledger, margin: float, trials: int) -> Floats:
    """Return memberships (T, k): one half in each of two groups for the tasks whose blend of both measures better.

    The second group of a task is the one it is most similar to; there it is fitted beside the group's own tasks, and
    the answers of both groups are averaged. The gains of all tasks that are tried (those most similar to another group
    first) are shrunk towards their mean, as far as they differ by chance only; a task is split when what is left
    exceeds the margin, in standard deviations.
    """
    judge, n_tasks = ledger.judge, sum(map(len, groups))
    membership = np.zeros((n_tasks, len(groups)))
    for g, group in enumerate(groups):
        membership[list(group), g] = 1.0
    if len(groups) < 2:
        return membership
    tried = _second_groups(groups, similarity)[:trials]
    values, influences, kept = [], [], []
    for t, home, second in tried:
        guest = tuple(sorted((*groups[second], t)))
        own, other = (ledger.outputs_of(t, group, ledger.full) for group in (groups[home], guest))
        if own is None or other is None:
            continue
        alone, both = (score_outputs(judge, [t], answer) for answer in (own, np.float32(0.5) * (own + other)))
        values.append(both.values[0] - alone.values[0])
        influence = np.zeros(len(judge.targets), np.float32)
        influence[ledger.labelled(t)] = both.influence - alone.influence
        influences.append(influence)
        kept.append((t, home, second))
    if not kept:
        return membership
    difference = Measured(
        np.array(values)[None], np.array(influences)[None], (0,), ledger.size[[t for t, _, _ in kept]]
    )
    estimate, deviation = believed(difference)
    noise = noise_variance(difference) * (1 + ledger.luck)
    of_mean = float(np.nansum(noise)) / max(int(np.isfinite(noise).sum()), 1) ** 2
    for (t, home, second), gain, spread in zip(kept, estimate, deviation, strict=True):
        if gain > margin * (spread**2 * (1 + ledger.luck) + of_mean) ** 0.5:
            membership[t, [home, second]] = 0.5
    return membership


def _second_groups(groups: Sequence[Group], similarity: Floats) -> list[tuple[int, int, int]]:
    """Return (task, its group, the most similar other group), the tasks most similar to another group first."""
    found = []
    for home, group in enumerate(groups):
        for t in group:
            to = [float(similarity[t, list(other)].mean()) if g != home else -np.inf for g, other in enumerate(groups)]
            second = int(np.argmax(to))
            found.append((-to[second], t, home, second))
    return [(t, home, second) for _, t, home, second in sorted(found)]
