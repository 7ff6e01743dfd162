"""Files of columns, each to one pandas data frame: text, parquet, feather, JSON lines, Excel, arff, svmlight, datasets.

Pandas and its engines do the reading; an engine that is not installed is asked for by the name of its extra.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

from taskgroup._memory import check_memory
from taskgroup.data._arff import read_arff
from taskgroup.data._arrow import check_arrow
from taskgroup.data._cells import Decimal, Marks
from taskgroup.data._csv import COMPRESSED, open_binary, open_text, read_csv
from taskgroup.data._guard import reading
from taskgroup.exceptions import InvalidInputError, MissingDependencyError

__all__ = ["READERS", "Frame", "is_frame_file", "read_frame"]


@dataclass(frozen=True)
class Frame:
    """A data frame and what its file says about it.

    Parameters
    ----------
    data : pandas.DataFrame
        Columns with unique names; an index that was saved has the name "".
    decimal : {".", ","}, optional
        What separates decimals in text, where that is known.
    note : str
        What was chosen in reading, such as the sheet of a workbook; empty when nothing was.
    classes : dict
        {column: class names} that the file itself gives to codes 0, 1, ...
    """

    data: Any
    decimal: Decimal | None = None
    note: str = ""
    classes: dict[str, tuple[str, ...]] | None = None


def read_frame(path: Path, marks: Marks, decimal: Decimal | None = None) -> Frame:
    """Return the columns of a file.

    Raises
    ------
    InvalidInputError
        When the kind of file is not known, or the file is damaged.
    MissingDependencyError
        When its reader is not installed.
    """
    reader = READERS.get(_ending(path))
    if reader is None:
        known = ", ".join(sorted(ending.lstrip(".") for ending in READERS))
        raise InvalidInputError(f"{path.name}: unknown kind of file; expected {known}, npz or svm.")
    _check_nature(path)
    try:
        with reading(path.name):
            frame = reader(path, marks, decimal)
    except MissingDependencyError:
        raise
    except InvalidInputError as error:
        if not isinstance(error.__cause__, ImportError):
            raise
        extra = "excel" if _ending(path) in (".xlsx", ".xls", ".ods") else "parquet"
        raise MissingDependencyError(
            f"{path.name}: {_ending(path).lstrip('.')} files need {error.__cause__.name or 'another package'}; install "
            f"it with the extra [{extra}]."
        ) from None
    if not len(frame.data):
        raise InvalidInputError(f"{path.name}: no data rows.")
    return Frame(named(frame.data, path.name), frame.decimal, frame.note, frame.classes)


def named(data: Any, where: str) -> Any:
    """Return the data frame with unique names as text; an index that is more than row numbers becomes a column."""
    import pandas as pd

    if isinstance(data.columns, pd.MultiIndex):
        data = data.set_axis(["_".join(str(part) for part in column if str(part)) for column in data.columns], axis=1)
    if not isinstance(data.index, pd.RangeIndex):
        data = data.reset_index(names=["" if name is None else name for name in data.index.names])
    names = [str(name).strip() for name in data.columns]
    doubled = [name for name in names if name and names.count(name) > 1]
    if doubled:
        raise InvalidInputError(
            f"{where}: column names must be unique; got {doubled[0]!r} {doubled.count(doubled[0])} times. "
            "Rename one of them."
        )
    bare = [j for j, name in enumerate(names) if not name]
    empty = [j for j in bare if data.iloc[:, j].isna().all()]
    for j in [j for j in bare if j not in empty][1:]:
        names[j] = f"column {j}"
    data = data.set_axis(names, axis=1)
    return data.iloc[:, [j for j in range(len(names)) if j not in empty]] if empty else data  # the first is a copy


_NATURES = {b"PK\x03\x04": "xlsx or zip", b"PAR1": "parquet", b"\x1f\x8b": "gz", b"ARROW1": "feather",
            b"\xd0\xcf\x11\xe0": "xls", b"%PDF": "pdf"}  # fmt: skip


def _check_nature(path: Path) -> None:
    """Raise when the first bytes of a file say another kind than its name."""
    with open(path, "rb") as handle:
        head = handle.read(8)
    nature = next((nature for bytes_, nature in _NATURES.items() if head.startswith(bytes_)), "text")
    ending = path.suffix.lower()
    says = {".xlsx": "xlsx", ".zip": "zip", ".ods": "zip"}.get(ending, ending.lstrip("."))
    text = READERS.get(ending) in (_csv, _json_lines, _arff)
    if (text and nature != "text") or (ending in (".xlsx", ".ods", ".xls") and says not in nature):
        raise InvalidInputError(f"{path.name}: the name says {says}, but what is in the file is {nature}; rename it.")


def is_frame_file(path: Path) -> bool:
    """Whether the ending of a file is one of :data:`READERS`."""
    return _ending(path) in READERS


def _ending(path: Path) -> str:
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    if len(endings) > 1 and endings[-1] in COMPRESSED:
        endings.pop()
    if endings == [".zip"]:
        return ".csv"  # what is inside is read as text
    return endings[-1] if endings else ""


def _csv(path: Path, marks: Marks, decimal: Decimal | None) -> Frame:
    data, separator, note = read_csv(path, marks, decimal)
    return Frame(data, separator, note)


def _parquet(path: Path, marks: Marks, decimal: Decimal | None) -> Frame:
    import pandas as pd

    try:
        import pyarrow
        from pyarrow import feather
    except ImportError:
        raise ImportError(name="pyarrow") from None
    try:
        if _ending(path) == ".parquet":
            _check_parquet(path)
            return Frame(pd.read_parquet(path))
        check_arrow(path)
        table = feather.read_table(path, memory_map=True)
        table.validate(full=True)  # offsets that lead elsewhere crash the process when they are followed
        return Frame(table.to_pandas())
    except pyarrow.ArrowInvalid as error:
        raise InvalidInputError(f"{path.name}: not a readable {_ending(path).lstrip('.')} file ({error}).") from None


def _check_parquet(path: Path) -> None:
    """Raise when a parquet file would take too much memory by what its footer says."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        facts = file.metadata
        cells = facts.num_rows * facts.num_columns
        unpacked = sum(facts.row_group(g).total_byte_size for g in range(facts.num_row_groups))
    check_memory(f"{path.name}: {facts.num_rows:,} rows of {facts.num_columns:,} columns", max(8 * cells, 2 * unpacked))


