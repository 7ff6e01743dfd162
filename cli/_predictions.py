"""Predictions as a file: ids and row order kept, probabilities under the names of classes, and hard labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskgroup.exceptions import MissingDependencyError

if TYPE_CHECKING:
    from taskgroup.tasks import TaskSet

__all__ = ["FORMATS", "prediction_columns", "write_predictions"]

FORMATS = (".csv", ".parquet", ".jsonl", ".npz")
"""Endings of files that predictions can be written to."""


def prediction_columns(
    tasks: TaskSet, predictions: Mapping[str, Any], thresholds: Mapping[str, float]
) -> dict[str, Any]:
    """Return {column: values}: the label under the name of a task, probabilities under ``task:class``.

    Parameters
    ----------
    tasks : TaskSet
        The tasks, with the names of their classes.
    predictions : mapping of str to ndarray
        Probability of the positive class (n,), of every class (n, C), or the value (n,), by task.
    thresholds : mapping of str to float
        Probability from which a row is labelled positive, by binary task; .5 where there is none.
    """
    import numpy as np

    columns: dict[str, Any] = {}
    for task in tasks:
        values, names = np.asarray(predictions[task.name]), np.array(task.class_names, object)
        if task.kind == "regression":
            columns[task.name] = values
        elif task.kind == "binary":
            columns[task.name] = names[(values >= thresholds.get(task.name, 0.5)).astype(int)]
            columns[f"{task.name}:{names[1]}"] = values
        else:
            columns[task.name] = names[values.argmax(1)]
            columns |= {f"{task.name}:{name}": values[:, c] for c, name in enumerate(names)}
    return columns


def write_predictions(path: Path, columns: Mapping[str, Any], ids: Any = None, id_name: str = "id") -> None:
    """Write the columns, one row a sample in the order given, ids first; the ending of ``path`` says the format."""
    import numpy as np
    import pandas as pd

    from taskgroup._artifact import atomic_path

    named = dict(columns) if ids is None else {id_name: ids, **columns}
    with atomic_path(path) as temporary:
        if path.suffix == ".npz":
            arrays = {name: np.asarray(v, str) if np.asarray(v).dtype == object else v for name, v in named.items()}
            with open(temporary, "wb") as handle:
                np.savez_compressed(handle, allow_pickle=False, **arrays)
            return
        frame = pd.DataFrame(named)
        if path.suffix == ".csv":
            frame.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
        elif path.suffix == ".jsonl":
            frame.to_json(temporary, orient="records", lines=True, double_precision=6, force_ascii=False)
        else:
            try:
                frame.to_parquet(temporary, index=False)
            except ImportError:
                raise MissingDependencyError(
                    f"{path.name}: parquet files need pyarrow; install it with the extra [parquet]."
                ) from None
