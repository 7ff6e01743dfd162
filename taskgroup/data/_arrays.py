"""Arrays instead of columns: npz files, folders of npy files, pairs (X, Y), svmlight text, scipy sparse matrices.

Sparse features are made dense, for the models' inputs are; a matrix that would need more than four GiB is refused.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._memory import check_memory
from taskgroup.data._assemble import Pieces, assemble
from taskgroup.data._column import Column
from taskgroup.data._csv import open_binary
from taskgroup.data._options import ReadOptions, check_column
from taskgroup.data._parts import Parts, by_column
from taskgroup.data._reading import Ignored, Note
from taskgroup.data._roles import column_notes, expand
from taskgroup.data._table import TaskTable
from taskgroup.data._targets import minus_one_is_missing, read_target
from taskgroup.exceptions import InvalidInputError, TaskGroupError

__all__ = ["dense", "is_svmlight", "open_arrays", "read_svmlight", "table_of_arrays"]

DENSE_LIMIT = 4 << 30
"""Bytes of float32 that sparse features may take when they are made dense."""

_LOWER = {"x": "X", "y": "Y", "weights": "w", "sample_ids": "ids", "tasks": "task_names", "features": "feature_names"}
_MATRICES = {"X": ("features", "data", "inputs"), "Y": ("labels", "targets", "target")}  # names of arrays of numbers


def open_arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of an npz file, a scipy sparse npz (as ``X``), or a folder of X, Y and so on as npy and npz.

    Raises
    ------
    InvalidInputError
        When the file is damaged, holds pickled objects, or no features.
    """
    if path.is_dir():
        arrays = {}
        for file in sorted(path.iterdir()):
            if file.suffix == ".npy":
                arrays[file.stem] = _guarded(file, _open_npy)
            elif file.suffix == ".npz":
                inner = _open_npz(file)
                arrays[file.stem] = _sparse(inner) if "indptr" in inner else inner.get("X", inner.get("arr_0"))
    else:
        arrays = _open_npz(path)
        if "indptr" in arrays:
            arrays = {"X": _sparse(arrays)}
    arrays = _known_names(arrays)
    if "X" not in arrays:
        raise InvalidInputError(f"{path.name}: no array 'X' (n, d); it holds {', '.join(arrays) or 'nothing'}.")
    return arrays


