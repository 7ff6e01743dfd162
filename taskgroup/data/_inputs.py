"""New rows for a trained model: the columns, codes and markers of training, and a count of what was not seen there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._display import brief
from taskgroup._validation import check_finite
from taskgroup.data._archives import archive_reader
from taskgroup.data._arrays import dense, is_svmlight, open_arrays, read_svmlight
from taskgroup.data._column import ColumnReader
from taskgroup.data._digits import digits_arrays
from taskgroup.data._files import Frame, named, read_frame, read_saved_dataset
from taskgroup.data._frames import coded_words
from taskgroup.data._guard import reading
from taskgroup.data._options import check_column
from taskgroup.data._schema import InputSchema
from taskgroup.exceptions import InvalidInputError

__all__ = ["Inputs", "as_frame", "load_inputs", "read_inputs"]


@brief
@dataclass(frozen=True, eq=False)
class Inputs:
    """Rows to predict.

    Parameters
    ----------
    X : ndarray of float32 or float64 of shape (n, d)
        Raw features in the order of the schema, NaN where a number is missing.
    ids : ndarray of shape (n,), optional
        What the rows are called.
    id_name : str
        The column that `ids` come from.
    unseen : dict of str to int
        Rows whose word of a feature no training row had, by feature.
    missing : dict of str to int
        Missing cells by feature, where the training rows had none.
    """

    X: NDArray[Any]
    ids: NDArray[Any] | None
    id_name: str
    unseen: dict[str, int]
    missing: dict[str, int]

    def warnings(self) -> list[str]:
        """Return what a person should know about the rows, in words."""
        lines = [
            f"{name}: {count:,} rows hold a word that no training row had; it counts for nothing"
            for name, count in self.unseen.items()
        ]
        return lines + [
            f"{name}: {count:,} cells are missing, which none was in training; the average stands in for them"
            for name, count in self.missing.items()
        ]


def load_inputs(source: Any, schema: InputSchema) -> NDArray[Any]:
    """Return the raw feature rows (n, d) of a file or data frame, in the columns and category codes of ``schema``.

    Missing numbers are NaN; :meth:`InputSchema.transform` fills them as in training.

    Raises
    ------
    InvalidInputError
        When a column of the schema is missing, or the number of features of an npz differs.
    """
    return read_inputs(source, schema).X


def read_inputs(source: Any, schema: InputSchema, *, id: str | None = None, id_if_there: str | None = None) -> Inputs:
    """Return the rows of a file or data frame with their ids and a count of what training did not know.

    Parameters
    ----------
    source : str, path, data frame or array
        As for :func:`taskgroup.load_table`; targets are not needed.
    schema : InputSchema
        What the models expect.
    id : str, optional
        The column that says what rows are called.
    id_if_there : str, optional
        The same where `id` is not given, if the source has it.
    """
    with reading(source_name(source)):
        return _read(source, schema, id, id_if_there)


def _read(source: Any, schema: InputSchema, id: str | None, id_if_there: str | None) -> Inputs:
    where = source_name(source)
    if isinstance(source, (str, os.PathLike)):
        if str(source) == "digits":
            return Inputs(digits_arrays()[0], None, "", {}, {})
        path = Path(source)
        if not path.exists():
            raise InvalidInputError(f"{source}: no such file, and no bundled table of that name.")
        arrays = None
        if path.suffix.lower() == ".npz" or (path.is_dir() and not read_is_dataset(path)):
            arrays = open_arrays(path)
        elif is_svmlight(path):
            arrays = read_svmlight(path)
        if arrays is not None:
            return _from_array(where, arrays["X"], arrays.get("ids"), schema)
        archive = archive_reader(path)
        if archive is not None:
            frame = Frame(archive(path)[0])
        elif path.is_dir():
            saved = read_saved_dataset(path)
            assert saved is not None  # as checked above
            frame = saved[0]
        else:
            frame = read_frame(path, schema.marks)
    elif (data := as_frame(source)) is not None:
        frame = Frame(named(data, where))
    else:
        return _from_array(where, source, None, schema)
    if id is None and id_if_there is not None and id_if_there in map(str, frame.data.columns):
        id = id_if_there
    return _from_frame(where, frame, schema, id)


def as_frame(source: Any) -> Any:
    """Return a pandas data frame for one of pandas, polars, pyarrow or another library, or None."""
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return source
    for method in ("to_pandas", "toPandas"):
        if hasattr(source, method) and hasattr(source, "columns" if method == "toPandas" else method):
            try:
                return getattr(source, method)()
            except ImportError:  # polars asks for pyarrow
                break
    if hasattr(source, "to_dict") and hasattr(source, "columns") and hasattr(source, "schema"):  # polars, alone
        return pd.DataFrame(source.to_dict(as_series=False))
    if all(hasattr(source, name) for name in ("obs", "var_names", "X")):  # AnnData: labels and notes stand in obs
        features = pd.DataFrame(dense("X", source.X), columns=list(map(str, source.var_names)), index=source.obs.index)
        return pd.concat([features, source.obs], axis=1)
    if isinstance(source, list) and source and all(isinstance(row, dict) for row in source):
        return pd.DataFrame(source)
    if isinstance(source, dict) and source and not {"train", "valid", "test"} & set(source):
        return pd.DataFrame(source)
    return None


def source_name(source: Any) -> str:
    """Return what messages call a source."""
    if isinstance(source, (str, os.PathLike)):
        return Path(source).name
    return "the data frame" if hasattr(source, "columns") else "the arrays"


def read_is_dataset(path: Path) -> bool:
    """Whether a folder holds a saved Hugging Face dataset."""
    return (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file()


def _from_array(where: str, X: Any, ids: Any, schema: InputSchema) -> Inputs:
    rows = dense(where, X)
    rows = rows.reshape(len(rows), -1)
    if rows.shape[1] != schema.n_features:
        rows = rows[:, _by_number(where, schema.feature_names, rows.shape[1])]
    rows = rows.astype(schema.dtype)
    check_finite("X", rows, schema.feature_names, missing=True)
    return Inputs(rows, None if ids is None else np.asarray(ids), "id", {}, _new_holes(rows, schema))


def _by_number(where: str, names: Sequence[str], width: int) -> list[int]:
    """Return the columns that features called x0, x1, ... were taken from, where some were left out in training."""
    numbers = [int(name[1:]) for name in names if name[:1] == "x" and name[1:].isdigit()]
    if len(numbers) < len(names) or max(numbers) >= width or len(names) > width:
        raise InvalidInputError(f"{where}: the models expect {len(names)} features; got {width}.")
    return numbers


def _from_frame(where: str, frame: Frame, schema: InputSchema, id: str | None) -> Inputs:
    data = frame.data
    names = [str(name) for name in data.columns]
    for name in (*schema.feature_names, *([id] if id is not None else [])):
        check_column(where, name, names)
    reader = ColumnReader(where, schema.marks, frame.decimal)
    X = np.empty((len(data), schema.n_features), schema.dtype)
    unseen = {}
    for j, name in enumerate(schema.feature_names):
        if j in schema.categories:
            column = reader.read(name, data[name], "words")
            X[:, j] = coded_words(column, schema.categories[j])
            if n_unseen := int((X[:, j] == 0).sum()):
                unseen[name] = n_unseen
        else:
            column = reader.read(name, data[name])
            if column.numbers is None:
                raise InvalidInputError(
                    f"{where}: column {name!r} must hold numbers, as in training; got {column.words[0]!r}."
                )
            X[:, j] = column.numbers
    check_finite("X", X, schema.feature_names, missing=True)
    ids = None if id is None else data[id].to_numpy()
    return Inputs(X, ids, "" if id is None else id or "row", unseen, _new_holes(X, schema))


def _new_holes(X: NDArray[Any], schema: InputSchema) -> dict[str, int]:
    counts = np.isnan(X).sum(0)
    counts[schema.holes] = 0
    return {schema.feature_names[j]: int(counts[j]) for j in np.flatnonzero(counts)}
