"""Damaged and hostile files for every reader and every file of a run directory.

``python tests/chaos/fuzz.py --inputs 20000`` is the long form, by hand. A real file is changed at random - bytes,
cells, values and keys of documents - and read in a child process with a limit on time and memory. Only success and
errors of ours are right, and nothing is written but below the run directory. Every file is read unchanged first, so
that what is refused is refused for the change. Counts by reader in the end; the exit code is 1 when anything else
happened.
"""

import argparse
import copy
import gzip
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from fnmatch import fnmatch
from functools import partial
from importlib import import_module
from pathlib import Path

BATCH = 40  # inputs of a process
SECONDS = 5  # of processor time, of an input
REPORTS = 0.01  # share of run directories that are reported on, which takes seconds
MOST = 1 << 30  # bytes that an input may add to what a process takes
LIMIT = "400MB"  # TASKGROUP_MEMORY_LIMIT
# imported once, not by every child
PRELOADED = ("openpyxl", "pyarrow.feather", "pyarrow.parquet", "taskgroup_cli.main", "torch._dynamo")
ODD = [
    None, True, -1, 0, 2**31, 10**30, 1e308, -0.0, "", " ", "nan", "1e999", "\0", "\x1b[31m", "../../x", "/etc/passwd",
    "é\u202e", "x" * 5000, [], [[]], {}, {"a": 1}, ["a", 1, None], [0] * 1000,
]  # fmt: skip
CHUNKS = [
    b"", b"\0", b"\xff" * 8, b'"', b"'", b",,,", b"\r", b"\n\n", b"{", b"[" * 2000, b'{"a":' * 2000, b"1e999", b"-1",
    b"9" * 400, b"\x1b[2J", b"%s%n", b"\xed\xa0\x80", b"PK\x03\x04", b"\x7f\xff\xff\xff", b"nan", b"@data\n", b"}",
]  # fmt: skip