def _known_names(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays under the names of our npz."""
    arrays = dict(arrays)
    for name, others in _MATRICES.items():
        for other in others:
            is_matrix = other in arrays and getattr(arrays[other], "ndim", 0) >= (2 if name == "X" else 1)
            if is_matrix and not {name, name.lower()} & set(arrays):
                arrays[name] = arrays.pop(other)
    return {_LOWER.get(name, name): values for name, values in arrays.items()}


def is_svmlight(path: Path) -> bool:
    """Whether a file is svmlight text by its name."""
    names = path.name.lower().removesuffix(".gz").removesuffix(".bz2")
    return names.endswith((".svm", ".svmlight", ".libsvm"))


def read_svmlight(path: Path) -> dict[str, Any]:
    """Return ``X`` as a sparse matrix and ``Y`` of an svmlight file; several labels a row make one task for each."""
    try:
        X, labels = _svmlight(path, multilabel=False)
    except ValueError:
        try:
            X, labels = _svmlight(path, multilabel=True)
        except ValueError as error:
            raise InvalidInputError(f"{path.name}: cannot be read as svmlight text ({error}).") from None
    if not isinstance(labels, list):
        return {"X": X, "Y": np.asarray(labels, np.float64)[:, None], "task_names": ["label"], "_plain": True}
    found = sorted({label for row in labels for label in row})
    Y = np.zeros((len(labels), len(found)))
    for i, row in enumerate(labels):
        Y[i, np.searchsorted(found, row)] = 1.0
    return {"X": X, "Y": Y, "task_names": [f"label_{label:g}" for label in found], "_plain": True}


def _svmlight(path: Path, *, multilabel: bool) -> tuple[Any, Any]:
    from sklearn.datasets import load_svmlight_file

    with open_binary(path) as handle:
        X, labels = load_svmlight_file(handle, multilabel=multilabel)
    return X, labels


def dense(where: str, X: Any) -> NDArray[Any]:
    """Return features as a plain array; a sparse matrix is made dense, up to a limit."""
    if not hasattr(X, "toarray"):
        return np.asarray(X)
    n_bytes = 4 * int(X.shape[0]) * int(X.shape[1])
    if n_bytes > DENSE_LIMIT:
        raise InvalidInputError(
            f"{where}: {X.shape[0]:,} x {X.shape[1]:,} sparse features take {n_bytes >> 20:,} MiB when made "
            f"dense, and more than {DENSE_LIMIT >> 30} are refused; keep the features that most rows have, or reduce "
            "them (for text: TruncatedSVD)."
        )
    check_memory(f"{where}: sparse features made dense", n_bytes)
    plain: NDArray[np.float32] = X.astype(np.float32).toarray()
    return plain


def table_of_arrays(where: str, name: str, arrays: Mapping[str, Any], options: ReadOptions) -> TaskTable:
    """Return the table of arrays ``X``, ``Y`` and, where they are there, names, split, weights and ids.

    -1 in ``Y`` means "not labelled", as in our npz; ``w`` (n, T) or (n,) are weights, 0 for "not labelled";
    ``mask`` (n, T) is 1 where there is a label.
    """
    if "Y" not in arrays or np.ndim(arrays["Y"]) not in (1, 2):
        raise InvalidInputError(f"{where}: no array 'Y' (n, T); it holds {', '.join(arrays)}.")
    X, Y = dense(where, arrays["X"]), np.asarray(arrays["Y"])
    Y = Y[:, None] if Y.ndim == 1 else Y
    if X.ndim < 2 or len(X) != len(Y) or not X.size:
        raise InvalidInputError(f"{where}: 'X' and 'Y' must have one row a sample; got {X.shape} and {Y.shape}.")
    if X.dtype.kind not in "biuf":
        raise InvalidInputError(
            f"{where}: 'X' must hold numbers; got {X.dtype}. Words are read from a data frame or a file of columns."
        )
    names = [str(one) for one in arrays.get("task_names", [f"task_{t}" for t in range(Y.shape[1])])]
    families: list[str | None] = [str(one) for one in arrays.get("task_group", [])] or [None] * len(names)
    if not len(names) == len(families) == Y.shape[1]:
        raise InvalidInputError(f"{where}: 'Y' has {Y.shape[1]} columns; got {len(names)} task_names.")
    features = [str(one) for one in arrays.get("feature_names", [f"x{j}" for j in range(int(np.prod(X.shape[1:])))])]
    if len(features) != int(np.prod(X.shape[1:])):
        raise InvalidInputError(
            f"{where}: 'X' has {int(np.prod(X.shape[1:]))} columns; got {len(features)} feature_names."
        )
    chosen = _chosen(where, names, options.targets)
    options = options.spread(where, [*names, *features], [names[t] for t in chosen])
    arrays = _with_roles(where, arrays, X, features, options)
    weights = _weights(where, arrays, Y.shape)
    columns = [_label_column(where, names[t], Y[:, t], options) for t in chosen]
    signed = minus_one_is_missing(columns)
    documented = not arrays.get("_plain") and not _signed_coding(columns)
    targets = [
        read_target(where, column, options.kinds.get(column.name), options.positive.get(column.name),
                    signed_missing=signed, documented=documented, family=families[t])
        for t, column in zip(chosen, columns, strict=True)
    ]  # fmt: skip
    if weights is not None and weights.ndim == 2 and weights.shape[1] > 1:
        weights = weights[:, chosen]
    pieces = Pieces(X, features, targets, weights=weights, keep=frozenset(expand(options.keep, features)))
    pieces.notes += _feature_notes(X, features) + _unused(arrays, options)
    pieces.roles = options.roles()
    for role, key in (("id", "ids"), ("weight", "w"), ("weight", "mask"), ("split", "split")):
        if key in arrays:
            pieces.roles.setdefault(role, key)
    pieces.ids = None if "ids" not in arrays else np.asarray(arrays["ids"])
    _ignore(where, pieces, options)
    if "_group" in arrays:
        pieces.group = _role_column(options.group_split, arrays["_group"])
    elif "_time" in arrays:
        pieces.time = _role_column(options.time_split, arrays["_time"])
    elif arrays.get("split") is not None:
        pieces.given = _given(where, np.asarray(arrays["split"]), len(X))
    return assemble(where, name, pieces, options)


def _with_roles(
    where: str, arrays: Mapping[str, Any], X: NDArray[Any], features: list[str], options: ReadOptions
) -> Mapping[str, Any]:
    """Return the arrays with those that the user named for a role: an array of one value a row, or a feature."""
    if options.long is not None:
        raise InvalidInputError(f"{where}: --long is for tables of columns; arrays have one row a sample.")
    keys = {"id": "ids", "split": "split", "group split": "_group", "time split": "_time", "weight": "w"}
    found = dict(arrays)
    for role, name in options.roles().items():
        if name in arrays and np.shape(arrays[name])[:1] == (len(X),):
            found[keys[role]] = np.asarray(arrays[name])
        elif name in features and X.ndim == 2:
            found[keys[role]] = X[:, features.index(name)]
        else:
            rows = [key for key, values in arrays.items() if np.shape(values) == (len(X),)]
            check_column(where, name, [*rows, *features], f"--{role.replace(' ', '-')} array or feature")
    return found


def _role_column(name: str | None, values: NDArray[Any]) -> Column:
    if values.dtype.kind in "biuf":
        return Column(str(name), "numbers", values.astype(np.float64))
    words, codes = np.unique(values.astype(str), return_inverse=True)
    return Column(str(name), "words", codes=codes, words=tuple(map(str, words)))


def _unused(arrays: Mapping[str, Any], options: ReadOptions) -> list[Note]:
    known = {
        "X",
        "Y",
        "w",
        "mask",
        "ids",
        "split",
        "task_names",
        "feature_names",
        "task_group",
        "name",
        *options.roles().values(),
    }
    rest = [name for name in arrays if name not in known and not name.startswith("_")]
    return [Note(f"array {name!r} is not used") for name in rest]


def _open_npy(path: Path) -> NDArray[Any]:
    with open(path, "rb") as handle:
        _check_header(path.name, handle)
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array


def _open_npz(path: Path) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise InvalidInputError(f"{path.name}: damaged or truncated npz file (not a zip archive).")

    def load(path: Path) -> dict[str, NDArray[Any]]:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as archive:
            _check_headers(path.name, archive.zip)
            return {name: archive[name] for name in archive.files}

    arrays: dict[str, NDArray[Any]] = _guarded(path, load)
    return arrays


def _check_headers(where: str, archive: zipfile.ZipFile) -> None:
    """Raise when the arrays of an npz, by their headers, would take too much memory."""
    total = 0
    for info in archive.infolist():
        if not info.filename.endswith(".npy"):
            continue
        with archive.open(info) as handle:
            total += _check_header(f"{where}: array {info.filename.removesuffix('.npy')!r}", handle)
    check_memory(f"{where}: all arrays together", total)


def _check_header(where: str, handle: Any) -> int:
    """Return the bytes of an array by the header of its npy, after checking that they may be taken."""
    major, _ = np.lib.format.read_magic(handle)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(handle)
    size = math.prod(shape) * dtype.itemsize
    check_memory(f"{where} of shape {shape}", size)
    return size


def _guarded(path: Path, load: Any) -> Any:
    try:
        return load(path)
    except ValueError as error:
        if isinstance(error, TaskGroupError):
            raise
        if "pickle" in str(error).lower():
            raise InvalidInputError(
                f"{path.name}: holds pickled objects, which are never loaded; save plain numbers and strings instead."
            ) from None
        raise InvalidInputError(f"{path.name}: damaged npz file ({error}).") from None
    except Exception as error:  # damage inside the archive
        raise InvalidInputError(f"{path.name}: damaged or truncated npz file ({error}).") from None


def _sparse(arrays: Mapping[str, Any]) -> Any:
    from scipy import sparse

    kind = str(np.asarray(arrays["format"]).astype(str))
    shape = tuple(int(size) for size in np.atleast_1d(arrays["shape"]))
    indices, indptr = np.asarray(arrays["indices"]), np.asarray(arrays["indptr"])
    if len(shape) != 2 or min(shape) < 0 or (indptr < 0).any() or (np.diff(indptr) < 0).any():
        raise InvalidInputError("a sparse matrix must have a shape of two sizes, and row starts that do not fall.")
    if len(indices) and not (indices.min() >= 0 and indices.max() < shape[0 if kind == "csc" else 1]):
        raise InvalidInputError(f"indices of a sparse matrix must lie within its shape {shape}.")
    make = sparse.csc_matrix if kind == "csc" else sparse.csr_matrix
    return make((arrays["data"], arrays["indices"], arrays["indptr"]), shape=tuple(arrays["shape"])).tocsr()


def _chosen(where: str, names: list[str], globs: Sequence[str]) -> list[int]:
    for glob in globs:
        if not expand([glob], names):
            check_column(where, glob, names, "task")
    return [names.index(name) for name in (expand(globs, names) if globs else names)]


def _label_column(where: str, name: str, values: NDArray[Any], options: ReadOptions) -> Column:
    if values.dtype.kind in "biuf":
        numbers = values.astype(np.float64)
        if options.marks.numbers:
            numbers = np.where(np.isin(numbers, options.marks.numbers), np.nan, numbers)
        return Column(name, "truth" if values.dtype.kind == "b" else "numbers", numbers)
    import pandas as pd

    from taskgroup.data._column import ColumnReader

    return ColumnReader(where, options.marks).read(name, pd.Series(values.astype(str), dtype=object))


def _signed_coding(columns: Sequence[Column]) -> bool:
    """Return whether labels are coded -1 and 1: no column that holds -1 holds 0 or another value than 1."""
    held = [set(np.unique(c.numbers[~np.isnan(c.numbers)])) for c in columns if c.numbers is not None]
    signed = [values for values in held if -1.0 in values]
    return (
        bool(signed) and all(values == {-1.0, 1.0} for values in signed) and not any(0.0 in values for values in held)
    )


def _weights(where: str, arrays: Mapping[str, Any], shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    weights = None
    for name in ("w", "mask"):
        if arrays.get(name) is None:
            continue
        given = np.asarray(arrays[name], np.float32)
        if given.shape not in (shape, shape[:1], (shape[0], 1)):
            raise InvalidInputError(
                f"{where}: array {name!r} must have shape {shape[:1]} or {shape}, as 'Y'; got {given.shape}."
            )
        given = given if name == "w" else (given != 0).astype(np.float32)
        if weights is not None and weights.ndim != given.ndim:
            weights, given = weights.reshape(shape[0], -1), given.reshape(shape[0], -1)
        weights = given if weights is None else weights * given
    return weights


def _feature_notes(X: NDArray[Any], names: Sequence[str]) -> list[Note]:
    if X.ndim != 2 or len(X) < 3:
        return []
    with np.errstate(invalid="ignore"):
        steady = (X[1] - X[0] == 1) & (X[2] - X[1] == 1)
    counting: list[int] = np.flatnonzero(steady).tolist() if X.dtype.kind in "if" else []
    return [
        note for j in counting for note in column_notes(Column(names[j], "numbers", X[:, j].astype(np.float64)), len(X))
    ]


def _ignore(where: str, pieces: Pieces, options: ReadOptions) -> None:
    for glob in options.ignore:
        if not expand([glob], pieces.names):
            check_column(where, glob, pieces.names)
    asked, roles = expand(options.ignore, pieces.names), options.roles().values()
    out = {*asked, *(name for name in pieces.names if name in roles)}
    if out:
        rest = [j for j, name in enumerate(pieces.names) if name not in out]
        if pieces.X.ndim > 2 or not rest:
            raise InvalidInputError(f"{where}: --ignore cannot leave out columns of images, nor all of them.")
        pieces.X = pieces.X[:, rest]
        pieces.names = [pieces.names[j] for j in rest]
        pieces.ignored += [Ignored(name, "as asked") for name in asked]


def _given(where: str, split: NDArray[Any], n_rows: int) -> Parts:
    if split.dtype.kind in "US":
        return by_column(where, _role_column("split", split))
    if split.shape != (n_rows,) or not np.isin(split, (0, 1, 2)).all():
        raise InvalidInputError(f"{where}: `split` must hold 0 (train), 1 (valid) and 2 (test) for {n_rows} rows.")
    return Parts(split.astype(np.int8), "as array 'split' says")
