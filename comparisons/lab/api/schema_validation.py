"""Whether an object of a custom kind is possible under its schema, in the words of the real server.

As k8s.io/kube-openapi/pkg/validation/validate, and what apiextensions makes of its errors. What an update leaves as
it was is not judged again (ratcheting), so that a stricter schema does not lock objects that were stored before. Own
code rather than a library: what a client sees are the words. Pure. Leaves out rules in CEL (``schema_rules``).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comparisons.lab.api import formats, go_patterns, status

Schema = Mapping[str, Any]
Causes = Iterator[status.Cause]

UNSAID: Any = object()
"""The old value of something that was not there, or that cannot be told from its neighbours."""
NOWHERE = "<nil>"
"""The field that the real server names when a choice of schemas fails."""


def check(schema: Schema, value: Any, old: Any = UNSAID) -> list[status.Cause]:
    """Return everything that is wrong; ``old`` is what the object was before an update."""
    return [*_node(schema, value, old, ""), *_uniqueness(schema, value, "")]


def same(value: Any, old: Any) -> bool:
    """Whether nothing has changed. Python's True is 1, JSON's is not."""
    return old is not UNSAID and value == old and json.dumps(value, sort_keys=True) == json.dumps(old, sort_keys=True)


def _node(schema: Schema, value: Any, old: Any, path: str) -> Causes:
    if same(value, old):
        return
    if wrong := _wrong_type(schema, value):
        yield _type_cause(path, wrong, type_of(value))
    yield from _enum(schema, value, path)
    if value is None:
        return
    yield from _choices(schema, value, path)
    match value:
        case str():
            yield from _text(schema, value, path)
        case bool():
            pass
        case int() | float():
            yield from _number(schema, value, path)
        case list():
            yield from _list(schema, value, old, path)
        case dict():
            yield from _object(schema, value, old, path)


def type_of(value: Any) -> str:
    """Return the JSON type's name."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return "null" if value is None else names[type(value)]


def _wrong_type(schema: Schema, value: Any) -> str:
    """Return the types that were wanted, if the value has none of them."""
    wanted = ["integer", "string"] if schema.get("x-kubernetes-int-or-string") else [schema.get("type", "")]
    if not wanted[0] or (value is None and schema.get("nullable")):
        return ""
    found = {type_of(value)}
    found |= {"number"} if "integer" in found else set()
    found |= {"integer"} if isinstance(value, float) and value.is_integer() else set()
    return "" if found & set(wanted) else ",".join(wanted)


def _type_cause(path: str, wanted: str, found: str) -> status.Cause:
    message = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return status.Cause(field=path or NOWHERE, reason="FieldValueTypeInvalid", message=message)


def _bad(path: str, value: Any, detail: str) -> status.Cause:
    return status.bad(path.removeprefix(".") or NOWHERE, value, f"{path} in body {detail}")


def _enum(schema: Schema, value: Any, path: str) -> Causes:
    allowed = schema.get("enum")
    if allowed and not any(value == each and type(value) is type(each) for each in allowed):
        words = [each if isinstance(each, str) else json.dumps(each, separators=(",", ":")) for each in allowed]
        yield status.unsupported(path or NOWHERE, "null" if value is None else value, words)


def _text(schema: Schema, value: str, path: str) -> Causes:
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        message = f"Too long: may not be more than {schema['maxLength']} bytes"
        yield status.Cause(field=path, reason="FieldValueTooLong", message=message)
    if len(value) < schema.get("minLength", 0):
        yield _bad(path, value, f"should be at least {schema['minLength']} chars long")
    if "pattern" in schema and not go_patterns.compiled(schema["pattern"]).search(value):
        yield _bad(path, value, f"should match '{schema['pattern']}'")
    if "format" in schema and not formats.admits(schema["format"], value):
        yield _bad(path, value, f"must be of type {schema['format']}: {json.dumps(value)}")


def _number(schema: Schema, value: float, path: str) -> Causes:
    if "maximum" in schema:
        most, strictly = schema["maximum"], bool(schema.get("exclusiveMaximum"))
        if value > most or (strictly and value == most):
            yield _bad(path, value, f"should be less than {'' if strictly else 'or equal to '}{_figure(most)}")
    if "minimum" in schema:
        least, strictly = schema["minimum"], bool(schema.get("exclusiveMinimum"))
        if value < least or (strictly and value == least):
            yield _bad(path, value, f"should be greater than {'' if strictly else 'or equal to '}{_figure(least)}")
    unit = schema.get("multipleOf")
    if unit and not float(value / unit).is_integer():
        yield _bad(path, value, f"should be a multiple of {_figure(unit)}")