def main():
    """Read as many inputs as asked for and count what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--cases", default="*", help="glob of the files to change, by the names of the counts")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--keep", type=Path, default=None, help="folder for inputs that went wrong")
    given = parser.parse_args()
    os.environ["TASKGROUP_MEMORY_LIMIT"] = LIMIT
    sys.dont_write_bytecode = True
    counts, began = defaultdict(Counter), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        cases = make_cases(Path(folder), ["linear", "nets"] if given.inputs >= 1000 else ["linear"])
        cases = {name: case for name, case in cases.items() if fnmatch(name, given.cases)}
        whole = [(name, None) for name in sorted(cases)]
        for name, outcome, detail in _batch(cases, whole, Path(folder), given.keep):
            if outcome != "read":
                sys.exit(f"{name}: unchanged it is {outcome}: {detail}")
        for first in range(given.first, given.first + given.inputs, BATCH):
            if time.monotonic() - began > given.seconds:
                break
            numbers = range(first, min(first + BATCH, given.first + given.inputs))
            inputs = [_draw(cases, given.seed, number) for number in numbers]
            for name, outcome, detail in _batch(cases, inputs, Path(folder), given.keep):
                counts[name][outcome] += 1
                if outcome not in ("read", "refused"):
                    print(f"{name}: {outcome}: {detail}", flush=True)
    total = Counter()
    for name in sorted(counts):
        print(f"{name:28s} {dict(sorted(counts[name].items()))}")
        total.update(counts[name])
    print(f"{'all':28s} {dict(sorted(total.items()))}, {time.monotonic() - began:.0f} s")
    sys.exit(bool(set(total) - {"read", "refused"}))


def make_cases(folder, learners):
    """Return {name: (bytes of a real file, its place below the run or its name, how it is read)}."""
    import numpy as np
    import pandas as pd
    from commands import make_table
    from taskgroup_cli._run import Run

    from taskgroup import Grouping, load_table, profile, retrain
    from taskgroup.report import write_report

    for name in PRELOADED:
        import_module(name)
    source = folder / "source"
    source.mkdir()
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60).round(3), "b": rng.choice(["red", "green", "b,l"], 60),
                          "n": rng.integers(0, 9, 60), "y_1": rng.choice(["yes", "no"], 60),
                          "y_2": rng.integers(0, 2, 60)})  # fmt: skip
    text = frame.to_csv(index=False)
    (source / "t.csv").write_text(text)
    (source / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    (source / "t.tsv").write_text(frame.to_csv(index=False, sep="\t"))
    frame.to_parquet(source / "t.parquet")
    frame.to_feather(source / "t.feather")
    frame.to_excel(source / "t.xlsx", index=False)
    frame.to_json(source / "t.jsonl", orient="records", lines=True)
    frame.to_json(source / "t.json", orient="records")
    attributes = "@attribute a numeric\n@attribute b {red,green,'b,l'}\n@attribute n numeric\n"
    attributes += "@attribute y_1 {no,yes}\n@attribute y_2 {0,1}\n"
    rows = frame.to_csv(index=False, header=False, quotechar="'")
    (source / "t.arff").write_text(f"@relation t\n{attributes}@data\n{rows}")
    sparse = "\n".join(f"{{0 {i}, 2 3, 4 1}}" for i in range(30))
    (source / "s.arff").write_text(f"@relation t\n{attributes}@data\n{sparse}\n")
    (source / "t.svm").write_text("\n".join(f"{i % 2} 1:{i} 3:0.5" for i in range(60)))
    data = make_table(source / "t.npz")
    table = load_table(data)
    run = folder / "whole"
    profile(table, epochs=2, hidden=(4,)).save(run)
    from taskgroup._artifact import write_arrays, write_json

    grouping = Grouping.from_labels(table.tasks, [0, 0, 1, 1])
    grouping.save(run / "grouping.json")
    write_json(run / "cluster.json", "cluster", {"n_groups": 2, "message": "", "selection": []})
    write_arrays(run / "similarity.safetensors", "similarity", {"similarity": np.eye(4, dtype=np.float32)})
    retrain(table, grouping, learners=learners, arms=["all-in-one", "per-task"], folds=2,
            out=run, options={"nets": {"hidden": (4,), "tune_by": 2, "settings": {"epochs": 2}}})  # fmt: skip
    steps = {name: {"status": "done", "settings": {}} for name in ("profile", "cluster", "retrain")}
    Run(run, {"command": [], "seed": 0, "inputs": {}, "status": "done", "steps": steps})._write()
    write_json(run / "tasks.json", "tasks", {"name": "t", "tasks": table.tasks.to_list(), "n_features": 5})
    write_report(run)
    cases = {path.name: (path.read_bytes(), path.name, _read_table) for path in source.iterdir()}
    rows = pd.DataFrame(table.X[:20], columns=table.feature_names).to_csv(index=False).encode()
    cases["predict t.csv"] = (rows, "t.csv", _predict_rows)
    cases["config.toml"] = (b'seed = 7\n[profile]\nepochs = 3\nhidden = "8-4"\n', "c.toml", _read_config)
    lines = [{"guid": i, "logits_epoch_0": [0.1, i / 9], "gold": i % 2} for i in range(9)]
    cases["dynamics.jsonl"] = ("\n".join(map(json.dumps, lines)).encode(), "dynamics_epoch_0.jsonl", _import)
    for path in sorted(run.rglob("*")):
        place = path.relative_to(run)
        if path.suffix in (".json", ".csv", ".safetensors", ".jsonl") and place.parts[0] != "figures":
            name = "unit.safetensors" if path.suffix == ".safetensors" and place.parts[0] == "models" else str(place)
            cases.setdefault(name, (path.read_bytes(), str(place), _read_run))
    return cases


def changed(content, place, chance):
    """Return a file's bytes with some things wrong."""
    if place.endswith(".json") and chance.random() < 0.7:
        document = json.loads(content)
        if isinstance(document, dict):
            for _ in range(chance.choice((1, 1, 2, 5))):
                _change_value(document, chance)
            return json.dumps(document).encode()
    if place.endswith(".safetensors") and chance.random() < 0.4:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        inner = json.loads(header.get("__metadata__", {}).get("taskgroup", "{}"))
        _change_value(inner if inner and chance.random() < 0.7 else header, chance)
        if inner and isinstance(header.get("__metadata__"), dict):
            header["__metadata__"]["taskgroup"] = json.dumps(inner)
        new = json.dumps(header).encode()
        return len(new).to_bytes(8, "little") + new + content[8 + size :]
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(content) + 1)
        end = min(len(content), at + chance.choice((0, 1, 1, 4, 40)))
        how = chance.randrange(6)
        if how == 0:
            content[at:end] = chance.choice(CHUNKS)
        elif how == 1:
            content[at:at] = content[at:end] * chance.choice((1, 2, 50))
        elif how == 2:
            content[at:end] = chance.randbytes(end - at)
        elif how == 3 and len(content) > 1 and chance.random() < 0.3:
            del content[at:]
        elif how == 4 and at < len(content):
            content[at] ^= 1 << chance.randrange(8)
        else:
            content[at:end] = str(chance.choice(ODD)).encode()[:50]
    return bytes(content)


