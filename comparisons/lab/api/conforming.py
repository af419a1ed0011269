"""Makes an object of a custom kind conform to its schema: unknown fields go, defaults come.

As k8s.io/apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting}. The schema is structural, which
``schemas`` has seen to. Pure: values are copied, never changed, except by ``fill``, which works on a copy that nobody
else holds. Leaves out whether values are possible (``schema_validation``), and metadata (``decoding``).
"""

import copy
import math
from collections.abc import Mapping
from typing import Any

from comparisons.lab.api import shapes

Value = dict[str, Any]
Schema = Mapping[str, Any]

MAX_DEPTH = 96
"""Arbitrary, above what any kind or schema has; keeps a hostile body from exhausting the stack."""
PRESERVE, EMBEDDED = shapes.PRESERVE, "x-kubernetes-embedded-resource"
TYPE_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
"""What an object has whatever its schema says, at the root and where another object is embedded."""


class NoJson(ValueError):  # noqa: N818  # it reads as what happened
    """A value that JSON cannot express, or that is nested too deeply; the text says which."""


def plain(value: Any, depth: int = 0) -> Any:
    """Return what YAML or JSON gave as Go reads it: text keys, and numbers that are int64 or float64. Raises NoJson."""
    if depth > MAX_DEPTH:
        raise NoJson("the object is nested too deeply")
    if isinstance(value, dict):
        return {_key(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return _large(value)
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise NoJson(f"{value!r} is no JSON value")


def _large(value: int) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise NoJson("a number is too large") from error


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return str(key).lower()
    if isinstance(key, str | int | float):
        return str(key)
    raise NoJson(f"{key!r} cannot name a field")


def pruned(schema: Schema, value: Value, unknown: list[str]) -> Value:
    """Return an object without what its schema does not know; the dropped fields are added to ``unknown``."""
    return _pruned_object({**schema, EMBEDDED: True}, value, "", unknown)


def _pruned(schema: Schema, value: Any, path: str, unknown: list[str]) -> Any:
    if isinstance(value, dict):
        return _pruned_object(schema, value, path, unknown)
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, dict):
        return [_pruned(items, item, f"{path}[{index}]", unknown) for index, item in enumerate(value)]
    return value


def _pruned_object(schema: Schema, value: Value, path: str, unknown: list[str]) -> Value:
    properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
    kept = {}
    for name, item in value.items():
        here = f"{path}.{name}" if path else name
        if name in TYPE_FIELDS and schema.get(EMBEDDED):
            kept[name] = item
        elif name in properties:
            kept[name] = _pruned(properties[name], item, here, unknown)
        elif more:
            kept[name] = _pruned(more, item, here, unknown) if isinstance(more, dict) else item
        elif schema.get(PRESERVE):
            kept[name] = item
        else:
            unknown.append(f'unknown field "{here}"')
    return kept


def fill(schema: Schema, value: Any) -> None:
    """Set the defaults of everything that is there, in place; a null that may not be and has a default is none."""
    if isinstance(value, list):
        for item in value:
            fill(schema.get("items") or {}, item)
    if not isinstance(value, dict):
        return
    properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, below in properties.items():
        if "default" in below and _unsaid(below, value, name):
            value[name] = copy.deepcopy(below["default"])
        if name in value:
            fill(below, value[name])
    for name, item in value.items():
        if name not in properties and isinstance(more, dict):
            fill(more, item)


def fill_keys(schema: Schema, value: Any) -> None:
    """Set the defaults of what names an item of a list, in place: an apply must find the item that it speaks of."""
    if isinstance(value, list):
        items = schema.get("items") or {}
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        named = {key: below for key, below in (items.get("properties") or {}).items() if key in keys}
        for item in value:
            fill({"properties": named}, item)
            fill_keys(items, item)
    elif isinstance(value, dict):
        properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, item in value.items():
            fill_keys(properties.get(name, more if isinstance(more, dict) else {}), item)


def _unsaid(schema: Schema, value: Value, name: str) -> bool:
    return name not in value or (value[name] is None and not schema.get("nullable"))
