"""Who runs the units of work: this process, local processes, or anything with ``submit``."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from threadpoolctl import threadpool_limits

from taskgroup.exceptions import TaskGroupError
from taskgroup.training._data import TrainingData
from taskgroup.training._network import MakeEncoder
from taskgroup.training._unit import Starts, Trained, Unit, run_unit

__all__ = ["Executor", "Order", "RunAll", "workers"]

Order = tuple[Unit, Starts]
"""A unit and the networks that it starts from."""

RunAll = Callable[[Sequence[Order]], Iterator[list[Trained]]]
"""Runs units and yields their results in the order given."""


class Executor(Protocol):
    """Anything that runs functions elsewhere: concurrent.futures, dask's ``client.get_executor()``, ..."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Return a future, whose ``result()`` waits and returns or raises."""


_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait actively slow small operations 10-100x on a busy machine
}


@contextmanager
def workers(
    data: TrainingData, make_encoder: MakeEncoder | None, jobs: int, executor: Executor | None
) -> Iterator[RunAll]:
    """Give a function that runs units; every unit runs on one thread, so that results do not depend on `jobs`."""
    if executor is not None:
        yield _through(executor, data, make_encoder)
    elif jobs == 1:
        yield _here(data, make_encoder)
    else:
        with (
            _environment(_ENVIRONMENT),
            ProcessPoolExecutor(
                jobs, multiprocessing.get_context("spawn"), initializer=_prepare, initargs=(data, make_encoder)
            ) as pool,
        ):
            yield _pooled(pool)


def _here(data: TrainingData, make_encoder: MakeEncoder | None) -> RunAll:
    def run_all(orders: Sequence[Order]) -> Iterator[list[Trained]]:
        for unit, starts in orders:
            yield _on_one_thread(unit, data, starts, make_encoder)

    return run_all


def _through(executor: Executor, data: TrainingData, make_encoder: MakeEncoder | None) -> RunAll:
    def run_all(orders: Sequence[Order]) -> Iterator[list[Trained]]:
        futures = [executor.submit(_on_one_thread, unit, data, starts, make_encoder) for unit, starts in orders]
        for future in futures:
            yield future.result()

    return run_all


def _pooled(pool: ProcessPoolExecutor) -> RunAll:
    def run_all(orders: Sequence[Order]) -> Iterator[list[Trained]]:
        futures = [pool.submit(_in_worker, unit, starts) for unit, starts in orders]
        try:
            for future in futures:
                yield future.result()
        except BrokenProcessPool:
            raise TaskGroupError(
                "a worker process died, perhaps for want of memory. Finished units are kept when `out` is given: "
                "run again with resume=True and fewer jobs."
            ) from None
        finally:
            for future in futures:
                future.cancel()

    return run_all


def _on_one_thread(unit: Unit, data: TrainingData, starts: Starts, make_encoder: MakeEncoder | None) -> list[Trained]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):  # scikit-learn's solvers call numpy's libraries
            return run_unit(unit, data, starts, make_encoder)
    finally:
        torch.set_num_threads(n_threads)


_shared: list[tuple[TrainingData, MakeEncoder | None]] = []
"""What every unit of a worker process reads: sent once, not with each unit."""


def _prepare(data: TrainingData, make_encoder: MakeEncoder | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which saves and stops its workers
    _shared[:] = [(data, make_encoder)]


def _in_worker(unit: Unit, starts: Starts) -> list[Trained]:
    data, make_encoder = _shared[0]
    return _on_one_thread(unit, data, starts, make_encoder)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
