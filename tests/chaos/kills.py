"""The long form, by hand: ``python tests/chaos/kills.py --points --rounds 200 --workers 20 --dask 20 --two 50``.

A round kills a command once or twice, at a random file operation or at a random moment (SIGKILL, SIGTERM, SIGINT),
resumes it, and compares what it wrote with what an undisturbed one writes, byte for byte. ``--points`` kills at every
file operation of the short commands, and at the first and last ones of the others. ``--workers`` kills a worker process
of ``--jobs 2``, and ``--dask`` one of a cluster; the command must finish by itself. ``--two`` starts two runs at once
on one directory, of which one must proceed. A line a round, a summary in the end; the exit code is 1 when anything was
lost, differed, or was refused.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from commands import Commands, make_table

EDGE = 12  # first and last file operations
GROUPED = ("--arms", "per-task,grouped", "--folds", 2, "--jobs", 1)
NETS = ("--arms", "all-in-one,per-task,grouped", "--folds", 2, "--jobs", 1)
RUN = ("--k", 2, "--epochs", 3, "--learners", "linear", "--folds", 2)
WRITTEN = {
    "profile": ("tasks.json", "datamaps.safetensors"),
    "cluster": ("grouping.json", "cluster.json", "similarity.safetensors"),
    "retrain": ("scores.csv", "plan.json", "grouping.json"),
    "report": ("report.html", "model_card.md"),
    "run": ("datamaps.safetensors", "grouping.json", "scores.csv", "plan.json"),
}


@dataclass(frozen=True)
class Case:
    """A command on a run directory that is as an earlier command left it, and how often it is drawn."""

    step: str
    options: tuple = ()
    share: int = 1
    points: str = ""  # which file operations --points tries


CASES = {
    "profile": Case("profile", ("--epochs", 3), 25, "all"),
    "cluster": Case("cluster", ("--k", 2), 20, "all"),
    "linear": Case("retrain", ("--learners", "linear", *GROUPED), 35, "all"),
    "extra-trees": Case("retrain", ("--learners", "extra-trees", *GROUPED), 15),
    "random-forest": Case("retrain", ("--learners", "random-forest", *GROUPED), 8),
    "boosting": Case("retrain", ("--learners", "boosting", *GROUPED), 12),
    "lightgbm": Case("retrain", ("--learners", "lightgbm", *GROUPED), 12),
    "nets": Case("retrain", ("--learners", "nets", *NETS, "--tune", 2), 12),
    "wide-nets": Case("retrain", ("--learners", "wide-nets", *NETS, "--tune", 1), 8),
    "tabm": Case("retrain", ("--learners", "tabm", "--methods", "*/per-task", *NETS, "--tune", 1), 4),
    "report": Case("report", (), 14, "edges"),
    "run": Case("run", (*RUN, "--jobs", 1), 15, "edges"),
    "run --jobs 2": Case("run", (*RUN, "--jobs", 2), 20),
}
FITS = ("--learners", "linear,extra-trees,nets", "--tune", 1)
WORKERS = Case("retrain", (*FITS, *NETS[:-1], 2))


def main():
    """Run the rounds asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--points", action="store_true", help="every file operation, see above")
    parser.add_argument("--workers", type=int, default=0, help="rounds of killing a worker of --jobs 2")
    parser.add_argument("--dask", type=int, default=0, help="rounds of killing a worker of a dask cluster")
    parser.add_argument("--two", type=int, default=0, help="rounds of two runs at once")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance, counts = random.Random(given.seed), Counter()

    def count(what, how, bad):
        counts[how] += 1
        counts["bad"] += bool(bad)
        print(f"{sum(counts.values()) - counts['bad']:4d} {what:14s} {how:12s} {bad or 'as it should be'}", flush=True)

    with Commands() as commands, tempfile.TemporaryDirectory() as folder:
        rounds = Rounds(commands, Path(folder))
        for name, case in CASES.items() if given.points else ():
            for at in rounds.points(case):
                count(name, "point", rounds.killed(case, [{"die_at": at}]))
        for _ in range(given.rounds):
            name = chance.choices(list(CASES), [case.share for case in CASES.values()])[0]
            how = chance.choice(("operation", "operation", "SIGKILL", "SIGTERM", "SIGINT"))
            count(name, how, rounds.killed(CASES[name], rounds.kills(CASES[name], how, chance)))
        for _ in range(given.workers):
            after = chance.uniform(0, 0.7 * rounds.whole(WORKERS).seconds)  # while there are workers
            kill = {"send": signal.SIGKILL, "after": after, "worker": True}
            count("--jobs 2", "worker", rounds.killed(WORKERS, [kill], finishes=True))
        if given.dask:
            rounds.on_dask(given.dask, chance, count)
        for _ in range(given.two):
            count("run", "two at once", rounds.two())
    print(dict(counts))
    sys.exit(bool(counts["bad"]))


