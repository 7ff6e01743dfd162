"""The tracker's inner loops: compiled where the package could be built with a C compiler, else numpy.

Both do the same single operations of float32 in the same order, so the record has the same bits either way, and the
same on every machine. p = sigmoid(x) = 1 / (1 + 2^v) with v = -x / log 2: 2^v is 2 to the nearest integer times a
polynomial of the rest, within 1e-7 of it. The clipping of v at 25 is below half a code.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup.datamaps import UNSEEN

__all__ = ["address", "codes_of", "compiled", "fold", "record"]

Floats = NDArray[np.float32]

_VERSION = 1  # of what the compiled functions take
_POLYNOMIAL = tuple(map(np.float32, (0.0013264727, 0.009671513, 0.055507336, 0.24022242, 0.693147, 1.0)))
_PER_HALF = np.float32(2.88539)  # 2 / log 2
_LIMIT, _ONE, _HALF, _TOP = map(np.float32, (25, 1, 0.5, UNSEEN - 1))


def _library() -> ctypes.CDLL | None:
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_loops{suffix}")
        if path.exists():
            try:
                library = ctypes.CDLL(str(path))
                pointer, number = ctypes.c_void_p, ctypes.c_int64
                if library.taskgroup_version() != _VERSION:
                    continue
                library.taskgroup_record.argtypes = [*[pointer] * 3, *[number] * 3, *[pointer] * 2]
                library.taskgroup_fold.argtypes = [pointer, number, pointer, pointer]
                library.taskgroup_fold.restype = None
            except (OSError, AttributeError):  # built for another machine, or from other sources
                continue
            return library
    return None


_compiled = _library()


def compiled() -> bool:
    """Return whether the compiled loops are there."""
    return _compiled is not None


def address(array: NDArray[Any]) -> int:
    """Return where the values of an array lie."""
    return int(array.__array_interface__["data"][0])


def record(batch: Sequence[int], shape: tuple[int, int], epoch: tuple[int, int], n_samples: int) -> bool:
    """Write the codes of a batch of binary tasks and mark its rows as seen; False, marking none, where it is unusual.

    Usual are rows that are within bounds, new and all different, labels 0, 1 or NaN, and finite logits.

    Parameters
    ----------
    batch : (int, int, int)
        Addresses of row numbers int64 (B,), logits float32 (B, T) and labels float32 (B, T), each in one piece.
    shape : (B, T)
    epoch : (int, int)
        Addresses of an epoch's places int32 (N,), negative where a row was not seen, and codes uint16 (N, T).
    n_samples : int
        N.
    """
    return _compiled is not None and bool(_compiled.taskgroup_record(*batch, *shape, n_samples, *epoch))


def codes_of(signed: Floats) -> NDArray[np.uint16]:
    """Return the codes of p = sigmoid(s z) of values -s z / 2, UNSEEN where NaN, overwriting the values.

    >>> codes_of(np.array([[0.0, -50.0, 50.0, np.nan]], np.float32)).tolist()
    [[32767, 65534, 0, 65535]]
    """
    missing = np.isnan(signed)
    some_missing = bool(missing.any())
    if some_missing:
        np.copyto(signed, np.float32(0.0), where=missing)
    with np.errstate(over="ignore"):
        signed *= _PER_HALF
    np.minimum(signed, _LIMIT, out=signed)
    np.maximum(signed, -_LIMIT, out=signed)
    whole = np.rint(signed)
    signed -= whole
    power = signed * _POLYNOMIAL[0]
    for coefficient in _POLYNOMIAL[1:-1]:
        power += coefficient
        power *= signed
    power += _POLYNOMIAL[-1]
    bits = whole.astype(np.int32)
    bits += 127
    bits <<= 23
    power *= bits.view(np.float32)
    power += _ONE
    np.divide(_TOP, power, out=power)
    power += _HALF  # makes the cast below round to nearest
    if some_missing:
        np.copyto(power, np.float32(UNSEEN), where=missing)
    return power.astype(np.uint16)


def fold(codes: NDArray[np.uint16], total: NDArray[np.uint32], squares: NDArray[np.float64]) -> None:
    """Add codes (n,) and their squares to sums (n,) in place; unseen codes count as 0."""
    if _compiled is not None and codes.flags.c_contiguous:
        _compiled.taskgroup_fold(address(codes), len(codes), address(total), address(squares))
        return
    seen = np.where(codes == UNSEEN, np.uint16(0), codes)
    total += seen
    power = seen.astype(np.float64)
    power *= power
    squares += power
