"""Who runs the units of work: this process, local processes, or anything with ``submit``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from taskgroup.exceptions import TaskGroupError
from taskgroup.experiment._work import Material, Unit
from taskgroup.learners import Inputs, Saved

__all__ = ["Executor", "Job", "RunAll", "workers"]

Job = tuple[Callable[..., Any], Unit, Saved | None]
"""What to do with a unit, the unit, and the model that it starts from."""

RunAll = Callable[[Sequence[Job]], Iterator[Any]]
"""Runs jobs and yields their results in the order given."""


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
def workers(material: Material, jobs: int, executor: Executor | None) -> Iterator[RunAll]:
    """Give a function that runs jobs; every unit runs on one thread, so that results do not depend on `jobs`."""
    if executor is not None:
        yield _through(executor, material)
    elif jobs == 1:
        yield _here(material)
    else:
        with (
            _environment(_ENVIRONMENT),
            _on_disk(material) as (folder, rest),
            ProcessPoolExecutor(
                jobs, multiprocessing.get_context("spawn"), initializer=_prepare, initargs=(folder, rest)
            ) as pool,
        ):
            yield _pooled(pool)


def _here(material: Material) -> RunAll:
    def run_all(jobs: Sequence[Job]) -> Iterator[Any]:
        for job in jobs:
            yield _on_one_thread(job, material)

    return run_all


def _through(executor: Executor, material: Material) -> RunAll:
    def run_all(jobs: Sequence[Job]) -> Iterator[Any]:
        futures = [executor.submit(_on_one_thread, job, material) for job in jobs]
        for future in futures:
            yield future.result()

    return run_all


def _pooled(pool: ProcessPoolExecutor) -> RunAll:
    def run_all(jobs: Sequence[Job]) -> Iterator[Any]:
        futures = [pool.submit(_in_worker, job) for job in jobs]
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


def _on_one_thread(job: Job, material: Material) -> Any:
    action, unit, start = job
    arguments = (unit, material) if start is None else (unit, material, start)
    torch = sys.modules.get("torch")  # only what needs it loads it
    n_threads = 0 if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(1)
    try:
        with threadpool_limits(1):  # numpy's and scikit-learn's libraries
            return action(*arguments)
    finally:
        if torch is not None:
            torch.set_num_threads(n_threads)


@contextmanager
def _on_disk(material: Material) -> Iterator[tuple[str, Material]]:
    """Write the inputs to files that all workers map, so that none holds a copy; give the folder and all the rest."""
    with tempfile.TemporaryDirectory(prefix="taskgroup-") as folder:
        inputs = material.examples.inputs
        for name in ("raw", "scaled"):
            np.save(Path(folder) / f"{name}.npy", getattr(inputs, name), allow_pickle=False)
        none = Inputs(inputs.raw[:0], inputs.scaled[:0])
        yield folder, replace(material, examples=replace(material.examples, inputs=none))


_shared: list[Material] = []
"""What every unit of a worker process reads: sent once, not with each unit."""


def _prepare(folder: str, rest: Material) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which saves and stops its workers
    arrays = [np.load(Path(folder) / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("raw", "scaled")]
    _shared[:] = [replace(rest, examples=replace(rest.examples, inputs=Inputs(*arrays)))]


def _in_worker(job: Job) -> Any:
    return _on_one_thread(job, _shared[0])


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
