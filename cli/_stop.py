"""Being stopped: Ctrl-C, SIGTERM and SIGHUP are acknowledged at once and end the command within seconds.

Python handles a signal when its current step ends, which may take long inside a library. So a thread of its own hears
of signals, says that they were heard, and quits when the main thread has not done so in time, or when asked again.
Quitting is safe at any moment: every file appears whole or not at all.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["Stopped", "at_quit", "listen"]

_GRACE = 1.5  # seconds that the main thread has for ending by itself
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_last: list[Callable[[], None]] = []


class Stopped(BaseException):
    """A signal asked the command to end; what is finished has been saved."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def listen() -> None:
    """Raise :class:`Stopped` in the main thread when a signal arrives; ignored ones (nohup) stay ignored."""
    heard, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    threading.Thread(target=_watch, args=(heard,), daemon=True).start()


@contextmanager
def at_quit(last: Callable[[], None]) -> Iterator[None]:
    """Call ``last`` if the process has to quit while the block runs."""
    _last.append(last)
    try:
        yield
    finally:
        _last.remove(last)


def _stop(number: int, frame: FrameType | None) -> None:
    for ours in _SIGNALS:
        signal.signal(ours, _ignore)  # the second one is for the thread that watches
    raise Stopped(number)


def _ignore(number: int, frame: FrameType | None) -> None:
    return


def _watch(heard: int) -> None:
    asked = False
    while True:
        for number in os.read(heard, 64):
            if number not in _SIGNALS:
                continue
            if asked:
                _quit(number)
            asked = True
            with suppress(OSError):  # the terminal may be gone
                errors = sys.__stderr__.fileno() if sys.__stderr__ else 2
                os.write(errors, (_CLEAR if os.isatty(errors) else b"") + _NOTE)
            timer = threading.Timer(_GRACE, _quit, (number,))
            timer.daemon = True
            timer.start()


_CLEAR = b"\r\x1b[K"  # a bar may stand where the note goes
_NOTE = b"taskgroup: saving; a second Ctrl-C quits at once.\n"


def _quit(number: int) -> None:
    for last in _last:
        with suppress(Exception):
            last()
    os._exit(128 + number)
