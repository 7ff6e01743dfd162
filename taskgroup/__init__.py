"""Which tasks should be trained together, and is it worth it.

Public names are loaded on first use (PEP 562), so that ``import taskgroup`` loads neither torch nor scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Callback": "taskgroup.callbacks",
    "DataMaps": "taskgroup.datamaps",
    "DataMapTracker": "taskgroup.tracker",
    "Grouping": "taskgroup.grouping",
    "Plan": "taskgroup.experiment",
    "Task": "taskgroup.tasks",
    "TaskGroupClassifier": "taskgroup.estimators",
    "TaskGroupEstimator": "taskgroup.estimators",
    "TaskGroupRegressor": "taskgroup.estimators",
    "TaskFeatures": "taskgroup.features",
    "TaskSet": "taskgroup.tasks",
    "TaskTable": "taskgroup.data",
    "compare_runs": "taskgroup.compare",
    "explain_task": "taskgroup.explain",
    "export_run": "taskgroup.export",
    "group_tasks": "taskgroup.cluster",
    "load_table": "taskgroup.data",
    "profile": "taskgroup.training",
    "retrain": "taskgroup.experiment",
    "score": "taskgroup.scoring",
    "task_features": "taskgroup.features",
    "write_report": "taskgroup.report",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'taskgroup' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
