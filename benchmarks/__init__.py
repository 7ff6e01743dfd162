"""What taskgroup is measured by; ``python -m benchmarks`` runs it and writes RESULTS.md."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Skipped", "public"]


class Skipped(Exception):
    """A benchmark cannot run here; the message says what it needs."""


def public(data: Path | None, *names: str) -> list[Path]:
    """Return the npz files of public sets in the folder of --data; skip the benchmark where one is absent."""
    absent = [name for name in names if data is None or not (data / f"{name}.npz").is_file()]
    if absent or data is None:
        raise Skipped(f"needs --data with {', '.join(f'{name}.npz' for name in absent)}")
    return [data / f"{name}.npz" for name in names]
