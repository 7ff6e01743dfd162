"""Recording Data Maps inside any PyTorch training loop."""

from taskgroup.tracker._attach import Attachment
from taskgroup.tracker._dataset import IndexedDataset
from taskgroup.tracker._tracker import DataMapTracker

__all__ = ["Attachment", "DataMapTracker", "IndexedDataset"]
