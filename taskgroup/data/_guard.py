"""The border to other people's files: readers of other libraries succeed or raise an error of ours, within bounds."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from taskgroup._memory import VARIABLE, memory_limit
from taskgroup.exceptions import InvalidInputError, TaskGroupError

__all__ = ["Bounded", "reading"]

_OF_TEXT = 4  # bytes in memory for a byte of text


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn whatever a reader raises into an error that names the file."""
    try:
        yield
    except TaskGroupError:
        raise
    except MemoryError:
        raise InvalidInputError(
            f"{where}: reading it takes more memory than there is; make it smaller, or use a larger machine."
        ) from None
    except Exception as error:
        text = " ".join(str(error).split())
        raise InvalidInputError(
            f"{where}: cannot be read ({type(error).__name__}: {text if len(text) < 300 else text[:297] + '...'})."
        ) from error


class Bounded(io.RawIOBase):
    """Bytes of a file, unpacked where it is packed, up to what may be held in memory as a table."""

    def __init__(self, where: str, handle: BinaryIO) -> None:
        limit = memory_limit()
        self._where, self._handle, self._left = where, handle, None if limit is None else limit // _OF_TEXT

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into a buffer and return how many.

        Raises
        ------
        InvalidInputError
            When there are more than may be.
        """
        data = self._handle.read(len(buffer))
        buffer[: len(data)] = data
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise InvalidInputError(
                    f"{self._where}: unpacks to too much text for the memory that may be used; give a part of it, or "
                    f"set {VARIABLE} (bytes, such as 16GB; a table takes about {_OF_TEXT} times its text)."
                )
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._handle.close()
        super().close()