def _change_value(document, chance):
    """Replace, remove or add something at a random place of a nested document."""
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        if not keys:
            return
        key = chance.choice(list(keys))
        if not isinstance(place[key], dict | list) or not place[key] or chance.random() < 0.3:
            break
        place = place[key]
    how = chance.randrange(4)
    if how == 0:
        del place[key]
    elif how == 1 and isinstance(place, dict):
        place[str(chance.choice(ODD))[:40]] = place.pop(key)
    elif how == 2 and isinstance(place, list):
        place.append(copy.deepcopy(place[key]))
    else:
        place[key] = copy.deepcopy(chance.choice(ODD))


def _read_table(path, run, report):
    from taskgroup import load_table

    load_table(path, targets=["y_1", "y_2"] if path.suffix not in (".npz", ".svm") else None)


def _predict_rows(path, run, report):
    from taskgroup.data import load_inputs
    from taskgroup.experiment import Plan

    plan = Plan.load(run)
    plan.predict(load_inputs(path, plan.schema))


def _import(path, run, report):
    from taskgroup.exchange import read_cartography

    read_cartography(path.parent)


def _read_config(path, run, report):
    import click
    from taskgroup_cli.main import taskgroup

    from taskgroup.exceptions import InvalidInputError, TaskGroupError

    try:
        taskgroup.main(["profile", "--config", str(path), "absent.csv"], "taskgroup", standalone_mode=False)
    except (click.ClickException, TaskGroupError) as error:
        if "absent.csv" not in str(error):  # the options were accepted when the table is what is wrong
            raise InvalidInputError(str(error)) from None


def _read_run(path, run, report):
    """Read everything that is in the run directory, as predict, cluster, report and compare do."""
    from taskgroup_cli._run import Run

    from taskgroup import DataMaps, Grouping, load_table
    from taskgroup.exceptions import TaskGroupError
    from taskgroup.experiment import Plan
    from taskgroup.experiment._store import Store, read_models
    from taskgroup.report import write_report
    from taskgroup.report._run import read_run
    from taskgroup.training import Profile

    refused = None
    readers = [
        lambda: Run.open(run), lambda: DataMaps.load(run / "datamaps.safetensors"),
        lambda: Grouping.load(run / "grouping.json"), lambda: Plan.load(run).predict([[0.5] * 5] * 3),
        lambda: read_run(run),
    ]  # fmt: skip
    if path.suffix == ".safetensors" and "models" in path.parts:
        readers = [readers[3], lambda: read_models(path)]
    if path.name == "tuning.json":
        readers = [lambda: Store(run / "models")]
    if "profile" in path.parts:
        readers = [lambda: Profile.load(run, load_table(run.parent.parent / "source" / "t.npz"))]
    if report:
        readers.append(lambda: write_report(run))
    for reader in readers:
        try:
            reader()
        except TaskGroupError as error:
            refused = error
    if refused is not None:
        raise refused


