"""The luck of seeds, estimated where there is information on it.

Two or three seeds say next to nothing of their own spread: Student's t has 1 or 2 degrees of freedom, and an interval
from them decides nothing. But all methods and all tasks tell of the same luck, if it is put on one scale. That scale is
how much the seeds of a method disagree *row by row*: it is known well from two seeds and many samples, it is small for
ensembles and large for small networks, and a difference between two plans that share most of their models has little.

For S seeds, the score of task t has between seeds the variance a_t + lambda b_t. Here a_t is what the samples explain
(each seed errs on other samples, so scores would spread even if all seeds were alike) and b_t = a_t size_t is the
disagreement of the seeds about one sample. The ratio lambda belongs to a method; it is pooled over its T tasks and
moderated towards that of all methods of its kind, in the manner of Smyth (2004). The mean over tasks has a + lambda b
too, times an inflation phi by what seeds do to all tasks alike, which is pooled over the methods of a kind. The
variances have the degrees of freedom that the pooling gives (fewer, where tasks or methods move together), and draws
of what the seeds add beyond the samples are those of generalized inference: (variance nu / chi2_nu - a), no less than
zero.

Two questions can be asked of a difference. "retrained": what would these methods give if trained again? Then the luck
of seeds is part of the interval. "trained": what do these trained models give on new rows? Then it is not. A plan that
is chosen by the scores of trained models is of these models, and to be asked "trained": it has picked lucky seeds,
whose luck is real on new rows and gone when they are trained again.

References
----------
Smyth, Statistical Applications in Genetics and Molecular Biology 3 (2004), doi 10.2202/1544-6115.1027, section 3.
Tsui & Weerahandi, Journal of the American Statistical Association 84 (1989), pages 602-607.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from taskgroup._validation import check_known
from taskgroup.scoring._measured import Measured

__all__ = ["MeanSpread", "Question", "SeedNoise", "TaskSpread", "check_question", "moderated", "seed_kind"]

Floats = NDArray[np.float64]
Question: TypeAlias = Literal["trained", "retrained"]

_PRIOR_SIZE = 10.0  # size of a task whose own variance counts as much as the others'
_OF_KIND = 6.0  # degrees of freedom that the ratio of a kind is worth beside a method's own tasks
_OF_TASKS = 2.0  # ... that the ratio of the tasks is worth for their mean
_OF_POOL = 10.0  # ... that a pooled spread is worth beside a quantity's own seeds
_NO_SEEDS = ("linear",)  # kinds that are the same whatever the seed


def seed_kind(method: str) -> str:
    """Return the kind of a method, which says whose seeds are alike: the learner of "<learner>/<arm>".

    Examples
    --------
    >>> seed_kind("extra-trees/grouped"), seed_kind("linear"), seed_kind("mtl-wide")
    ('extra-trees', 'linear', 'nets')
    """
    if "/" in method:
        return method.split("/")[0]
    return "linear" if method == "linear" else "nets"


def check_question(question: str) -> str:
    """Return the question if there is such a one."""
    return check_known("question", question, ("trained", "retrained"))


@dataclass(frozen=True)
class MeanSpread:
    """What the luck of seeds adds to a mean over tasks and seeds.

    Parameters
    ----------
    between : float
        Variance between seeds, the samples' part included.
    rows : float
        The samples' part of it.
    n_seeds : int
        Seeds that the mean is over.
    freedom : float
        Degrees of freedom that `between` is known with.
    single : float
        Variance of the methods of one seed that take part, borrowed from others of their kind.
    single_freedom : float
        Degrees of freedom of that.
    unseen : tuple of str
        Methods of one seed whose kind has no method of several: their luck is not in here.
    """

    between: float = 0.0
    rows: float = 0.0
    n_seeds: int = 1
    freedom: float = 1.0
    single: float = 0.0
    single_freedom: float = 1.0
    unseen: tuple[str, ...] = ()

    @property
    def variance(self) -> float:
        """Estimate of the variance that seeds add to the mean."""
        return max(0.0, self.between - self.rows) / self.n_seeds + self.single

    def draws(self, chance: Floats, again: Floats) -> Floats:
        """Return variances that are compatible with what was seen, by two uniform numbers each."""
        drawn = np.zeros(len(chance))
        if self.between > self.rows or self.rows > 0:
            scale = self.freedom / stats.chi2.ppf(chance, self.freedom)
            drawn += np.maximum(0.0, self.between * scale - self.rows) / self.n_seeds
        if self.single > 0:
            drawn += self.single * self.single_freedom / stats.chi2.ppf(again, self.single_freedom)
        return drawn


@dataclass(frozen=True)
class TaskSpread:
    """What the luck of seeds adds to each task's mean over seeds: variances (T,) and their degrees of freedom."""

    variance: Floats
    freedom: float
    unseen: tuple[str, ...] = ()


