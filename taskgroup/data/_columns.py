"""Readers of column files: csv (also .gz and .xz), parquet, and arff (dense, sparse, Mulan xml, MEKA -C).

Each returns ``{column name: values}`` in file order. Numeric columns are float64 with NaN for "empty"; all others are
object arrays of str with "" for "empty".
"""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from taskgroup.exceptions import InvalidInputError, MissingDependencyError

__all__ = ["Columns", "column_reader", "named_targets", "open_text"]

Columns = dict[str, NDArray[Any]]

_EMPTY = frozenset(("", "?", "na", "nan", "null", "none"))
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}


def column_reader(path: Path) -> Callable[[Path], Columns] | None:
    """Return the reader for a file's ending, or None when there is none."""
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    if endings and endings[-1] in _OPENERS:
        endings.pop()
    readers = {".csv": read_csv, ".tsv": read_csv, ".parquet": read_parquet, ".arff": read_arff}
    return readers.get(endings[-1]) if endings else None


def named_targets(path: Path) -> list[str] | None:
    """Return the label columns that a file itself names (Mulan xml beside it, MEKA ``-C n``), or None."""
    if path.suffix.lower() != ".arff":
        return None
    for stem in (path.stem, re.sub(r"[-_](train|test)$", "", path.stem)):
        xml = path.with_name(f"{stem}.xml")
        if xml.is_file():
            try:
                root = ElementTree.parse(xml).getroot()
            except ElementTree.ParseError as error:
                raise InvalidInputError(f"{xml}: not valid XML ({error}).") from None
            return [node.attrib["name"] for node in root.iter() if node.tag.endswith("label") and "name" in node.attrib]
    with open_text(path) as handle:
        relation, names, _ = _arff_header(path, handle)
    count = re.search(r"-C\s+(-?\d+)", relation)
    if not count:
        return None
    n = int(count.group(1))
    return names[:n] if n > 0 else names[n:]


def read_csv(path: Path) -> Columns:
    """Return the columns of a csv or tsv file with a header row."""
    with open_text(path) as handle:
        first = handle.readline()
        if not first.strip():
            raise InvalidInputError(f"{path.name}: the file is empty; expected a header row of column names.")
        delimiter = max(",;\t|", key=first.count)
        names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
        _check_names(path, names)
        body = handle.read()
    if not body.strip():
        raise InvalidInputError(f"{path.name}: no data rows below the header.")
    try:
        matrix = np.loadtxt(io.StringIO(body), delimiter=delimiter, ndmin=2, quotechar='"', comments=None)
    except ValueError:
        return _text_columns(path, names, csv.reader(io.StringIO(body), delimiter=delimiter))
    if matrix.shape[1] != len(names):
        raise InvalidInputError(f"{path.name}: the header names {len(names)} columns; rows have {matrix.shape[1]}.")
    return {name: matrix[:, j] for j, name in enumerate(names)}


def read_parquet(path: Path) -> Columns:
    """Return the columns of a parquet file; needs pyarrow."""
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise MissingDependencyError(
            f"{path.name}: parquet files need pyarrow; install it with the extra [parquet]."
        ) from None
    try:
        table = parquet.read_table(path)
    except (ArrowInvalid, OSError) as error:
        raise InvalidInputError(f"{path.name}: not a readable parquet file ({error}).") from None
    _check_names(path, table.column_names)
    columns: Columns = {}
    for name in table.column_names:
        values = table[name].to_pylist()
        columns[name] = _typed(["" if value is None else str(_plain(value)) for value in values])
    return columns


def read_arff(path: Path) -> Columns:
    """Return the columns of an arff file, dense or sparse."""
    with open_text(path) as handle:
        _, names, nominal = _arff_header(path, handle)
        _check_names(path, names)
        lines = [line for line in (raw.strip() for raw in handle) if line and not line.startswith("%")]
    if not lines:
        raise InvalidInputError(f"{path.name}: no data rows after @data.")
    if not lines[0].startswith("{"):
        rows = csv.reader(lines, quotechar="'", skipinitialspace=True, escapechar="\\")
        return _text_columns(path, names, rows)
    # In a sparse row an attribute that is left out has the value 0, or the first value of a nominal one.
    cells = np.empty((len(lines), len(names)), object)
    cells[:] = [nominal.get(name, ("0",))[0] for name in names]
    for i, row in enumerate(csv.reader((line.strip("{} \t") for line in lines), quotechar="'", skipinitialspace=True)):
        for item in row:
            index, _, value = item.strip().partition(" ")
            if not index.isdigit() or int(index) >= len(names):
                raise InvalidInputError(
                    f"{path.name}: sparse data row {i}: {item!r} does not start with a column number."
                )
            cells[i, int(index)] = value.strip().strip("'\"")
    return {name: _typed(list(cells[:, j])) for j, name in enumerate(names)}


def open_text(path: Path) -> TextIO:
    """Return a text file opened for reading, decompressed where its name ends in .gz or .xz."""
    opener = _OPENERS.get(path.suffix.lower(), open)
    handle: TextIO = opener(path, "rt", encoding="utf-8-sig", newline="")
    return handle


def _check_names(path: Path, names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInputError(f"{path.name}: column names must be unique; got {twice!r} {names.count(twice)} times.")


def _text_columns(path: Path, names: list[str], reader: Iterator[list[str]]) -> Columns:
    rows = [row for row in reader if row]
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise InvalidInputError(f"{path.name}: data row {i} has {len(row)} cells; the header names {len(names)}.")
    return {name: _typed(list(cells)) for name, cells in zip(names, zip(*rows, strict=True), strict=True)}


def _typed(cells: list[str]) -> NDArray[Any]:
    """Return float64 when every cell is a number or empty, else stripped strings."""
    text = [cell.strip() for cell in cells]
    values = ["nan" if cell.lower() in _EMPTY else cell for cell in text]
    try:
        return np.array(values, dtype=np.float64)
    except ValueError:
        return np.array(["" if value == "nan" else value for value in values], dtype=object)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _arff_header(path: Path, handle: TextIO) -> tuple[str, list[str], dict[str, tuple[str, ...]]]:
    """Read up to @data; return the relation, the attribute names and the values of nominal attributes."""
    relation, names, nominal = "", [], {}
    for raw in handle:
        line = raw.strip()
        lower = line.lower()
        if lower.startswith("@relation"):
            relation = line[len("@relation") :]
        elif lower.startswith("@attribute"):
            match = re.match(r"@attribute\s+('(?:[^'\\]|\\.)*'|\"[^\"]*\"|\S+)\s+(.+)", line, re.IGNORECASE)
            if not match:
                raise InvalidInputError(f"{path.name}: cannot read the line {line!r}.")
            name = match.group(1).strip("'\"").replace("\\'", "'")
            names.append(name)
            if match.group(2).startswith("{"):
                values = match.group(2).strip().strip("{}").split(",")
                nominal[name] = tuple(value.strip().strip("'\"") for value in values)
        elif lower.startswith("@data"):
            return relation, names, nominal
    raise InvalidInputError(f"{path.name}: no @data line; the file is not arff or is truncated.")
