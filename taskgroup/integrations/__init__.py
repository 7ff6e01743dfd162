"""The tracker inside other people's training loops, and runs in experiment trackers.

Each integration loads its framework on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from taskgroup.exceptions import MissingDependencyError
from taskgroup.integrations._logging import MLflowLogger, RunLogger, TensorBoardLogger, run_logger
from taskgroup.integrations._loop import announced, split_batch

if TYPE_CHECKING:
    from taskgroup.integrations._lightning import DataMapCallback
    from taskgroup.integrations._transformers import DataMapTrainerCallback

__all__ = [
    "DataMapCallback", "DataMapTrainerCallback", "MLflowLogger", "RunLogger", "TensorBoardLogger", "announced",
    "run_logger", "split_batch",
]  # fmt: skip

_OPTIONAL = {"DataMapCallback": "lightning", "DataMapTrainerCallback": "transformers"}


def __getattr__(name: str) -> Any:
    if name not in _OPTIONAL:
        raise AttributeError(f"module 'taskgroup.integrations' has no attribute {name!r}")
    framework = _OPTIONAL[name]
    try:
        importlib.import_module(framework)
    except ImportError:
        raise MissingDependencyError(
            f"{name} needs {framework}; install the extra: pip install -e '.[{framework}]'."
        ) from None
    return getattr(importlib.import_module(f"taskgroup.integrations._{framework}"), name)