@dataclass(frozen=True)
class Whole:
    """An undisturbed command: bytes of what it wrote by name, file operations, seconds."""

    written: dict
    operations: int
    seconds: float


class Rounds:
    """Rounds on one small table, below a folder."""

    def __init__(self, commands, folder):
        self.commands, self.folder, self.known = commands, folder, {}
        self.data, self.out = make_table(folder / "table.npz"), folder / "killed"

    def whole(self, case):
        """Return how the command does when nothing happens to it."""
        if case not in self.known:
            self._prepare(case)
            outcome = self.commands.run(*self._arguments(case))
            assert outcome.code == 0, outcome.err
            self.known[case] = Whole(self._written(case), outcome.operations, outcome.seconds)
            if case.step in ("profile", "cluster") or case == CASES["linear"]:
                shutil.copytree(self.out, self.folder / f"after {case.step}", dirs_exist_ok=True)
        return self.known[case]

    def points(self, case):
        """Return the file operations at which a command is killed by ``--points``."""
        if not case.points:
            return []
        operations = self.whole(case).operations
        edges = {*range(1, EDGE + 1), *range(operations - EDGE, operations)}
        return range(1, operations) if case.points == "all" else sorted(edges)

    def kills(self, case, how, chance):
        """Return one or two kills, by chance."""
        whole = self.whole(case)
        times = chance.choice((1, 1, 2))
        if how == "operation":
            return [{"die_at": chance.randrange(1, whole.operations)} for _ in range(times)]
        return [{"send": signal.Signals[how], "after": chance.uniform(0, whole.seconds)} for _ in range(times)]

    def killed(self, case, kills, finishes=False):
        """Return what is wrong after a command was killed and resumed, or finished all the same; empty if nothing."""
        expected = self.whole(case).written
        self._prepare(case)
        for number, kill in enumerate(kills):
            outcome = self.commands.run(*self._arguments(case, resume=number > 0), **kill)
            # a command that does not listen yet dies of the signal itself
            ends = (0,) if finishes else (0, -signal.SIGKILL, -signal.SIGTERM, 130, 143)
            if outcome.code not in ends:
                return f"exit code {outcome.code}: {outcome.err[-300:]}"
            if "worker" in kill and not outcome.sent:
                return "the worker was not killed"
            if outcome.code == 130 and outcome.seconds > 3:
                return f"took {outcome.seconds:.1f} s to end"
        if not finishes:
            outcome = self.commands.run(*self._arguments(case, resume=True))
            if outcome.code:
                return f"refused: {outcome.err[-300:]}"
        written = self._written(case)
        return ", ".join(f"{name} differs" for name in expected if written[name] != expected[name])

    def on_dask(self, times, chance, count):
        """Kill a worker of a cluster of two while a command runs on it, so many times."""
        from distributed import LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            address = cluster.scheduler_address.removeprefix("tcp://")
            case = Case("retrain", (*FITS, *NETS[:-2], "--executor", f"dask://{address}"))
            seconds = self.whole(case).seconds
            for _ in range(times):
                killed = []
                timer = threading.Timer(chance.uniform(0, seconds), _kill_one, [cluster, chance, killed])
                timer.start()
                bad = self.killed(case, [{}], finishes=True)
                timer.join()
                count("dask", "worker", bad or ("" if killed else "no worker was killed"))

    def two(self):
        """Return what is wrong after two runs at once."""
        case = CASES["run"]
        expected = self.whole(case).written
        self._prepare(case)
        both = self.commands.run_at_once(2, *self._arguments(case))
        codes = sorted(outcome.code for outcome in both)
        if codes != [0, 1]:
            return f"exit codes {codes}: {[outcome.err[-200:] for outcome in both]}"
        return "" if self._written(case) == expected else "the results differ"

    def _prepare(self, case):
        """Make the run directory as it is before a command."""
        shutil.rmtree(self.out, ignore_errors=True)
        before = {"cluster": "profile", "retrain": "cluster", "report": "retrain"}.get(case.step)
        if before is None:
            return
        self.whole(CASES["linear" if before == "retrain" else before])
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(self.folder / f"after {before}", self.out)

    def _arguments(self, case, resume=False):
        where = (self.data, "--out", self.out) if case.step in ("profile", "run") else (self.out,)
        return (case.step, *where, *case.options, *(("--resume",) if resume and case.step != "report" else ()))

    def _written(self, case):
        return {name: (self.out / name).read_bytes() for name in WRITTEN[case.step]}


def _kill_one(cluster, chance, killed):
    """Kill a worker process of a dask cluster, as soon as there is one; its nanny starts another."""
    while not killed:
        pids = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
        if pids:
            os.kill(chance.choice(pids), signal.SIGKILL)
            killed.append(True)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
