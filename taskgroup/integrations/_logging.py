"""Runs in experiment trackers: settings, losses, scores and the answer, in MLflow or TensorBoard.

A tracker that fails must not cost hours of work: its first failure is a warning, and the run goes on without it.
"""

from __future__ import annotations

import importlib
import json
import math
import re
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from taskgroup._artifact import json_ready
from taskgroup._validation import check_choice
from taskgroup.callbacks import Callback
from taskgroup.exceptions import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from taskgroup.cost import Cost
    from taskgroup.grouping import Grouping
    from taskgroup.plan import PlanChoice
    from taskgroup.scoring import Scorecard

__all__ = ["MLflowLogger", "RunLogger", "TensorBoardLogger", "run_logger"]


class RunLogger(Callback):
    """A callback that writes to an experiment tracker; a context manager, so that the tracker hears of failures.

    Subclasses say how parameters, metrics and texts are written.

    ====================================  ============================================================
    ``profile/valid_loss``                by epoch
    ``retrain/train_seconds``             CPU time so far, by number of models that were fitted
    ``<split>/<method>``                  mean of the main metric over tasks, of every method and the plan
    ``<split>.low/<method>``, ``.high``   its 95 % interval
    ``plan/<task>``                       test score of the plan for a task
    ``plan/n_models``                     models that it serves
    ====================================  ============================================================

    Parameters are the settings of each step, as ``<step>.<setting>``; texts are the groups and the answer.
    """

    _broken = False
    _seconds = 0.0
    _fitted = 0

    @abstractmethod
    def params(self, values: Mapping[str, str]) -> None:
        """Write settings."""

    @abstractmethod
    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Write finite numbers."""

    @abstractmethod
    def text(self, name: str, content: str) -> None:
        """Write a text, markdown or JSON by the ending of its name."""

    def close(self, failed: bool = False) -> None:
        """Write what is still to be written, and say how the run ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self._try(self.close, kind is not None)

    def on_step(self, step: str, settings: Mapping[str, Any]) -> None:
        """Write the settings."""
        self._try(self.params, {f"{step}.{name}": _short(value) for name, value in settings.items()})

    def on_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Write the values of the epoch."""
        self._numbers({f"profile/{name}": value for name, value in values.items()}, epoch)

    def on_grouping(self, grouping: Grouping) -> None:
        """Write the groups."""
        self._try(self.params, {"n_tasks": str(grouping.n_tasks), "n_groups": str(grouping.n_groups)})
        groups = {f"group {g}": list(names) for g, names in enumerate(grouping.groups)}
        self._try(self.text, "groups.json", json.dumps(groups, indent=1, ensure_ascii=False))

    def on_unit(self, unit: str, cost: Cost, done: int, total: int) -> None:
        """Write the CPU time so far."""
        self._seconds += cost.train_seconds
        self._fitted += cost.n_models or 1
        self._numbers({"retrain/train_seconds": self._seconds}, self._fitted)

    def on_result(self, scorecard: Scorecard, plan: PlanChoice) -> None:
        """Write the scores and the answer."""
        values: dict[str, float | None] = {}
        for row in scorecard.summary():
            low, high = row["ci95"]
            for part, value in (("", row["mean"]), (".low", low), (".high", high)):
                values[f"{scorecard.judged}{part}/{row['method']}"] = value
        values |= {f"plan/{task}": row["test"] for task, row in plan.tasks.items()}
        self._numbers({**values, "plan/n_models": plan.n_models}, 0)
        self._try(self.text, "answer.md", str(plan.answer))

    def _numbers(self, values: Mapping[str, float | None], step: int) -> None:
        known = {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
        self._try(self.metrics, known, step)

    def _try(self, write: Callable[..., None], *values: Any) -> None:
        if self._broken:
            return
        try:
            write(*values)
        except Exception as error:
            self._broken = True
            warnings.warn(
                f"{type(self).__name__} failed, and the run goes on without it: {type(error).__name__}: {error}",
                stacklevel=2,
            )


class MLflowLogger(RunLogger):
    """Logs to an MLflow run of its own.

    Parameters
    ----------
    uri : str
        Of the tracking server, or of a store: ``http://host:5000``, ``sqlite:///mlflow.db``, a folder.
    name : str, optional
        Of the run.
    experiment : str
        Name of the experiment, made when it is not there.

    Notes
    -----
    A folder as store needs MLFLOW_ALLOW_FILE_STORE=true since MLflow 3, a database the whole of mlflow.
    """

    def __init__(self, uri: str, *, name: str | None = None, experiment: str = "taskgroup") -> None:
        _need("mlflow", "MLflowLogger")
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name(experiment)
        number = self._client.create_experiment(experiment) if found is None else found.experiment_id
        self.run_id: str = self._client.create_run(number, run_name=name).info.run_id

    def params(self, values: Mapping[str, str]) -> None:
        """Write parameters of the run."""
        from mlflow.entities import Param

        self._client.log_batch(self.run_id, params=[Param(_plain(name), value) for name, value in values.items()])

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Write metrics of the run, at most 1,000 in one call, as the server takes them."""
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        rows = [Metric(_plain(name), value, now, step) for name, value in values.items()]
        for start in range(0, len(rows), 1000):
            self._client.log_batch(self.run_id, metrics=rows[start : start + 1000])

    def text(self, name: str, content: str) -> None:
        """Write an artefact of the run."""
        self._client.log_text(self.run_id, content, name)

    def close(self, failed: bool = False) -> None:
        """End the run."""
        self._client.set_terminated(self.run_id, "FAILED" if failed else "FINISHED")


