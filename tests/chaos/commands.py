"""Commands of taskgroup in processes that die when told to: at the n-th file operation, or after a while of a signal.

Every command runs in a fork of one process that has imported everything and done nothing, so that it starts at once.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "110"}
OPERATIONS = ((os, "replace"), (os, "unlink"), (os, "mkdir"), (shutil, "rmtree"))
RESULTS = ("datamaps.safetensors", "grouping.json", "scores.csv", "plan.json")


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code, negative for the signal that it died of; its output; how many file
    operations it came to; whether a signal was sent, and seconds from then, or from the start, to its end."""

    code: int
    out: str
    err: str
    operations: int
    sent: bool
    seconds: float


class Commands:
    """Runs commands; a context manager."""

    def __enter__(self):
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=ENVIRONMENT,
        )  # fmt: skip
        return self

    def __exit__(self, *_):
        self._server.communicate()

    def run(self, *arguments, **options):
        """Run a command, see :meth:`run_at_once`, and return its outcome."""
        return self.run_at_once(1, *arguments, **options)[0]

    def run_at_once(self, times, *arguments, die_at=None, send=None, after=0.0, worker=False):
        """Run a command several times at once and return how each ended.

        Parameters
        ----------
        times : int
            How many at once.
        arguments
            Of ``taskgroup``.
        die_at : int, optional
            File operation, counted twice each, before and after it, at which the process kills itself.
        send, after, worker
            Signal to send after so many seconds; with `worker`, to a worker process, as soon as there is one then.
        """
        order = {"arguments": [str(a) for a in arguments], "die_at": die_at, "send": send and int(send),
                 "after": after, "worker": worker, "times": times}  # fmt: skip
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        line = self._server.stdout.readline()
        assert line, "the server of commands has died"
        return [Outcome(**outcome) for outcome in json.loads(line)]


def make_table(path, n_tasks=4, n_rows=90):
    """Write two families of tasks, some labels missing, as npz."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 5)).astype(np.float32)
    signals = np.repeat([X[:, 0] + X[:, 1], X[:, 2] - X[:, 3]], n_tasks // 2, axis=0).T
    Y = (signals + 0.7 * rng.normal(size=signals.shape) > 0).astype(np.int8)
    Y[rng.random(Y.shape) < 0.05] = -1
    np.savez(path, X=X, Y=Y, task_names=[f"t{i}" for i in range(n_tasks)])
    return path


def results(folder):
    """Return the bytes of what a run is for."""
    return {name: (Path(folder) / name).read_bytes() for name in RESULTS}


def _serve():
    import torch._dynamo  # noqa: F401  the first step of an optimiser imports it

    import taskgroup.experiment
    import taskgroup.report
    import taskgroup.training  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        with tempfile.TemporaryDirectory() as folder:
            started = [_start(order, Path(folder) / str(number)) for number in range(order["times"])]
            print(json.dumps([_end(order, pid, files) for pid, files in started]), flush=True)


def _start(order, folder):
    folder.mkdir()
    files = [folder / name for name in ("out", "err", "count")]
    for file in files:
        file.touch()
    pid = os.fork()
    if pid == 0:
        try:
            _command(order, *files)
        finally:  # a signal may come before the command listens
            os._exit(130)
    return pid, files


def _end(order, pid, files):
    sent = order["send"] is not None and _send(pid, order)
    began = time.monotonic()
    _, status = os.waitpid(pid, 0)
    out, err, count = files
    return {
        "code": os.waitstatus_to_exitcode(status), "out": out.read_text(), "err": err.read_text(),
        "operations": count.stat().st_size, "sent": sent, "seconds": time.monotonic() - began,
    }  # fmt: skip


def _send(pid, order):
    """Send the signal and return whether it was sent: not when the command ended before."""
    end = time.monotonic() + order["after"]
    target = None if order["worker"] else pid
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= end:
            target = target or _worker_of(pid)
            if target is not None:
                os.kill(target, order["send"])
                return True
        time.sleep(0.01)
    return False


def _worker_of(pid):
    """Return a worker process of a process, None when there is none."""
    for thread in Path(f"/proc/{pid}/task").iterdir():  # each thread has its own children
        for child in (thread / "children").read_text().split():
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    return None


def _command(order, out, err, count):
    for path, number in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    counter = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def point():
        os.write(counter, b".")
        if os.fstat(counter).st_size == order["die_at"]:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(function):
        def call(*arguments, **options):
            point()
            result = function(*arguments, **options)
            point()
            return result

        return call

    for module, name in OPERATIONS:
        setattr(module, name, watched(getattr(module, name)))
    from taskgroup_cli.main import main

    sys.argv = ["taskgroup", *order["arguments"]]
    code = 0
    try:
        main()
    except SystemExit as error:
        code = int(error.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
