"""What a task is: a name, a kind, a number of classes; and an ordered set of tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal, overload

from taskgroup._display import brief
from taskgroup._validation import check_choice, check_int, check_known
from taskgroup.exceptions import InvalidInputError

__all__ = ["Kind", "Task", "TaskSet"]

Kind = Literal["binary", "multiclass", "regression"]
_KINDS: tuple[Kind, ...] = ("binary", "multiclass", "regression")


@brief
@dataclass(frozen=True, slots=True)
class Task:
    """One supervised task.

    Parameters
    ----------
    name : str
        Unique, not empty.
    kind : {"binary", "multiclass", "regression"}
        Binary targets are 0 or 1, multiclass targets are 0 .. n_classes - 1, regression targets are real numbers.
    n_classes : int, optional
        Number of classes of a multiclass task, at least 2; left out for the other kinds.
    family : str, optional
        A known family of the task, for display and benchmarks; no method looks at it.
    classes : tuple of str, optional
        What the classes are called in the data, in the order of their codes; (negative, positive) of a binary task.

    Examples
    --------
    >>> Task("toxic").n_outputs
    1
    >>> Task("digit", kind="multiclass", n_classes=10).n_outputs
    10
    """

    name: str
    kind: Kind = "binary"
    n_classes: int | None = None
    family: str | None = None
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InvalidInputError(f"a task's `name` must be a non-empty string; got {self.name!r}.")
        check_choice(f"kind of task {self.name!r}", self.kind, _KINDS)
        if self.kind == "multiclass":
            check_int(f"n_classes of task {self.name!r}", self.n_classes, low=2)
        elif self.n_classes is not None and not (self.kind == "binary" and self.n_classes == 2):
            raise InvalidInputError(
                f"`n_classes` of {self.kind} task {self.name!r} must be left out; got {self.n_classes}."
            )
        if self.classes is not None:
            object.__setattr__(self, "classes", tuple(map(str, self.classes)))
            _check_classes(self)

    @property
    def n_outputs(self) -> int:
        """Number of logits of the task's head: 1 for binary and regression, C for multiclass."""
        return self.n_classes or 1 if self.kind == "multiclass" else 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, their codes where they have none; empty for regression."""
        if self.kind == "regression":
            return ()
        return self.classes or tuple(map(str, range(self.n_classes or 2)))

    def to_dict(self) -> dict[str, Any]:
        """Return the task as a JSON-able dictionary without its empty fields."""
        fields: dict[str, Any] = {"name": self.name, "kind": self.kind, "n_classes": self.n_classes}
        fields |= {"family": self.family, "classes": None if self.classes is None else list(self.classes)}
        return {key: value for key, value in fields.items() if value is not None}


def _check_classes(task: Task) -> None:
    names = task.classes or ()
    wanted = 0 if task.kind == "regression" else task.n_classes or 2
    if len(names) != wanted or len(set(names)) < len(names):
        rule = f"hold {wanted} different names" if wanted else "be left out"
        raise InvalidInputError(f"`classes` of {task.kind} task {task.name!r} must {rule}; got {names!r}.")


class TaskSet(Sequence[Task]):
    """An ordered set of tasks with unique names.

    Parameters
    ----------
    tasks : iterable of Task or str
        A name alone stands for a binary task.

    Examples
    --------
    >>> tasks = TaskSet(["a", Task("b", kind="regression")])
    >>> tasks.names
    ('a', 'b')
    >>> tasks.index_of("b")
    1
    """

    def __init__(self, tasks: Iterable[Task | str]) -> None:
        if isinstance(tasks, str):
            raise InvalidInputError(f"`tasks` must be a list of names or Task objects; got the string {tasks!r}.")
        self._tasks = tuple(task if isinstance(task, Task) else Task(task) for task in tasks)
        if not self._tasks:
            raise InvalidInputError("`tasks` must hold at least one task; got none.")
        self._index = {task.name: i for i, task in enumerate(self._tasks)}
        if len(self._index) < len(self._tasks):
            names = [task.name for task in self._tasks]
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidInputError(f"task names must be unique; got {twice!r} {names.count(twice)} times.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(task.name for task in self._tasks)

    @property
    def n_outputs(self) -> int:
        """Width of packed outputs: the sum of ``task.n_outputs``."""
        return sum(task.n_outputs for task in self._tasks)

    @cached_property
    def first_outputs(self) -> list[int]:
        """The first packed output column of every task."""
        return list(accumulate((task.n_outputs for task in self._tasks[:-1]), initial=0))

    def output_columns(self, names: Iterable[str]) -> list[int]:
        """Return the packed output columns of some of the tasks, in the order given.

        >>> TaskSet(["a", Task("b", "multiclass", 3), "c"]).output_columns(["c", "b"])
        [4, 1, 2, 3]
        """
        starts = self.first_outputs
        chosen = [self.index_of(name) for name in names]
        return [starts[t] + c for t in chosen for c in range(self._tasks[t].n_outputs)]

    def index_of(self, name: str) -> int:
        """Return the position of the task called ``name``."""
        check_known("task", name, self._index)
        return self._index[name]

    def select(self, names_or_indices: Iterable[str | int]) -> TaskSet:
        """Return the chosen tasks, in the order given."""
        chosen = (self.index_of(i) if isinstance(i, str) else int(i) for i in names_or_indices)
        return TaskSet(self._tasks[i] for i in chosen)

    def to_list(self) -> list[dict[str, Any]]:
        """Return the tasks as JSON-able dictionaries."""
        return [task.to_dict() for task in self._tasks]

    @classmethod
    def from_list(cls, rows: Iterable[Mapping[str, Any]]) -> TaskSet:
        """Return the task set that :meth:`to_list` wrote."""
        return cls(Task(**row) for row in rows)

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Task, ...]: ...
    def __getitem__(self, index: int | slice) -> Task | tuple[Task, ...]:
        return self._tasks[index]

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskSet) and self._tasks == other._tasks

    def __hash__(self) -> int:
        return hash(self._tasks)

    def __repr__(self) -> str:
        shown = ", ".join(task.name for task in self._tasks[:4]) + (", ..." if len(self) > 4 else "")
        return f"TaskSet({len(self)}: {shown})"
