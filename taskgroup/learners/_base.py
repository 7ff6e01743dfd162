"""What a learner is: something that fits some tasks jointly on some rows and answers with packed outputs.

A learner knows nothing of groupings, folds or seeds of repetitions; an arm (:mod:`taskgroup.arms`) knows nothing of
learners. What is trained, and on which tasks together, can so be combined freely.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from taskgroup._display import brief
from taskgroup.cost import Cost
from taskgroup.data import InputSchema
from taskgroup.learners._examples import Examples, Inputs, Packed
from taskgroup.tasks import TaskSet

__all__ = ["Arrays", "Context", "Document", "Fitted", "Learner", "Order", "Saved"]

Arrays = dict[str, NDArray[Any]]
Document = dict[str, Any]


class Saved(NamedTuple):
    """A fitted model as its file holds it: arrays, and a JSON-able document."""

    arrays: Arrays
    document: Document


@brief
@dataclass(frozen=True)
class Context:
    """What a saved model needs to know of the run that it was fitted in.

    Parameters
    ----------
    tasks : TaskSet
        All tasks of the run.
    schema : InputSchema
        What inputs look like.
    own : object, optional
        What only the user can make again: an encoder of their own, types that they trust.
    """

    tasks: TaskSet
    schema: InputSchema
    own: Any = None


@brief
@dataclass(frozen=True)
class Order:
    """One model to fit.

    Parameters
    ----------
    tasks : tuple of str
        The tasks that it serves, jointly.
    seed : int
        Of everything that is the model's own: initial weights, bootstrap samples.
    weights : tuple of float, optional
        Weight of each task's loss, in (0, 1]; equal when left out.
    units : tuple of int, optional
        Group of each task, for learners whose parts belong to groups.
    """

    tasks: tuple[str, ...]
    seed: int
    weights: tuple[float, ...] | None = None
    units: tuple[int, ...] | None = None


class Fitted(ABC):
    """A fitted model of some tasks.

    Attributes
    ----------
    tasks : tuple of str
        Names of its tasks, in the order of its outputs.
    cost : Cost
        What it cost to fit.
    """

    tasks: tuple[str, ...]
    cost: Cost

    def __init_subclass__(cls) -> None:
        brief(cls)

    @abstractmethod
    def outputs(self, inputs: Inputs) -> Packed:
        """Return packed outputs (n, n_outputs) of its own tasks; regression answers are in target units."""

    @abstractmethod
    def save(self) -> Saved:
        """Return what its file holds."""


class Learner(ABC):
    """A way of fitting tasks jointly. Subclasses are frozen dataclasses whose fields are their options.

    Attributes
    ----------
    kind : str
        Name in the registry and in files.
    about : str
        What it is, in a few words.
    refits : bool
        Whether it can be fitted on all rows, since it needs none to stop by.
    shares : bool
        Whether fitting tasks together differs from fitting them one by one; if not, only the arm "per-task" is of use.
    """

    kind: ClassVar[str]
    about: ClassVar[str] = ""
    refits: ClassVar[bool] = True
    shares: ClassVar[bool] = True
    steady: ClassVar[bool] = True
    """Whether one repetition is enough: another seed hardly changes the scores."""
    bulk: ClassVar[int] = 25
    """Models of one unit of work at most."""

    def __init_subclass__(cls) -> None:
        brief(cls)

    def __post_init__(self) -> None:
        """Take lists, as JSON has them, for tuples."""
        for field in fields(self):  # type: ignore[arg-type]
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(value))

    def options(self) -> Document:
        """Return the options as a JSON-able dictionary, from which ``type(self)(**options)`` makes the learner."""
        return self._fields()

    @property
    def name(self) -> str:
        """What methods, tables and files call it."""
        return self.kind

    def with_options(self, options: Document) -> Self:
        """Return the learner with options that :meth:`options` gave; what JSON cannot hold stays as it is."""
        return type(self)(**{**self._fields(), **options})

    @property
    def weighs(self) -> bool:
        """Whether it can give the tasks of a model different weights, as soft groups need."""
        return False

    @property
    def has_units(self) -> bool:
        """Whether its models can have parts that belong to groups of tasks."""
        return False

    def supports(self, examples: Examples) -> str | None:
        """Return why the learner cannot be fitted on these examples, or None."""
        return None

    def declines(self, arm: str, sizes: Sequence[int], examples: Examples, leeway: float = 1.0) -> str | None:
        """Return why an arm is not worth its cost unless it is asked for by name, or None.

        Parameters
        ----------
        arm : str
            Name of the arm.
        sizes : sequence of int
            Number of tasks of each of the arm's models.
        examples : Examples
            The table.
        leeway : float
            How many times dearer than usual the arm may be.
        """
        return None

    def tuned_on(self, arm: str) -> str | None:
        """Return the arm whose tuning an arm takes over, or None when there is nothing to tune."""
        return None

    def tune(self, examples: Examples, rows: NDArray[np.int64], orders: Sequence[Order], *, seed: int = 0) -> Self:
        """Return the learner with options that do best on some of the rows, for models like those of `orders`."""
        return self

    def starts_from(self, arm: str) -> str | None:
        """Return the arm whose model, fitted on the same rows, each model of an arm starts from, or None."""
        return None

    @abstractmethod
    def fit_many(
        self,
        examples: Examples,
        rows: NDArray[np.int64],
        orders: Sequence[Order],
        *,
        seed: int = 0,
        start: Saved | None = None,
    ) -> list[Fitted]:
        """Return a fitted model for every order.

        Parameters
        ----------
        examples : Examples
            The table.
        rows : ndarray of int64
            Rows to fit, and to keep back from where the learner needs that; no other row's target is looked at.
        orders : sequence of Order
            The models.
        seed : int
            Of what all learners' models of these rows share, such as which rows are kept back.
        start : Saved, optional
            The model to start from, see `starts_from`.
        """

    def fit(
        self,
        examples: Examples,
        tasks: Sequence[str],
        rows: NDArray[np.int64],
        *,
        seed: int = 0,
        start: Saved | None = None,
    ) -> Fitted:
        """Return one fitted model of some tasks."""
        return self.fit_many(examples, rows, [Order(tuple(tasks), seed)], seed=seed, start=start)[0]

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    @classmethod
    @abstractmethod
    def load(cls, saved: Saved, context: Context) -> Fitted:
        """Return the model that :meth:`Fitted.save` gave; nothing is unpickled.

        Raises
        ------
        ArtifactError
            When the model needs something that only its user can make, or what was saved is damaged.
        """