class SeedNoise:
    """The luck of seeds, pooled over methods.

    Parameters
    ----------
    methods : dict of str to Measured
        All methods scored on one split; looked at when first asked. Without any, a quantity is judged by its own seeds
        and tasks.
    kind : callable
        Which methods are alike.
    """

    def __init__(self, methods: Mapping[str, Measured] | None = None, kind: Callable[[str], str] = seed_kind) -> None:
        self._methods, self._kind = {} if methods is None else methods, kind

    def of_mean(self, measured: Measured, question: str = "retrained") -> MeanSpread:
        """Return what seeds add to the weighted mean over tasks."""
        if check_question(question) == "trained" or np.isnan(measured.shares).any():
            return MeanSpread()
        single, unseen = self._single(measured)
        alone = [(pool, float((weights @ measured.shares) ** 2)) for pool, weights in single]
        extra = sum(share * pool.mean_variance for pool, share in alone)
        extra_freedom = min((pool.freedom for pool, _ in alone), default=1.0)
        if len(measured.values) < 2:
            return MeanSpread(single=extra, single_freedom=extra_freedom, unseen=unseen)
        own, pool = _Seen(measured), self._pool(measured)
        ratio = _ratio(own, pool)
        expected = own.rows + ratio * own.disagreement
        if expected == 0 or own.rows == 0:
            return MeanSpread(own.between, own.rows, own.n_seeds, own.n_seeds - 1.0, extra, extra_freedom, unseen)
        freedom, inflation = _OF_TASKS, 1.0
        if pool is not None:
            freedom, inflation = pool.mean_freedom, pool.inflation
        worth = min(freedom, _OF_POOL)
        here = own.n_seeds - 1.0
        inflation = (worth * inflation + here * own.between / expected) / (worth + here)
        most = own.freedom if pool is None else max(pool.freedom, own.freedom)
        freedom = min(worth + here, most, np.inf if pool is None else max(pool.mean_freedom, here))
        of_ratio = own.freedom + (0.0 if pool is None else min(_OF_KIND, pool.freedom))
        freedom = 1.0 / (1.0 / freedom + 1.0 / of_ratio) if len(own.size) > 1 else freedom
        return MeanSpread(inflation * expected, own.rows, own.n_seeds, freedom, extra, extra_freedom, unseen)

    def of_tasks(self, measured: Measured, question: str = "retrained") -> TaskSpread:
        """Return what seeds add to each task; 0 where it is undefined."""
        variance = np.zeros(len(measured.size))
        if check_question(question) == "trained" or not _counted(measured).any():
            return TaskSpread(variance, np.inf)
        single, unseen = self._single(measured)
        freedom = min((pool.freedom for pool, _ in single), default=np.inf)
        for pool, weights in single:
            if len(weights) == len(pool.task_variance):
                variance += np.square(weights) * pool.task_variance
        if len(measured.values) < 2:
            return TaskSpread(variance, max(1.0, freedom), unseen)
        own, pool_of = _Seen(measured), self._pool(measured)
        if own.task_rows.any():
            expected = own.task_rows * (1.0 + _ratio(own, pool_of) * own.size)
        else:
            expected = np.full(len(own.size), own.task_between.mean())
        here = own.n_seeds - 1.0
        total = (_OF_POOL * expected + here * own.task_between) / (_OF_POOL + here)
        variance[own.counted] += np.maximum(0.0, total - own.task_rows) / own.n_seeds
        most = own.freedom if pool_of is None else max(own.freedom, pool_of.freedom)
        return TaskSpread(variance, max(1.0, min(freedom, _OF_POOL + here, most)), unseen)

    @cached_property
    def _pools(self) -> dict[str, _Pool]:
        by_kind: dict[str, list[Measured]] = {}
        for name, measured in self._methods.items():
            if len(measured.values) > 1 and _counted(measured).any():
                by_kind.setdefault(self._kind(name), []).append(measured)
        return {kind: _Pool(methods) for kind, methods in by_kind.items()}

    def _pool(self, measured: Measured) -> _Pool | None:
        """Return the pool of the kind of what has several seeds in it; of several kinds the one known best."""
        several = {name for name in measured.parts if name in self._methods and len(self._methods[name].values) > 1}
        kinds = {self._kind(name) for name in several} & set(self._pools) or set(self._pools)
        return max((self._pools[kind] for kind in sorted(kinds)), key=lambda pool: pool.freedom, default=None)

    def _single(self, measured: Measured) -> tuple[list[tuple[_Pool, Floats]], tuple[str, ...]]:
        """Return the pool and the weights of every method of one seed that takes part, and those without a pool."""
        found, unseen = [], []
        for name, weights in measured.parts.items():
            kind = self._kind(name)
            if kind in _NO_SEEDS or name not in self._methods or len(self._methods[name].values) > 1:
                continue
            if kind in self._pools:
                found.append((self._pools[kind], np.asarray(weights, np.float64)))
            else:
                unseen.append(name)
        return found, tuple(unseen)


