"""A dataset that says which sample is which."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch.utils.data import Dataset, IterableDataset

from taskgroup.exceptions import InvalidInputError

__all__ = ["IndexedDataset"]


class IndexedDataset(Dataset[Any]):
    """The same dataset with the row number added to each sample.

    A tuple or list becomes a tuple with the row number appended; any other single value becomes a pair; a mapping gains
    the key ``key``; a dataclass has its field ``key`` replaced.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        A map-style dataset.
    key : str
        Key or field that holds the row number.

    Examples
    --------
    >>> IndexedDataset([("x", 0), ("y", 1)])[1]
    ('y', 1, 1)
    >>> IndexedDataset([{"text": "hello"}])[0]
    {'text': 'hello', 'sample_id': 0}
    """

    def __init__(self, dataset: Any, key: str = "sample_id") -> None:
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
            raise InvalidInputError(
                f"`dataset` must be map-style, with __getitem__; got {type(dataset).__name__}. "
                "Let an iterable dataset yield its row numbers itself."
            )
        self.dataset = dataset
        self.key = key

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self._numbered(self.dataset[index], int(index))

    def __getitems__(self, indices: list[int]) -> list[Any]:
        fetch = getattr(self.dataset, "__getitems__", None)
        samples = fetch(indices) if callable(fetch) else [self.dataset[index] for index in indices]
        return [self._numbered(sample, int(index)) for sample, index in zip(samples, indices, strict=True)]

    def _numbered(self, sample: Any, index: int) -> Any:
        if isinstance(sample, (tuple, list)):
            return (*sample, index)
        if isinstance(sample, Mapping):
            if self.key in sample:
                raise InvalidInputError(f"a sample must not have the key {self.key!r} already; give another `key`.")
            return {**sample, self.key: index}
        if dataclasses.is_dataclass(sample) and not isinstance(sample, type):
            if self.key not in {field.name for field in dataclasses.fields(sample)}:
                raise InvalidInputError(
                    f"the dataclass {type(sample).__name__} needs a field {self.key!r} for the row number; "
                    "add one with a default, or give the name of another field as `key`."
                )
            return dataclasses.replace(sample, **{self.key: index})
        return sample, index
