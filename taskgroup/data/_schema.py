"""What a model expects of its input: column names, categories, scales and fillings, fixed on the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._display import brief
from taskgroup.data._cells import Marks
from taskgroup.data._units import Units
from taskgroup.exceptions import InvalidInputError

__all__ = ["InputSchema"]

_SPARSE = 0.5  # a column with more zeros than this, and nothing below zero, is scaled but not centred
_LEAST = float(np.finfo(np.float32).tiny)  # spreads below it are none in float32
_NO_COLUMNS: NDArray[np.intp] = np.empty(0, np.intp)


@brief
@dataclass(frozen=True, eq=False)
class InputSchema:
    """Columns of a feature matrix and the map that brings them to unit scale and fills their holes.

    Parameters
    ----------
    feature_names : tuple of str
        Names of the d columns.
    center, scale : ndarray of float32 of shape (d,)
        ``(x - center) / scale`` is what models see, with x in `units`; 0 and 1 for categorical columns.
    categories : dict of int to tuple of str
        Category names of the categorical columns, by column number. Their values are codes: 0 = unseen in training,
        c = category number c - 1; the category "" stands for missing words.
    input_shape : tuple of int
        Shape of one sample, (d,) for tables, (channels, height, width) for images stored flat.
    fill : ndarray of float32 of shape (d,), optional
        What stands in for a missing number: the median of the training rows where they have holes, else `center`.
    holes : ndarray of int
        Columns with holes in the training rows. An indicator for each (1 = missing) follows the d columns.
    marks : Marks
        Which cells are missing, as in the training table.
    units : Units
        Of the columns that 32 bits cannot hold as they are.
    """

    feature_names: tuple[str, ...]
    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    categories: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    input_shape: tuple[int, ...] = ()
    fill: NDArray[np.float32] | None = None
    holes: NDArray[np.intp] = field(default_factory=lambda: _NO_COLUMNS)
    marks: Marks = field(default_factory=Marks)
    units: Units = field(default_factory=Units)

    @property
    def n_features(self) -> int:
        """Number of columns d of raw rows."""
        return len(self.feature_names)

    @property
    def dtype(self) -> type[np.floating[Any]]:
        """What raw rows must be to lose nothing: float64 where columns have units of their own, else float32."""
        return np.float64 if len(self.units.columns) else np.float32

    @property
    def n_inputs(self) -> int:
        """Number of columns that :meth:`transform` gives: d, and an indicator for each column with holes."""
        return len(self.feature_names) + len(self.holes)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the columns that :meth:`transform` gives."""
        return (*self.feature_names, *(f"{self.feature_names[j]} is missing" for j in self.holes))

    @classmethod
    def fit(
        cls,
        X: NDArray[Any],
        feature_names: tuple[str, ...],
        categories: Mapping[int, tuple[str, ...]],
        input_shape: tuple[int, ...],
        marks: Marks | None = None,
    ) -> InputSchema:
        """Return the schema of training rows ``X`` of shape (n, d), NaN where missing.

        Dense columns are standardised. Columns that are mostly zero and never negative (bits, counts) keep their
        zeros and are divided by the root mean square of their other values; constant columns are only centred. The
        pixels of images are standardised alike, channel by channel. All sums are taken in float64 and over the cells
        that are there.
        """
        units = Units()
        if len(input_shape) != 3:
            units = Units.fit(X, ~np.isin(np.arange(X.shape[1]), list(categories)))
            X = units.seen(X)
        center = X.mean(0, dtype=np.float64)  # NaN where a column has holes
        holes = np.flatnonzero(np.isnan(center)).astype(np.intp)
        holes = holes[np.isnan(X[:, holes]).any(0)]
        if len(holes) and len(input_shape) == 3:
            raise InvalidInputError("images must have no missing pixels; fill them first.")
        scale = X.std(0, dtype=np.float64)
        filled = np.count_nonzero(X, axis=0)
        low = X.min(0, initial=0)
        squares = np.einsum("ij,ij->j", X, X, dtype=np.float64)
        n_rows = np.full(X.shape[1], len(X))
        fill = np.zeros(X.shape[1])
        for j in holes:
            there = X[~np.isnan(X[:, j]), j].astype(np.float64)
            n_rows[j], filled[j] = len(there), np.count_nonzero(there)
            center[j], scale[j] = (there.mean(), there.std()) if len(there) else (0.0, 1.0)
            low[j], squares[j] = there.min(initial=0), there @ there
            fill[j] = np.median(there) if len(there) else 0.0
        sparse = (filled < (1 - _SPARSE) * n_rows) & (low >= 0)
        center[sparse] = 0.0
        scale[sparse] = np.sqrt(squares[sparse] / np.maximum(filled[sparse], 1))
        scale[(scale <= 1e-10 * np.abs(center)) | (scale < _LEAST)] = 1.0  # constant, but for rounding
        for column in categories:
            center[column], scale[column] = 0.0, 1.0
        if len(input_shape) == 3:
            center, scale = _by_channel(X, input_shape)
        whole = np.ones(X.shape[1], bool)
        whole[holes] = False
        fill[whole] = center[whole]
        return cls(
            feature_names, center.astype(np.float32), scale.astype(np.float32), dict(categories), input_shape,
            fill.astype(np.float32), holes, marks or Marks(), units,
        )  # fmt: skip

    def transform(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Return what models see of raw rows ``X`` (n, d): float32 without holes, shape (n, n_inputs)."""
        return self.scaled(self.units.seen(X))

    def scaled(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what :meth:`transform` does, of rows in `units`."""
        scaled: NDArray[np.float32] = np.empty((len(X), self.n_inputs), np.float32)
        body = scaled[:, : self.n_features]
        np.subtract(X, self.center, out=body, casting="unsafe", dtype=np.float32)
        body /= self.scale
        holes = np.isnan(body)
        scaled[:, self.n_features :] = holes[:, self.holes]
        if holes.any():
            fill = self.center if self.fill is None else self.fill
            np.copyto(body, (fill - self.center) / self.scale, where=holes)
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as a JSON-able dictionary."""
        return {
            "feature_names": self.feature_names,
            "center": self.center,
            "scale": self.scale,
            "categories": {str(column): names for column, names in self.categories.items()},
            "input_shape": self.input_shape,
            "fill": self.fill,
            "holes": self.holes,
            "marks": {"more": self.marks.more, "fewer": self.marks.fewer},
            "units": self.units.to_dict(),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> InputSchema:
        """Return the schema that :meth:`to_dict` wrote."""
        fill, marks = document.get("fill"), document.get("marks", {})
        return cls(
            tuple(document["feature_names"]),
            np.asarray(document["center"], np.float32),
            np.asarray(document["scale"], np.float32),
            {int(column): tuple(names) for column, names in document["categories"].items()},
            tuple(document["input_shape"]),
            None if fill is None else np.asarray(fill, np.float32),
            np.asarray(document.get("holes", ()), np.intp),
            Marks(tuple(marks.get("more", ())), tuple(marks.get("fewer", ()))),
            Units.from_dict(document["units"]) if "units" in document else Units(),
        )


def _by_channel(X: NDArray[np.float32], input_shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and standard deviation (d,) of the pixels of images (n, d), equal over each channel."""
    channels = X.reshape(len(X), input_shape[0], -1)
    center, scale = channels.mean((0, 2), dtype=np.float64), channels.std((0, 2), dtype=np.float64)
    scale[scale <= 1e-12] = 1.0
    n_pixels = channels.shape[2]
    return np.repeat(center, n_pixels), np.repeat(scale, n_pixels)
