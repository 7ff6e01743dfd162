"""What a reader of a report should hold against it, found in the artefacts themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from taskgroup.report._format import plural, signed
from taskgroup.report._judgement import best_of_ours
from taskgroup.report._run import Run
from taskgroup.scoring import split_name

__all__ = ["caveats"]

_OVERLAP = 0.4  # share of jointly labelled samples below which similarities rest on little
_STABLE = 0.6  # adjusted Rand index between half-samples
_PREVALENCE = 0.5  # share of the variance of log prevalence that the groups explain beyond chance
_POSITIVES = 20  # test positives below which the AUC of a task is mostly luck
_REPLICATES = 0.3  # correlation of gains per task between halves of the seeds


def caveats(run: Run) -> list[str]:
    """Return one sentence for every known weakness of this run, the weightiest first."""
    return [*_of_the_run(run), *_of_the_scores(run), *_of_the_groups(run)]


def _of_the_run(run: Run) -> Iterator[str]:
    for step in run.unfinished:
        yield f"The step {step!r} has not finished: its files are missing, or of an earlier run."
    left_out = (run.tasks or {}).get("left_out") or {}
    if left_out:
        yield f"{plural(len(left_out), 'task')} could not be learned from and appear in no number here."


def _of_the_scores(run: Run) -> Iterator[str]:
    if run.scores is None or run.values is None:
        return
    ours = best_of_ours(run)
    compared = {(row["method"], row["baseline"]): row for row in run.scores.get("comparisons", [])}
    against_random = compared.get((ours or "", f"{split_name(ours or '')[0]}/random-groups"))
    if against_random and not (against_random["difference"] > 0 and (against_random["p_holm"] or 0) < 0.05):
        yield (
            f"{ours} is not shown to be better than random groups of the same sizes "
            f"({signed(against_random['difference'])}): what gain there is comes from training several models, "
            "not from knowing which tasks belong together."
        )
    replicated = ((run.scores.get("replication") or {}).get(ours or "") or {}).get("correlation")
    if replicated is not None and replicated < _REPLICATES:
        yield (
            "Gains per task seen with one half of the seeds hardly come back with the other half "
            f"(correlation {replicated:.2f}): trust the mean over tasks, not the ranking of single tasks."
        )
    few = [task for task, count in run.positives.items() if count < _POSITIVES]
    if few:
        yield (
            f"{plural(len(few), 'task')} with fewer than {_POSITIVES} positive test samples: their AUC is mostly luck "
            f"({_some(few)})."
        )
    undefined = sorted(
        {task for (task, _, _, split), value in run.values.items() if split == "test" and np.isnan(value)}
    )
    if undefined:
        count = plural(len(undefined), "task")
        yield f"{count} without a defined test score, left out of every mean ({_some(undefined)})."
    if run.plan is not None:
        yield "The plan was chosen on honest answers, of models not fitted to those rows; test rows took no part in it."


def _of_the_groups(run: Run) -> Iterator[str]:
    if run.grouping is None:
        return
    stability = run.grouping.stability
    if stability is not None and stability < _STABLE:
        yield (
            f"The groups change when half of the samples are left out (stability {stability:.2f} of 1): "
            "do not read meaning into who is in which group."
        )
    overlap = ((run.cluster or {}).get("overlap") or {}).get("min")
    if overlap is not None and overlap < _OVERLAP:
        yield f"Some pairs of tasks share only {100 * overlap:.0f} % of the samples: their similarity rests on little."
    cluster = run.cluster or {}
    explained, chance = cluster.get("prevalence_eta2"), cluster.get("prevalence_eta2_chance") or 0.0
    if explained is not None and explained - chance > _PREVALENCE * (1 - chance):
        yield (
            f"The groups follow the share of positives of the tasks (eta² {explained:.2f}, {chance:.2f} by chance): "
            "they may sort tasks by class frequency rather than by relation."
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
