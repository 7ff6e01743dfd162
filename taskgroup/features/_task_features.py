"""From Data Maps to task features: one function, one small family of kinds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from taskgroup._display import brief
from taskgroup._validation import check_choice, check_real, check_type
from taskgroup.datamaps import DataMaps
from taskgroup.exceptions import InvalidInputError, OverlapWarning
from taskgroup.features import _views
from taskgroup.features._combined import CombinedStatistics
from taskgroup.features._correlation import CorrelationStatistics, collect
from taskgroup.features._distribution import distribution_statistics
from taskgroup.features._labels import label_statistics
from taskgroup.features._raw import raw_statistics
from taskgroup.features._relation import N_BLOCKS, BlockStatistics, Relation
from taskgroup.tasks import TaskSet

__all__ = ["KINDS", "Kind", "TaskFeatures", "task_features"]

Kind = Literal["abs-corr", "corr+", "class-residual", "variability", "joint", "raw", "distribution", "labels"]
KINDS: tuple[Kind, ...] = (
    "abs-corr", "corr+", "class-residual", "variability", "joint", "raw", "distribution", "labels",
)  # fmt: skip

_LOW_OVERLAP = 0.4


@brief
@dataclass(frozen=True, eq=False)
class TaskFeatures:
    """What clustering knows about T tasks.

    Parameters
    ----------
    tasks : TaskSet
        The T tasks.
    kind : str
        How the features were made.
    statistics : BlockStatistics
        Additive statistics over blocks of samples, from which half-samples follow at no cost.
    n_samples : int
        Number of samples N behind them.
    info : dict
        JSON-able facts: kind, parameters, hash of the maps.
    """

    tasks: TaskSet
    kind: str
    statistics: BlockStatistics
    n_samples: int
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return self.tasks.names

    @cached_property
    def relation(self) -> Relation:
        """How the tasks relate over all samples."""
        return self.statistics.relation(np.arange(N_BLOCKS))

    @property
    def similarity(self) -> NDArray[np.float64]:
        """Similarity above the noise floor, (T, T), in [0, 1], 1 on the diagonal."""
        return self.relation.similarity

    @property
    def gram(self) -> NDArray[np.float64]:
        """Inner products of the task vectors, (T, T)."""
        return self.relation.gram

    @cached_property
    def embedding(self) -> NDArray[np.float64]:
        """Points (T, d), d <= T, with the Gram matrix as inner products: Z = V sqrt(L), the exact task space."""
        return embed(self.gram)

    @property
    def overlap(self) -> NDArray[np.float64]:
        """Share of all samples that are labelled for both tasks, (T, T), in [0, 1]."""
        return self.relation.n_joint / max(self.n_samples, 1)

    def halves(self, n_splits: int, random_state: int = 0) -> Iterator[tuple[Relation, Relation]]:
        """Yield the relations over two random halves of the samples, ``n_splits`` times."""
        rng = np.random.default_rng(random_state)
        for _ in range(n_splits):
            order = rng.permutation(N_BLOCKS)
            first, second = order[: N_BLOCKS // 2], order[N_BLOCKS // 2 :]
            yield self.statistics.relation(np.sort(first)), self.statistics.relation(np.sort(second))


def embed(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Z = V sqrt(L) (T, d) of the positive part of a symmetric matrix, leading directions first.

    Each direction's largest entry is positive, so the result does not depend on the eigensolver's signs.
    """
    values, vectors = np.linalg.eigh(gram)
    keep = values > max(values[-1], 0.0) * 1e-12
    vectors = vectors[:, keep][:, ::-1]
    sign = np.sign(np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], 0))
    embedding: NDArray[np.float64] = vectors * sign * np.sqrt(values[keep][::-1])
    return embedding


