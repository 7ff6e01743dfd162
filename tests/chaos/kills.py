"""The long form, by hand: ``python tests/chaos/kills.py --rounds 200 --seed 0``.

Every round kills ``taskgroup run`` once or twice, at a random file operation, at a random moment (SIGKILL, SIGTERM,
SIGINT), or by killing one of its workers; resumes it; and compares the results with those of an undisturbed run, byte
for byte. ``--two N`` instead starts two runs at once on one directory, N times. A line a round, a summary in the end;
the exit code is 1 when anything was lost, differed, or was refused.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from commands import Commands, make_table, results

COMMON = ("--k", 2, "--epochs", 3, "--folds", 2, "--tune", 2)
SETTINGS = {  # name: options of the run, and the share of the rounds
    "linear": (("--learners", "linear", "--arms", "per-task,all-in-one", "--jobs", 1), 4),
    "trees": (("--learners", "extra-trees,random-forest,boosting,lightgbm", "--arms", "per-task,grouped",
               "--jobs", 1), 2),
    "nets": (("--learners", "nets,wide-nets,tabm", "--arms", "all-in-one,per-task,grouped", "--jobs", 1), 2),
    "jobs": (("--learners", "linear,extra-trees,nets", "--arms", "all-in-one,grouped", "--jobs", 2), 2),
}  # fmt: skip


def main():
    """Run the rounds asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--two", type=int, default=0, help="rounds of two runs at once")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance, counts = random.Random(given.seed), Counter()
    with Commands() as commands, tempfile.TemporaryDirectory() as folder:
        data = make_table(Path(folder) / "table.npz")
        whole = _Whole(commands, data, Path(folder))
        for number in range(given.rounds):
            name = chance.choices(list(SETTINGS), [share for _, share in SETTINGS.values()])[0]
            how, bad = _round(commands, data, whole, name, Path(folder) / "killed", chance)
            counts[how] += 1
            counts["bad"] += bool(bad)
            print(f"{number:4d} {name:7s} {how:10s} {bad or 'identical'}", flush=True)
        for number in range(given.two):
            bad = _two(commands, data, whole, Path(folder) / "two")
            counts["two at once"] += 1
            counts["bad"] += bool(bad)
            print(f"{number:4d} two at once {bad or 'one proceeded'}", flush=True)
    print(dict(counts))
    sys.exit(bool(counts["bad"]))


class _Whole:
    """Undisturbed runs by the name of their settings: results, file operations, seconds."""

    def __init__(self, commands, data, folder):
        self.commands, self.data, self.folder, self.known = commands, data, folder, {}

    def __getitem__(self, name):
        if name not in self.known:
            out = self.folder / f"whole-{name}"
            outcome = self.commands.run("run", self.data, "--out", out, *COMMON, *SETTINGS[name][0])
            assert outcome.code == 0, outcome.err
            self.known[name] = (results(out), outcome.operations, outcome.seconds)
        return self.known[name]


def _round(commands, data, whole, name, out, chance):
    expected, operations, seconds = whole[name]
    shutil.rmtree(out, ignore_errors=True)
    arguments = ("run", data, "--out", out, *COMMON, *SETTINGS[name][0])
    ways = ["operation", "operation", "SIGKILL", "SIGTERM", "SIGINT", *(["worker"] * 3 if name == "jobs" else [])]
    how = chance.choice(ways)
    for again in range(chance.choice((1, 1, 2))):
        resume = ("--resume",) if again else ()
        if how == "operation":
            edge = chance.random() < 0.5  # around the first and the last writes
            at = chance.choice([*range(1, 12), *range(operations - 12, operations)]) if edge else 0
            outcome = commands.run(*arguments, *resume, die_at=at or chance.randrange(1, operations))
        else:
            number = signal.SIGKILL if how == "worker" else signal.Signals[how]
            after = chance.uniform(0, seconds)
            outcome = commands.run(*arguments, *resume, send=number, after=after, worker=how == "worker")
        if outcome.code not in (0, -signal.SIGKILL, 130, 143) or (how == "worker" and outcome.code):
            return how, f"exit code {outcome.code}: {outcome.err[-300:]}"
        if how == "SIGINT" and outcome.code == 130 and outcome.seconds > 3:
            return how, f"took {outcome.seconds:.1f} s to end"
    outcome = commands.run(*arguments, "--resume")
    if outcome.code:
        return how, f"refused: {outcome.err[-300:]}"
    found = results(out)
    return how, ", ".join(f"{file} differs" for file in expected if found[file] != expected[file])


def _two(commands, data, whole, out):
    expected = whole["linear"][0]
    shutil.rmtree(out, ignore_errors=True)
    both = commands.run_at_once(2, "run", data, "--out", out, *COMMON, *SETTINGS["linear"][0])
    codes = sorted(outcome.code for outcome in both)
    if codes != [0, 1]:
        return f"exit codes {codes}: {[outcome.err[-200:] for outcome in both]}"
    return "" if results(out) == expected else "the results differ"


if __name__ == "__main__":
    main()
