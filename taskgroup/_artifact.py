"""Reading and writing files: atomic, versioned, never unpickled.

A file appears under its final name only when it is complete: it is written to a temporary file in the same folder and
then moved over with :func:`os.replace`. Arrays are stored as safetensors, everything else as JSON.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from taskgroup._documents import check_document
from taskgroup.exceptions import ArtifactError, TaskGroupError

__all__ = [
    "FORMAT_VERSION",
    "TEMPORARY",
    "artefact",
    "atomic_path",
    "content_hash",
    "file_hash",
    "json_ready",
    "read_arrays",
    "read_json",
    "result_versions",
    "versions",
    "write_arrays",
    "write_json",
    "write_text",
]

FORMAT_VERSION = 1
"""Version of every file format of this package; a reader refuses any other."""

TEMPORARY = r"\.(.+\.[a-z]+|\.writer)\.[a-z0-9_]{8}\.tmp"
"""Names of files that are being written."""

_RESULTS_DEPEND_ON = ("taskgroup-mtl", "torch", "numpy", "scipy", "scikit-learn", "lightgbm", "xgboost", "catboost")

Arrays = dict[str, np.ndarray[Any, Any]]


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it replaces ``path``, on error it is removed."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | os.PathLike[str], kind: str, document: Mapping[str, Any]) -> None:
    """Write ``document`` as one JSON object that starts with its format and version; NaN becomes null."""
    full = {"format": f"taskgroup.{kind}", "format_version": FORMAT_VERSION, **document}
    write_text(path, json.dumps(json_ready(full), indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Return the JSON object at ``path`` after checking its format and version.

    Raises
    ------
    ArtifactError
        When the file is missing, is not JSON, is of another kind, or of another format version.
    """
    source = Path(path)
    try:
        document = json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{source}: no such file; run the step that writes it first.") from None
    except OSError as error:
        raise ArtifactError(f"{source}: cannot be read ({error.strerror or error}).") from None
    except (ValueError, RecursionError) as error:  # also bytes that are no text, and numbers of thousands of digits
        raise ArtifactError(f"{source}: not valid JSON ({error}); the file is damaged, write it again.") from None
    if not isinstance(document, dict):
        raise ArtifactError(f"{source}: expected a JSON object, got {type(document).__name__}.")
    _check_header(source, kind, document.get("format"), document.get("format_version"))
    check_document(source, kind, document)
    return document


def write_arrays(
    path: str | os.PathLike[str],
    kind: str,
    arrays: Mapping[str, np.ndarray[Any, Any]],
    document: Mapping[str, Any] | None = None,
) -> None:
    """Write named arrays and a small JSON document as one safetensors file, atomically."""
    from safetensors.numpy import save_file

    header = {"format": f"taskgroup.{kind}", "format_version": FORMAT_VERSION, **(document or {})}
    ready = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with atomic_path(path) as temporary:
        save_file(ready, temporary, metadata={"taskgroup": json.dumps(json_ready(header), allow_nan=False)})


def read_arrays(
    path: str | os.PathLike[str], kind: str, *, only: tuple[str, ...] | None = None
) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays of a file written by :func:`write_arrays`, memory-mapped read-only, and its JSON document.

    With `only`, arrays whose names start otherwise are left out.

    Raises
    ------
    ArtifactError
        When the file is missing, truncated, of another kind, or of another format version.
    """
    from safetensors import SafetensorError, safe_open

    source = Path(path)
    if not source.is_file():
        raise ArtifactError(f"{source}: no such file; run the step that writes it first.")
    try:
        with safe_open(source, framework="np") as handle:
            document = json.loads((handle.metadata() or {}).get("taskgroup", "{}"))
        if not isinstance(document, dict):
            raise ValueError("its document is no JSON object")
    except (SafetensorError, ValueError, RecursionError, OSError) as error:
        raise ArtifactError(
            f"{source}: not a readable safetensors file ({error}); it is damaged or truncated, write it again."
        ) from None
    _check_header(source, kind, document.get("format"), document.get("format_version"))
    return _map_tensors(source, only), document


@contextmanager
def artefact(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever goes wrong while objects are made of a file's content into an error that names the file."""
    try:
        yield
    except TaskGroupError as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"{path}: {error}") from error
    except (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError,
            ValueError) as error:  # fmt: skip
        raise ArtifactError(
            f"{path}: does not hold what it must ({type(error).__name__}: {error}); it is damaged, write it again."
        ) from error


def content_hash(*parts: Any) -> str:
    """Return a SHA-256 hex digest of arrays, strings, bytes and JSON-able values, by value."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        elif isinstance(part, bytes):
            digest.update(part)
        else:
            digest.update(json.dumps(json_ready(part), sort_keys=True).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def json_ready(value: Any) -> Any:
    """Return ``value`` with numpy types turned into plain ones, tuples into lists and non-finite floats into None."""
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    if isinstance(value, np.ndarray):
        return json_ready(value.tolist())
    if isinstance(value, np.generic):
        return json_ready(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def file_hash(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 hex digest of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries behind a run, without importing them."""
    return {"python": platform.python_version(), **_versions((*_RESULTS_DEPEND_ON[:5], "networkx", "safetensors"))}


def result_versions() -> dict[str, str]:
    """Return the versions of the libraries whose numbers results are made of."""
    return _versions(_RESULTS_DEPEND_ON)


def _versions(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _check_header(source: Path, kind: str, found: Any, version: Any) -> None:
    if found != f"taskgroup.{kind}":
        raise ArtifactError(f"{source}: expected a file of format 'taskgroup.{kind}'; got {found!r}.")
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{source}: format_version must be {FORMAT_VERSION}; got {version!r}. "
            "It was written by another version of taskgroup: write it again with this one."
        )


def _map_tensors(source: Path, only: tuple[str, ...] | None) -> Arrays:
    """Map the tensors of a safetensors file whose header safetensors itself has already checked."""
    dtypes = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
              "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}  # fmt: skip
    with open(source, "rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        header = json.loads(handle.read(length))
    whole = np.memmap(source, dtype=np.uint8, mode="r")
    arrays: Arrays = {}
    for name, entry in header.items():
        if name == "__metadata__" or (only is not None and not name.startswith(only)):
            continue
        if entry["dtype"] not in dtypes:
            raise ArtifactError(f"{source}: array {name!r} must be of a known type; got {entry['dtype']}.")
        dtype, shape = np.dtype(dtypes[entry["dtype"]]), tuple(entry["shape"])
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        arrays[name] = np.empty(shape, dtype) if 0 in shape else whole[start:end].view(dtype).reshape(shape)
    return arrays


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
