"""Data Maps in and out of the files of Dataset Cartography, and as csv.

Dataset Cartography (Swayamdipta et al., EMNLP 2020, arXiv 2009.10795) logs training dynamics as a JSON object per line
and sample, ``{"guid": ..., "logits_epoch_3": [...], "gold": 1}``, in a file ``dynamics_epoch_3.jsonl`` per epoch, and
derives metrics per sample as lines of ``td_metrics.jsonl``.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgroup._artifact import artefact, write_text
from taskgroup.datamaps import UNSEEN, DataMaps, encode_probability
from taskgroup.exceptions import ArtifactError
from taskgroup.tasks import Task, TaskSet

__all__ = ["read_cartography", "write_csv", "write_td_metrics"]

_NEVER_RIGHT = 1000  # cartography's forgetfulness of a sample that no epoch predicted correctly
_COLUMNS = ("confidence", "variability", "count", "correctness", "forgetting", "aleatoric", "margin", "targets")


def read_cartography(
    source: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]], *, ddof: int = 0
) -> DataMaps:
    """Return the Data Maps of training dynamics that Dataset Cartography logged.

    Parameters
    ----------
    source : path-like, or mapping of task name to path-like
        A folder with ``dynamics_epoch_*.jsonl``, or one that holds it as ``training_dynamics``; one folder per task,
        whose samples are matched by guid. A single folder becomes the task named like it.
    ddof : {0, 1}
        Divisor of the variability, count - ddof.

    Returns
    -------
    DataMaps
        Two classes make a binary task, more a multiclass task. ``sample_ids`` are the guids when all are integers;
        otherwise they are row numbers and ``info["guids"]`` lists the guids.

    Raises
    ------
    ArtifactError
        When a folder holds no such files, or a line is not what cartography writes. The message names file and line.
    """
    folders = source if isinstance(source, Mapping) else {Path(source).resolve().name: source}
    runs = {name: _read_run(Path(folder)) for name, folder in folders.items()}
    guids = list(dict.fromkeys(guid for run in runs.values() for epoch in run for guid in epoch))
    row_of = {guid: row for row, guid in enumerate(guids)}
    n_epochs = max(len(run) for run in runs.values())

    tasks, rights = [], []
    history = np.full((n_epochs, len(guids), len(runs)), UNSEEN, np.uint16)
    targets = np.full((len(guids), len(runs)), np.nan, np.float32)
    for t, (name, run) in enumerate(runs.items()):
        n_classes = max(seen.n_classes for epoch in run for seen in epoch.values())
        tasks.append(Task(name) if n_classes == 2 else Task(name, kind="multiclass", n_classes=n_classes))
        right = np.full((n_epochs, len(guids)), UNSEEN, np.uint16)
        for e, epoch in enumerate(run):
            rows = [row_of[guid] for guid in epoch]
            targets[rows, t] = [seen.gold for seen in epoch.values()]
            history[e, rows, t] = encode_probability(np.array([np.mean(seen.p) for seen in epoch.values()]))
            right[e, rows] = encode_probability(np.array([np.mean(seen.right) for seen in epoch.values()]))
        if n_classes > 2:
            rights.append(right)

    whole = all(isinstance(guid, int) for guid in guids)
    return DataMaps.from_history(
        TaskSet(tasks),
        history,
        right=np.stack(rights, axis=2) if rights else None,
        ddof=ddof,
        targets=targets,
        sample_ids=np.array(guids, np.int64) if whole else None,
        info={"source": "cartography", "n_epochs": n_epochs, **({} if whole else {"guids": guids})},
    )


def write_td_metrics(maps: DataMaps, task: str, path: str | os.PathLike[str]) -> None:
    """Write the metrics of one task as Dataset Cartography's ``td_metrics.jsonl``, one line per sample that was seen.

    ``correctness`` is a number of epochs there, and ``forgetfulness`` is 1000 where no prediction was right. Both are
    null for a regression task.
    """
    t = maps.tasks.index_of(task)
    lines = []
    for row in np.flatnonzero(maps.count[:, t]):
        mu = float(maps.confidence[row, t])
        correctness = _at(maps.correctness, row, t)
        n_right = None if correctness is None else round(correctness * int(maps.count[row, t]))
        lost = _at(maps.forgetting, row, t)
        metrics = {
            "guid": _guid(maps, int(row)),
            "index": int(row),
            "threshold_closeness": mu * (1 - mu),
            "confidence": mu,
            "variability": _at(maps.variability, row, t),
            "correctness": n_right,
            "forgetfulness": None if lost is None else int(lost) if n_right else _NEVER_RIGHT,
        }
        lines.append(json.dumps(metrics, allow_nan=False))
    write_text(path, "".join(f"{line}\n" for line in lines))


def write_csv(maps: DataMaps, path: str | os.PathLike[str]) -> None:
    """Write the maps as csv: one line per (sample, task) that was seen, one column per statistic, empty where NaN."""
    names = [name for name in _COLUMNS if getattr(maps, name) is not None]
    heads = ["target" if name == "targets" else name for name in names]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["sample_id", "task", *heads])
    for row, t in zip(*np.nonzero(maps.count), strict=True):
        values = [_at(getattr(maps, name), row, t) for name in names]
        shown = ["" if value is None else f"{value:.7g}" for value in values]
        writer.writerow([_guid(maps, int(row)), maps.tasks[int(t)].name, *shown])
    write_text(path, out.getvalue())


@dataclass
class _Seen:
    """The sightings of one sample in one epoch."""

    gold: int
    n_classes: int
    p: list[float] = field(default_factory=list)
    right: list[float] = field(default_factory=list)


def _read_run(folder: Path) -> list[dict[Any, _Seen]]:
    """Return, for each epoch in order, what was logged of each guid."""
    if (folder / "training_dynamics").is_dir():
        folder = folder / "training_dynamics"
    numbered = [(int(found[1]), path) for path in folder.glob("*.jsonl")
                if (found := re.fullmatch(r"dynamics_epoch_(\d+)\.jsonl", path.name))]  # fmt: skip
    if not numbered:
        raise ArtifactError(f"{folder}: holds no dynamics_epoch_*.jsonl; give the folder that cartography logged into.")
    return [dict(_read_epoch(path, number)) for number, path in sorted(numbered)]


def _read_epoch(path: Path, number: int) -> Iterator[tuple[Any, _Seen]]:
    found: dict[Any, _Seen] = {}
    with artefact(path), open(path, encoding="utf-8") as file:
        for at, line in enumerate(file, start=1):
            if line.strip():
                guid, gold, logits = _parse(line, number, f"{path}, line {at}")
                seen = found.setdefault(guid, _Seen(gold, len(logits)))
                weight = np.exp(logits - logits.max())
                seen.p.append(float(weight[gold] / weight.sum()))
                seen.right.append(float(logits.argmax() == gold))
    yield from found.items()


def _parse(line: str, number: int, where: str) -> tuple[Any, int, NDArray[np.float64]]:
    key = f"logits_epoch_{number}"
    try:
        record = json.loads(line)
        guid, gold, logits = record["guid"], record["gold"], np.array(record[key], np.float64)
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{where}: expected a JSON object with 'guid', 'gold' and {key!r}; got {line.strip()[:60]!r} ({error!r})."
        ) from None
    if logits.ndim != 1 or len(logits) < 2 or not np.isfinite(logits).all():
        raise ArtifactError(f"{where}: {key!r} must hold two or more finite numbers; got {record[key]!r}.")
    if isinstance(gold, bool) or not isinstance(gold, int) or not 0 <= gold < len(logits):
        raise ArtifactError(f"{where}: 'gold' must be an integer from 0 to {len(logits) - 1}; got {gold!r}.")
    if not isinstance(guid, (int, str)):
        raise ArtifactError(f"{where}: 'guid' must be an integer or a string; got {guid!r}.")
    return guid, gold, logits


def _at(array: NDArray[Any] | None, row: Any, t: int) -> float | None:
    """Return one value, None where the array is absent or NaN."""
    if array is None or np.isnan(array[row, t]):
        return None
    return float(array[row, t])


def _guid(maps: DataMaps, row: int) -> Any:
    if "guids" in maps.info:
        return maps.info["guids"][row]
    return row if maps.sample_ids is None else int(maps.sample_ids[row])
