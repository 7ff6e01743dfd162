"""From a file, a data frame, arrays, or the name of a bundled table, to a checked TaskTable and how it was read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from taskgroup._validation import did_you_mean
from taskgroup.data._archives import archive_reader
from taskgroup.data._arff import named_targets
from taskgroup.data._arrays import is_svmlight, open_arrays, read_svmlight, table_of_arrays
from taskgroup.data._cells import Decimal, Marks
from taskgroup.data._digits import digits_arrays
from taskgroup.data._files import Frame, named, read_frame, read_saved_dataset
from taskgroup.data._frames import table_of_frame
from taskgroup.data._guard import reading
from taskgroup.data._inputs import as_frame, read_is_dataset, source_name
from taskgroup.data._options import ReadOptions, check_column
from taskgroup.data._parts import Parts
from taskgroup.data._reading import Reading, TargetReading
from taskgroup.data._roles import expand
from taskgroup.data._table import SPLITS, TaskTable
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import Kind

__all__ = ["BUNDLED", "load_table"]

BUNDLED: dict[str, str] = {
    "digits": "1,797 handwritten digits, top half as input (32 pixels), 100 binary tasks in four families",
}


def load_table(
    source: Any,
    *,
    targets: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    keep: Sequence[str] = (),
    kinds: Mapping[str, Kind | str] | None = None,
    positive: Mapping[str, str] | None = None,
    missing: Sequence[str] = (),
    not_missing: Sequence[str] = (),
    decimal: Decimal | None = None,
    id: str | None = None,
    split: str | None = None,
    group_split: str | None = None,
    time_split: str | None = None,
    weight: str | None = None,
    long: tuple[str, str, str] | None = None,
    deduplicate: bool = False,
    valid: float = 0.2,
    test: float = 0.2,
    random_state: int = 0,
) -> TaskTable:
    """Return the table in a file, a data frame or arrays, or a bundled one; ``.reading`` says what was guessed.

    Parameters
    ----------
    source : str, path, data frame, (X, Y), or mapping of "train", "valid", "test" to one of them
        ``"digits"``; a csv, tsv, xlsx, parquet, feather, jsonl, arff, svmlight or npz file; a folder that holds a saved
        Hugging Face dataset, or X and Y as npy; a pandas or polars data frame; a pair of arrays, X also sparse.
        An npz holds ``X`` (n, d), ``Y`` (n, T) with -1 or NaN for "not labelled", and optionally ``task_names``,
        ``task_group``, ``feature_names``, ``split`` (0 train, 1 valid, 2 test), ``w`` (weights, 0 for "not labelled"),
        ``mask`` and ``ids``.
    targets : sequence of str, optional
        Names or globs of the target columns (of the tasks to keep, for arrays and bundled tables). Without them
        columns called ``y_*``, ``target_*``, ``task_*`` or ``label_*``, or else ``y``, ``label`` or ``target``.
    ignore : sequence of str
        Names or globs of columns that are neither feature nor target.
    keep : sequence of str
        Names or globs of columns that are features although they look like none.
    kinds : dict, optional
        ``{target: "binary" | "multiclass" | "regression"}`` and ``{feature: "words" | "numbers"}`` where the guess
        would be wrong. The guess: two words, 0/1, -1/1 or 1/2 are binary; up to 50 words, or whole numbers from 0 or 1
        to at most 50, are multiclass; else regression.
    positive : dict, optional
        ``{target: word}``, the positive class of a binary task where convention does not say it.
    missing, not_missing : sequence of str
        Words and numbers that mean "missing" beside the usual ones; usual ones that do not.
    decimal : {".", ","}, optional
        What separates decimals in text.
    id : str, optional
        Column that says what rows are called.
    split, group_split, time_split : str, optional
        Column that says the part of a row; column whose equal values stay in one part; column of times, the latest of
        which are test rows. Without them a column ``split`` (or another usual name) is used, else parts are drawn.
    weight : str, optional
        Column of row weights.
    long : (str, str, str), optional
        Columns (sample, task, value) of a table with one label a row.
    deduplicate : bool
        Keep one of rows with the same features.
    valid, test : float
        Shares of the parts that are drawn.
    random_state : int
        Seed of the drawn split.

    Raises
    ------
    InvalidInputError
        When the file is missing or damaged, a column is unknown, or a cell or target cannot be what it should be.

    Examples
    --------
    >>> table = load_table("digits", targets=["digit_*"])
    >>> table.n_samples, table.n_features, table.n_tasks
    (1797, 32, 10)
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"x": range(40), "tox": ["Active", "Inactive"] * 20})
    >>> load_table(frame, targets=["tox"]).tasks[0].classes
    ('Inactive', 'Active')
    """
    options = ReadOptions(
        tuple(targets or ()), tuple(ignore), tuple(keep), dict(kinds or {}), dict(positive or {}),
        Marks(tuple(map(str, missing)), tuple(not_missing)), decimal, id, split, group_split, time_split, weight,
        None if long is None else cast(tuple[str, str, str], tuple(long)), deduplicate, valid, test, random_state,
    )  # fmt: skip
    with reading(source_name(source)):
        return _load(source, options)


def _load(source: Any, options: ReadOptions) -> TaskTable:
    if isinstance(source, Mapping) and {"train", "valid", "test"} & set(source):
        return _load_parts(source, options)
    if isinstance(source, tuple) and len(source) == 2:
        return _load_pair(*source, options)
    if not isinstance(source, (str, os.PathLike)):
        frame = as_frame(source)
        if frame is None:
            raise InvalidInputError(
                f"a table must be a file, a data frame or a pair (X, Y); got {type(source).__name__}."
            )
        return table_of_frame("the data frame", "table", Frame(named(frame, "the data frame")), options)
    return _load_path(source, options)


def _load_pair(X: Any, Y: Any, options: ReadOptions) -> TaskTable:
    """Return the table of features and labels; the columns of data frames keep their names."""
    features, labels = as_frame(X), as_frame(Y.to_frame() if hasattr(Y, "to_frame") else Y)
    if features is None:
        names = {} if labels is None else {"task_names": list(map(str, labels.columns))}
        return table_of_arrays("the arrays", "table", {"X": X, "Y": Y, **names}, options)
    if labels is None:
        import pandas as pd

        values = np.asarray(Y)
        values = values[:, None] if values.ndim == 1 else values
        labels = pd.DataFrame(values, index=features.index, columns=[f"task_{t}" for t in range(values.shape[1])])
    if len(features) != len(labels):
        raise InvalidInputError(f"X and Y must have one row a sample; got {len(features)} and {len(labels)} rows.")
    targets = [str(name) for name in labels.columns]
    data = features.assign(**{name: labels.iloc[:, t].to_numpy() for t, name in enumerate(targets)})
    if data.shape[1] != features.shape[1] + labels.shape[1]:
        twice = next(name for name in targets if name in map(str, features.columns))
        raise InvalidInputError(f"X and Y must have different columns; got {twice!r} in both.")
    return table_of_frame("the data frames", "table", Frame(named(data, "the data frames")), options, named=targets)


def _load_path(source: str | os.PathLike[str], options: ReadOptions) -> TaskTable:
    path = Path(source)
    if str(source) in BUNDLED:
        return _bundled(str(source), options)
    if not path.exists():
        hint = did_you_mean(str(source), [*BUNDLED, *_neighbours(path)])
        raise InvalidInputError(f"{source}: no such file, and no bundled table of that name.{hint}")
    name = path.name.split(".")[0]
    if path.suffix.lower() == ".npz" or (path.is_dir() and not read_is_dataset(path)):
        return table_of_arrays(path.name, path.stem, open_arrays(path), options)
    if is_svmlight(path):
        return table_of_arrays(path.name, name, read_svmlight(path), options)
    from pandas.api.types import is_numeric_dtype

    frame, names, given = _frame_of(path, options)
    if archive_reader(path) is not None:  # its columns are known: codes written in digits are words
        words = {str(column): "words" for column, kind in frame.data.dtypes.items() if not is_numeric_dtype(kind)}
        options = replace(options, keep=("*",), kinds={**words, **options.kinds})
    return table_of_frame(path.name, name, frame, options, named=names, given=given)


def _frame_of(path: Path, options: ReadOptions) -> tuple[Frame, list[str] | None, Parts | None]:
    """Return the columns of a file or folder, the targets that it names, and the parts that it is in."""
    archive = archive_reader(path)
    if archive is not None:
        data, names = archive(path)
        return Frame(data), names, None
    if path.is_dir():
        saved = read_saved_dataset(path)
        if saved is None:
            raise InvalidInputError(f"{path}: neither a saved dataset nor a folder with X.npy and Y.npy.")
        frame, split = saved
        if split is None:
            return frame, None, None
        codes = {"train": 0, "validation": 1, "valid": 1, "dev": 1, "test": 2}
        unknown = [part for part in dict.fromkeys(split) if part not in codes]
        if unknown:
            raise InvalidInputError(f"{path}: parts must be train, validation and test; got {unknown[0]!r}.")
        return frame, None, Parts(np.array([codes[part] for part in split], np.int8), "as the dataset's parts say")
    frame = read_frame(path, options.marks, options.decimal)
    return frame, named_targets(path), None


def _load_parts(sources: Mapping[str, Any], options: ReadOptions) -> TaskTable:
    """Return one table of several files, each a part."""
    import pandas as pd

    unknown = [part for part in sources if part not in SPLITS]
    if unknown or "train" not in sources:
        raise InvalidInputError(f"files of parts must be train, valid and test, train at least; got {list(sources)}.")
    given = {part: sources[part] for part in SPLITS if sources.get(part) is not None}
    frames, named_by = [], None
    for part, source in given.items():
        if isinstance(source, (str, os.PathLike)):
            if not Path(source).exists():
                raise InvalidInputError(f"{source}: no such file (the {part} part).")
            frame, named_by, _ = _frame_of(Path(source), options)
        else:
            frame = Frame(named(as_frame(source), f"the {part} part"))
        frames.append(frame)
    first = [str(name) for name in frames[0].data.columns]
    where = source_name(next(iter(given.values())))
    for source, frame in zip(list(given.values())[1:], frames[1:], strict=True):
        for name in first:
            check_column(source_name(source), name, map(str, frame.data.columns))
    data = pd.concat([frame.data[first] for frame in frames], ignore_index=True)
    parts = np.repeat([SPLITS.index(cast(Any, part)) for part in given], [len(frame.data) for frame in frames])
    rule = "as the files say" if len(given) == len(SPLITS) else f"files for {' and '.join(given)}"
    if "test" not in given:
        raise InvalidInputError(f"{where}: a file for the test part is needed beside those for {' and '.join(given)}.")
    decimal = next((frame.decimal for frame in frames if frame.decimal), None)
    return table_of_frame(
        where, where.split(".")[0], Frame(data, decimal, frames[0].note, frames[0].classes), options, named=named_by,
        given=Parts(parts.astype(np.int8), rule),
    )  # fmt: skip


def _bundled(name: str, options: ReadOptions) -> TaskTable:
    X, Y, tasks, features = digits_arrays()
    table = TaskTable.from_arrays(
        X, Y, tasks, feature_names=features, name=name, valid=options.valid, test=options.test,
        random_state=options.random_state,
    )  # fmt: skip
    if options.targets:
        for glob in options.targets:
            if not expand([glob], table.tasks.names):
                check_column(name, glob, table.tasks.names, "task")
        table = table.select(expand(options.targets, table.tasks.names))
    counts = [{"0": int((column == 0).sum()), "1": int((column == 1).sum())} for column in table.Y.T]
    targets = [TargetReading(task.name, "binary", table.n_samples, 0.0, count, "1")
               for task, count in zip(table.tasks, counts, strict=True)]  # fmt: skip
    reading = Reading(
        name, table.n_samples, {part: len(table.rows(part)) for part in SPLITS},
        f"drawn, stratified by the labels, seed {options.random_state}", {"numbers": table.feature_names},
        tuple(targets),
    )  # fmt: skip
    return replace(table, reading=reading)


def _neighbours(path: Path) -> list[str]:
    folder = path.parent
    return [str(folder / p.name) if str(folder) != "." else p.name for p in folder.iterdir()] if folder.is_dir() else []
