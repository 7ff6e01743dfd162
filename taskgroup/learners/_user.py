"""Estimators that users bring: found, made anew with a seed, called with care, and kept in files that run nothing."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from taskgroup._validation import find_object
from taskgroup.exceptions import ArtifactError, InvalidInputError, LearnerError
from taskgroup.learners._base import Document, Saved
from taskgroup.learners._extras import as_bytes, from_bytes, missing, optional

__all__ = [
    "answer", "classifies", "fit", "makes", "named", "pack", "seeded", "size_of", "takes_missing", "takes_several",
    "unpack",
]  # fmt: skip

Source = Any
"""An estimator, a callable without arguments that makes one, or "module:name" of either."""


def makes(source: Source) -> Any:
    """Return a fresh estimator.

    Raises
    ------
    InvalidInputError
        When there is nothing of that name, or it makes no estimator.
    """
    found = find_object("estimator", source) if isinstance(source, str) else source
    if inspect.isclass(found) or (callable(found) and not hasattr(found, "fit")):
        try:
            found = found()
        except Exception as error:
            raise InvalidInputError(f"estimator {_text(source)}: making it failed: {_said(error)}") from error
    if not (hasattr(found, "fit") and hasattr(found, "predict")) or inspect.isclass(found):
        raise InvalidInputError(
            f"estimator {_text(source)}: it must have `fit` and `predict`, or be a callable without arguments that "
            f"makes such an object; got {type(found).__name__}."
        )
    return clone(found) if hasattr(found, "get_params") else pickle.loads(pickle.dumps(found))


def seeded(source: Source, seed: int) -> Any:
    """Return a fresh estimator whose every `random_state` that is None is the seed."""
    estimator = makes(source)
    if hasattr(estimator, "get_params"):
        names = [
            name for name, value in estimator.get_params().items() if name.endswith("random_state") and value is None
        ]
        estimator.set_params(**dict.fromkeys(names, seed % 2**31))
    return estimator


def named(estimator: Any) -> str:
    """Return the name of an estimator, of a pipeline that of its last step."""
    return type(_last(estimator)).__name__


def classifies(estimator: Any) -> bool:
    """Return whether an estimator is a classifier."""
    if is_classifier(estimator) or is_regressor(estimator):
        return bool(is_classifier(estimator))
    return hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")


def takes_several(estimator: Any) -> bool:
    """Return whether an estimator says that it answers several targets at once."""
    tags = get_tags(_last(estimator))
    if classifies(estimator):
        return bool(tags.classifier_tags is not None and tags.classifier_tags.multi_label)
    return bool(tags.target_tags.multi_output)


def takes_missing(estimator: Any) -> bool:
    """Return whether an estimator says that it takes NaN among its features."""
    first = estimator.steps[0][1] if isinstance(estimator, Pipeline) else estimator
    return bool(get_tags(first).input_tags.allow_nan)


def fit(estimator: Any, x: NDArray[Any], y: NDArray[Any], weight: NDArray[Any] | None) -> Any:
    """Return the estimator, fitted; weights are handed over where it takes them.

    Raises
    ------
    LearnerError
        With the estimator's own message, when it fails.
    """
    given = {}
    if weight is not None and "sample_weight" in inspect.signature(_last(estimator).fit).parameters:
        prefix = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
        given = {f"{prefix}sample_weight": weight}
    return _called(estimator, "fit", lambda: estimator.fit(x, y, **given))


def answer(estimator: Any, method: str, x: NDArray[Any], width: int) -> NDArray[np.float64]:
    """Return what a method of the estimator answers, (n, width), or (n, width / 2, 2) as a list of two classes each.

    Raises
    ------
    LearnerError
        When it fails, or answers another shape, NaN or infinity.
    """
    found = _called(estimator, method, lambda: getattr(estimator, method)(x))
    values = np.stack(found, 1) if isinstance(found, list) else np.asarray(found, np.float64)
    if isinstance(found, list):  # probabilities of both classes, task by task
        values = values[:, :, -1] if values.ndim == 3 else values
    if values.ndim == 1:
        values = values[:, None]
    if method == "predict_proba" and width == 1 and values.shape == (len(x), 2):
        values = values[:, 1:]
    if values.shape != (len(x), width):
        raise LearnerError(
            f"{named(estimator)}.{method} must return {width} column(s) for {len(x)} rows; got shape {values.shape}."
        )
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(1).sum())
        raise LearnerError(
            f"{named(estimator)}.{method} must return finite numbers; got NaN or infinity in {bad} rows."
        )
    return values.astype(np.float64)


def size_of(estimator: Any) -> int:
    """Return the bytes of a fitted estimator, or 0 where they cannot be told."""
    try:
        return len(pickle.dumps(estimator))
    except Exception:  # whatever a user's object may raise
        return 0


def pack(estimator: Any, trusted: tuple[str, ...]) -> Saved:
    """Return an estimator as a file holds it, or a note that says why it cannot be served from a file."""
    if (reason := missing("skops.io")) is not None:
        return Saved({}, {"not_served": f"keeping {named(estimator)} {reason}"})
    try:
        content = optional("skops.io", "keeping an estimator").dumps(estimator)
        types = optional("skops.io", "keeping an estimator").get_untrusted_types(data=content)
    except Exception as error:  # whatever a user's object may raise
        return Saved({}, {"not_served": f"skops cannot keep {named(estimator)}: {_said(error)}"})
    left = sorted(set(types) - set(trusted))
    if left:
        return Saved({}, {"not_served": f"{named(estimator)} holds types that are not trusted: {', '.join(left)}; "
                                        "name those that you trust in the option `trusted`"})  # fmt: skip
    return Saved({"model": from_bytes(content)}, {"types": sorted(types)})


def unpack(saved: Saved, own: Any) -> Any:
    """Return the estimator of a file, made of types that scikit-learn has or that the user names again.

    Raises
    ------
    ArtifactError
        When the file holds only a note, or types that are not among `own`.
    """
    document: Document = saved.document
    if "not_served" in document:
        raise ArtifactError(f"an estimator of your own cannot be served from its file: {document['not_served']}.")
    trusted = [own] if isinstance(own, str) else list(own or ())
    content = as_bytes(saved.arrays["model"])
    skops = optional("skops.io", "an estimator of your own")
    left = sorted(set(skops.get_untrusted_types(data=content)) - set(trusted))
    if left:
        raise ArtifactError(
            f"an estimator of your own holds types that are not trusted: {', '.join(left)}; pass those that you trust."
        )
    return skops.loads(content, trusted=trusted)


def _last(estimator: Any) -> Any:
    return _last(estimator.steps[-1][1]) if isinstance(estimator, Pipeline) else estimator


def _called(estimator: Any, method: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        raise LearnerError(f"{named(estimator)}.{method} failed: {_said(error)}") from error


def _said(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"


def _text(source: Source) -> str:
    return repr(source) if isinstance(source, str) else getattr(source, "__qualname__", type(source).__name__)
