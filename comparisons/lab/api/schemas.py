"""Whether a CustomResourceDefinition's schema is structural: every field has one type, said in one place.

As k8s.io/apiextensions-apiserver/pkg/apiserver/schema/validation.go and the schema part of its definitions'
validation. What it passes ``conforming``, ``shapes`` and ``schema_validation`` rely on. Pure. Leaves out the other
fields of a definition: ``definition_validation``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from comparisons.lab.api import conforming, go_patterns, schema_rules, schema_validation, status

Schema = Mapping[str, Any]
Causes = Iterator[status.Cause]

TYPES = ("array", "boolean", "integer", "number", "object", "string")
INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
"""The one choice of schemas in which types may be named."""
_PRESERVE, _EMBEDDED = conforming.PRESERVE, conforming.EMBEDDED
_INT_OR_STRING, _LIST_TYPE, _MAP_KEYS = (
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)
_UNSUPPORTED = ("$ref", "$schema", "id", "definitions", "dependencies", "patternProperties", "additionalItems")
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_NESTED_EMPTY = ("type", "additionalProperties", "default", "title", "description", "nullable", "externalDocs")
"""What a schema inside of a choice may not say, beside the extensions."""


def check(schema: Schema, path: str) -> list[status.Cause]:
    """Return everything that keeps the schema from being structural."""
    causes = [*_fields(schema, path), *_structure(schema, path, _root), *_complete(schema, path)]
    if not causes:  # what comes next relies on the form
        causes = [*_defaults(schema, path), *_rules(schema, path)]
    return causes


def _below(schema: Schema, path: str) -> Iterator[tuple[Schema, str]]:
    """Yield the schemas of fields, entries and items."""
    for name, each in (schema.get("properties") or {}).items():
        yield each, f"{path}.properties[{name}]"
    for part in ("additionalProperties", "items"):
        if isinstance(schema.get(part), dict):
            yield schema[part], f"{path}.{part}"


def _junctors(schema: Schema, path: str) -> Iterator[tuple[Schema, str]]:
    """Yield the schemas that the value must also fulfil."""
    for part in _JUNCTORS:
        for index, each in enumerate(schema.get(part) or ()):
            yield each, f"{path}.{part}[{index}]"
    if "not" in schema:
        yield schema["not"], f"{path}.not"


def _fields(schema: Schema, path: str) -> Causes:
    """Look for what is refused anywhere in a schema."""
    for part in _UNSUPPORTED:
        if schema.get(part):
            yield status.forbidden_field(f"{path}.{part}", f"{part} is not supported")
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield status.forbidden_field(f"{path}.uniqueItems", why)
    if schema.get("type") == "null":
        yield status.forbidden_field(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    elif schema.get("type") and schema["type"] not in TYPES:
        yield status.unsupported(f"{path}.type", schema["type"], TYPES)
    if schema.get("properties") and "additionalProperties" in schema:
        why = "additionalProperties and properties are mutual exclusive"
        yield status.forbidden_field(f"{path}.additionalProperties", why)
    yield from _pattern(schema, path)
    for below, where in (*_below(schema, path), *_junctors(schema, path)):
        yield from _fields(below, where)


def _pattern(schema: Schema, path: str) -> Causes:
    try:
        go_patterns.compiled(schema.get("pattern", ""))
    except go_patterns.BadPattern as error:
        why = f"must be a valid regular expression, but isn't: {error}"
        yield status.bad(f"{path}.pattern", schema["pattern"], why)


def _structure(schema: Schema, path: str, level: "Level") -> Causes:
    yield from level(schema, path)
    yield from _extensions(schema, path)
    yield from _lists(schema, path)
    if schema.get("type") == "array" and "items" not in schema:
        yield status.required(f"{path}.items", "must be specified")
    for below, where in _below(schema, path):
        yield from _structure(below, where, _item if where.endswith(".items") else _field)
    yield from _nested_in(schema, path)


Level = Callable[[Schema, str], Causes]


def _root(schema: Schema, path: str) -> Causes:
    yield from _typed(schema, path, "must not be empty at the root")
    if schema.get("type") not in {None, "object"}:
        yield status.bad(f"{path}.type", schema["type"], "must be object at the root")
    if "additionalProperties" in schema:
        yield status.forbidden_field(f"{path}.additionalProperties", "must not be used at the root")
    meta = (schema.get("properties") or {}).get("metadata")
    if meta is not None:
        said = {key for key, value in meta.items() if value and key not in {"type", "properties"}}
        if said or set(meta.get("properties") or ()) - {"name", "generateName"}:
            why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield status.forbidden_field(f"{path}.properties[metadata]", why)
    yield from _type_fields(schema, path)


def _field(schema: Schema, path: str) -> Causes:
    yield from _typed(schema, path, "must not be empty for specified object fields")


def _item(schema: Schema, path: str) -> Causes:
    yield from _typed(schema, path, "must not be empty for specified array items")


def _typed(schema: Schema, path: str, words: str) -> Causes:
    if schema.get(_EMBEDDED) and schema.get("type") != "object":
        yield status.required(f"{path}.type", f"must be object if {_EMBEDDED} is true")
    elif not schema.get("type") and not schema.get(_INT_OR_STRING) and not schema.get(_PRESERVE):
        yield status.required(f"{path}.type", words)


def _type_fields(schema: Schema, path: str) -> Causes:
    """Look at the fields that an object has anyway: they can only be what they are."""
    for name, wanted in (("apiVersion", "string"), ("kind", "string"), ("metadata", "object")):
        said = (schema.get("properties") or {}).get(name)
        if said is not None and said.get("type") != wanted:
            yield status.bad(f"{path}.properties[{name}].type", said.get("type", ""), f"must be {wanted}")


def _extensions(schema: Schema, path: str) -> Causes:
    for other in (_PRESERVE, _EMBEDDED):
        if schema.get(_INT_OR_STRING) and schema.get(other):
            yield status.bad(f"{path}.{other}", value=True, detail=f"must be false if {_INT_OR_STRING} is true")
    if schema.get(_EMBEDDED):
        yield from _type_fields(schema, path)
        if "additionalProperties" in schema:
            yield status.forbidden_field(f"{path}.additionalProperties", f"must not be used if {_EMBEDDED} is set")
        if not schema.get(_PRESERVE) and not schema.get("properties"):
            why = f"must not be empty if {_EMBEDDED} is true without {_PRESERVE}"
            yield status.required(f"{path}.properties", why)
    if schema.get("x-kubernetes-map-type") not in {None, "atomic", "granular"}:
        said = schema["x-kubernetes-map-type"]
        yield status.unsupported(f"{path}.x-kubernetes-map-type", said, ["atomic", "granular"])


def _lists(schema: Schema, path: str) -> Causes:
    list_type, keys = schema.get(_LIST_TYPE), schema.get(_MAP_KEYS) or []
    if list_type not in {None, "atomic", "set", "map"}:
        yield status.unsupported(f"{path}.{_LIST_TYPE}", list_type, ["atomic", "set", "map"])
    if list_type and schema.get("type") != "array":
        yield status.bad(f"{path}.type", schema.get("type", ""), f"must be array if {_LIST_TYPE} is {list_type}")
    if list_type == "map" and not keys:
        yield status.required(f"{path}.{_MAP_KEYS}", f"must not be empty if {_LIST_TYPE} is map")
    if keys and list_type != "map":
        yield status.bad(f"{path}.{_LIST_TYPE}", list_type or "", f"must be map if {_MAP_KEYS} is non-empty")
    if list_type == "map" and isinstance(schema.get("items"), dict):
        yield from _map_keys(schema["items"], keys, path)
    if list_type == "set" and not _is_whole(schema.get("items") or {}):
        why = "must be atomic as item of a list with x-kubernetes-list-type=set"
        yield status.bad(f"{path}.items.x-kubernetes-map-type", "", why)


def _is_whole(items: Schema) -> bool:
    """Whether an item has one owner as a whole, so that it can be a member of a set."""
    return (items.get("type") != "object" or items.get("x-kubernetes-map-type") == "atomic") and (
        items.get("type") != "array" or items.get(_LIST_TYPE, "atomic") == "atomic"
    )


def _map_keys(items: Schema, keys: Sequence[str], path: str) -> Causes:
    properties, required = items.get("properties") or {}, items.get("required") or ()
    if items.get("type") != "object":
        why = f"must be object if parent array's {_LIST_TYPE} is map"
        yield status.bad(f"{path}.items.type", items.get("type", ""), why)
    for index, key in enumerate(keys):
        if key not in properties:
            yield status.bad(f"{path}.{_MAP_KEYS}[{index}]", key, "entries must all be names of item properties")
        elif properties[key].get("type") in {"array", "object"}:
            where = f"{path}.items.properties[{key}].type"
            yield status.bad(where, properties[key]["type"], "must be a scalar type if parent array's list type is map")
        elif key not in required and "default" not in properties[key]:
            why = f"this property is in {_MAP_KEYS}, so it must have a default or be a required property"
            yield status.required(f"{path}.items.properties[{key}].default", why)


def _nested_in(schema: Schema, path: str) -> Causes:
    """Schemas inside of choices say only what a value must fulfil, not what it is."""
    excepted = set()
    if schema.get(_INT_OR_STRING):
        first = (schema.get("allOf") or [{}])[0]
        excepted |= {f"{path}.anyOf[0]", f"{path}.anyOf[1]"} if schema.get("anyOf") == INT_OR_STRING else set()
        if first.get("anyOf") == INT_OR_STRING:
            excepted |= {f"{path}.allOf[0].anyOf[0]", f"{path}.allOf[0].anyOf[1]"}
    for each, where in _junctors(schema, path):
        yield from _nested(each, where, excepted)


def _nested(schema: Schema, path: str, excepted: set[str]) -> Causes:
    if path not in excepted:
        for part in (*_NESTED_EMPTY, *(key for key in schema if key.startswith("x-kubernetes-"))):
            if schema.get(part) not in (None, False, "", [], {}):
                yield status.forbidden_field(f"{path}.{part}", _nested_words(part))
    if "metadata" in (schema.get("properties") or {}):
        yield status.forbidden_field(f"{path}.properties[metadata]", "must not be specified in a nested context")
    for each, where in (*_below(schema, path), *_junctors(schema, path)):
        yield from _nested(each, where, excepted)


def _nested_words(part: str) -> str:
    if part in {"type", "title", "description", _MAP_KEYS, "x-kubernetes-validations"}:
        return "must be empty to be structural"
    boolean = part in {"nullable", _PRESERVE, _EMBEDDED, _INT_OR_STRING}
    return "must be false to be structural" if boolean else "must be undefined to be structural"


def _complete(schema: Schema, path: str) -> Causes:
    """Every field that a choice speaks of must also have its own place."""
    for each, where in _junctors(schema, path):
        yield from _specified(each, where, schema, path)
    for below, where in _below(schema, path):
        yield from _complete(below, where)


def _specified(nested: Schema, where: str, schema: Schema, path: str) -> Causes:
    for name, each in (nested.get("properties") or {}).items():
        found, here = (schema.get("properties") or {}).get(name), f"{path}.properties[{name}]"
        if found is not None:
            yield from _specified(each, f"{where}.properties[{name}]", found, here)
        elif not schema.get(_PRESERVE):
            yield status.required(here, f"because it is defined in {where}.properties[{name}]")
    if isinstance(nested.get("items"), dict):
        if isinstance(schema.get("items"), dict):
            yield from _specified(nested["items"], f"{where}.items", schema["items"], f"{path}.items")
        else:
            yield status.required(f"{path}.items", f"because it is defined in {where}.items")
    for each, below in _junctors(nested, where):
        yield from _specified(each, below, schema, path)


def _defaults(schema: Schema, path: str) -> Causes:
    if "default" in schema:
        yield from _default(schema, f"{path}.default")
    for below, where in _below(schema, path):
        yield from _defaults(below, where)


def _default(schema: Schema, path: str) -> Causes:
    try:
        value = conforming.plain(schema["default"])
    except conforming.NoJson as error:
        yield status.bad(path, "", str(error))
        return
    unknown: list[str] = []
    kept = conforming.pruned(schema, value, unknown) if isinstance(value, dict) else value
    if unknown:
        yield status.bad(path, schema["default"], "must not have unknown fields")
    conforming.fill(schema, kept)
    for cause in schema_validation.check(schema, kept):
        field = path if cause.field in {schema_validation.NOWHERE, ""} else f"{path}.{cause.field}"
        yield status.Cause(field=field, reason=cause.reason, message=cause.message)


def _rules(schema: Schema, path: str) -> Causes:
    yield from schema_rules.check(schema, f"{path}.x-kubernetes-validations")
    for below, where in _below(schema, path):
        yield from _rules(below, where)
