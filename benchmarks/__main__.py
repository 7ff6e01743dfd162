"""Run every benchmark of this folder, one after the other, each in a process and one thread of its own.

    python -m benchmarks [NAME ...] [--data DIR] [--out results]

Each prints a Markdown table; with --out the tables go to OUT/NAME.md and the figures to OUT/NAME.json. ``--data`` is a
folder of the public data sets that some of them need; without it those say that they skip.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def names() -> list[str]:
    """Return the benchmarks: modules of this folder, and packages that have a __main__."""
    modules = [path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_")]
    packages = [path.parent.name for path in HERE.glob("*/__main__.py")]
    return sorted(modules + packages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which ones; all by default: " + ", ".join(names()))
    parser.add_argument("--data", help="folder with the public data sets")
    parser.add_argument("--out", type=Path, help="folder for NAME.md and NAME.json")
    given = parser.parse_args()
    unknown = set(given.names) - set(names())
    if unknown:
        parser.error(f"no benchmark {sorted(unknown)[0]!r}; there are {', '.join(names())}")
    failed = []
    for name in given.names or names():
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        module = HERE / f"{name}.py"
        source = (module if module.exists() else HERE / name / "__main__.py").read_text(encoding="utf-8")
        if given.data and '"--data"' in source:
            command += ["--data", given.data]
        if given.out:
            given.out.mkdir(parents=True, exist_ok=True)
        if given.out and '"--json"' in source:
            command += ["--json", str(given.out / f"{name}.json")]
        print(f"## {name}\n", flush=True)
        result = subprocess.run(
            command, cwd=HERE.parent, env={**os.environ, **THREADS}, stdout=subprocess.PIPE, text=True, check=False
        )
        print(result.stdout, flush=True)
        if given.out:
            (given.out / f"{name}.md").write_text(result.stdout, encoding="utf-8")
        if result.returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