def task_features(
    maps: DataMaps,
    kind: Kind | Mapping[Kind, float] = "abs-corr",
    *,
    z: float = 2.0,
    snapshots: Sequence[int] | None = None,
    variability_weight: float = 1.0,
) -> TaskFeatures:
    """Return the features of T tasks from their Data Maps.

    Missing labels are handled pairwise: two tasks are compared over the samples that both have.

    Parameters
    ----------
    maps : DataMaps
        Maps of T tasks over N samples; arrays may be memory maps, they are read in pieces.
    kind : str or mapping of str to weight
        - ``"abs-corr"``: absolute correlation of the confidences, less a noise floor;
        - ``"corr+"``: the positive part of the same correlation;
        - ``"class-residual"``: absolute correlation of confidence less its mean in the sample's class;
        - ``"variability"``: absolute correlation of the variabilities;
        - ``"joint"``: equal parts of ``abs-corr`` and ``variability``;
        - ``"raw"``: Euclidean distance of STG-MTL's task vectors, from the history;
        - ``"distribution"``: distance of the clouds of (confidence, variability), for tasks that share no samples;
        - ``"labels"``: association of the targets, the control that needs no training.

        A mapping such as ``{"abs-corr": 2, "variability": 1}`` takes the weighted mean.
    z : float
        Noise floor of the correlation kinds in standard errors 1 / sqrt(n_ij), taken off where n_ij >= 500.
    snapshots : sequence of int, optional
        Epochs of the cumulative snapshots of ``"raw"``; all when left out.
    variability_weight : float
        Weight of the variability in ``"raw"``.

    Raises
    ------
    InvalidInputError
        When the kind is unknown, or needs targets that the maps do not hold.

    Warns
    -----
    OverlapWarning
        When tasks are compared over fewer than 40 % of the samples (median over pairs).

    Examples
    --------
    >>> import numpy as np
    >>> from taskgroup.datamaps import DataMaps, encode_probability
    >>> from taskgroup.tasks import TaskSet
    >>> p = np.random.default_rng(0).uniform(size=(5, 600, 2))
    >>> p = np.concatenate([p, 1 - p[..., :1]], axis=2)  # the third task is the first one's complement
    >>> maps = DataMaps.from_history(TaskSet(["a", "b", "c"]), encode_probability(p))
    >>> task_features(maps).similarity.round(1)
    array([[1. , 0. , 0.9],
           [0. , 1. , 0. ],
           [0.9, 0. , 1. ]])
    """
    check_type("maps", maps, DataMaps, "Record them with `profile(table).maps` or with a DataMapTracker.")
    check_real("z", z, 0.0)
    build: dict[Kind, Callable[[], BlockStatistics]] = {
        "abs-corr": lambda: CorrelationStatistics(collect(maps, _views.confidence), "absolute", z),
        "corr+": lambda: CorrelationStatistics(collect(maps, _views.confidence), "positive", z),
        "class-residual": lambda: CorrelationStatistics(collect(maps, _views.residual), "absolute", z),
        "variability": lambda: CorrelationStatistics(collect(maps, _views.variability), "absolute", z),
        "raw": partial(raw_statistics, maps, snapshots, variability_weight),
        "distribution": partial(distribution_statistics, maps),
        "labels": partial(label_statistics, maps, z),
    }
    build["joint"] = lambda: CombinedStatistics((build["abs-corr"](), build["variability"]()), (0.5, 0.5))
    if isinstance(kind, str):
        name: str = check_choice("kind", kind, KINDS)
        weights = {cast(Kind, name): 1.0}
    else:
        weights = _check_weights(kind)
        name = " + ".join(f"{weight:g} {each}" for each, weight in weights.items())
    # One thread: the products are small, and sums in one order are the same sums everywhere.
    with threadpool_limits(1):
        members = tuple(build[each]() for each in weights)
    statistics = members[0] if len(members) == 1 else CombinedStatistics(members, tuple(weights.values()))
    info = {"kind": name, "z": z, "maps": maps.content_hash()}
    features = TaskFeatures(maps.tasks, name, statistics, maps.n_samples, info)
    if name != "distribution":
        _warn_overlap(features)
    return features


def _check_weights(kind: Mapping[Kind, float]) -> dict[Kind, float]:
    if not kind:
        raise InvalidInputError("`kind` must name at least one kind; got an empty mapping.")
    weights = {check_choice("kind", each, KINDS): check_real(f"weight of {each!r}", w, 0.0) for each, w in kind.items()}
    total = sum(weights.values())
    if total <= 0:
        raise InvalidInputError(f"the weights of `kind` must not all be 0; got {dict(kind)}.")
    return {each: weight / total for each, weight in weights.items()}


def _warn_overlap(features: TaskFeatures) -> None:
    pairs = features.overlap[np.triu_indices(len(features.tasks), 1)]
    if len(pairs) and np.median(pairs) < _LOW_OVERLAP:
        warnings.warn(
            f"half of the pairs of tasks share fewer than {100 * np.median(pairs):.0f} % of the samples "
            f"(fewest: {100 * pairs.min():.0f} %), so their similarities rest on little evidence. "
            "For tasks that share no samples use kind='distribution'.",
            OverlapWarning,
            stacklevel=3,
        )
