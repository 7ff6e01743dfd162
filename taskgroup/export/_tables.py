"""A run as tables that any program reads."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from taskgroup._artifact import atomic_path
from taskgroup.report import Run, read_run

__all__ = ["write_tables"]


def write_tables(run_dir: Path, folder: Path) -> list[Path]:
    """Write plan.csv, groups.csv, scores.csv and datamaps.csv, as far as the run has come, and return the files."""
    run = read_run(run_dir)
    frames = {"plan": _plan(run), "groups": _groups(run), "scores": _scores(run)}
    if run.maps is not None:
        frames["datamaps"] = run.maps.to_pandas()
    paths = []
    for name, frame in frames.items():
        if frame is not None:
            path = folder / f"{name}.csv"
            with atomic_path(path) as temporary:
                frame.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
            paths.append(path)
    return paths


def _plan(run: Run) -> pd.DataFrame | None:
    """Return a row for every task and method that serves it."""
    if run.plan is None:
        return None
    facts = ("honest", "test", "together_test", "alone_test", "threshold")
    return pd.DataFrame(
        [
            {"task": task, "method": method, "weight": weight, **{name: row.get(name) for name in facts}}
            for task, row in run.plan["tasks"].items()
            for method, weight in row["weights"].items()
        ]
    )


def _groups(run: Run) -> pd.DataFrame | None:
    """Return a row for every task and group that it belongs to."""
    if run.grouping is None:
        return None
    return pd.DataFrame(
        [
            {"task": name, "group": g, "membership": float(share)}
            for name, shares in zip(run.grouping.tasks.names, run.grouping.membership, strict=True)
            for g, share in enumerate(shares)
            if share > 0
        ]
    )


def _scores(run: Run) -> pd.DataFrame | None:
    path = run.path / "scores.csv"
    return pd.read_csv(path) if path.exists() else None
