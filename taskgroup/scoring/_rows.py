"""scores.csv: one line per task, method, seed, split and metric."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from taskgroup._artifact import write_text
from taskgroup.exceptions import ArtifactError

__all__ = ["ScoreRow", "read_scores", "write_score_rows"]


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One line of scores.csv.

    `value` is None where the metric is undefined, and `n_positive` where the task is not binary.
    """

    task: str
    method: str
    seed: int | str
    split: str
    metric: str
    value: float | None
    n: int
    n_positive: int | None


_COLUMNS = tuple(field.name for field in fields(ScoreRow))


def write_score_rows(path: str | os.PathLike[str], rows: Iterable[ScoreRow]) -> None:
    """Write the lines, atomically; values have nine significant digits, undefined ones are empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        value = "" if row.value is None else f"{row.value:.9g}"
        writer.writerow((row.task, row.method, row.seed, row.split, row.metric, value, row.n, row.n_positive))
    write_text(path, buffer.getvalue())


def read_scores(path: str | os.PathLike[str]) -> list[ScoreRow]:
    """Return the lines of a scores.csv.

    Raises
    ------
    ArtifactError
        When the file is missing, has other columns, or holds a line that cannot be read.
    """
    source = Path(path)
    try:
        text = source.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ArtifactError(f"{source}: no such file; run `taskgroup retrain` first.") from None
    lines = csv.reader(io.StringIO(text, newline=""))
    header = next(lines, [])
    if tuple(header) != _COLUMNS:
        raise ArtifactError(f"{source}: expected the columns {', '.join(_COLUMNS)}; got {', '.join(header) or 'none'}.")
    rows = []
    for line in lines:
        try:
            task, method, seed, split, metric, value, n, n_positive = line
            rows.append(
                ScoreRow(
                    task,
                    method,
                    int(seed) if seed.isdecimal() else seed,
                    split,
                    metric,
                    float(value) if value else None,
                    int(n),
                    int(n_positive) if n_positive else None,
                )
            )
        except ValueError:
            raise ArtifactError(f"{source}: line {lines.line_num} cannot be read: {','.join(line)!r}.") from None
    return rows
