"""What the JSON documents of a run directory must hold, in one place.

A schema is a type; a list of one schema; a dictionary of keys, of which one in angle brackets stands for any key and
one with a question mark may be absent; or ``Maybe`` a schema or null. Keys beyond those are allowed.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskgroup.exceptions import ArtifactError

__all__ = ["SCHEMAS", "Maybe", "check_document"]


@dataclass(frozen=True)
class Maybe:
    """Something, or null."""

    schema: Any


number = numbers.Real
_TASK = {"name": str, "kind": str}
_SPREAD = {"mean": Maybe(number), "ci95": [Maybe(number)]}

SCHEMAS: dict[str, Any] = {
    "run": {"inputs": dict, "status": str, "steps": {"<step>": {"status": str}}},
    "tasks": {"tasks": [_TASK]},
    "grouping": {"tasks": [_TASK], "membership": [[number]], "isolated": [str], "stability": Maybe(number),
                 "selection": [dict], "info": dict, "groups": [[str]]},
    "cluster": {"n_groups": int},
    "scores": {"methods": {"<method>": dict}, "summary": [{"method": str, **_SPREAD}],
               "main_metric": {"<task>": str}},
    "ledger": {"methods": {"<method>": dict}, "failed": {"<method>": str}, "left_out": {"<method>": str}},
    "plan": {"rule?": str, "common?": {"<method>": number}, "calibration?": {"<method>": {"<name>": number}},
             "tasks": {"<task>": {"weights": {"<method>": number}}}, "answer": {"headline": str, "lines": [str]},
             "isolated?": [str], "n_models?": Maybe(int), "test?": _SPREAD, "gains?": {"<rival>": Maybe(dict)}},
    "tuning": {"chosen": {"<unit>": dict}},
    "serving": {"tasks": [_TASK],
                "schema": {"feature_names": [str], "center": [Maybe(number)], "scale": [Maybe(number)],
                           "categories": {"<column>": [str]}, "input_shape": [int],
                           "units?": {"columns": [int], "origin": [number], "size": [number]}},
                "methods": {"<method>": [{"path": str, "model": int, "weights": {"<task>": number}}]},
                "files": {"<path>": {"sha256": str, "bytes": int}}},
}  # fmt: skip
"""By the kind of document."""

_NAMES: dict[Any, str] = {str: "a text", int: "a whole number", number: "a number", dict: "an object"}


def check_document(where: Any, kind: str, document: Mapping[str, Any]) -> None:
    """Raise an ArtifactError that names the file, the place and the rule when a document is not as it must be."""
    if kind in SCHEMAS:
        _check(where, "", document, SCHEMAS[kind])


def _check(where: Any, place: str, value: Any, schema: Any) -> None:
    if isinstance(schema, Maybe):
        if value is not None:
            _check(where, place, value, schema.schema)
    elif isinstance(schema, list):
        if not isinstance(value, list):
            _refuse(where, place, "a list", value)
        for index, item in enumerate(value):
            _check(where, f"{place}[{index}]", item, schema[0])
    elif isinstance(schema, dict):
        if not isinstance(value, dict):
            _refuse(where, place, "an object", value)
        for name, inner in schema.items():
            key = name.removesuffix("?")
            if key.startswith("<"):
                for own, item in value.items():
                    _check(where, f"{place}.{own}" if place else own, item, inner)
            elif key not in value and key != name:
                continue
            elif key not in value:
                raise ArtifactError(f"{where}: {f'`{place}` has' if place else 'it has'} no `{key}`; write it again.")
            else:
                _check(where, f"{place}.{key}" if place else key, value[key], inner)
    elif not isinstance(value, schema) or (isinstance(value, bool) and schema is not bool):
        _refuse(where, place, _NAMES[schema], value)


def _refuse(where: Any, place: str, rule: str, value: Any) -> None:
    text = repr(value)
    raise ArtifactError(
        f"{where}: `{place}` must be {rule}; got {text if len(text) <= 40 else text[:37] + '...'}; write it again."
    )
