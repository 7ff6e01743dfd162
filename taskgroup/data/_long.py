"""Long tables, where every row is one label of one sample: turned into one row a sample and one column a task."""

from __future__ import annotations

import re
from typing import Any

from taskgroup.data._options import check_column
from taskgroup.exceptions import InvalidInputError

__all__ = ["guess_long", "pivot"]

_SPLIT = re.compile(r"[_\- .]+|(?<=[a-z])(?=[A-Z])")
_TASKS = ("task", "assay", "property", "endpoint", "variable", "label_name", "target", "measurement", "standard_type")
_VALUES = ("value", "y", "label", "score", "outcome", "result", "activity", "standard_value", "pchembl",
           "reading")  # fmt: skip


def guess_long(data: Any) -> tuple[str, str, str] | None:
    """Return the (sample, task, value) columns of a table that looks long, or None.

    A task column has a usual name, few different words and repeats samples; the value column has a usual name.
    """
    names = [str(name) for name in data.columns]
    task = _usual(names, _TASKS)
    value = _usual([name for name in names if name != task], _VALUES)
    if task is None or value is None or data[task].nunique() > len(data) / 2:
        return None
    for name in data.columns:
        repeated = data[name].nunique() <= len(data) / 2 or data.duplicated([name]).any()
        if name not in (task, value) and repeated and not data.duplicated([name, task]).any():
            return str(name), task, value
    return None


def _usual(names: list[str], usual: tuple[str, ...]) -> str | None:
    """Return the column under one of the usual names, or with one of them as a word of its own."""
    for test in (lambda name, word: name.lower() == word, lambda name, word: word in _SPLIT.split(name.lower())):
        found = next((name for word in usual for name in names if test(name, word)), None)
        if found is not None:
            return found
    return None


def pivot(where: str, data: Any, long: tuple[str, str, str]) -> tuple[Any, list[str]]:
    """Return one row a sample, and the names of the task columns; further columns must agree within a sample.

    Raises
    ------
    InvalidInputError
        When a column is unknown, a sample has two labels of one task, or two values of a feature.
    """
    import pandas as pd

    for name in long:
        check_column(where, name, map(str, data.columns))
    sample, task, value = long
    if len(set(long)) < 3:
        raise InvalidInputError(
            f"{where}: --long needs three different columns SAMPLE TASK VALUE; got {' '.join(long)}."
        )
    if data[[sample, task]].isna().any(axis=None):
        row = int(data[[sample, task]].isna().any(axis=1).to_numpy().argmax())
        raise InvalidInputError(f"{where}: row {row} of the long table names no {sample!r} or no {task!r}.")
    labels = data[[sample, task, value]].drop_duplicates()
    twice = labels.duplicated([sample, task], keep=False)
    if twice.any():
        first = labels[twice].iloc[0]
        found = labels[(labels[sample] == first[sample]) & (labels[task] == first[task])][value].tolist()
        raise InvalidInputError(
            f"{where}: sample {first[sample]!r} has {len(found)} different labels of task {first[task]!r} "
            f"({', '.join(map(str, found[:3]))}); aggregate them first."
        )
    wide = labels.set_index([sample, task])[value].unstack(task)
    tasks = [str(name) for name in wide.columns]
    wide.columns = tasks
    others = [name for name in data.columns if name not in long]
    first_rows = data.drop_duplicates(sample).set_index(sample)
    for name in others:
        differing = data.groupby(sample, sort=False)[name].nunique(dropna=True)
        if (differing > 1).any():
            raise InvalidInputError(
                f"{where}: column {name!r} has {int(differing.max())} different values for sample "
                f"{differing.idxmax()!r}; a feature of a long table must be one for a sample. Leave it out with "
                f"--ignore {name!r} before turning the table, or make the table wide."
            )
    clash = set(tasks) & set(map(str, others))
    if clash:
        raise InvalidInputError(f"{where}: {sorted(clash)[0]!r} is both a task and a column of the long table.")
    joined = pd.concat([first_rows[others], wide.reindex(first_rows.index)], axis=1).reset_index()
    return joined, tasks
