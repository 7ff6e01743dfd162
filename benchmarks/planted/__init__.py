from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def rows(data: Path | None, quick: bool) -> list[dict[str, Any]]:
    from benchmarks.planted.__main__ import _methods, _suite
    from benchmarks.planted._suites import suites

    chosen = suites(None if data is None else str(data))
    chosen = {name: chosen[name] for name in list(chosen)[:1]} if quick else chosen
    methods = _methods("default" if quick else "all")
    seeds = range(100, 101) if quick else range(100, 105)
    return rows_of(
        [{"suite": name, "results": _suite(make, methods, seeds, gain=not quick)} for name, make in chosen.items()]
    )


def rows_of(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for every suite and method that was measured, and one over all suites for every method."""
    found = [
        {"suite": one["suite"], "method": method, "ARI": float(np.mean(values["ari"])), "seeds": len(values["ari"])}
        for one in kept
        for method, values in one["results"].items()
        if values["ari"]
    ]
    scores = {row["method"]: [r["ARI"] for r in found if r["method"] == row["method"]] for row in found}
    over_all = [
        {"method": method, "suites": len(own), "mean ARI": float(np.mean(own)), "worst ARI": min(own)}
        for method, own in scores.items()
    ]
    return found + over_all
