"""Text tables: what separates cells, how it is encoded, whether there is a header; pandas reads the rest.

Comma, semicolon, tab or bar; UTF-8, UTF-16 and cp1252; any line ends; .gz, .xz, .bz2, .zst and .zip.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import itertools
import lzma
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from taskgroup.data._cells import Decimal, Marks
from taskgroup.data._guard import Bounded
from taskgroup.exceptions import InvalidInputError

__all__ = ["COMPRESSED", "open_binary", "open_text", "read_csv"]

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
COMPRESSED = (*_OPENERS, ".zip")
"""Endings of compressed files."""

_HEAD = 1 << 16  # bytes that the guesses rest on
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip


@dataclass(frozen=True)
class _Layout:
    encoding: str
    delimiter: str
    names: list[str]
    decimal: Decimal
    skip: int  # lines above the header
    codes: list[str]  # columns of digits that begin with 0: words
    trailing: bool  # every row ends in a delimiter
    spaced: bool  # blanks follow the delimiters


def read_csv(path: Path, marks: Marks, decimal: Decimal | None = None) -> tuple[Any, Decimal | None, str]:
    """Return the data frame of a text table, what separates its decimals where that is known, and what was left out.

    Raises
    ------
    InvalidInputError
        When the file is empty, has no header, names a column twice, or a row has too many or too few cells.
    """
    layout = _sniff(path, decimal)
    try:
        frame = _parse(path, layout, marks)
    except UnicodeDecodeError:
        layout = replace(layout, encoding="cp1252")
        try:
            frame = _parse(path, layout, marks)
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"{path.name}: neither UTF-8, UTF-16 nor cp1252 text ({error}).") from None
    if not len(frame):
        raise InvalidInputError(f"{path.name}: no data rows below the header.")
    if layout.trailing:
        frame = frame.iloc[:, :-1]
    last = frame.iloc[:, -1]
    if frame.shape[1] > 1 and last.isna().any():
        _check_widths(path, layout, len(layout.names), len(frame))
    note = f"lines above the header that are left out: {layout.skip}" if layout.skip else ""
    return frame, decimal or ("," if layout.decimal == "," else None), note


def open_binary(path: Path) -> BinaryIO:
    """Return a file opened for reading bytes, decompressed where its name says so; no more than may be held."""
    return io.BufferedReader(Bounded(path.name, _unpacked(path)), 1 << 20)


def _unpacked(path: Path) -> BinaryIO:
    if path.suffix.lower() == ".zip":
        archive = zipfile.ZipFile(path)
        members = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
        if len(members) != 1:
            raise InvalidInputError(f"{path.name}: a zip must hold one table; it holds {len(members)} files.")
        return cast(BinaryIO, archive.open(members[0]))
    return cast(BinaryIO, _OPENERS.get(path.suffix.lower(), open)(path, "rb"))


def open_text(path: Path) -> TextIO:
    """Return a text file opened for reading in its encoding, decompressed where its name says so."""
    with open_binary(path) as handle:
        encoding = _encoding(handle.read(_HEAD))
    return io.TextIOWrapper(open_binary(path), encoding=encoding, newline="")


def _sniff(path: Path, decimal: Decimal | None) -> _Layout:
    with open_binary(path) as handle:
        head = handle.read(_HEAD)
    encoding = _encoding(head)
    text = head.decode(encoding, errors="ignore").lstrip("\ufeff")
    all_lines = re.split(r"\r\n|\r|\n", text)
    lines = [line for line in all_lines if line.strip()]
    if not lines:
        raise InvalidInputError(f"{path.name}: the file is empty; expected a header row of column names.")
    if len(head) == _HEAD and len(lines) > 2:
        lines.pop()  # it may be cut off
    delimiter, above = _delimiter(lines)
    skip = all_lines.index(lines[above]) if above else 0
    lines = lines[above:]
    rows = list(csv.reader(lines[:50], delimiter=delimiter, skipinitialspace=True))
    names, body = [name.strip() for name in rows[0]], [row for row in rows[1:] if row]
    trailing = False
    if body and all(len(row) == len(names) + 1 for row in body):
        if all(not row[-1].strip() for row in body):
            names, trailing = [*names, ""], True
        else:
            names = ["", *names]  # R leaves the heading of its row names out
    _check_header(path, names[:-1] if trailing else names)
    if decimal is None:
        commas = delimiter != "," and any(re.fullmatch(r"\s*[+-]?\d+,\d+\s*", cell) for row in body for cell in row)
        points = any(re.fullmatch(r"\s*[+-]?\d+\.\d+\s*", cell) for row in body for cell in row)
        decimal = "," if commas and not points else "."
    spaced = any(f"{delimiter} " in line for line in lines)
    codes = [
        name for name, cells in zip(names, itertools.zip_longest(*body, fillvalue=""), strict=False) if _codes(cells)
    ]
    return _Layout(encoding, delimiter, names, decimal, skip, codes, trailing, spaced)


def _encoding(head: bytes) -> str:
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    if len(head) > 8 and head[1:64:2].count(0) > 24:
        return "utf-16-le"
    if len(head) > 8 and head[0:64:2].count(0) > 24:
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _delimiter(lines: list[str]) -> tuple[str, int]:
    """Return the delimiter that cuts the first lines into the same number of cells, and how many lines are a title.

    A line above the header has one cell that is not empty, where the lines below have more. Blanks separate cells only
    where nothing else does.
    """

    def cut(delimiter: str) -> tuple[bool, int, int]:
        rows = list(csv.reader(lines[:20], delimiter=delimiter, skipinitialspace=True))
        filled = [sum(bool(cell.strip()) for cell in row) for row in rows]
        above = next((i for i, n in enumerate(filled) if n > 1), 0)
        widths = [len(row) for row in rows[above:]]
        even = min(widths) > 1 and max(widths) - min(widths) <= 1
        return even, widths[0], above if even and len(rows) > above + 1 else 0

    found = max(",;\t|", key=lambda delimiter: cut(delimiter)[:2])
    if not cut(found)[0] and cut(" ")[0]:
        found = " "
    return found, cut(found)[2]


def _codes(cells: Sequence[str]) -> bool:
    """Return whether a column holds digits of one length, some with a leading 0, as postal codes do."""
    texts = [cell for cell in cells if cell]
    return (
        bool(texts)
        and len(texts[0]) > 1
        and any(text[0] == "0" for text in texts)
        and all(len(text) == len(texts[0]) and text.isdecimal() for text in texts)
    )


def _check_header(path: Path, names: list[str]) -> None:
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise InvalidInputError(
            f"{path.name}: column names must be unique; got {twice!r} {named.count(twice)} times. Rename one of them."
        )
    if len(named) > 1 and all(re.fullmatch(r"[+-]?\d*\.?\d+([eE][+-]?\d+)?", name) for name in named):
        values = [float(name) for name in named]
        if any(b - a != 1 for a, b in itertools.pairwise(values)):
            raise InvalidInputError(
                f"{path.name}: the first row holds numbers only ({', '.join(named[:4])}, ...); expected a header row "
                "of column names. Add one."
            )


def _parse(path: Path, layout: _Layout, marks: Marks) -> Any:
    import warnings

    import pandas as pd
    from pandas.errors import DtypeWarning, EmptyDataError, ParserError

    numbered = [name or f"\0{j}" for j, name in enumerate(layout.names)]  # pandas wants unique names
    options = {
        "sep": r"\s+" if layout.delimiter == " " else layout.delimiter, "header": 0, "skiprows": layout.skip,
        "names": numbered, "index_col": False, "encoding": layout.encoding,
        "decimal": layout.decimal, "na_values": marks.for_pandas(), "keep_default_na": False,
        "skipinitialspace": layout.spaced, "dtype": dict.fromkeys(layout.codes, str),
    }  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DtypeWarning)
            try:
                with open_binary(path) as handle:
                    frame = pd.read_csv(handle, **options)
            except DtypeWarning:  # numbers in one piece of the file and words in another: read it in one piece
                with open_binary(path) as handle:
                    frame = pd.read_csv(handle, low_memory=False, **options)
    except EmptyDataError:
        raise InvalidInputError(f"{path.name}: the file is empty; expected a header row of column names.") from None
    except ParserError as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if found:
            raise InvalidInputError(
                f"{path.name}: line {found[2]} has {found[3]} cells; the header names {found[1]}."
            ) from None
        raise InvalidInputError(f"{path.name}: cannot be read as a table ({error}).") from None
    frame.columns = layout.names
    return frame


def _check_widths(path: Path, layout: _Layout, width: int, n_rows: int) -> None:
    """Raise when a row has fewer cells than the header, which pandas fills up in silence.

    Enough delimiters in the whole file clear it at once; else every line is looked at.
    """
    if layout.encoding in ("utf-8", "utf-8-sig", "cp1252"):
        found, mark = 0, layout.delimiter.encode()
        with open_binary(path) as binary:
            for piece in iter(lambda: binary.read(1 << 22), b""):
                found += piece.count(mark)
        if found >= (n_rows + 1) * (width - 1):
            return
    with io.TextIOWrapper(open_binary(path), encoding=layout.encoding, errors="replace") as handle:
        for row, line in enumerate(_records(handle, layout.skip)):
            cells = line.count(layout.delimiter) + 1
            if cells < width:
                raise InvalidInputError(
                    f"{path.name}: data row {row} has {cells} cells; the header names {width}. The first row is 0."
                )


def _records(handle: TextIO, skip: int) -> Iterator[str]:
    """Yield the data lines, those with an open quote joined to the next ones."""
    for _ in range(skip + 1):
        next(handle)
    open_line = ""
    for line in handle:
        open_line += line
        if open_line.count('"') % 2 == 0:
            if open_line.strip("\r\n "):
                yield open_line
            open_line = ""
