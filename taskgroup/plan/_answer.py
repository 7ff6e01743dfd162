"""The answer: what to serve, what it gains, what a cheaper choice would lose, how sure that is. All wording is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from taskgroup._display import brief
from taskgroup.scoring import describe, family

__all__ = ["Answer", "Facts", "write_answer"]


NEAR = 0.01
"""Loss of the mean honest score up to which a cheaper choice is named for its cost."""


@brief
@dataclass(frozen=True)
class Answer:
    """What to do, made from the decision by :func:`write_answer`.

    Parameters
    ----------
    headline : str
        What serves the tasks, in one sentence; it names the rule that is on where that is not the default.
    decision : {"blend", "one-model", "single-task", "split"}
        Several methods blended, or the kind of the one that serves.
    grouping : {"worth it", "not worth it", "open", "not tried"}
        Whether groups add to the best plan that does without them.
    lines : sequence of str
        Gains over what people would do otherwise, what groups are worth, how sure this is.
    cheaper : sequence of dict
        {"plan", "models", "bytes", "test", "loss", "ci95", "honest_loss"}: what costs less, and what it loses against
        the plan on test rows; on honest rows, where it was chosen, "honest_loss".
    open : sequence of dict
        {"question", "mean", "ci95", "needs"}: comparisons that the data do not settle, and what would.
    """

    headline: str
    decision: str
    grouping: str
    lines: Sequence[str] = ()
    cheaper: Sequence[Mapping[str, Any]] = ()
    open: Sequence[Mapping[str, Any]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as a JSON-able dictionary."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Answer:
        """Return the answer that :meth:`to_dict` wrote."""
        given = {field.name: document[field.name] for field in fields(cls)}
        return cls(**{**given, **{name: tuple(given[name]) for name in ("lines", "cheaper", "open")}})

    def __str__(self) -> str:
        return "\n".join([self.headline, *(f"- {line}" for line in self.lines)])


@dataclass(frozen=True)
class Facts:
    """What the wording is made from; intervals are (mean, low, high) of differences of the mean main metric."""

    rule: str
    common: Mapping[str, float]
    n_tasks: int
    metric: str
    test: tuple[float, float, float]
    chance: float
    together: tuple[str, tuple[float, float, float]] | None
    alone: tuple[str, tuple[float, float, float]] | None
    over_alone: tuple[int, int]  # tasks shown to be helped and hurt, against a model per task
    over_together: tuple[int, int]  # ... against one model for all tasks
    ungrouped: tuple[float, float, float] | None  # of the plan over the best plan without groups
    needs: Mapping[str, str | None]  # what would settle "together", "alone" and "ungrouped"; None: nothing is open
    over_random: tuple[str, tuple[float, float, float]] | None  # of a grouped method over random groups
    cheaper: Sequence[Mapping[str, Any]]
    unfitted: Sequence[str] = ()  # simpler arms of the learners whose groups the plan uses, left out for their cost
    n_groups: int | None = None  # of the grouping that was given
    n_scored: int | None = None  # tasks of which the test rows tell a score; all when left out

    def serves(self, method: str) -> bool:
        """Return whether the plan is this method and nothing else."""
        return dict(self.common) == {method: 1.0}


def write_answer(facts: Facts) -> Answer:
    """Return the answer in words."""
    lines = []
    for what, row, (helped, hurt) in (
        ("one model for all tasks", facts.together, facts.over_together),
        ("one model per task", facts.alone, facts.over_alone),
    ):
        if row is not None and facts.n_tasks > 1 and not facts.serves(row[0]):
            lines.append(
                f"Against {what} ({row[0]}) it gains {_gain(row[1])} in mean test {facts.metric}: "
                f"{_tasks(helped)} shown to be better, {_tasks(hurt)} worse."
            )
    grouping, sentence = _grouping(facts)
    if sentence:
        lines.append(sentence)
    if facts.cheaper:
        lines.append(_cheaper(facts.cheaper))
    if not facts.test[1] > facts.chance:
        lines.append(f"It is open whether anything here predicts better than guessing ({facts.chance:.3f}).")
    return Answer(
        _headline(facts), _decision(facts.common), grouping, tuple(lines), tuple(facts.cheaper), tuple(_open(facts))
    )


def _headline(facts: Facts) -> str:
    parts = sorted(facts.common.items(), key=lambda item: -item[1])
    rule = "" if facts.rule == "best" else f" (rule: {facts.rule})"
    tasks = f"all {facts.n_tasks} tasks" if facts.n_tasks > 1 else "the task"
    if len(parts) == 1:
        return f"Serve {tasks} with {describe(parts[0][0])}{rule}: {_score(facts)}."
    shares = "; ".join(f"{weight:.0%} {describe(name)}" for name, weight in parts[:4])
    more = f" and {len(parts) - 4} more" if len(parts) > 4 else ""
    return f"Serve {tasks} with a blend{rule} of {shares}{more}: {_score(facts)}."


def _score(facts: Facts) -> str:
    scored = facts.n_tasks if facts.n_scored is None else facts.n_scored
    if not scored:
        return "the test rows are too few to tell how well, of any task"
    mean, low, high = facts.test
    of = "" if scored == facts.n_tasks else f" of the {scored} that the test rows tell of"
    return f"{'mean ' if facts.n_tasks > 1 else ''}test {facts.metric}{of} {mean:.3f} [{low:.3f}, {high:.3f}]"


def _grouping(facts: Facts) -> tuple[str, str]:
    """Return whether groups are worth it, and the sentence."""
    if facts.ungrouped is None:
        if facts.n_tasks == 1:
            return "not tried", ""
        why = {1: ": the grouping holds all tasks in one group", facts.n_tasks: ": the grouping holds every task alone"}
        beside = " beside one model for all tasks and one per task"
        return "not tried", f"Groups were not tried{why.get(facts.n_groups or 0, beside)}."
    mean, low, high = facts.ungrouped
    if mean == low == high == 0:
        return "not worth it", "Grouping adds nothing: the plan does without groups."
    gain = _gain(facts.ungrouped)
    if low > 0:
        random = ""
        if facts.over_random is not None:
            name, over = facts.over_random
            which = "these groups matter" if over[1] > 0 else "it is not shown that it must be these groups"
            random = f"; {which} ({name} against random groups of the same sizes {_gain(over)})"
        beside = f"; not fitted beside it: {', '.join(facts.unfitted)}" if facts.unfitted else ""
        return "worth it", f"Grouping is worth it: {gain} over the best plan without groups{random}{beside}."
    if facts.needs.get("ungrouped") is None and high > 0:
        return "not worth it", f"Grouping adds next to nothing: {gain} over the best plan without groups."
    if high <= 0:
        return "not worth it", f"Grouping did not pay on test rows: {gain} against the best plan without groups."
    return "open", f"Whether grouping adds anything is open: {gain} over the best plan without groups."


def _cheaper(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the sentence on the cheapest choice that honest rows find near the plan, or else on the nearest one."""
    near = [row for row in rows if row["honest_loss"] >= -NEAR]
    row = near[-1] if near else max(rows, key=lambda row: float(row["honest_loss"]))
    models = f"{row['models']} model{'' if row['models'] == 1 else 's'}, " if row["models"] else ""
    size = f"{row['bytes'] / 1e6:.1f} MB" if row["bytes"] >= 1e5 else f"{row['bytes'] / 1e3:.1f} kB"
    verb = "loses" if row["loss"] < 0 else "gains"
    return (
        f"Cheaper: {row['plan']} ({models}{size}) {verb} {_gain((row['loss'], *row['ci95']))}"
        f"{'' if near else '; nothing cheaper comes nearer'}."
    )


def _open(facts: Facts) -> list[dict[str, Any]]:
    """Return the comparisons that the data do not settle."""
    rows = []
    if facts.together is not None:
        rows.append((f"Is the plan better than {facts.together[0]}?", facts.together[1], "together"))
    if facts.alone is not None:
        rows.append((f"Is the plan better than {facts.alone[0]}?", facts.alone[1], "alone"))
    if facts.ungrouped is not None and facts.ungrouped != (0.0, 0.0, 0.0):
        rows.append(("Do groups add to the best plan without them?", facts.ungrouped, "ungrouped"))
    return [
        {"question": question, "mean": mean, "ci95": [low, high], "needs": facts.needs.get(key)}
        for question, (mean, low, high), key in rows
        if low <= 0 <= high and facts.needs.get(key) is not None
    ]


def _decision(common: Mapping[str, float]) -> str:
    if len(common) > 1:
        return "blend"
    kind = family(next(iter(common)))
    return kind if kind in ("single-task", "split") else "one-model"


def _gain(interval: tuple[float, float, float]) -> str:
    mean, low, high = interval
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


def _tasks(count: int) -> str:
    return "1 task is" if count == 1 else f"{count} tasks are"
