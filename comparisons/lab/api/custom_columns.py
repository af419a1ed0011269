"""The columns of custom kinds: NAME, what ``additionalPrinterColumns`` says, or AGE.

After k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor. Pure.
"""

import json
from collections.abc import Mapping
from typing import Any

from comparisons.lab import clock
from comparisons.lab.api import columns, durations, jsonpaths

Value = dict[str, Any]


def of(said: tuple[Mapping[str, Any], ...]) -> tuple[columns.Column, ...]:
    """Return the columns; ``said`` is empty where a definition leaves them to the server."""
    return (columns.NAME, *(_column(each) for each in said)) if said else columns.GENERIC


def _column(said: Mapping[str, Any]) -> columns.Column:
    path, type_ = jsonpaths.parse(said["jsonPath"]), said["type"]

    def cell(value: Value, now_wall_ns: int) -> Any:
        found = path.first(value)
        return None if found is None else shown(found, type_, now_wall_ns)

    return columns.Column(
        name=said["name"],
        cell=cell,
        type=type_,
        wide=bool(said.get("priority")),
        format=said.get("format", ""),
        description=said.get("description", ""),
    )


def shown(value: Any, type_: str, now_wall_ns: int) -> Any:
    """Return a value as a cell of that type; None if it is not of it."""
    match type_:
        case "string":
            return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        case "date":
            return _age(value, now_wall_ns)
        case "boolean":
            return value if isinstance(value, bool) else None
        case "integer":
            return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case _:
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _age(value: Any, now_wall_ns: int) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return durations.human((now_wall_ns - clock.parse(value)) // 10**9)
    except (ValueError, OverflowError):
        return "<invalid>"