def _draw(cases, seed, number):
    """Return the name of the case of an input, and what draws the changes."""
    chance = random.Random(f"{seed}/{number}")
    return chance.choice(sorted(cases)), chance


def _batch(cases, inputs, folder, keep):
    """Yield (case, outcome, detail) of some inputs, each read in a child process; one that dies costs one input."""
    todo = list(inputs)
    while todo:
        heard, say = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(heard)
            _child(cases, todo, folder, keep, os.fdopen(say, "w"))
        os.close(say)
        done = 0
        with os.fdopen(heard) as lines:
            for line in lines:
                yield tuple(json.loads(line))
                done += 1
        _, status = os.waitpid(pid, 0)
        if done < len(todo):
            yield todo[done][0], "died", f"status {os.waitstatus_to_exitcode(status)}"
            done += 1
        todo = todo[done:]


class Hung(BaseException):
    """An input took too long."""


def _child(cases, inputs, folder, keep, say):
    """Read inputs one after another and say what happened; ends the process."""
    warnings.simplefilter("ignore")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 2 * MOST, size + 2 * MOST))

    def alarm(*_):
        raise Hung

    signal.signal(signal.SIGPROF, alarm)
    scratch = folder / "scratch"
    elsewhere = _watch_writing(scratch / "run")
    for name, chance in inputs:
        content, place, read = cases[name]
        shutil.rmtree(scratch, ignore_errors=True)
        run = scratch / "run"
        if read in (_read_run, _predict_rows):  # what is written there replaces links, not what they lead to
            shutil.copytree(folder / "whole", run, copy_function=os.link)
        path = run / place if read is _read_run else scratch / "data" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        data = content if chance is None else changed(content, place, chance)
        path.write_bytes(data)
        report = chance is None or chance.random() < REPORTS
        outcome, detail = _outcome(partial(read, path, run, report), elsewhere)
        if keep is not None and outcome not in ("read", "refused"):
            keep.mkdir(parents=True, exist_ok=True)
            detail += f", kept as {hashlib.sha256(data).hexdigest()[:8]}"
            (keep / f"{hashlib.sha256(data).hexdigest()[:8]}-{Path(place).name}").write_bytes(data)
        say.write(json.dumps([name, outcome, detail]) + "\n")
        say.flush()
    os._exit(0)


def _outcome(read, elsewhere):
    """Return what became of reading an input, and a detail; ``elsewhere`` collects paths that should not be written."""
    from taskgroup.exceptions import TaskGroupError

    outcome, detail, before = "read", "", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    elsewhere.clear()
    try:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        read()
    except TaskGroupError as error:
        outcome, detail = "refused", str(error)[:150]
    except Hung:
        outcome = "hung"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{Path(where.filename).name}:{where.lineno}"
        outcome, detail = "raised", f"{type(error).__name__}: {str(error)[:150]} ({at})"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if grown > MOST:
        outcome, detail = "large", f"{grown / 1e6:.0f} MB"
    if elsewhere:
        outcome, detail = "wrote", str(elsewhere)
    return outcome, detail


def _watch_writing(run):
    """Return a list that fills with the paths outside the run directory that this process opens to write."""
    found, most = [], os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def hook(event, arguments):
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & most:
            path = os.fsdecode(arguments[0]) if not isinstance(arguments[0], int) else ""
            if path and not path.startswith("/dev/") and not os.path.realpath(path).startswith(f"{run.resolve()}/"):
                found.append(path)

    sys.addaudithook(hook)
    return found


if __name__ == "__main__":
    main()
