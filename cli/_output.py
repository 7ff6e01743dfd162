"""What a person sees: results on stdout, everything else on stderr; bars only on a terminal."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._terminal import wrapped

if TYPE_CHECKING:
    from taskgroup.integrations import RunLogger

    from ._progress import Progress

__all__ = ["Output"]


class Output:
    """The two streams of one command."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        from rich.console import Console

        self.as_json, self.quiet, self.verbose = as_json, quiet, verbose
        self.steps: Sequence[str] = ()  # of a command that takes several
        self.loggers: Sequence[RunLogger] = ()
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 110
        self._out = Console(file=sys.stdout, width=width, highlight=False, soft_wrap=False)
        self._err = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Printable("%(message)s"))
        logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
        warnings.showwarning = self._warn  # type: ignore[assignment]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Output:
        """Return the output that the common options ask for."""
        return cls(as_json=given["as_json"], quiet=given["quiet"], verbose=given["verbose"])

    def note(self, text: str, *, wrap: bool = True) -> None:
        """Say one line on stderr, unless quiet; on a terminal broken between words, unless ``wrap`` is off."""
        if not self.quiet:
            from taskgroup._display import printable

            shown = printable(text)
            self._err.print(wrapped(shown, sys.stderr) if wrap else shown, markup=False)

    def next_step(self, command: str) -> None:
        """Name the command that comes next, in one piece to be copied."""
        self.note(f"next: {command}", wrap=False)

    def result(self, document: dict[str, Any], show: Callable[[], None]) -> None:
        """Print the result: as one JSON document, or by ``show``."""
        if self.as_json:
            from taskgroup._artifact import json_ready
            from taskgroup._display import printable_json

            text = json.dumps(json_ready(document), indent=1, allow_nan=False, ensure_ascii=False)
            sys.stdout.write(printable_json(text) + "\n")
        else:
            show()

    def line(self, text: str = "", style: str | None = None, *, wrap: bool = True) -> None:
        """Print one line on stdout, broken at the width of the page unless ``wrap`` is off."""
        from taskgroup._display import printable

        self._out.print(printable(text), style=style, markup=False, soft_wrap=not wrap)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, most: int | None = None
    ) -> None:
        """Print a table on stdout, columns in the order of their importance: what does not fit is left out, and named.

        Numbers align right; words are broken at the width of the page. With `most`, later rows are only counted.
        """
        from rich.table import Table
        from rich.text import Text

        from taskgroup._display import column_cells, printable

        shown = [column_cells([row[j] for row in rows]) for j in range(len(columns))]
        cells = [[printable(column[i]) for column in shown] for i in range(len(rows))]
        numeric = [all(isinstance(row[j], (int, float, type(None))) for row in rows) for j in range(len(columns))]
        kept = _fitting(columns, cells, numeric, self._out.width)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column, right in list(zip(columns, numeric, strict=True))[:kept]:
            table.add_column(
                Text(printable(column)), justify="right" if right else "left", overflow="fold", no_wrap=right
            )
        for row in cells[:most]:
            table.add_row(*map(Text, row[:kept]))
        self.line(title, style="bold")
        self._out.print(table)
        if most is not None and len(rows) > most:
            self.line(f"(and {len(rows) - most:,} more rows: --json)", style="dim")
        if kept < len(columns):
            self.line(f"(no room for {', '.join(columns[kept:])}: --json, or a wider window)", style="dim")

    @contextmanager
    def log_to(self, places: Sequence[str], name: str) -> Iterator[None]:
        """Open the experiment trackers of --log-to, which hear of the steps in the block."""
        if not places:  # they load torch, and more
            yield
            return
        from contextlib import ExitStack

        from taskgroup.integrations import run_logger

        with ExitStack() as stack:
            self.loggers = [stack.enter_context(run_logger(place, name)) for place in places]
            yield

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """Yield a progress callback of a step; say how long it took when it ends."""
        from ._progress import bars, lines

        started = time.perf_counter()
        where = f"{self.steps.index(name) + 1} of {len(self.steps)} {name}" if name in self.steps else name
        if self.quiet:
            yield _silent
        elif self._err.is_terminal:
            with bars(self._err, where) as progress:
                yield progress
        else:
            with lines(self.note, where) as progress:
                yield progress
        self.note(f"{where}: {time.perf_counter() - started:.1f} s")

    def _warn(self, message: Any, category: Any, *_: Any) -> None:
        if self.verbose or not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning)):
            self.note(f"warning: {message}")


class _Printable(logging.Formatter):
    """Writes records, and the tracebacks in them, without what a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        from taskgroup._display import printable

        return printable(super().format(record))


def _silent(stage: str, done: int, total: int) -> None:
    return


def _fitting(columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool], width: int) -> int:
    """Return how many columns stand side by side, where words may be broken to lines of half of the page."""
    least = []
    for j, column in enumerate(columns):
        longest = max([len(column), *(len(row[j]) for row in cells)])
        least.append(longest if numeric[j] else min(longest, max(len(column), width // 2)))
    kept = 1
    while kept < len(columns) and sum(least[: kept + 1]) + 2 * kept <= width:
        kept += 1
    return kept
