"""What a model expects of its input: column names, categories and scales, fixed on the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["InputSchema"]

_SPARSE = 0.5  # a column with more zeros than this, and nothing below zero, is scaled but not centred


@dataclass(frozen=True, eq=False)
class InputSchema:
    """Columns of a feature matrix and the affine map that brings them to unit scale.

    Parameters
    ----------
    feature_names : tuple of str
        Names of the d columns.
    center, scale : ndarray of float32 of shape (d,)
        ``(x - center) / scale`` is what models see; 0 and 1 for categorical columns.
    categories : dict of int to tuple of str
        Category names of the categorical columns, by column number. Their values are codes: 0 = unseen or
        missing, c = category number c - 1.
    input_shape : tuple of int
        Shape of one sample, (d,) for tables, (channels, height, width) for images stored flat.
    """

    feature_names: tuple[str, ...]
    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    categories: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    input_shape: tuple[int, ...] = ()

    @property
    def n_features(self) -> int:
        """Number of columns d."""
        return len(self.feature_names)

    @classmethod
    def fit(
        cls,
        X: NDArray[np.float32],
        feature_names: tuple[str, ...],
        categories: Mapping[int, tuple[str, ...]],
        input_shape: tuple[int, ...],
    ) -> InputSchema:
        """Return the schema of training rows ``X`` of shape (n, d).

        Dense columns are standardised. Columns that are mostly zero and never negative (bits, counts) keep their
        zeros and are divided by the root mean square of their other values; constant columns are only centred.
        """
        center = X.mean(0, dtype=np.float64)
        scale = X.std(0, dtype=np.float64)
        filled = np.count_nonzero(X, axis=0)
        sparse = (filled < (1 - _SPARSE) * len(X)) & (X.min(0, initial=0) >= 0)
        squares = np.einsum("ij,ij->j", X, X, dtype=np.float64)
        center[sparse] = 0.0
        scale[sparse] = np.sqrt(squares[sparse] / np.maximum(filled[sparse], 1))
        scale[scale <= 1e-12] = 1.0
        for column in categories:
            center[column], scale[column] = 0.0, 1.0
        return cls(feature_names, center.astype(np.float32), scale.astype(np.float32), dict(categories), input_shape)

    def transform(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Return what models see of raw rows ``X`` (n, d): float32, same shape."""
        scaled: NDArray[np.float32] = (X.astype(np.float32) - self.center) / self.scale
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as a JSON-able dictionary."""
        return {
            "feature_names": self.feature_names,
            "center": self.center,
            "scale": self.scale,
            "categories": {str(column): names for column, names in self.categories.items()},
            "input_shape": self.input_shape,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> InputSchema:
        """Return the schema that :meth:`to_dict` wrote."""
        return cls(
            tuple(document["feature_names"]),
            np.asarray(document["center"], np.float32),
            np.asarray(document["scale"], np.float32),
            {int(column): tuple(names) for column, names in document["categories"].items()},
            tuple(document["input_shape"]),
        )
