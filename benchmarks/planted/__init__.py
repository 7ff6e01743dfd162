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
    found = []
    for name, make in chosen.items():
        results = _suite(make, methods, range(100, 101) if quick else range(100, 105), gain=not quick)
        for method, values in results.items():
            found.append(
                {"suite": name, "method": method, "ARI": float(np.mean(values["ari"])), "seeds": len(values["ari"])}
            )
    return found
