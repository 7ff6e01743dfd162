"""Arff files: dense and sparse rows, and the label columns that Mulan and MEKA name."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any, TextIO
from xml.etree import ElementTree

import numpy as np

from taskgroup._memory import check_memory
from taskgroup.data._csv import open_text
from taskgroup.exceptions import InvalidInputError

__all__ = ["named_targets", "read_arff"]


def named_targets(path: Path) -> list[str] | None:
    """Return the label columns that an arff itself names (Mulan xml beside it, MEKA ``-C n``), or None."""
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
        relation, names, _ = _header(path, handle)
    count = re.search(r"-C\s+(-?\d+)", relation)
    if not count:
        return None
    n = int(count.group(1))
    return names[:n] if n > 0 else names[n:]


def read_arff(path: Path) -> Any:
    """Return the columns of an arff file, dense or sparse, as a data frame of text."""
    import pandas as pd

    with open_text(path) as handle:
        _, names, nominal = _header(path, handle)
        lines = [line for line in (raw.strip() for raw in handle) if line and not line.startswith("%")]
    if not lines:
        raise InvalidInputError(f"{path.name}: no data rows after @data.")
    if not lines[0].startswith("{"):
        rows = list(csv.reader(lines, quotechar="'", skipinitialspace=True, escapechar="\\"))
        for i, row in enumerate(rows):
            if len(row) != len(names):
                raise InvalidInputError(
                    f"{path.name}: data row {i} has {len(row)} cells; the header names {len(names)}."
                )
        return pd.DataFrame(rows, columns=names, dtype=object)
    # In a sparse row an attribute that is left out has the value 0, or the first value of a nominal one.
    check_memory(f"{path.name}: {len(lines):,} sparse rows of {len(names):,} attributes", 16 * len(lines) * len(names))
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
    return pd.DataFrame(cells, columns=names)


def _header(path: Path, handle: TextIO) -> tuple[str, list[str], dict[str, tuple[str, ...]]]:
    """Read up to @data; return the relation, the attribute names and the values of nominal attributes."""
    relation, names, nominal = "", [], {}
    for raw in handle:
        line = raw.strip()
        lower = line.lower()
        if lower.startswith("@relation"):
            relation = line[len("@relation") :]
        elif lower.startswith("@attribute"):
            match = re.match(
                r"@attribute\s+('(?:[^'\\]|\\.)*'|\"[^\"]*\"|[^\s{]+)\s*(\{.+|\S.*)", line, re.IGNORECASE
            )  # the values may follow the name at once: @attribute y{0,1}
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
