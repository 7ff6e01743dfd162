"""How far a step is: a moving bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Progress", "bars", "lines"]

Progress = Callable[[str, int, int], None]
"""Called as ``progress(part of the step, done, total)``."""

EVERY = 10.0  # seconds between two lines


@contextmanager
def bars(console: Any, step: str) -> Iterator[Progress]:
    """Yield a callback that moves a bar; time passed and time left stand beside it, and it moves while nothing does."""
    from rich import progress as of

    from taskgroup._display import printable

    columns = (
        of.SpinnerColumn(), of.TextColumn("{task.description}", markup=False), of.BarColumn(None),
        of.MofNCompleteColumn(), of.TimeElapsedColumn(), of.TextColumn("left"), of.TimeRemainingColumn(),
    )  # fmt: skip
    with of.Progress(*columns, console=console, transient=True, expand=True) as shown:
        current = shown.add_task(printable(step), total=None)
        known = {"": current}

        def advance(part: str, done: int, total: int) -> None:
            nonlocal current
            if part not in known:
                shown.remove_task(current)
                known[part] = current = shown.add_task(printable(f"{step}, {part}"), total=None)
            if done:  # before that nothing says how long it takes, and the bar swings
                shown.update(current, completed=done, total=total)

        yield advance


@contextmanager
def lines(say: Callable[[str], None], step: str, every: float = EVERY) -> Iterator[Progress]:
    """Yield a callback that notes how far the step is; every so many seconds ``say`` gets a line of it."""
    state, ended = _State(), threading.Event()

    def beat() -> None:
        while not ended.wait(every):
            say(f"{step}: {state.describe()}")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield state.note
    finally:
        ended.set()
        thread.join()


class _State:
    """How far a step is, and what that says about the time that it takes."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.part: tuple[str, int, int] | None = None
        self.first = (self.started, 0)

    def note(self, part: str, done: int, total: int) -> None:
        if self.part is None or self.part[0] != part:
            self.first = (time.monotonic(), done)
        self.part = (part, done, total)

    def describe(self) -> str:
        now = time.monotonic()
        passed = f"{now - self.started:.0f} s"
        if self.part is None:
            return passed
        part, done, total = self.part
        since, before = self.first
        left = ""
        if before < done < total:
            left = f", about {(now - since) / (done - before) * (total - done):.0f} s left of it"
        return f"{passed}; {part} {done} of {total}{left}"
