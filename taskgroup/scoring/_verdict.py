"""What to do, in one sentence, and why.

Every way of training belongs to a family: linear, one model for all, single-task, ensemble, split into groups, in the
order of what is simplest to train and keep. The candidate is the method that is best on validation data. On test data,
which took no part in that choice, it must beat the best method of every simpler family, with gains per task that
replicate; a split must beat random groups of the same sizes too, fitted in the same way: else the gain comes from
having groups, not from which. Since all of these tests must succeed, each is made at the full level (the
intersection-union principle; Berger, Technometrics 1982): the chance of a false claim is no larger than of one test.

When the candidate fails, the simplest family that it does not beat is advised, provided that nothing more complex can
be better than it by more than a margin, or that it beats everything simpler itself; unless choosing per task, as the
plan does, beats it by that margin. What none of these settle is "not enough evidence", and so is a candidate that
does not beat guessing by that margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskgroup.scoring._comparison import Comparison, Interval
from taskgroup.scoring._measured import Measured
from taskgroup.scoring._metrics import main_metrics
from taskgroup.scoring._names import family, simplicity
from taskgroup.scoring._scorecard import Scorecard

__all__ = ["Verdict", "decide"]

_RANDOM = "random-groups"
_ADVICE = {
    "linear": "Fit a linear model per task",
    "one-model": "Train one model for all tasks",
    "single-task": "Train one model per task",
    "ensemble": "Train an ensemble of models for all tasks",
    "split": "Split the tasks into groups",
}


@dataclass(frozen=True)
class Verdict:
    """A decision, the sentence that says it, and the reasons.

    Parameters
    ----------
    decision : str
        "split"; "any-groups", where groups help but random ones do as well; "one-model", "ensemble", "single-task",
        "linear"; "per-task", where no one way suits all tasks; the name of a method of no known family; or
        "not-enough-evidence".
    sentence : str
        The decision in words.
    reasons : tuple of str
        What was compared, with numbers.
    """

    decision: str
    sentence: str
    reasons: tuple[str, ...]


def decide(
    card: Scorecard,
    candidates: Sequence[str],
    plan: Measured,
    *,
    margin: float = 0.01,
    alpha: float = 0.05,
) -> Verdict:
    """Return the verdict on a scorecard with the splits "valid" and "test".

    Parameters
    ----------
    card : Scorecard
        The scores.
    candidates : sequence of str
        Methods that may be advised.
    plan : Measured
        What the method chosen for each task gives on test data.
    margin : float
        The smallest difference of the mean main metric that is worth acting on.
    alpha : float
        Level of the tests.
    """
    valid = {name: float(card.main["valid"][name].by_seed.mean()) for name in candidates}
    rivals = {family(name): name for name in sorted(candidates, key=lambda name: valid[name])}  # the best comes last
    ladder = [rivals[name] for name in sorted(rivals, key=simplicity)]
    best = max(ladder, key=lambda name: valid[name])
    reasons = [f"{best} is best on validation data (mean {_measure(card)} {valid[best]:.3f})."]

    guessing = card.main["test"][best].minus(card.chance["test"])
    above = card.resampler.intervals([guessing])[0]
    if not (above.low > 0 and above.mean >= margin):
        reasons.append(f"On test data it differs from guessing by {_gain(above)}.")
        return _undecided("no method is shown to predict better than guessing", reasons)
    if len(ladder) < 2:
        return _undecided("only one way of training was scored", reasons)

    simpler = ladder[: ladder.index(best)]
    controls = [_RANDOM] if family(best) == "split" and _RANDOM in card.methods else []
    rows = {row.baseline: row for row in card.compare([(best, name) for name in (*simpler, *controls)])}
    shown = {name for name, row in rows.items() if _is_shown(card, row, alpha)}
    reasons += [f"On test data {_words(row)}{_doubt(card, row, alpha)}." for row in rows.values()]
    unbeaten = next((name for name in simpler if name not in shown), best)
    if unbeaten != best or not simpler:
        return _fall_back(card, unbeaten, ladder, plan, reasons, margin, alpha)

    strongest = rows[max(simpler, key=lambda name: card.means[name].mean)]
    rival = f"{strongest.baseline}, its nearest rival"
    gain = f"{best} beats {rival}, by {_gain(strongest.difference)} in mean test {_measure(card)}"
    advice = _ADVICE.get(family(best), f"Use {best}")
    if family(best) != "split":
        return Verdict(family(best), f"{advice}: {gain}.", tuple(reasons))
    if _RANDOM in shown:
        groups = card.costs.get(best, {}).get("groups")
        which = f"these {len(groups)} groups" if groups else "groups"
        sentence = f"Split the tasks into {which}: {gain}, and random groups by {_gain(rows[_RANDOM].difference)}."
        return Verdict("split", sentence, tuple(reasons))
    if _RANDOM in rows:
        control = f"it is not shown to beat random groups, {_gain(rows[_RANDOM].difference)}"
    else:
        control = "random groups were not scored"
    sentence = f"Groups help, but not necessarily these: {gain}; but {control}."
    return Verdict("any-groups", sentence, tuple(reasons))


def _fall_back(
    card: Scorecard,
    method: str,
    ladder: Sequence[str],
    plan: Measured,
    reasons: list[str],
    margin: float,
    alpha: float,
) -> Verdict:
    """Return the verdict for the simplest method that the candidate does not beat: advise it only where that is safe.

    ``ladder`` holds the best method of each family, the simplest first; ``method`` is not the last of them.
    """
    name = family(method)
    advice = _ADVICE.get(name, f"Use {method}")
    methods = card.main["test"]
    over = dict(zip(ladder, card.resampler.intervals([plan.minus(methods[other]) for other in ladder]), strict=True))
    least = min(over, key=lambda other: over[other].mean)
    if over[least].mean > 0:
        reasons.append(f"On test data choosing per task is ahead of every single way, {_gain(over[least])} or more.")
    if over[method].mean >= margin and all(gain.low > 0 for gain in over.values()):
        sentence = f"No one way suits all tasks: choosing per task beats each, the nearest by {_gain(over[least])}."
        return Verdict("per-task", sentence, tuple(reasons))
    reasons.append(
        f"The plan asks what predicts best, not what is simplest; over {method} for all tasks it gains "
        f"{_gain(over[method])} on test data."
    )
    place = ladder.index(method)
    above = card.compare([(other, method) for other in ladder[place + 1 :]])
    nearest = max(above, key=lambda row: row.difference.high)
    if nearest.difference.high < margin:
        sentence = f"{advice} ({method}): nothing more complex can be better by {margin:g}; {_words(nearest)}."
        return Verdict(name, sentence, tuple(reasons))
    below = card.compare([(method, other) for other in ladder[:place]])
    if below and all(_is_shown(card, row, alpha) for row in below):
        reasons += [f"On test data {_words(row)}." for row in below]
        return Verdict(name, f"{advice}: it beats all that is simpler, and {_words(nearest)}.", tuple(reasons))
    return _undecided(
        f"it is open whether {nearest.method} is better than {method}, {_gain(nearest.difference)}", reasons
    )


def _is_shown(card: Scorecard, row: Comparison, alpha: float) -> bool:
    """Whether a gain is beyond the luck of samples and seeds, and comes back per task with other seeds and samples.

    A gain whose replication cannot be asked, of a single seed or on fewer than three tasks, passes for replicated.
    """
    return not _doubt(card, row, alpha)


def _doubt(card: Scorecard, row: Comparison, alpha: float) -> str:
    """Return why a gain is not shown, or an empty string."""
    if not (row.difference.mean > 0 and row.difference.p < alpha):
        return ": not shown"
    cosine = card.replication(row.method, row.baseline)["cosine"]
    return "" if cosine is None or cosine > 0 else ": not shown, for the gains per task do not replicate"


def _undecided(cause: str, reasons: Sequence[str]) -> Verdict:
    return Verdict("not-enough-evidence", f"Not enough evidence: {cause}.", tuple(reasons))


def _measure(card: Scorecard) -> str:
    mains = set(main_metrics(card.tasks))
    return {"auc": "AUC", "accuracy": "accuracy", "r2": "R2"}[mains.pop()] if len(mains) == 1 else "score"


def _words(row: Comparison) -> str:
    gain = row.difference
    verb = "beats" if gain.low > 0 else "is ahead of" if gain.mean > 0 else "is not ahead of"
    return f"{row.method} {verb} {row.baseline}, {_gain(gain)}"


def _gain(difference: Interval) -> str:
    return f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
