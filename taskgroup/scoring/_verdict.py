"""What to do, in one sentence, and why.

Every way of training belongs to a family: linear, one model for all, single-task, ensemble, split into groups, in the
order of what is simplest to train and keep. The candidate is the method that is best on validation data. On test data,
which took no part in that choice, it must beat the best method of each simpler family (Holm-corrected, by a gain per
task that replicates); otherwise the simplest family that it does not beat is advised, provided that nothing more
complex can be better than it by more than a margin. A split must beat random groups of the same sizes too, fitted in
the same way: else the gain comes from having groups, not from which. Whatever is not settled by these tests is "not
enough evidence", and so is a candidate that does not beat guessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskgroup.scoring._comparison import Comparison
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
        "split", "any-groups" (groups help, but random ones do as well), "one-model", "ensemble", "single-task",
        "linear", the name of a method of no known family, or "not-enough-evidence".
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
    *,
    margin: float = 0.01,
    alpha: float = 0.05,
    n_groups: int | None = None,
) -> Verdict:
    """Return the verdict on a scorecard with the splits "valid" and "test".

    Parameters
    ----------
    card : Scorecard
        The scores.
    candidates : sequence of str
        Methods that may be advised.
    margin : float
        The smallest difference of the mean main metric that a more complex plan would be worth.
    alpha : float
        Level of the tests.
    n_groups : int, optional
        Number of groups, for the sentence.
    """
    measure = _measure_name(card)
    valid = {name: float(card.main["valid"][name].by_seed.mean()) for name in candidates}
    best = max(candidates, key=lambda name: valid[name])
    rivals = {family(name): name for name in sorted(candidates, key=lambda name: valid[name])}  # the best comes last
    ladder = sorted(rivals, key=simplicity)
    top = family(best)
    reasons = [f"{best} is best on validation data (mean {measure} {valid[best]:.3f})."]

    chance = card.main["test"][best].minus(card.chance["test"])
    above = card.resampler.intervals([chance])[0]
    if not above.low > 0:
        reasons.append(f"On test data it differs from guessing by {above.mean:+.3f} {_range(above.low, above.high)}.")
        return _undecided("no method predicts better than guessing", reasons)
    if len(ladder) < 2:
        return _undecided("only one way of training was scored", reasons)

    against = [rivals[name] for name in ladder if name != top]
    if top == "split" and _RANDOM in card.methods:
        against.append(_RANDOM)
    rows = {row.baseline: row for row in card.compare([(best, name) for name in against])}
    beaten = {name for name, row in rows.items() if row.difference.mean > 0 and row.p_holm < alpha}
    replicates = {name for name in beaten if _replicates(card, best, name)}
    for name, row in rows.items():
        note = "" if name not in beaten - replicates else "; the gains per task do not replicate between seeds"
        reasons.append(f"{best} against {name} on test data: {_words(row)}{note}.")
    chosen = next(name for name in ladder if name == top or rivals[name] not in replicates)
    simpler = [name for name in ladder if simplicity(name) < simplicity(chosen)]

    if chosen != top or not simpler:
        return _simplest(card, chosen, [rivals[name] for name in ladder], reasons, margin, alpha)
    strongest = max((rivals[name] for name in simpler), key=lambda name: card.means[name].mean)
    gain = (
        f"{best} beats {strongest}, the best of the simpler ways, by {_words(rows[strongest])} in mean test {measure}"
    )
    if top != "split":
        return Verdict(top, f"{_ADVICE.get(top, f'Use {top}')}: {gain}.", tuple(reasons))
    if _RANDOM not in rows:
        reasons.append(
            "Random groups were not scored, so it is not known whether it matters which tasks share a group."
        )
        return Verdict(
            "any-groups", f"Use groups: {gain}; whether the choice of groups matters was not tested.", tuple(reasons)
        )
    if _RANDOM not in replicates:
        random = f"but random groups of the same sizes by only {_words(rows[_RANDOM])}"
        sentence = f"Use groups, but which tasks share one does not matter: {gain}, {random}."
        return Verdict("any-groups", sentence, tuple(reasons))
    groups = "groups" if n_groups is None else f"these {n_groups} groups"
    sentence = f"Split the tasks into {groups}: {gain}, and random groups of the same sizes by {_words(rows[_RANDOM])}."
    return Verdict("split", sentence, tuple(reasons))


def _simplest(
    card: Scorecard, chosen: str, ladder: Sequence[str], reasons: list[str], margin: float, alpha: float
) -> Verdict:
    """Return the verdict for the simplest family that the candidate does not beat: advise it when that is safe.

    ``ladder`` holds the best method of each family, the simplest first.
    """
    place = next(i for i, name in enumerate(ladder) if family(name) == chosen)
    method = ladder[place]
    rows = card.compare([(name, method) for name in ladder[place + 1 :]])
    widest = max(rows, key=lambda row: row.difference.high, default=None)
    if widest is None or widest.difference.high < margin:
        what = "nothing more complex" if widest else "nothing simpler"
        reasons.append(f"{what[0].upper()}{what[1:]} is better than {method} by {margin:g} or more.")
        limit = f" ({widest.method} comes nearest, with {_words(widest)})" if widest else ""
        sentence = f"{_ADVICE.get(chosen, f'Use {chosen}')}: {what} is better than {method} by {margin:g}{limit}."
        return Verdict(chosen, sentence, tuple(reasons))
    below = card.compare([(method, name) for name in ladder[:place]])
    if below and all(row.difference.mean > 0 and row.p_holm < alpha for row in below):
        reasons += [f"{method} against {row.baseline} on test data: {_words(row)}." for row in below]
        sentence = (
            f"{method} beats all that is simpler, and {widest.method} is not shown to be better ({_words(widest)})"
        )
        return Verdict(chosen, f"{_ADVICE.get(chosen, f'Use {chosen}')}: {sentence}.", tuple(reasons))
    return _undecided(
        f"{widest.method} is not shown to be better than {method}, nor to be no better ({_words(widest)})", reasons
    )


def _undecided(cause: str, reasons: Sequence[str]) -> Verdict:
    return Verdict("not-enough-evidence", f"Not enough evidence: {cause}.", tuple(reasons))


def _replicates(card: Scorecard, method: str, baseline: str) -> bool:
    """Whether gains per task come back with other seeds on other samples; taken as so when that cannot be asked."""
    cosine = (card.replication(method, baseline) or {}).get("cosine")
    return cosine is None or cosine > 0


def _measure_name(card: Scorecard) -> str:
    mains = set(main_metrics(card.tasks))
    return {"auc": "AUC", "accuracy": "accuracy", "r2": "R2"}[mains.pop()] if len(mains) == 1 else "score"


def _words(row: Comparison) -> str:
    return f"{row.difference.mean:+.3f} {_range(row.difference.low, row.difference.high)}"


def _range(low: float, high: float) -> str:
    return f"[{low:+.3f}, {high:+.3f}]"