def moderated(own: Floats, size: Floats) -> Floats:
    """Return variances over samples, (T,), each moderated towards what tasks of its size have on average.

    The few positives of a rare task tell their own spread badly: two of them, both ranked first, seem to have none.
    """
    typical = float((own * size).mean()) / size
    return np.asarray((size * own + _PRIOR_SIZE * typical) / (size + _PRIOR_SIZE))


class _Seen:
    """What S seeds of one quantity show."""

    def __init__(self, measured: Measured) -> None:
        self.n_seeds = len(measured.values)
        self.counted = _counted(measured)
        self.size = measured.size[self.counted]
        self.task_rows = moderated(measured.task_rows[1, self.counted], self.size)
        self.task_between = measured.values[:, self.counted].var(0, ddof=1)
        self.apart = measured.by_sample - measured.by_sample.mean(0)  # (S, n)
        rows = float(np.square(self.apart).sum()) / (self.n_seeds - 1)
        self.rows = rows if rows > 1e-9 * float(np.square(measured.by_sample).sum()) else 0.0
        self.between = float(measured.by_seed.var(ddof=1))
        of_tasks = np.square(measured.shares[self.counted])
        alone = float(of_tasks @ self.task_rows)  # of the mean, did the tasks err on samples of their own
        self.disagreement = self.rows * float(of_tasks @ (self.task_rows * self.size)) / alone if alone > 0 else 0.0
        n_tasks = len(self.size)
        together = np.clip((self.rows / alone - 1.0) / (n_tasks - 1), 0.0, 1.0) if n_tasks > 1 and alone > 0 else 0.0
        self.freedom = (self.n_seeds - 1) * n_tasks / (1.0 + (n_tasks - 1) * float(together) ** 2)

    @property
    def ratio(self) -> float:
        """Lambda without bias, hence negative at times; NaN where the seeds agree on every sample."""
        if not self.task_rows.all() or not self.size.sum():
            return float("nan")
        return float(((self.task_between / self.task_rows) - 1.0).sum() / self.size.sum())


class _Pool:
    """What the methods of one kind show together."""

    def __init__(self, methods: list[Measured]) -> None:
        seen = [_Seen(measured) for measured in methods]
        told = [one for one in seen if not np.isnan(one.ratio)]
        freedoms = np.array([one.freedom for one in told])
        self.ratio = float(np.array([one.ratio for one in told]) @ freedoms / freedoms.sum()) if told else float("nan")
        distinct = _distinct([one.apart for one in told])
        self.freedom = float(freedoms.mean() * distinct) if told else 0.0
        tells = [(one, one.rows + _ratio(one, self) * one.disagreement) for one in told]
        inflations = [one.between / expected for one, expected in tells if expected > 0 and one.rows > 0]
        here = float(np.mean([one.n_seeds - 1 for one in seen])) * distinct
        self.mean_freedom = _OF_TASKS + here
        self.inflation = (_OF_TASKS + here * float(np.mean(inflations))) / self.mean_freedom if inflations else 1.0
        self.mean_freedom = max(1.0, min(self.mean_freedom, self.freedom))
        added = [self.inflation * expected - one.rows for one, expected in tells]
        self.mean_variance = max(0.0, float(np.mean(added))) if added else 0.0
        self.task_variance = np.zeros(len(methods[0].size))
        for one in told:
            self.task_variance[one.counted] += one.task_rows * _ratio(one, self) * one.size / len(told)


def _ratio(own: _Seen, pool: _Pool | None) -> float:
    """Return lambda of a quantity, moderated towards its kind, no less than zero."""
    known = [] if np.isnan(own.ratio) else [(own.ratio, own.freedom)]
    if pool is not None and not np.isnan(pool.ratio):
        known.append((pool.ratio, min(_OF_KIND, pool.freedom)))
    if not known:
        return 0.0
    ratios, weights = np.array(known).T
    return max(0.0, float(ratios @ weights / weights.sum()))


def _distinct(apart: list[Floats]) -> float:
    """Return how many methods tell of seeds independently: two whose seeds err alike tell what one tells."""
    same = [a.ravel() for a in apart if a.shape == apart[0].shape]
    vectors = np.array([a / np.linalg.norm(a) for a in same if np.linalg.norm(a) > 0])
    if not len(vectors):
        return float(len(apart))
    return len(apart) * len(vectors) / float(np.square(vectors @ vectors.T).sum())


def _counted(measured: Measured) -> NDArray[np.bool_]:
    return np.asarray(measured.defined & (measured.size > 0))
