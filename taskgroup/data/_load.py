"""From a file, or the name of a bundled table, to a checked TaskTable."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from lzma import LZMAError
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from taskgroup._validation import check_finite, check_real, did_you_mean
from taskgroup.data._archives import archive_reader
from taskgroup.data._columns import Columns, column_reader, named_targets
from taskgroup.data._digits import digits_arrays
from taskgroup.data._schema import InputSchema
from taskgroup.data._table import SPLITS, TaskTable
from taskgroup.exceptions import InvalidInputError
from taskgroup.tasks import Kind, Task, TaskSet

__all__ = ["BUNDLED", "drop_degenerate", "hide_labels", "load_inputs", "load_table"]

T = TypeVar("T")

BUNDLED: dict[str, str] = {
    "digits": "1,797 handwritten digits, top half as input (32 pixels), 100 binary tasks in four families",
}

_DEFAULT_TARGETS = ("y_*", "target_*", "task_*", "label_*")
_MAX_CLASSES = 50


def load_table(
    source: str | os.PathLike[str],
    *,
    targets: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    kinds: Mapping[str, Kind] | None = None,
    valid: float = 0.2,
    test: float = 0.2,
    random_state: int = 0,
) -> TaskTable:
    """Return the table in a csv, tsv, parquet, npz or arff file, or a bundled one.

    Parameters
    ----------
    source : str or path
        ``"digits"``, or a file. An npz holds ``X`` (n, d), ``Y`` (n, T) with -1 or NaN for "not labelled", and
        optionally ``task_names``, ``task_group`` and ``split`` (0 train, 1 valid, 2 test). A csv may hold a column
        ``split``. An arff takes its labels from the Mulan xml beside it or from MEKA's ``-C n``.
    targets : sequence of str, optional
        Names or globs of the target columns (of the tasks to keep, for npz and bundled tables).
    ignore : sequence of str
        Names or globs of columns that are neither feature nor target.
    kinds : dict, optional
        ``{task name: "binary" | "multiclass" | "regression"}`` where the guess would be wrong. The guess: only 0 and
        1 is binary; up to 50 words, or whole numbers 0 .. C - 1 with C <= 50, is multiclass; else regression.
    valid, test : float
        Shares of the parts that are drawn when the file has no split.
    random_state : int
        Seed of the drawn split.

    Raises
    ------
    InvalidInputError
        When the file is missing or damaged, a column is unknown, a feature is NaN, or a target fits no task kind.

    Examples
    --------
    >>> table = load_table("digits", targets=["digit_*"])
    >>> table.n_samples, table.n_features, table.n_tasks
    (1797, 32, 10)
    """
    options: dict[str, Any] = {"valid": valid, "test": test, "random_state": random_state}
    path = Path(source)
    if str(source) in BUNDLED:
        X, Y, tasks, names = digits_arrays()
        table = TaskTable.from_arrays(X, Y, tasks, feature_names=names, name=str(source), **options)
        return _keep(table, targets, str(source))
    if not path.is_file():
        hint = did_you_mean(str(source), [*BUNDLED, *_neighbours(path)])
        raise InvalidInputError(f"{source}: no such file, and no bundled table of that name.{hint}")
    if path.suffix.lower() == ".npz":
        return _keep(_read_npz(path, kinds or {}, options), targets, path.name)
    archive = archive_reader(path)
    if archive is not None:
        columns, names = _read(archive, path)
        return _from_columns(path, columns, targets or names, ignore, kinds or {}, options)
    columns = _read(_reader(path), path)
    wanted = targets or named_targets(path) or [glob for glob in _DEFAULT_TARGETS if _match([glob], columns)]
    if not wanted:
        raise InvalidInputError(
            f"{path.name}: which columns are targets? Name them, as in --targets 'y_*'. "
            f"Columns: {', '.join(list(columns)[:8])}{', ...' if len(columns) > 8 else ''}."
        )
    return _from_columns(path, columns, wanted, ignore, kinds or {}, options)


def load_inputs(source: str | os.PathLike[str], schema: InputSchema) -> NDArray[np.float32]:
    """Return the raw feature rows (n, d) of a file, in the columns and category codes of ``schema``.

    Raises
    ------
    InvalidInputError
        When a column of the schema is missing, or the number of features of an npz differs.
    """
    path = Path(source)
    if str(source) in BUNDLED:
        return digits_arrays()[0]
    if not path.is_file():
        raise InvalidInputError(f"{source}: no such file, and no bundled table of that name.")
    if path.suffix.lower() == ".npz":
        X = _open_npz(path)["X"]
        X = X.reshape(len(X), -1).astype(np.float32)
        if X.shape[1] != schema.n_features:
            raise InvalidInputError(f"{path.name}: the models expect {schema.n_features} features; got {X.shape[1]}.")
    else:
        archive = archive_reader(path)
        columns = _read(_reader(path), path) if archive is None else _read(archive, path)[0]
        for name in schema.feature_names:
            _check_column(path, name, columns)
        parts = [
            _codes(columns[name], schema.categories[j])
            if j in schema.categories
            else _numeric(path, name, columns[name])
            for j, name in enumerate(schema.feature_names)
        ]
        X = np.stack(parts, axis=1).astype(np.float32)
    check_finite("X", X, schema.feature_names)
    return X


def drop_degenerate(table: TaskTable) -> tuple[TaskTable, dict[str, str]]:
    """Return the table without tasks that nothing can be learned from, and {name: reason} for those left out.

    Raises
    ------
    InvalidInputError
        When no task is left.
    """
    reasons = table.degenerate_tasks()
    if not reasons:
        return table, reasons
    kept = [name for name in table.tasks.names if name not in reasons]
    if not kept:
        name, reason = next(iter(reasons.items()))
        raise InvalidInputError(f"{table.name}: no task can be learned; task {name!r} has {reason}.")
    return table.select(kept), reasons


def hide_labels(table: TaskTable, share: float, random_state: int = 0) -> TaskTable:
    """Return the table with a random share of its training and validation labels missing; test labels stay."""
    check_real("share", share, 0.0, 0.99)
    rng = np.random.default_rng(random_state)
    hidden = (rng.random(table.Y.shape) < share) & (table.split != SPLITS.index("test"))[:, None]
    return replace(table, Y=np.where(hidden, np.float32(np.nan), table.Y))


def _reader(path: Path) -> Callable[[Path], Columns]:
    reader = column_reader(path)
    if reader is None:
        raise InvalidInputError(f"{path.name}: unknown kind of file; expected csv, tsv, parquet, npz or arff.")
    return reader


def _read(reader: Callable[[Path], T], path: Path) -> T:
    try:
        return reader(path)
    except (UnicodeDecodeError, EOFError, OSError, LZMAError) as error:
        raise InvalidInputError(f"{path.name}: cannot be read ({error}).") from None


def _open_npz(path: Path) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise InvalidInputError(f"{path.name}: damaged or truncated npz file (not a zip archive).")
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise InvalidInputError(
                f"{path.name}: holds pickled objects, which are never loaded; save plain numbers and strings instead."
            ) from None
        raise InvalidInputError(f"{path.name}: damaged npz file ({error}).") from None
    except (zipfile.BadZipFile, EOFError, OSError) as error:  # damage inside the archive
        raise InvalidInputError(f"{path.name}: damaged or truncated npz file ({error}).") from None
    if "X" not in arrays:
        raise InvalidInputError(f"{path.name}: no array 'X' (n, d); it holds {', '.join(arrays) or 'nothing'}.")
    return arrays


def _read_npz(path: Path, kinds: Mapping[str, Kind], options: dict[str, Any]) -> TaskTable:
    arrays = _open_npz(path)
    if "Y" not in arrays or arrays["Y"].ndim != 2:
        raise InvalidInputError(f"{path.name}: no array 'Y' (n, T); it holds {', '.join(arrays)}.")
    Y = arrays["Y"].astype(np.float64)
    names = [str(name) for name in arrays.get("task_names", [f"task_{t}" for t in range(Y.shape[1])])]
    families: list[str | None] = [str(name) for name in arrays.get("task_group", [])] or [None] * len(names)
    if not len(names) == len(families) == Y.shape[1]:
        raise InvalidInputError(f"{path.name}: 'Y' has {Y.shape[1]} columns; got {len(names)} task_names.")
    tasks = []
    for t, name in enumerate(names):
        values, kind, n_classes = _target(path, name, Y[:, t], kinds.get(name), signed_is_missing=True)
        Y[:, t] = values
        tasks.append(Task(name, kind, n_classes, families[t]))
    return TaskTable.from_arrays(arrays["X"], Y, tasks, arrays.get("split"), name=path.stem, **options)


def _from_columns(
    path: Path,
    columns: Columns,
    targets: Sequence[str],
    ignore: Sequence[str],
    kinds: Mapping[str, Kind],
    options: dict[str, Any],
) -> TaskTable:
    target_names = _expand(path, targets, columns)
    ignored = set(_expand(path, ignore, columns))
    for name in kinds:
        _check_column(path, name, columns)
    tasks, Y = [], []
    for name in target_names:
        values, kind, n_classes = _target(path, name, columns[name], kinds.get(name), signed_is_missing=False)
        tasks.append(Task(name, kind, n_classes))
        Y.append(values)
    split = None
    if "split" in columns and "split" not in {*target_names, *ignored}:
        split = _split_codes(path, columns["split"])
        ignored.add("split")
    names = [name for name in columns if name not in ignored and name not in set(target_names)]
    if not names:
        raise InvalidInputError(f"{path.name}: no feature column is left beside {len(target_names)} targets.")
    categories, X = {}, []
    for j, name in enumerate(names):
        values = columns[name]
        if values.dtype == object:
            words = tuple(sorted({str(v) for v in values if v}))
            if len(words) > max(20, len(values) // 2):
                raise InvalidInputError(
                    f"{path.name}: column {name!r} holds {len(words)} different words in {len(values)} rows, "
                    f"like an identifier; leave it out with --ignore {name!r}."
                )
            categories[j] = words
            values = _codes(values, words)
        X.append(values)
    return TaskTable.from_arrays(
        np.stack(X, axis=1), np.stack(Y, axis=1), TaskSet(tasks), split,
        feature_names=names, categories=categories, name=path.name.split(".")[0], **options,
    )  # fmt: skip


def _target(
    path: Path, name: str, values: NDArray[Any], kind: Kind | None, *, signed_is_missing: bool
) -> tuple[NDArray[np.float64], Kind, int | None]:
    """Return numbers with NaN for missing, the task kind (guessed unless given), and the number of classes."""
    if values.dtype == object:
        if kind == "regression":
            raise InvalidInputError(f"{path.name}: target {name!r} holds words; it cannot be a regression task.")
        words = tuple(sorted({str(v) for v in values if v}))
        if len(words) > _MAX_CLASSES:
            raise InvalidInputError(
                f"{path.name}: target {name!r} holds {len(words)} different words; at most {_MAX_CLASSES}."
            )
        codes = _codes(values, words) - 1.0
        codes[codes < 0] = np.nan
        return (codes, "binary", None) if len(words) <= 2 else (codes, "multiclass", len(words))
    numbers = values.astype(np.float64)
    present = np.unique(numbers[~np.isnan(numbers)])
    if set(present) <= {-1.0, 0.0, 1.0} and kind in (None, "binary"):
        if set(present) == {-1.0, 1.0} and not signed_is_missing:
            raise InvalidInputError(
                f"{path.name}: target {name!r} holds only -1 and 1; write 0 and 1, and leave missing labels empty."
            )
        return np.where(numbers == -1, np.nan, numbers), "binary", None
    known = present[present != -1] if signed_is_missing or kind == "multiclass" else present
    n_classes = len(known)
    if kind == "multiclass" or (
        kind is None and n_classes <= _MAX_CLASSES and np.array_equal(known, np.arange(n_classes))
    ):
        n_classes = int(known.max()) + 1 if n_classes else 2
        return np.where(numbers == -1, np.nan, numbers), "multiclass", n_classes
    return numbers, kind or "regression", None


def _codes(values: NDArray[Any], words: Sequence[str]) -> NDArray[np.float64]:
    code = {word: i + 1.0 for i, word in enumerate(words)}
    return np.array([code.get(_word(value), 0.0) for value in values])


def _word(value: Any) -> str:
    """Return a cell as the word it was in the file: 3.0 and "3" are the same category."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _numeric(path: Path, name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    if values.dtype == object:
        word = next(v for v in values if v)
        raise InvalidInputError(f"{path.name}: column {name!r} must hold numbers, as in training; got {word!r}.")
    return values.astype(np.float64)


