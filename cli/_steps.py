"""The four steps, each from files of the run directory to files of the run directory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._output import Output
from ._run import Run

if TYPE_CHECKING:
    from taskgroup.data import TaskTable

__all__ = [
    "check_profile", "check_retrain", "cluster_step", "profile_step", "report_step", "retrain_step", "show_answer",
    "show_groups", "show_scores",
]  # fmt: skip


def profile_step(
    run: Run, table: TaskTable, left_out: Mapping[str, str], settings: Mapping[str, Any], output: Output
) -> None:
    """Train one multi-task model, record its Data Maps; write tasks.json, datamaps.safetensors and profile/."""
    from taskgroup._artifact import write_json
    from taskgroup.data import SPLITS
    from taskgroup.training import profile

    for name, reason in left_out.items():
        output.note(f"task {name!r} is left out: {reason}")
    missing = _missing_share(table)
    for line in table.reading.lines() if table.reading is not None else ():
        output.note(line)
    with run.step("profile", settings), output.stage("profile") as progress:
        chosen = {name: settings[name] for name in ("epochs", "hidden") if settings[name] is not None}
        kept = run.path / "profile" / "checkpoint.safetensors"
        result = profile(
            table, settings=_fit_settings(settings), random_state=settings["seed"], checkpoint=kept,
            progress=progress, callbacks=output.loggers, **chosen,
        )  # fmt: skip
        result.save(run.path)
        kept.unlink(missing_ok=True)
        document = {
            "name": table.name,
            "tasks": table.tasks.to_list(),
            "left_out": dict(left_out),
            "n_rows": {split: len(table.rows(split)) for split in SPLITS},
            "n_features": table.n_features,
            "missing_labels": missing,
            "schema": table.schema.to_dict(),
        }
        write_json(run.path / "tasks.json", "tasks", document)


def cluster_step(run: Run, settings: Mapping[str, Any], output: Output) -> None:
    """Turn Data Maps into groups; write grouping.json, cluster.json and similarity.safetensors."""
    import numpy as np

    from taskgroup._artifact import write_arrays, write_json
    from taskgroup.cluster import cluster_summary, group_tasks
    from taskgroup.datamaps import DataMaps
    from taskgroup.features import task_features

    maps = DataMaps.load(run.need("datamaps.safetensors", "profile"))
    table = _table_for_gain(run, output) if settings["k"] in ("auto", "gain") else None
    with run.step("cluster", settings), output.stage("cluster") as progress:
        features = task_features(maps, settings["kind"])
        options = {name: settings[name] for name in ("method", "soft", "min_size", "max_size")}
        grouping = group_tasks(
            features, k=settings["k"], table=table, max_groups=settings["max_groups"], random_state=settings["seed"],
            jobs=min(os.cpu_count() or 1, 8), progress=progress, **options,
        )  # fmt: skip
        summary = cluster_summary(maps, features, grouping)
        arrays = {"similarity": features.similarity.astype(np.float32)}
        write_arrays(run.path / "similarity.safetensors", "similarity", arrays)
        write_json(run.path / "cluster.json", "cluster", summary)
        grouping.save(run.path / "grouping.json")


def _table_for_gain(run: Run, output: Output) -> TaskTable | None:
    """Return the table to measure gains on; None, said in words, for maps that were recorded elsewhere."""
    from taskgroup.exceptions import ArtifactError

    try:
        return run.table()
    except ArtifactError as error:
        output.note(f"gains cannot be measured, so the stability of the groups settles their number: {error}")
        return None


def check_profile(settings: Mapping[str, Any]) -> None:
    """Raise when this machine cannot do what is asked of the profile."""
    _fit_settings(settings)


def check_retrain(table: TaskTable, settings: Mapping[str, Any]) -> None:
    """Raise when what is asked of the retraining is unknown, or cannot be fitted on this table."""
    from taskgroup.experiment import check_request

    check_request(table, **_lineup(settings))


def retrain_step(run: Run, table: TaskTable, settings: Mapping[str, Any], output: Output, *, resume: bool) -> None:
    """Fit every arm with every learner; write models/, scores.csv, scores.json, ledger.json and plan.json."""
    from taskgroup.experiment import retrain
    from taskgroup.grouping import Grouping

    grouping = Grouping.load(run.need("grouping.json", "cluster"))
    with run.step("retrain", settings), output.stage("retrain") as progress, _executor(settings["executor"]) as pool:
        result = retrain(
            table, grouping, **_lineup(settings), seeds=settings["seeds"], folds=settings["folds"] or "auto",
            draws=settings["draws"], answers=settings["answers"], max_models=settings["max_models"],
            random_state=settings["seed"], jobs=settings["jobs"], executor=pool, out=run.path, resume=resume,
            progress=progress, callbacks=output.loggers,
        )  # fmt: skip
    for name, reason in result.ledger["failed"].items():
        output.note(f"{name} failed and is left out: {reason}")


def _lineup(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that say what is fitted, and by what rule the plan is chosen."""
    from taskgroup.learners import ARCHITECTURES

    networks = {
        "tune_by": settings["tune"], "start": settings["start"], "shared_layers": settings["shared_layers"],
        "settings": _fit_settings(settings),
    }  # fmt: skip
    same = ("learners", "arch", "encoder", "arms", "methods", "metric", "task_weights", "average")
    return {
        **{name: settings[name] for name in same},
        "options": dict.fromkeys(("nets", "wide-nets", *ARCHITECTURES), networks),
        "plan": settings["rule"],
    }


