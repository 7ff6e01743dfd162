"""Lines on a terminal: broken between words, which the terminal itself does not do."""

from __future__ import annotations

import os
import textwrap
from typing import TextIO

__all__ = ["wrapped"]


def wrapped(text: str, stream: TextIO) -> str:
    """Return lines broken between words at the width of the terminal that a stream writes to; elsewhere as they are.

    >>> import io
    >>> wrapped("a line " * 30, io.StringIO()) == "a line " * 30
    True
    """
    if not stream.isatty():
        return text
    try:
        width = int(os.environ.get("COLUMNS") or os.get_terminal_size(stream.fileno()).columns)
    except (ValueError, OSError):
        width = 80
    return "\n".join(
        textwrap.fill(line, max(width, 20), break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )
