"""Which learners take part with which arms, and why the others do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from taskgroup._validation import check_choice, did_you_mean
from taskgroup.arms import Arm
from taskgroup.exceptions import InvalidInputError
from taskgroup.experiment._experiment import Method
from taskgroup.learners import ARCHITECTURES, AUTO, Examples, Learner, make_learner

__all__ = ["line_up", "make_learners"]

_FOR_A_CLAIM = 16.0  # times dearer a model per task may be where what groups gain is claimed against it


def make_learners(
    wanted: Any,
    options: Mapping[str, Mapping[str, Any]],
    arch: str | Sequence[str] = (),
    encoder: str | Callable[[], Any] | None = None,
) -> dict[str, Learner]:
    """Return {name: learner} of names, learners, or "auto".

    Parameters
    ----------
    wanted : str, Learner, estimator, or a sequence of them
        "module:name" is an estimator of scikit-learn's kind, or what makes one. Two learners of one kind are called
        ``kind``, ``kind-2`` and so on.
    options : dict
        {kind: options} of learners that are given by name.
    arch : str or sequence of str
        Architectures of networks to add; "shared-bottom" is there already, as "nets".
    encoder : str or callable, optional
        First layers of all networks.
    """
    given = _with_architectures(wanted, arch)
    options = _with_encoder(options, encoder)
    if not given:
        raise InvalidInputError('`learners` must name at least one learner, or be "auto"; got none.')
    learners: dict[str, Learner] = {}
    for item in (x for one in given for x in (AUTO if one == "auto" else [one])):
        learner = _made(item, options)
        name, number = learner.name, 2
        while name in learners:
            name, number = f"{learner.name}-{number}", number + 1
        learners[name] = learner
    return learners


def _with_architectures(learners: Any, arch: str | Sequence[str]) -> list[Any]:
    """Return the learners with networks of the architectures asked for; "nets" is the shared bottom."""
    given = list(learners) if isinstance(learners, list | tuple) else [learners]
    named = [arch] if isinstance(arch, str) else list(arch)
    for name in named:
        check_choice("arch", name, ("shared-bottom", *ARCHITECTURES))
    return [*given, *(name for name in named if name != "shared-bottom")]


def _with_encoder(
    options: Mapping[str, Mapping[str, Any]], encoder: str | Callable[[], Any] | None
) -> Mapping[str, Mapping[str, Any]]:
    if encoder is None:
        return options
    networks = ("nets", "wide-nets", *ARCHITECTURES)
    return {**options, **{name: {"encoder": encoder, **options.get(name, {})} for name in networks}}


def _made(item: Any, options: Mapping[str, Mapping[str, Any]]) -> Learner:
    """Return a learner, made from its name, from "module:name" of an estimator of the user's, or from an estimator."""
    if isinstance(item, Learner):
        return item
    if not isinstance(item, str) or ":" in item:
        return make_learner("estimator", estimator=item, **options.get("estimator", {}))
    return make_learner(item, **options.get(item, {}))


def line_up(
    learners: Mapping[str, Learner],
    arms: Mapping[str, Arm],
    examples: Examples,
    *,
    asked_arms: bool,
    methods: Sequence[str] | None,
    seeds: int,
) -> tuple[list[Method], dict[str, str]]:
    """Return the methods to fit, and {method or learner: reason} for those left out.

    Parameters
    ----------
    learners, arms
        By name.
    examples : Examples
        The table.
    asked_arms : bool
        Whether the arms were asked for by name, so that none is left out for its cost.
    methods : sequence of str, optional
        Names or globs of the methods that are wanted, such as ``"nets/*"``; all when left out.
    seeds : int
        Repetitions of learners that depend on luck.
    """
    asked = asked_arms or methods is not None
    left_out: dict[str, str] = {}
    found: list[Method] = []
    for name, learner in learners.items():
        reason = learner.supports(examples)
        if reason is not None:
            left_out[name] = reason
            continue
        groups = arms.get("grouped")
        claims = groups is not None and learner.declines(groups.name, groups.sizes(), examples) is None
        for arm in arms.values():
            method = f"{name}/{arm.name}"
            if not _makes_sense(learner, arm, arms):
                continue
            leeway = _FOR_A_CLAIM if arm.role == "single-task" and claims else 1.0
            reason = None if asked else learner.declines(arm.name, arm.sizes(), examples, leeway)
            if reason is not None:
                left_out[method] = reason
            else:
                found.append(Method(method, name, arm, tuple(range(1 if learner.steady else seeds))))
    chosen = found if methods is None else _matching(found, methods)
    if not chosen:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InvalidInputError(f"no learner can be fitted on this table. {why or 'Name other arms.'}")
    return _with_starts(chosen, found, learners), left_out


def _makes_sense(learner: Learner, arm: Arm, arms: Mapping[str, Arm]) -> bool:
    """Return whether an arm differs from a simpler one when this learner fits it."""
    if arm.as_units:
        return learner.has_units
    shares = learner.shares and len(arm.draws[0].tasks) > 1
    return shares or arm.role == "single-task" or "per-task" not in arms


def _matching(found: Sequence[Method], patterns: Sequence[str]) -> list[Method]:
    names = [method.name for method in found]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            learners, arms = (dict.fromkeys(name.split("/", 1)[i] for name in names) for i in (0, 1))
            raise InvalidInputError(
                f"no method {pattern!r}{did_you_mean(pattern, names, '; ') or '.'} A method is LEARNER/ARM, "
                f"of the learners {', '.join(learners)} and the arms {', '.join(arms)}."
            )
    return [method for method in found if any(fnmatchcase(method.name, pattern) for pattern in patterns)]


def _with_starts(chosen: list[Method], found: Sequence[Method], learners: Mapping[str, Learner]) -> list[Method]:
    """Return the methods, preceded by those that they start from and that nobody asked for, which are not scored."""
    names = {method.name for method in chosen}
    starts = []
    for method in chosen:
        arm = learners[method.learner_name].starts_from(method.arm.name)
        wanted = f"{method.learner_name}/{arm}"
        if arm is not None and wanted not in names:
            names.add(wanted)
            start = next((m for m in found if m.name == wanted), None)
            if start is None:
                raise InvalidInputError(f"method {method.name!r} starts from {wanted!r}; add the arm {arm!r}.")
            starts.append(Method(start.name, start.learner_name, start.arm, start.seeds, scored=False))
    return [*starts, *chosen]