def _fit_settings(settings: Mapping[str, Any]) -> Any:
    from taskgroup.training import FitSettings

    return FitSettings(augment=settings["augment"], device=settings["device"])


def report_step(run: Run, output: Output) -> str:
    """Write report.html and figures/; return the path of the page."""
    from taskgroup.report import write_report

    with run.step("report", {}), output.stage("report"):
        path = write_report(run.path)
    return str(path)


def show_answer(run: Run, output: Output) -> None:
    """Print the answer: what to serve, what it gains, and what a cheaper choice would lose."""
    from taskgroup._artifact import read_json

    answer = read_json(run.path / "plan.json", "plan")["answer"]
    output.line(answer["headline"], style="bold")
    for line in answer["lines"]:
        output.line(f"- {line}")
    output.line()
    cheaper = [
        (row["plan"], f"{row['loss']:+.4f}", row["models"], _interval(row["ci95"], "+.3f"), row["test"],
         _megabytes(row["bytes"]))
        for row in answer["cheaper"]
    ]  # fmt: skip
    if cheaper:
        heads = ("instead of the plan", "change", "models", "95 % interval", "test", "MB")
        output.table("What a cheaper choice would lose", heads, cheaper)
        output.line()


def show_scores(run: Run, output: Output) -> None:
    """Print the scorecard."""
    from taskgroup._artifact import read_json

    scores = read_json(run.path / "scores.json", "scores")
    costs = scores["methods"]
    rows = []
    for row in scores["summary"]:
        cost = costs[row["method"]]
        rows.append(
            (row["method"], row["mean"], cost.get("n_models"), _interval(row["ci95"], ".3f"),
             cost.get("train_seconds"), row["better"], row["worse"], _megabytes(cost.get("bytes")))
        )  # fmt: skip
    columns = ("method", "test", "models", "95 % interval", "CPU s", "better", "worse", "MB")
    output.table(
        f"Scorecard: mean over tasks; share of tasks better and worse than {scores['baseline']}", columns, rows
    )
    output.line()


def show_groups(run: Run, output: Output) -> None:
    """Print the groups and how sure they are."""
    from taskgroup._artifact import read_json
    from taskgroup.grouping import Grouping

    grouping = Grouping.load(run.path / "grouping.json")
    summary = read_json(run.path / "cluster.json", "cluster")
    rows = [(g, len(names), _shorten(names)) for g, names in enumerate(grouping.groups)]
    word = "group" if grouping.n_groups == 1 else "groups"
    output.table(f"{grouping.n_groups} {word} of {grouping.n_tasks} tasks", ("group", "tasks", "names"), rows)
    if summary.get("message"):
        output.line(str(summary["message"]))
    output.line()


def _interval(ci95: Sequence[float | None], how: str) -> str:
    low, high = ci95
    return "-" if low is None or high is None else f"{low:{how}} to {high:{how}}"


def _megabytes(size: float | None) -> float | None:
    return None if size is None else size / 1e6


@contextmanager
def _executor(address: str | None) -> Iterator[Any]:
    """Yield an executor on the dask scheduler at ``dask://host:port``; None for no address."""
    if address is None:
        yield None
        return
    from taskgroup.exceptions import InvalidInputError, MissingDependencyError

    place = address.removeprefix("dask://")
    try:
        from distributed import Client
    except ImportError:
        raise MissingDependencyError("--executor dask://... needs dask; install it with the extra [dask].") from None
    try:
        client = Client(f"tcp://{place}", timeout="10s")
    except OSError as error:
        raise InvalidInputError(f"no dask scheduler answers at {place} ({error}).") from None
    with client:
        yield client.get_executor(retries=2)


def _shorten(names: Any, width: int = 72) -> str:
    text = ", ".join(names)
    return text if len(text) <= width else text[: width - 3].rsplit(",", 1)[0] + ", ..."


def _missing_share(table: TaskTable) -> float:
    import numpy as np

    return float(np.isnan(table.Y).mean())