def _json_lines(path: Path, marks: Marks, decimal: Decimal | None) -> Frame:
    import pandas as pd

    with open_text(path) as handle:
        begin = handle.read(1 << 16).lstrip("\ufeff \r\n\t")
    lines = begin.startswith("{") and "\n{" in begin.replace("\r", "\n")
    with open_binary(path) as handle:
        data = pd.read_json(handle, lines=lines or (begin[:1] == "{" and _ending(path) != ".json"), dtype=False)
    return Frame(data)


_CELL = re.compile(rb'r="([A-Z]{1,3})(\d{1,7})"')


def _check_workbook(path: Path) -> None:
    """Raise when a workbook would take too much memory, by its unpacked size and by the farthest cell of its sheets."""
    if not is_zipfile(path):
        return
    with ZipFile(path) as archive:
        check_memory(f"{path.name}: the unpacked workbook", 4 * sum(info.file_size for info in archive.infolist()))
        for info in archive.infolist():
            if not info.filename.startswith("xl/worksheets/sheet"):
                continue
            width = height = 0
            with archive.open(info) as handle:
                rest = b""
                for piece in iter(partial(handle.read, 1 << 20), b""):
                    for letters, row in _CELL.findall(rest + piece):
                        column = 0
                        for letter in letters:
                            column = 26 * column + letter - 64
                        width, height = max(width, column), max(height, int(row))
                    rest = piece[-16:]
            check_memory(f"{path.name}: {height:,} rows of {width:,} columns", 24 * width * height)


def _excel(path: Path, marks: Marks, decimal: Decimal | None) -> Frame:
    import pandas as pd

    _check_workbook(path)

    with pd.ExcelFile(path) as book:
        sheet, *others = book.sheet_names
        top = pd.read_excel(book, sheet_name=sheet, header=None, nrows=20, dtype=object)
        filled = top.notna().sum(axis=1).to_numpy()
        above = int((filled > 1).argmax())  # 0 where no row has two cells
        data = pd.read_excel(
            book, sheet_name=sheet, header=above, dtype=object, keep_default_na=False, na_values=marks.for_pandas()
        ).infer_objects()  # a cell of text that looks like a number stays text
    if len(top) and top.shape[1] == data.shape[1]:  # pandas renames columns that have no name, or occur twice
        data.columns = ["" if name != name else str(name).strip() for name in top.iloc[above]]
    notes = [f"sheet {sheet!r} was read, the first of {len(others) + 1}"] if others else []
    notes += [f"lines above the header that are left out: {above}"] if above else []
    return Frame(data, note="; ".join(notes))


def _arff(path: Path, marks: Marks, decimal: Decimal | None) -> Frame:
    return Frame(read_arff(path))


READERS: dict[str, Callable[[Path, Marks, Decimal | None], Frame]] = {
    ".csv": _csv, ".tsv": _csv, ".txt": _csv, ".tab": _csv,
    ".parquet": _parquet, ".feather": _parquet, ".arrow": _parquet,
    ".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json_lines,
    ".xlsx": _excel, ".xls": _excel, ".ods": _excel,
    ".arff": _arff,
}  # fmt: skip
"""Readers by the ending of the file."""


def read_saved_dataset(folder: Path) -> tuple[Frame, Any] | None:
    """Return a Hugging Face dataset saved on disk and the part of every row (None for one part), or None.

    The files are Arrow streams beside ``dataset_info.json``; several parts are folders beside ``dataset_dict.json``.
    """
    import numpy as np
    import pandas as pd

    if (folder / "dataset_dict.json").is_file():
        names = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
        parts = [_saved_part(folder / name) for name in names]
        data = pd.concat([part.data for part in parts], ignore_index=True)
        split = np.repeat(np.array(names, object), [len(part.data) for part in parts])
        return Frame(data, classes=parts[0].classes), split
    return (_saved_part(folder), None) if (folder / "dataset_info.json").is_file() else None


def _saved_part(folder: Path) -> Frame:
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingDependencyError(
            f"{folder.name}: saved datasets need pyarrow; install it with the extra [parquet]."
        ) from None
    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    tables = []
    for path in sorted(folder.glob("*.arrow")):
        check_arrow(path)
        with pa.memory_map(str(path)) as source:
            tables.append(pa.ipc.open_stream(source).read_all())
    if not tables:
        raise InvalidInputError(f"{folder}: a saved dataset without *.arrow files.")
    classes = {
        name: tuple(feature["names"])
        for name, feature in (info.get("features") or {}).items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and "names" in feature
    }
    table = pa.concat_tables(tables)
    table.validate(full=True)
    return Frame(table.to_pandas(), classes=classes)
