"""Tables of tasks: features X, targets Y with missing labels, splits; and the readers that make them."""

from taskgroup.data._adjust import drop_degenerate, hide_labels
from taskgroup.data._archives import ARCHIVES
from taskgroup.data._inputs import Inputs, load_inputs, read_inputs
from taskgroup.data._load import BUNDLED, load_table
from taskgroup.data._reading import Ignored, Note, Reading, TargetReading
from taskgroup.data._schema import InputSchema
from taskgroup.data._split import grouped_split, stratified_split
from taskgroup.data._table import SPLITS, TaskTable

__all__ = [
    "ARCHIVES",
    "BUNDLED",
    "SPLITS",
    "Ignored",
    "InputSchema",
    "Inputs",
    "Note",
    "Reading",
    "TargetReading",
    "TaskTable",
    "drop_degenerate",
    "grouped_split",
    "hide_labels",
    "load_inputs",
    "load_table",
    "read_inputs",
    "stratified_split",
]
