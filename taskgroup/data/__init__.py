"""Tables of tasks: features X, targets Y with missing labels, splits; and the readers that make them."""

from taskgroup.data._archives import ARCHIVES
from taskgroup.data._load import BUNDLED, drop_degenerate, hide_labels, load_inputs, load_table
from taskgroup.data._schema import InputSchema
from taskgroup.data._split import stratified_split
from taskgroup.data._table import SPLITS, TaskTable

__all__ = [
    "ARCHIVES",
    "BUNDLED",
    "SPLITS",
    "InputSchema",
    "TaskTable",
    "drop_degenerate",
    "hide_labels",
    "load_inputs",
    "load_table",
    "stratified_split",
]
