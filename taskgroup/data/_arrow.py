"""What Arrow files (feather) and streams (saved datasets) take in memory, by what they say of themselves.

pyarrow unpacks a batch of rows as soon as it is asked for it. The sizes are in the messages before the batches, which
are flatbuffers (https://arrow.apache.org/docs/format/Columnar.html, Message.fbs and File.fbs); what is packed begins
with the number of its unpacked bytes.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from taskgroup._memory import check_memory
from taskgroup.exceptions import InvalidInputError

__all__ = ["check_arrow"]

_MAGIC = b"ARROW1"
_OLD = b"FEA1"  # feather of 2016, which packs nothing
_DICTIONARY, _BATCH = 2, 3  # types of a message's header
_CELL = 8  # bytes of a cell in a data frame


class _Size(NamedTuple):
    """Of a batch."""

    n_rows: int
    n_columns: int
    n_bytes: int  # of its buffers, unpacked


def check_arrow(path: Path) -> None:
    """Raise when the batches of a file or stream would take too much memory.

    Raises
    ------
    InvalidInputError
        When they would, or the file says nothing sensible of itself.
    """
    with open(path, "rb") as handle:
        if handle.read(len(_OLD)) in (b"", _OLD):
            return
        handle.seek(0)
        data = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    with data:
        try:
            messages = _in_file(data) if data[: len(_MAGIC)] == _MAGIC else _in_stream(data)
            sizes = [size for at, body in messages if (size := _size(data, at, body)) is not None]
        except (struct.error, ValueError) as error:
            raise InvalidInputError(f"{path.name}: damaged or truncated Arrow file ({error}).") from None
    n_rows, n_columns = sum(size.n_rows for size in sizes), max((size.n_columns for size in sizes), default=0)
    cells = sum(size.n_rows * size.n_columns for size in sizes)
    unpacked = sum(size.n_bytes for size in sizes)
    check_memory(f"{path.name}: {n_rows:,} rows of {n_columns:,} columns", max(_CELL * cells, 2 * unpacked))


def _in_file(data: Any) -> Iterator[tuple[int, int]]:
    """Yield where the message and the body of every batch begin, as the footer says."""
    length, magic = struct.unpack_from("<i6s", data, len(data) - 10)
    if magic != _MAGIC or not 0 < length <= len(data) - 10:
        raise ValueError("it has no footer")
    footer = _Table.root(data, len(data) - 10 - length)
    for field in (2, 3):  # dictionaries, batches of rows
        for place in footer.vector(field, 24):
            at, size = struct.unpack_from("<qi", data, place)
            yield at + _prefix(data, at), at + size


def _in_stream(data: Any) -> Iterator[tuple[int, int]]:
    """Yield where the message and the body of every batch begin, one after another."""
    at = 0
    while at + 8 <= len(data):
        begin = at + _prefix(data, at)
        (size,) = struct.unpack_from("<i", data, begin - 4)
        if size == 0:
            return
        if size < 0:
            raise ValueError("a message has a negative size")
        yield begin, begin + size
        n_bytes = _Table.root(data, begin).number(3, "q")
        if n_bytes < 0:
            raise ValueError("a message has a negative size")
        at = begin + size + n_bytes


def _prefix(data: Any, at: int) -> int:
    """Return the bytes before a message: its size, after a mark in newer files."""
    return 8 if struct.unpack_from("<I", data, at)[0] == 0xFFFFFFFF else 4


def _size(data: Any, at: int, body: int) -> _Size | None:
    """Return the size of the batch of a message, None where it has none."""
    message = _Table.root(data, at)
    kind = message.number(1, "B")
    if kind not in (_DICTIONARY, _BATCH):
        return None
    batch = message.table(2)
    if kind == _DICTIONARY:
        batch = batch.table(1)
    packed, total = batch.field(3) is not None, 0
    for place in batch.vector(2, 16):
        offset, length = struct.unpack_from("<qq", data, place)
        if packed and length >= 8:
            (unpacked,) = struct.unpack_from("<q", data, body + offset)
            length = length if unpacked == -1 else unpacked
        if length < 0:
            raise ValueError("a buffer has a negative size")
        total += length
    n_rows = batch.number(0, "q")
    if n_rows < 0:
        raise ValueError("a batch has a negative number of rows")
    return _Size(n_rows if kind == _BATCH else 0, len(batch.vector(1, 16)), total)


class _Table(NamedTuple):
    """A table of a flatbuffer."""

    data: Any
    at: int

    @classmethod
    def root(cls, data: Any, at: int) -> _Table:
        """Return the table that a flatbuffer begins with."""
        return cls(data, at + struct.unpack_from("<I", data, at)[0])

    def field(self, number: int) -> int | None:
        """Return where a field is, None where it is left out."""
        (back,) = struct.unpack_from("<i", self.data, self.at)
        directory = self.at - back
        (size,) = struct.unpack_from("<H", self.data, directory)
        if 4 + 2 * number + 2 > size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, directory + 4 + 2 * number)
        return self.at + offset if offset else None

    def number(self, number: int, kind: str) -> int:
        """Return a number, 0 where it is left out."""
        place = self.field(number)
        return 0 if place is None else int(struct.unpack_from(f"<{kind}", self.data, place)[0])

    def table(self, number: int) -> _Table:
        """Return a table within this one."""
        place = self.field(number)
        if place is None:
            raise ValueError("a message has no header")
        return _Table.root(self.data, place)

    def vector(self, number: int, width: int) -> range:
        """Return where the elements of a vector are, each so many bytes wide."""
        place = self.field(number)
        if place is None:
            return range(0)
        begin = place + struct.unpack_from("<I", self.data, place)[0]
        (n_elements,) = struct.unpack_from("<I", self.data, begin)
        if begin + 4 + width * n_elements > len(self.data):
            raise ValueError("a list is longer than the file")
        return range(begin + 4, begin + 4 + width * n_elements, width)
