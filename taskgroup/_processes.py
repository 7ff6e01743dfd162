"""Local worker processes: one that dies is replaced and its job tried again, and all end when their parent does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Any

from taskgroup.exceptions import TaskGroupError

__all__ = ["TRIES", "Lost", "end_with_parent", "processes"]

TRIES = 3
"""How often a job is given to a worker before it counts as what kills them."""


@dataclass(frozen=True)
class Lost:
    """In place of the result of a job whose workers died.

    Parameters
    ----------
    cause : str
        What is known of their death.
    """

    cause: str


@contextmanager
def processes(number: int, work: Callable[[Any], Any], prepare: Callable[[], None]) -> Iterator[Any]:
    """Give a function that yields ``work(job)`` for every job, in order, from processes that ``prepare`` once.

    A thread waits for each process, so that it is known which job a process died of. Jobs are taken from their sequence
    when a process is free for them, and results are let go of when they have been yielded.
    """
    crew = [_Worker(work, prepare) for _ in range(number)]
    idle: SimpleQueue[_Worker] = SimpleQueue()
    for worker in crew:
        idle.put(worker)
    with ThreadPoolExecutor(number) as threads:

        def do(jobs: Sequence[Any], index: int) -> Any:
            worker = idle.get()
            try:
                return worker.do(jobs[index])
            finally:
                idle.put(worker)

        def run_all(jobs: Sequence[Any]) -> Iterator[Any]:
            futures = deque(threads.submit(do, jobs, index) for index in range(len(jobs)))
            try:
                while futures:
                    yield futures.popleft().result()
            finally:
                for future in futures:
                    future.cancel()

        try:
            yield run_all
        finally:
            for worker in crew:
                worker.end()
            threads.shutdown(cancel_futures=True)


def end_with_parent(last: Callable[[], None]) -> None:
    """End this process when its parent has died, after a call of ``last``."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int) -> None:
        wait([sentinel])
        last()
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()


class _Worker:
    """A process that does one job after another, and its successors."""

    def __init__(self, work: Callable[[Any], Any], prepare: Callable[[], None]) -> None:
        self._arguments = (work, prepare)
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._changing = threading.Lock()
        self._ended = False

    def do(self, job: Any) -> Any:
        """Return the result of a job; Lost when the process died of it every time. What the job raises is raised."""
        cause = ""
        for _ in range(TRIES):
            connection = self._ready()
            if connection is None:
                break
            try:
                connection.send(job)
                done, result = connection.recv()
            except (EOFError, OSError):
                cause = self._cause()
                continue
            if done:
                return result
            raise result
        return Lost(f"the worker process died of it {TRIES} times: {cause}")

    def end(self) -> None:
        """Kill the process; there is no other."""
        with self._changing:
            self._ended = True
            if self._process is not None:
                self._process.kill()

    def _ready(self) -> Connection | None:
        """Return the connection to a process that waits for a job, None once there is to be no other."""
        for _ in range(TRIES):
            with self._changing:
                if self._ended:
                    return None
                if self._process is None or not self._process.is_alive():
                    self._start()
                    assert self._connection is not None
                    fresh = True
                else:
                    fresh = False
                connection = self._connection
            try:
                if fresh:
                    connection.recv()  # type: ignore[union-attr]
                return connection
            except (EOFError, OSError):
                cause = self._cause()
        if self._ended:
            return None
        raise TaskGroupError(
            f"a worker process could not start: {cause}. A script that uses several jobs must begin its work under "
            '`if __name__ == "__main__":`; or use jobs=1.'
        )

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *self._arguments))
        self._process.start()
        theirs.close()

    def _cause(self) -> str:
        """Return how the process ended, after seeing to it that it did."""
        process = self._process
        assert process is not None
        process.join(1.0)
        process.kill()
        process.join()
        code = process.exitcode or 0
        if code >= 0:
            return f"it ended with exit code {code}"
        name = signal.Signals(-code).name
        return f"it was killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")


def _serve(connection: Connection, work: Callable[[Any], Any], prepare: Callable[[], None]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which saves and ends its workers
    prepare()
    connection.send("ready")
    while True:
        try:
            job = connection.recv()
        except EOFError:
            sys.exit()
        try:
            answer = (True, work(job))
        except Exception as error:
            answer = (False, error)
        try:
            connection.send(answer)
        except (TypeError, AttributeError, ValueError) as error:  # what cannot be sent
            connection.send((False, TaskGroupError(f"the result of a job cannot be sent ({error}).")))
