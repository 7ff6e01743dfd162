"""Tables of tasks: features X, targets Y with missing labels, splits; and the readers that make them."""

from taskgroup.data._schema import InputSchema
from taskgroup.data._split import stratified_split
from taskgroup.data._table import SPLITS, TaskTable

__all__ = ["SPLITS", "InputSchema", "TaskTable", "stratified_split"]