class TensorBoardLogger(RunLogger):
    """Logs to the event files of a folder, for ``tensorboard --logdir``.

    Parameters
    ----------
    folder : str
        Where the event files are written.
    name : str, optional
        Of the run: a folder below, without which runs of one folder are drawn as one.
    """

    def __init__(self, folder: str, *, name: str | None = None) -> None:
        _need("tensorboard", "TensorBoardLogger")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(folder if name is None else f"{folder}/{_plain(name)}")

    def params(self, values: Mapping[str, str]) -> None:
        """Write a table of settings, a text for every step."""
        steps: dict[str, list[str]] = {}
        for name, value in values.items():
            step, _, setting = name.rpartition(".")
            steps.setdefault(step or "tasks", []).append(f"| {setting} | {value} |")
        for step, rows in steps.items():
            self._writer.add_text(f"settings/{step}", "\n".join(["| setting | value |", "|---|---|", *rows]))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars."""
        for name, value in values.items():
            self._writer.add_scalar(_plain(name), value, step)
        self._writer.flush()

    def text(self, name: str, content: str) -> None:
        """Write a text; JSON stands as it is."""
        shown = "\n".join(f"    {line}" for line in content.splitlines()) if name.endswith(".json") else content
        self._writer.add_text(name, shown)

    def close(self, failed: bool = False) -> None:
        """Write what is still to be written."""
        if failed:
            self._writer.add_text("status", "failed")
        self._writer.close()


LOGGERS: dict[str, Callable[..., RunLogger]] = {"mlflow": MLflowLogger, "tensorboard": TensorBoardLogger}


def run_logger(where: str, name: str | None = None) -> RunLogger:
    """Return the logger of ``mlflow:URI`` or ``tensorboard:FOLDER``.

    Raises
    ------
    InvalidInputError
        When it is neither.
    MissingDependencyError
        When the tracker is not installed.
    """
    kind, colon, place = where.partition(":")
    if not colon or not place:
        raise InvalidInputError(f"a log must look like mlflow:URI or tensorboard:FOLDER; got {where!r}.")
    return LOGGERS[check_choice("log", kind, tuple(LOGGERS))](place, name=name)


def _need(module: str, what: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError:
        raise MissingDependencyError(
            f"{what} needs {module}; install the extra: pip install -e '.[{module}]'."
        ) from None


def _plain(name: str) -> str:
    """Return a name of the characters that MLflow takes; a path in it stays one.

    >>> _plain("plan/y (%) <= 2")
    'plan/y ___ __ 2'
    """
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII).strip("/")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(json_ready(value), default=str)
    return text if len(text) <= 500 else f"{text[:500]}..."
