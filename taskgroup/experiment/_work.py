"""A unit of work: some models of one learner and arm, fitted on the same rows, whoever does it and wherever.

Nothing here, in the store or in the runners knows what a learner is made of.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from taskgroup._artifact import content_hash
from taskgroup.cost import Cost
from taskgroup.experiment._folds import Folds
from taskgroup.learners import Examples, Fitted, Inputs, Learner, Order, Packed, Saved

__all__ = ["Material", "Result", "Unit", "run_unit", "tune_unit"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Material:
    """What every unit reads.

    Parameters
    ----------
    examples : Examples
        The table.
    folds : Folds
        Which rows are fitted and which are held out.
    test : ndarray of int64
        Row numbers of the test part.
    """

    examples: Examples
    folds: Folds
    test: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Unit:
    """Models that one worker fits in one go.

    Parameters
    ----------
    method : str
        ``<learner>/<arm>``.
    name : str
        Of the unit, unique within its method.
    learner : Learner
        What fits.
    orders : tuple of Order
        The models.
    fold : int, optional
        The fold that is held out; None fits all development rows.
    seed : int
        Of what all models of these rows share.
    start : str, optional
        Key of the unit, of one model, from which these models start.
    serves : bool
        Whether the models answer for new rows, and so are kept.
    """

    method: str
    name: str
    learner: Learner
    orders: tuple[Order, ...]
    fold: int | None
    seed: int
    start: str | None = None
    serves: bool = True

    @property
    def path(self) -> str:
        """Where the unit lies below ``models/``, without a suffix."""
        return f"{self.method}/{self.name}"

    def key(self, material_hash: str, start_key: str | None) -> str:
        """Return a hash of everything that the result depends on."""
        orders = [[order.tasks, order.seed, order.weights, order.units] for order in self.orders]
        learner = [self.learner.kind, self.learner.options()]
        return content_hash(material_hash, learner, orders, [self.fold, self.seed, self.serves], start_key)


@dataclass(frozen=True, eq=False)
class Result:
    """What a unit gave.

    Parameters
    ----------
    honest, test : list of ndarray of float32
        Packed outputs of each model's own tasks on the rows that were held out, if any, and on the test rows, if the
        models serve.
    costs : list of Cost
        Of each model.
    models : list of Saved
        The models, when they serve.
    failure : str
        Why there is nothing of the above; empty otherwise.
    """

    honest: list[Packed] = field(default_factory=list)
    test: list[Packed] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    models: list[Saved] = field(default_factory=list)
    failure: str = ""


def run_unit(unit: Unit, material: Material, start: Saved | None = None) -> Result:
    """Return the result of a unit; the same arguments give the same result. A learner that raises has failed."""
    try:
        return _run(unit, material, start)
    except Exception as error:
        logger.debug("unit %s failed", unit.path, exc_info=True)
        return Result(failure=f"{type(error).__name__}: {error}")


def tune_unit(unit: Unit, material: Material) -> Learner:
    """Return the unit's learner, tuned on the rows that the unit would fit."""
    rows = material.folds.fitted(unit.fold)
    return unit.learner.tune(material.examples, rows, unit.orders, seed=unit.seed)


def _run(unit: Unit, material: Material, start: Saved | None) -> Result:
    examples, folds = material.examples, material.folds
    fitted = unit.learner.fit_many(examples, folds.fitted(unit.fold), unit.orders, seed=unit.seed, start=start)
    honest: list[Packed] = []
    if unit.fold is not None:
        held_out = examples.inputs.take(folds.held_out(unit.fold))
        honest = [_outputs(model, held_out, examples) for model in fitted]
    test: list[Packed] = []
    if unit.serves:
        inputs = examples.inputs.take(material.test)
        test = [_outputs(model, inputs, examples) for model in fitted]
    models = [model.save() for model in fitted] if unit.serves else []
    sizes = [sum(array.nbytes for array in saved.arrays.values()) for saved in models]
    costs = [model.cost for model in fitted]
    if models:
        costs = [replace(cost, bytes=size) for cost, size in zip(costs, sizes, strict=True)]
    return Result(honest, test, costs, models)


def _outputs(model: Fitted, inputs: Inputs, examples: Examples) -> Packed:
    """Return the outputs of a model after checking what a learner may get wrong."""
    packed = model.outputs(inputs)
    width = examples.tasks.select(model.tasks).n_outputs
    if packed.ndim != 2 or packed.shape[1] != width:
        raise ValueError(f"outputs must have {width} columns, one per output of its tasks; got shape {packed.shape}.")
    if not np.isfinite(packed).all():
        raise ValueError(f"outputs must be finite; got {int((~np.isfinite(packed)).sum())} NaN or infinite values.")
    return np.asarray(packed, np.float32)
