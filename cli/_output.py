"""What a person sees: results on stdout, everything else on stderr; bars only on a terminal."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["Output"]

Progress = Callable[[str, int, int], None]


class Output:
    """The two streams of one command."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        from rich.console import Console

        self.as_json, self.quiet, self.verbose = as_json, quiet, verbose
        width = None if sys.stdout.isatty() else 110
        self._out = Console(file=sys.stdout, width=width, highlight=False, soft_wrap=False)
        self._err = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s", stream=sys.stderr)
        warnings.showwarning = self._warn  # type: ignore[assignment]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Output:
        """Return the output that the common options ask for."""
        return cls(as_json=given["as_json"], quiet=given["quiet"], verbose=given["verbose"])

    def note(self, text: str) -> None:
        """Say one line on stderr, unless quiet."""
        if not self.quiet:
            self._err.print(text, markup=False)

    def next_step(self, command: str) -> None:
        """Name the command that comes next."""
        self.note(f"next: {command}")

    def result(self, document: dict[str, Any], show: Callable[[], None]) -> None:
        """Print the result: as one JSON document, or by ``show``."""
        if self.as_json:
            from taskgroup._artifact import json_ready

            sys.stdout.write(json.dumps(json_ready(document), indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        else:
            show()

    def line(self, text: str = "", style: str | None = None, *, wrap: bool = True) -> None:
        """Print one line on stdout, broken at the width of the page unless ``wrap`` is off."""
        self._out.print(text, style=style, markup=False, soft_wrap=not wrap)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table on stdout; numbers align right."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for j, column in enumerate(columns):
            numeric = all(isinstance(row[j], (int, float, type(None))) for row in rows)
            table.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(_cell(value)) for value in row))
        self._out.print(table)

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """Yield a progress callback; say how long the stage took when it ends."""
        started = time.perf_counter()
        if self._err.is_terminal and not self.quiet:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bars

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            with Bars(*columns, console=self._err, transient=True) as bars:
                ids: dict[str, Any] = {}

                def advance(stage: str, done: int, total: int) -> None:
                    if stage not in ids:
                        ids[stage] = bars.add_task(stage, total=total)
                    bars.update(ids[stage], completed=done, total=total)

                yield advance
        else:
            yield _silent
        self.note(f"{name}: {time.perf_counter() - started:.1f} s")

    def _warn(self, message: Any, category: Any, *_: Any) -> None:
        if self.verbose or not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning)):
            self.note(f"warning: {message}")


def _silent(stage: str, done: int, total: int) -> None:
    return


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