def _figure(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else repr(number)


def _list(schema: Schema, value: list[Any], old: Any, path: str) -> Causes:
    items = schema.get("items")
    if isinstance(items, dict):
        before = correlated(schema, value, old)
        for index, item in enumerate(value):
            yield from _node(items, item, before[index], f"{path}[{index}]")
    if len(value) < schema.get("minItems", 0):
        yield _bad(path, len(value), f"should have at least {schema['minItems']} items")
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        yield _too_many(path, len(value), schema["maxItems"])


def correlated(schema: Schema, value: list[Any], old: Any) -> list[Any]:
    """Return what each item was before, where items have names."""
    keys = schema.get("x-kubernetes-list-map-keys")
    if not keys or not isinstance(old, list):
        return [UNSAID] * len(value)
    before = {_name(item, keys): item for item in old}
    return [before.get(_name(item, keys), UNSAID) for item in value]


def _name(item: Any, keys: list[str]) -> str:
    return json.dumps([item.get(key) for key in keys] if isinstance(item, dict) else item, sort_keys=True)


def _too_many(path: str, found: int, most: int) -> status.Cause:
    message = f"Too many: {found}: must have at most {most} item{'' if most == 1 else 's'}"
    return status.Cause(field=path, reason="FieldValueTooMany", message=message)


def _object(schema: Schema, value: dict[str, Any], old: Any, path: str) -> Causes:
    if len(value) < schema.get("minProperties", 0):
        yield _bad(path, len(value), f"should have at least {schema['minProperties']} properties")
        return
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        yield _too_many(path, len(value), schema["maxProperties"])
        return
    before = old if isinstance(old, dict) else {}
    properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, item in value.items():
        below = properties.get(name, more if isinstance(more, dict) else None)
        if below is not None:
            yield from _node(below, item, before.get(name, UNSAID), f"{path}.{name}" if path else name)
    for name in schema.get("required") or ():
        if name not in value:
            yield status.required(f"{path}.{name}" if path else name)


def _choices(schema: Schema, value: Any, path: str) -> Causes:
    yield from _any_of(schema.get("anyOf") or (), value, path)
    yield from _one_of(schema.get("oneOf") or (), value, path)
    results = [list(_node(each, value, UNSAID, path)) for each in schema.get("allOf") or ()]
    for result in results:
        yield from result
    if any(results):
        none = ". None validated" if all(results) else ""
        yield _choice(f'"{path}" must validate all the schemas (allOf){none}')
    if "not" in schema and not list(_node(schema["not"], value, UNSAID, path)):
        yield _choice(f'"{path}" must not validate the schema (not)')


def _any_of(schemas: Sequence[Schema], value: Any, path: str) -> Causes:
    results = [list(_node(each, value, UNSAID, path)) for each in schemas]
    if results and all(results):
        yield _choice(f'"{path}" must validate at least one schema (anyOf)')
        yield from min(results, key=len)


def _one_of(schemas: Sequence[Schema], value: Any, path: str) -> Causes:
    results = [list(_node(each, value, UNSAID, path)) for each in schemas]
    valid = sum(not result for result in results)
    if not results or valid == 1:
        return
    found = f"Found {valid} valid alternatives" if valid else "Found none valid"
    yield _choice(f'"{path}" must validate one and only one schema (oneOf). {found}')
    if not valid:
        yield from min(results, key=len)


def _choice(words: str) -> status.Cause:
    return status.bad(NOWHERE, "", words)


def _uniqueness(schema: Schema, value: Any, path: str) -> Causes:
    """Items of sets, and names of items of maps, of which there may be one each."""
    if isinstance(value, list):
        yield from _duplicates(schema, value, path)
        for index, item in enumerate(value):
            yield from _uniqueness(schema.get("items") or {}, item, f"{path}[{index}]")
    elif isinstance(value, dict):
        properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, item in value.items():
            below = properties.get(name, more if isinstance(more, dict) else {})
            yield from _uniqueness(below, item, f"{path}.{name}" if path else name)


def _duplicates(schema: Schema, value: list[Any], path: str) -> Causes:
    list_type = schema.get("x-kubernetes-list-type")
    if list_type not in {"set", "map"}:
        return
    keys = schema.get("x-kubernetes-list-map-keys") or []
    counts: dict[str, int] = {}
    for index, item in enumerate(value):
        named = list_type == "map" and isinstance(item, dict)
        name = {key: item[key] for key in keys if key in item} if named else item
        text = json.dumps(name, sort_keys=True)
        counts[text] = counts.get(text, 0) + 1
        if counts[text] == 2:
            yield status.duplicate(f"{path}[{index}]", name)
