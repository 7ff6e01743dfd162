"""Who runs the units of work: this process, local processes, or anything with ``submit``."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from taskgroup._processes import TRIES, Lost, end_with_parent, processes
from taskgroup.experiment._work import Material, Unit
from taskgroup.learners import Inputs, Saved

__all__ = ["Executor", "Job", "Lost", "RunAll", "workers"]

logger = logging.getLogger(__name__)

Job = tuple[Callable[..., Any], Unit, Saved | None]
"""What to do with a unit, the unit, and the model that it starts from."""

RunAll = Callable[[Sequence[Job]], Iterator[Any]]
"""Runs jobs and yields their results in the order given, :class:`Lost` for one that kills who runs it."""


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
            processes(jobs, _in_worker, partial(_prepare, folder, rest)) as run_all,
        ):
            yield run_all


def _here(material: Material) -> RunAll:
    def run_all(jobs: Sequence[Job]) -> Iterator[Any]:
        for job in jobs:
            yield _on_one_thread(job, material)

    return run_all


def _through(executor: Executor, material: Material) -> RunAll:
    def result(future: Any, job: Job) -> Any:
        """Return what a job gave. It raises nothing itself, so what is raised is the fault of who ran it."""
        for left in reversed(range(TRIES)):
            try:
                return future.result()
            except Exception as error:
                logger.debug("a job was lost", exc_info=True)
                cause = f"{type(error).__name__}: {error}"
                if left:
                    future = submit(job)
        return Lost(f"it was lost {TRIES} times: {cause}")

    def submit(job: Job) -> Any:
        try:
            return executor.submit(_on_one_thread, job, material)
        except Exception as error:  # its pool is broken
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    def run_all(jobs: Sequence[Job]) -> Iterator[Any]:
        futures = [submit(job) for job in jobs]
        for index, future in enumerate(futures):
            yield result(future, jobs[index])

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
    end_with_parent(partial(shutil.rmtree, folder, ignore_errors=True))
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
