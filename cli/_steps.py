"""The four steps, each from files of the run directory to files of the run directory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._output import Output
from ._run import Run

if TYPE_CHECKING:
    from taskgroup.data import TaskTable
    from taskgroup.features import TaskFeatures
    from taskgroup.grouping import Grouping

__all__ = ["cluster_step", "profile_step", "report_step", "retrain_step", "show_groups", "show_scores"]


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
    output.note(
        f"{table.name}: {table.n_samples:,} rows, {table.n_features:,} features, {table.n_tasks} tasks"
        + (f", {missing:.0%} of the labels missing" if missing else "")
    )
    with run.step("profile", settings), output.stage("profile") as progress:
        chosen = {name: settings[name] for name in ("epochs", "hidden") if settings[name] is not None}
        result = profile(table, random_state=settings["seed"], progress=progress, **chosen)
        result.save(run.path)
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
    by_gain = settings["k"] == "auto" and settings["k_by"] == "gain"
    table = _table_for_gain(run, output) if by_gain else None
    with run.step("cluster", settings), output.stage("cluster") as progress:
        features = task_features(maps, settings["kind"])
        options = {name: settings[name] for name in ("method", "soft", "min_size", "max_size")}
        grouping = group_tasks(
            features, k=settings["k"], table=table, max_groups=settings["max_groups"], random_state=settings["seed"],
            jobs=min(os.cpu_count() or 1, 8), progress=progress, **options,
        )  # fmt: skip
        if settings["k"] == "auto" and settings["k_by"] == "validation":
            grouping = _judged_by_validation(run, features, grouping, options, settings)
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


def _judged_by_validation(
    run: Run, features: TaskFeatures, first: Grouping, options: Mapping[str, Any], settings: Mapping[str, Any]
) -> Grouping:
    """Return the best of a grouping and those of 2 to 8 groups, as far as the limits allow."""
    from taskgroup.cluster import group_tasks
    from taskgroup.training import choose_grouping

    n_tasks = len(features.tasks)
    fewest = max(2, -(-n_tasks // (settings["max_size"] or n_tasks)))
    most = min(8, n_tasks // max(2, settings["min_size"]), settings["max_groups"] or 8)
    others = [
        group_tasks(features, k=k, random_state=settings["seed"], **options)
        for k in range(fewest, most + 1)
        if k != first.n_groups
    ]
    return choose_grouping(run.table(), [first, *others], random_state=settings["seed"] + 1)[0]


def retrain_step(run: Run, table: TaskTable, settings: Mapping[str, Any], output: Output, *, resume: bool) -> None:
    """Fit the grouped models and every control; write models/, scores.csv, scores.json and plan.json."""
    from taskgroup.grouping import Grouping
    from taskgroup.training import Profile, retrain

    grouping = Grouping.load(run.need("grouping.json", "cluster"))
    fitted = Profile.load(run.path, table) if (run.path / "profile" / "model.safetensors").is_file() else None
    with run.step("retrain", settings), output.stage("retrain") as progress, _executor(settings["executor"]) as pool:
        retrain(
            table, grouping, profile=fitted, arch=settings["arch"], units=settings["units"],
            encoder=settings["encoder"], seeds=settings["seeds"], random_state=settings["seed"],
            start=settings["start"], members=settings["members"], soft=settings["answers"],
            shared_layers=settings["shared_layers"], tune=settings["tune"],
            jobs=settings["jobs"], executor=pool, methods=settings["methods"], max_models=settings["max_models"],
            max_flops=settings["max_flops"], out=run.path, resume=resume, progress=progress,
        )  # fmt: skip


def report_step(run: Run, output: Output) -> str:
    """Write report.html and figures/; return the path of the page."""
    from taskgroup.report import write_report

    with run.step("report", {}), output.stage("report"):
        path = write_report(run.path)
    return str(path)


def show_groups(run: Run, output: Output) -> None:
    """Print the groups and how sure they are."""
    from taskgroup._artifact import read_json
    from taskgroup.grouping import Grouping

    grouping = Grouping.load(run.path / "grouping.json")
    summary = read_json(run.path / "cluster.json", "cluster")
    rows = [(g, len(names), _shorten(names)) for g, names in enumerate(grouping.groups)]
    output.table(f"{grouping.n_groups} groups of {grouping.n_tasks} tasks", ("group", "tasks", "names"), rows)
    if summary.get("message"):
        output.line(str(summary["message"]))
    output.line()


def show_scores(run: Run, output: Output) -> None:
    """Print the scorecard, the gains of the plan and the verdict."""
    from taskgroup._artifact import read_json

    scores = read_json(run.path / "scores.json", "scores")
    plan = read_json(run.path / "plan.json", "plan")
    costs = scores["methods"]
    rows = []
    for row in scores["summary"]:
        low, high = row["ci95"]
        cost = costs[row["method"]]
        rows.append(
            (row["method"], row["mean"], f"{low:.4f} to {high:.4f}" if low is not None else "-", row["better"],
             row["worse"], cost.get("n_models"), cost.get("params"), cost.get("train_seconds"))
        )  # fmt: skip
    columns = ("method", "test score", "95 % interval", "better", "worse", "models", "parameters", "seconds")
    output.table("Scorecard (mean over tasks; share of tasks better or worse than stl)", columns, rows)
    output.line()
    served: dict[str, list[str]] = {}
    for name, row in plan["tasks"].items():
        served.setdefault(row["method"], []).append(name)
    plans = [
        (method, len(names), _shorten(names)) for method, names in sorted(served.items(), key=lambda s: -len(s[1]))
    ]
    output.table("Plan: which model serves which task", ("method", "tasks", "names"), plans)
    output.line()
    output.line(plan["verdict"], style="bold")
    for reason in plan["reasons"]:
        output.line(f"- {reason}")


@contextmanager
def _executor(address: str | None) -> Iterator[Any]:
    """Yield an executor on the dask scheduler at ``dask://host:port``; None for no address."""
    if address is None:
        yield None
        return
    from taskgroup.exceptions import InvalidInputError, MissingDependencyError

    scheme, _, place = address.partition("://")
    if scheme != "dask" or not place:
        raise InvalidInputError(f"--executor must look like dask://HOST:PORT; got {address!r}.")
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
