"""What a reader may be told about a table; everything else is guessed, and the guess is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from taskgroup._validation import did_you_mean
from taskgroup.data._cells import Decimal, Marks
from taskgroup.data._roles import expand
from taskgroup.exceptions import InvalidInputError

__all__ = ["ReadOptions", "check_column"]

_LISTED = 12  # names that a message holds
_FEATURE_KINDS = ("words", "numbers")
_TASK_KINDS = ("binary", "multiclass", "regression")


@dataclass(frozen=True)
class ReadOptions:
    """The keyword arguments of :func:`taskgroup.load_table`, which describes them."""

    targets: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    positive: Mapping[str, str] = field(default_factory=dict)
    marks: Marks = field(default_factory=Marks)
    decimal: Decimal | None = None
    id: str | None = None
    split: str | None = None
    group_split: str | None = None
    time_split: str | None = None
    weight: str | None = None
    long: tuple[str, str, str] | None = None
    deduplicate: bool = False
    valid: float = 0.2
    test: float = 0.2
    random_state: int = 0

    def __post_init__(self) -> None:
        chosen = [name for name in ("split", "group_split", "time_split") if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise InvalidInputError(f"`{chosen[0]}` and `{chosen[1]}` both say how rows are parted; choose one.")
        for name, kind in self.kinds.items():
            if kind not in (*_TASK_KINDS, *_FEATURE_KINDS):
                raise InvalidInputError(
                    f"the kind of {name!r} must be binary, multiclass or regression for a target, words or numbers for "
                    f"a feature; got {kind!r}.{did_you_mean(kind, (*_TASK_KINDS, *_FEATURE_KINDS))}"
                )

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of train, valid and test of drawn parts."""
        return (1 - self.valid - self.test, self.valid, self.test)

    def spread(self, where: str, names: Sequence[str], targets: Sequence[str]) -> ReadOptions:
        """Return the options with globs of kinds and positive classes as the names that they stand for.

        Raises
        ------
        InvalidInputError
            When a glob, or the column of a missing mark, stands for nothing.
        """
        for glob in self.marks.columns:
            if not expand([glob], names):
                check_column(where, glob, names)
        return replace(
            self,
            kinds=_spread(where, self.kinds, names, "column"),
            positive=_spread(where, self.positive, targets, "target"),
        )

    def roles(self) -> dict[str, str]:
        """Return {role: column} of the columns that have another use than feature or target."""
        named = {"id": self.id, "split": self.split, "group split": self.group_split, "time split": self.time_split,
                 "weight": self.weight}  # fmt: skip
        return {role: name for role, name in named.items() if name is not None}


def _spread(where: str, given: Mapping[str, str], names: Sequence[str], what: str) -> dict[str, str]:
    found = {}
    for glob, value in given.items():
        meant = expand([glob], names)
        if not meant:
            check_column(where, glob, names, what)
        found.update(dict.fromkeys(meant, value))
    return found


def check_column(where: str, name: str, known: Iterable[str], what: str = "column") -> None:
    """Raise when a table has no column of this name, with the nearest name that it has and the first of all."""
    names = list(known)
    if name not in names:
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        raise InvalidInputError(
            f"{where}: no {what} {name!r}{did_you_mean(name, names, '; ') or '.'} "
            f"It has {', '.join(names[:_LISTED])}{more}."
        )
