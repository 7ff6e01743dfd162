"""Worker processes: one that dies is replaced, a job that kills them is lost, and none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taskgroup._processes import Lost, end_with_parent, processes
from taskgroup.exceptions import TaskGroupError


def work(job):
    """Return the double of a number; other jobs go wrong."""
    what, value = job
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "die once" and not Path(value).exists():
        Path(value).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "raise":
        raise ValueError("no")
    return (lambda: 0) if what == "unsendable" else os.getpid() if what == "pid" else (what, value)


def nothing():
    """Prepare nothing."""


def fail():
    """Fail to start."""
    sys.exit(7)


def write_pid(folder):
    """Say that the process is there, and end with the parent."""
    (Path(folder) / str(os.getpid())).touch()
    end_with_parent(nothing)


def test_a_dead_worker_is_replaced_and_what_kills_them_is_lost(tmp_path):
    jobs = [("fine", 1), ("die once", str(tmp_path / "flag")), ("die", 0), ("fine", 2), ("fine", 3)]
    with processes(2, work, nothing) as run_all:
        found = list(run_all(jobs))
        assert found[:2] + found[3:] == jobs[:2] + jobs[3:]
        assert isinstance(found[2], Lost)
        assert "3 times: it was killed by SIGKILL, perhaps for want of memory" in found[2].cause
        assert len(set(run_all([("pid", 0)] * 4))) <= 2


def test_what_a_job_raises_is_raised_and_what_cannot_be_sent_is_said():
    with processes(1, work, nothing) as run_all:
        with pytest.raises(ValueError, match="no"):
            list(run_all([("raise", 0)]))
        with pytest.raises(TaskGroupError, match="result of a job cannot be sent"):
            list(run_all([("unsendable", 0)]))
        assert list(run_all([("fine", 1)])) == [("fine", 1)]


def test_a_worker_that_cannot_start_is_an_error():
    with (
        processes(1, work, fail) as run_all,
        pytest.raises(TaskGroupError, match="could not start: it ended"),
    ):
        list(run_all([("fine", 1)]))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import test_processes as t\n"
        "from functools import partial\n"
        "with t.processes(2, t.work, partial(t.write_pid, sys.argv[2])) as run_all:\n"
        "    list(run_all([('fine', 1)] * 4)); print('ready', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
    deadline = time.monotonic() + 30
    workers = [int(path.name) for path in tmp_path.iterdir()]
    while workers and time.monotonic() < deadline:
        workers = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        time.sleep(0.05)
    assert workers == []
