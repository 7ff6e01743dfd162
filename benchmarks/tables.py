"""What reading a table costs beside ``pandas.read_csv``. ``python -m benchmarks.tables [--json FILE]``.

A csv of 200,000 rows and 100 columns is written to a temporary folder and read by turns with ``pandas.read_csv`` and
``load_table``, in one process and one thread: CPU time (process_time), the median of several turns and of their
ratios. Memory is the peak of a fresh process beyond what it held before reading, in multiples of the table as pandas
holds it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from taskgroup.data import load_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory_of:
        print(json.dumps(_memory(*given.memory_of)))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(make(Path(folder), given.rows, words), given.turns) for words in (0, 10)]
    print(
        "| table | read_csv s | load_table s | ratio | read_csv memory | load_table memory |\n|---|---|---|---|---|---|"
    )
    for row in rows:
        print(f"| {row['table']} | {row['read_csv']:.2f} | {row['load_table']:.2f} | {row['ratio']:.2f} "
              f"| {row['read_csv_memory']:.1f} x | {row['load_table_memory']:.1f} x |")  # fmt: skip
    if given.json:
        Path(given.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    n, turns = (20_000, 2) if quick else (200_000, 5)
    with tempfile.TemporaryDirectory() as folder:
        return [measure(make(Path(folder), n, words), turns) for words in (0, 10)]


def make(folder: Path, n: int, words: int) -> Path:
    """Write a table of n rows: 95 features, ``words`` of them words of 20 kinds, and 5 binary tasks."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.normal(size=(n, 95)).astype(np.float32), columns=[f"f{j}" for j in range(95)])
    for t in range(5):
        data[f"y_{t}"] = (data[f"f{t}"] + rng.normal(size=n) > 0).astype(int)
    for j in range(words):
        data[f"f{j}"] = np.array([f"word {w}" for w in range(20)])[rng.integers(0, 20, n)]
    path = folder / f"{n} x 100, {words} of words.csv"
    data.to_csv(path, index=False)
    return path


def measure(path: Path, turns: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"read_csv": [], "load_table": []}
    for _ in range(turns):
        for name, read in (("read_csv", pd.read_csv), ("load_table", load_table)):
            start = time.process_time()
            read(path)
            seconds[name].append(time.process_time() - start)
    ratio = statistics.median(b / a for a, b in zip(*seconds.values(), strict=True))
    size = pd.read_csv(path).memory_usage(deep=True).sum()
    memory = {f"{name}_memory": _in_a_fresh_process(name, path) / size for name in seconds}
    return {"table": path.stem, **{k: statistics.median(v) for k, v in seconds.items()}, "ratio": ratio, **memory}


def _in_a_fresh_process(name: str, path: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.tables", "--memory-of", name, str(path)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def _memory(name: str, path: str) -> int:
    """Return the bytes by which the peak of this process grows when it reads the table."""
    small = pd.DataFrame({"a": np.arange(50.0), "y_0": np.arange(50) % 2})
    load_table(small)  # imports are no part of the table
    before = _peak()
    kept = {"read_csv": pd.read_csv, "load_table": load_table}[name](path)
    assert kept is not None
    return _peak() - before


def _peak() -> int:
    """Return the peak resident memory of this process alone, in bytes; getrusage counts that of its parent too."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
