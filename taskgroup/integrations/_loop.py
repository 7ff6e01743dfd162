"""Helpers for loops of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from taskgroup.exceptions import InvalidInputError
from taskgroup.tracker import DataMapTracker

__all__ = ["announced", "split_batch"]

_LABELS = ("targets", "labels", "target", "label")


def announced(
    tracker: DataMapTracker,
    loader: Iterable[Any],
    split: Callable[[Any], tuple[Any, Any, Any]] | None = None,
) -> Iterator[Any]:
    """Yield the batches of a loader without their sample ids, announcing each to the tracker just before.

    For loops whose model call cannot be edited: attach the tracker to the model, and wrap the loader.

    Parameters
    ----------
    tracker : DataMapTracker
        Attached to the model that will see the batches.
    loader : iterable
        Yields batches of an :class:`~taskgroup.tracker.IndexedDataset`.
    split : callable, optional
        Returns (sample_ids, targets, rest of the batch); :func:`split_batch` when left out.

    Examples
    --------
    >>> import torch
    >>> from taskgroup.tracker import IndexedDataset
    >>> data = IndexedDataset([(torch.zeros(3), torch.ones(2)), (torch.ones(3), torch.zeros(2))])
    >>> tracker, model = DataMapTracker(["a", "b"], n_samples=2), torch.nn.Linear(3, 2)
    >>> with tracker.attach(model):
    ...     for x, y in announced(tracker, torch.utils.data.DataLoader(data, batch_size=2)):
    ...         _ = model(x)
    >>> tracker.end_epoch()
    """
    take = split or split_batch
    for batch in loader:
        sample_ids, targets, rest = take(batch)
        tracker.batch(sample_ids, targets)
        yield rest


def split_batch(batch: Any) -> tuple[Any, Any, Any]:
    """Return (sample_ids, targets, rest) of a batch that an IndexedDataset made.

    A tuple or list ends with targets and ids; a mapping holds ids under "sample_id" and targets under "targets",
    "labels", "target" or "label" (None when it holds none). The rest is the batch without its ids.

    Raises
    ------
    InvalidInputError
        When the batch is neither.
    """
    if isinstance(batch, Mapping) and "sample_id" in batch:
        targets = next((batch[name] for name in _LABELS if name in batch), None)
        return batch["sample_id"], targets, {key: value for key, value in batch.items() if key != "sample_id"}
    if isinstance(batch, (tuple, list)) and len(batch) >= 2:
        return batch[-1], batch[-2], type(batch)(batch[:-1])
    found = f"keys {sorted(map(str, batch))}" if isinstance(batch, Mapping) else f"a {type(batch).__name__}"
    raise InvalidInputError(
        "a batch must be (..., targets, sample_ids) or a mapping with the key 'sample_id', as IndexedDataset makes it; "
        f"got {found}. Give a function of your own that splits it."
    )