def _split_codes(path: Path, values: NDArray[Any]) -> NDArray[np.int64]:
    words = {"train": 0, "valid": 1, "validation": 1, "test": 2, "0": 0, "1": 1, "2": 2}
    try:
        return np.array([words[_word(value).lower()] for value in values])
    except KeyError as error:
        raise InvalidInputError(
            f"{path.name}: column 'split' must hold train, valid or test (or 0, 1, 2); got {error.args[0]!r}."
        ) from None


def _keep(table: TaskTable, targets: Sequence[str] | None, where: str) -> TaskTable:
    if not targets:
        return table
    return table.select(_expand(Path(where), targets, dict.fromkeys(table.tasks.names), what="task"))


def _match(globs: Sequence[str], names: Mapping[str, Any]) -> list[str]:
    return [name for name in names if any(fnmatchcase(name, glob) for glob in globs)]


def _expand(path: Path, globs: Sequence[str], columns: Mapping[str, Any], what: str = "column") -> list[str]:
    """Return the columns that names and globs stand for, in file order; every one must stand for something."""
    for glob in globs:
        if glob not in columns and not _match([glob], columns):
            _check_column(path, glob, columns, what)
    return [name for name in columns if name in globs or _match(globs, {name: None})]


def _check_column(path: Path, name: str, columns: Mapping[str, Any], what: str = "column") -> None:
    if name not in columns:
        raise InvalidInputError(f"{path.name}: no {what} {name!r}{did_you_mean(name, columns, '; ') or '.'}")


def _neighbours(path: Path) -> list[str]:
    folder = path.parent
    return [str(folder / p.name) if str(folder) != "." else p.name for p in folder.iterdir()] if folder.is_dir() else []
