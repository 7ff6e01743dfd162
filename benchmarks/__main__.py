"""Run benchmarks and write what they measure to RESULTS.md and RESULTS.json.

    python -m benchmarks [NAME ...] [--quick] [--data DIR] [--out benchmarks]
    python -m benchmarks NAME --kept FILE

A benchmark is a module of this folder with a function ``rows(data, quick)`` that returns rows, {column: value}; its
docstring says what is measured. Each runs in a process and one thread of its own. Sections of benchmarks that are not
named stay as they are. ``--data`` is a folder of public data sets; what needs an absent one is skipped, and the table
says so. ``--quick`` takes fewer sizes and seeds, for a look, and writes RESULTS-quick.md instead. ``--kept`` makes the
rows of what a long run of the module itself left in a file, by its function ``rows_of``.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks import Skipped

HERE = Path(__file__).parent
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
PACKAGES = ("taskgroup-mtl", "torch", "numpy", "scipy", "scikit-learn", "pandas")


def names() -> list[str]:
    """Return the benchmarks: what has a function `rows` in this folder."""
    files = {path.stem: path for path in HERE.glob("*.py")} | {p.parent.name: p for p in HERE.glob("*/__init__.py")}
    return sorted(
        name
        for name, path in files.items()
        if any(isinstance(node, ast.FunctionDef) and node.name == "rows" for node in _parsed(path).body)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which ones; all by default: " + ", ".join(names()))
    parser.add_argument("--quick", action="store_true", help="fewer sizes and seeds")
    parser.add_argument("--data", type=Path, help="folder with the public data sets")
    parser.add_argument("--kept", type=Path, help="JSON, or a line of JSON for each run, to make the rows of")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for RESULTS.md and RESULTS.json")
    parser.add_argument("--rows-to", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = set(given.names) - set(names())
    if unknown:
        parser.error(f"no benchmark {sorted(unknown)[0]!r}; there are {', '.join(names())}")
    if given.kept is not None and len(given.names) != 1:
        parser.error("--kept holds the runs of one benchmark: give its name")
    if given.rows_to is not None:
        found = _measured(given.names[0], given.data, given.quick, given.kept)
        given.rows_to.write_text(json.dumps(found), encoding="utf-8")
        return
    given.out.mkdir(parents=True, exist_ok=True)
    stem = given.out / ("RESULTS-quick" if given.quick else "RESULTS")
    failed = []
    for name in given.names or names():
        print(f"{name} ...", end=" ", flush=True)
        section = _run(name, given.data, given.quick, given.kept)
        sections = _kept(stem) | {name: section}
        _write(stem, dict(sorted(sections.items())))
        print(f"{section['status']}, {section['seconds']:.0f} s", flush=True)
        failed += [name] if section["status"] == "failed" else []
    print(f"written: {stem}.md, {stem}.json")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _measured(name: str, data: Path | None, quick: bool, kept: Path | None) -> dict[str, Any]:
    """Return the rows of a benchmark, or why it is skipped; runs in the benchmark's own process."""
    module = importlib.import_module(f"benchmarks.{name}")
    if kept is not None:
        text = kept.read_text(encoding="utf-8")
        try:
            runs = json.loads(text)
        except ValueError:
            runs = [json.loads(line) for line in text.splitlines()]
        return {
            "status": "done",
            "kept": "made of runs that were kept",
            "rows": module.rows_of([runs] if isinstance(runs, dict) and "seed" in runs else runs),
        }
    import torch

    torch.set_num_threads(1)
    try:
        return {"status": "done", "rows": module.rows(data, quick)}
    except Skipped as reason:
        return {"status": "skipped", "reason": str(reason), "rows": []}


def _run(name: str, data: Path | None, quick: bool, kept: Path | None) -> dict[str, Any]:
    """Return the section of a benchmark: its rows, and what they were measured with."""
    target = HERE / f".rows-{os.getpid()}.json"
    command = [sys.executable, "-m", "benchmarks", name, "--rows-to", str(target)]
    command += ["--data", str(data.resolve())] if data else []
    command += ["--kept", str(kept.resolve())] if kept else []
    command += ["--quick"] if quick else []
    commit = _commit()
    start, busy = time.time(), os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    process = subprocess.run(
        command, cwd=HERE.parent, env={**os.environ, **THREADS}, stdout=subprocess.DEVNULL, check=False
    )
    try:
        found = json.loads(target.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {"status": "failed", "reason": f"exit code {process.returncode}", "rows": []}
    target.unlink(missing_ok=True)
    return {
        **found, "what": _about(name), "quick": quick, "seconds": round(time.time() - start, 1),
        "date": time.strftime("%Y-%m-%d", time.gmtime(start)), "commit": commit,
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "busy": round(busy, 1)},
        "versions": {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
    }  # fmt: skip


def _about(name: str) -> str:
    path = HERE / f"{name}.py"
    return ast.get_docstring(_parsed(path if path.is_file() else HERE / name / "__init__.py")) or ""


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _commit() -> str:
    """Return the commit of this folder, with a plus where files differ from it."""
    git = ["git", "-C", str(HERE)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "not in git"
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _kept(stem: Path) -> dict[str, Any]:
    path = stem.with_name(stem.name + ".json")
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _write(stem: Path, sections: dict[str, Any]) -> None:
    stem.with_name(stem.name + ".json").write_text(json.dumps(sections, indent=1) + "\n", encoding="utf-8")
    parts = ["# Results\n\nWritten by `python -m benchmarks`; `docs/evidence.md` reads it. Busy: processes that wanted "
             "a core when it began.\n"]  # fmt: skip
    for name, section in sections.items():
        machine, versions = section["machine"], section["versions"]
        parts.append(
            f"## {name}\n\n{section['what']}\n\n"
            f"Commit {section['commit']}, {section['date']}, {section['seconds']:.0f} s; {machine['processor']}, "
            f"{machine['cores']} cores, busy {machine['busy']}; "
            + ", ".join(f"{package} {number}" for package, number in versions.items()) + ".\n"
        )  # fmt: skip
        if "kept" in section:
            parts.append(f"The rows were {section['kept']}: commit and seconds are of making the table.\n")
        if section["status"] != "done":
            parts.append(f"{section['status'].capitalize()}: {section['reason']}.\n")
        parts += _tables(section["rows"])
    stem.with_name(stem.name + ".md").write_text("\n".join(parts), encoding="utf-8")


def _tables(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a table for each run of rows of equal columns."""
    for columns, alike in groupby(rows, key=lambda row: tuple(row)):
        lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
        lines += ["| " + " | ".join(_shown(row[column]) for column in columns) + " |" for row in alike]
        yield "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


if __name__ == "__main__":
    main()
