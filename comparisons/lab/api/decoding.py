"""A request's body -> an object of the right shape; what does not fit is a 400, a 415 or a warning, never a traceback.

Unknown fields are dropped, as the real server does, and reported as ``fieldValidation`` asks: Strict refuses, Warn
(the default) adds a warning, Ignore is silent. Nulls, and lists and maps without entries, are dropped: to Go they are
zero values. An object of a custom kind is no Go struct: nulls and empty entries stay, types are its schema's matter.
Leaves out values (``validation``) and defaults (``defaulting``).
"""

import dataclasses
import enum
import math
from typing import Any

import msgspec
import yaml

from comparisons.lab import clock
from comparisons.lab.api import conforming, kinds, protobuf, shapes, status

JSON = "application/json"
YAML = "application/yaml"
BODIES = (JSON, YAML, protobuf.MEDIA_TYPE)
"""What a body that states an object may be in."""
MAX_DEPTH = conforming.MAX_DEPTH


class FieldValidation(enum.StrEnum):
    """What becomes of fields that the kind does not have."""

    STRICT = "Strict"
    WARN = "Warn"
    IGNORE = "Ignore"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """An object and what was wrong with it but tolerable."""

    value: dict[str, Any]
    warnings: tuple[str, ...] = ()


class _WrongType(Exception):  # noqa: N818  # it reads as what happened
    pass


def parse(body: bytes, media_type: str) -> Any:
    """Plain values out of JSON or YAML; raises Refused."""
    try:
        return _yaml(body) if media_type == YAML else msgspec.json.decode(body)
    except (msgspec.DecodeError, yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise status.bad_request(
            f"the object provided is unrecognized: couldn't get version/kind; {media_type} parse error: {error}"
        ) from error


class _Loader(yaml.SafeLoader):
    """YAML without aliases, by which a small body becomes a large object, and with times as the text that they are."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as the class above has it
        first: [each for each in rules if each[0] != "tag:yaml.org,2002:timestamp"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuses an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken")
        return super().compose_node(parent, index)


def _yaml(body: bytes) -> Any:
    """Most YAML that clients send is JSON, which is read a hundred times faster."""
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return yaml.load(body, _Loader)  # noqa: S506  # a SafeLoader, and stricter


def mapping(body: bytes, media_type: str) -> dict[str, Any]:
    """``parse`` where only an object makes sense; protobuf too."""
    if media_type == protobuf.MEDIA_TYPE:
        return protobuf.decode(body)
    value = parse(body, media_type)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise status.bad_request(f"the body of the request is not an object but a {_go_type(value)}")
    return value


def decode(value: dict[str, Any], kind: kinds.Kind, validation: FieldValidation) -> Decoded:
    """Shapes plain values as an object of that kind; raises Refused."""
    _check_kind(value, kind)
    if kind.custom is not None:
        return _custom(value, kind, kind.custom, validation)
    return shaped(
        {**value, "apiVersion": kind.api_version, "kind": kind.kind},
        kind.shape,
        kind.kind,
        kind.api_version,
        validation,
    )


def _custom(value: dict[str, Any], kind: kinds.Kind, custom: kinds.Custom, validation: FieldValidation) -> Decoded:
    """Keep what the schema knows; metadata is as everywhere."""
    unknown: list[str] = []
    where = _where(kind.kind, kind.api_version)
    try:
        body = {key: conforming.plain(part) for key, part in value.items() if key != "metadata"}
        meta = value.get("metadata")
        shaped_meta = _value({} if meta is None else meta, "V1ObjectMeta", "metadata", unknown, 0)
    except (_WrongType, conforming.NoJson) as error:
        raise status.bad_request(f"{where}: {error}") from error
    kept = conforming.pruned(custom.schema, body, unknown)
    head = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": shaped_meta}
    return _judged({**kept, **head}, where, unknown, validation)


def _check_kind(value: dict[str, Any], kind: kinds.Kind) -> None:
    said = (value.get("apiVersion", kind.api_version), value.get("kind", kind.kind))
    if said != (kind.api_version, kind.kind):
        message = f"the API version in the data ({said[0]}, Kind={said[1]}) does not match the expected API version"
        raise status.bad_request(f"{message} ({kind.api_version}, Kind={kind.kind})")


def shaped(value: dict[str, Any], shape: str, kind: str, api_version: str, validation: FieldValidation) -> Decoded:
    """Keep what the shape knows; raises Refused for wrong types, and for unknown fields under Strict."""
    unknown: list[str] = []
    where = _where(kind, api_version)
    try:
        kept = _struct(value, shape, "", unknown, 0)
    except _WrongType as error:
        raise status.bad_request(f"{where}: {error}") from error
    return _judged(kept, where, unknown, validation)


def _where(kind: str, api_version: str) -> str:
    return f'{kind} in version "{api_version.rpartition("/")[2]}" cannot be handled as a {kind}'


def _judged(kept: dict[str, Any], where: str, unknown: list[str], validation: FieldValidation) -> Decoded:
    if unknown and validation is FieldValidation.STRICT:
        raise status.bad_request(f"{where}: strict decoding error: " + ", ".join(unknown))
    return Decoded(value=kept, warnings=tuple(unknown) if validation is FieldValidation.WARN else ())


def _struct(value: dict[str, Any], shape: str, path: str, unknown: list[str], depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise _WrongType(f"json: {path} is nested too deeply")
    known = shapes.fields(shape)
    unknown += [f'unknown field "{_join(path, key)}"' for key in value if key not in known]
    kept = ((key, known[key], item) for key, item in value.items() if key in known and item is not None)
    made = {key: _field(item, field, _join(path, key), unknown, depth + 1) for key, field, item in kept}
    return {
        key: item
        for key, item in made.items()
        if item or not isinstance(item, list | dict) or shapes.is_struct(known[key].kind) or known[key].kind == "any"
    }


def _field(value: Any, field: shapes.Field, path: str, unknown: list[str], depth: int) -> Any:
    if field.quantity:
        return _quantities(value, path, field.kind)
    return _value(value, field.kind, path, unknown, depth)


def _value(value: Any, kind: str, path: str, unknown: list[str], depth: int) -> Any:
    if kind.startswith(shapes.LIST):
        items = _expect(value, list, path, kind)
        return [_value(item, kind[2:], f"{path}[{index}]", unknown, depth + 1) for index, item in enumerate(items)]
    if kind.startswith(shapes.MAP):
        entries = _expect(value, dict, path, kind)
        return {key: _value(item, kind[2:], _join(path, key), unknown, depth + 1) for key, item in entries.items()}
    if kind == "schemaOrBool":
        return value if isinstance(value, bool) else _value(value, "V1JSONSchemaProps", path, unknown, depth)
    if shapes.is_struct(kind):
        return _struct(_expect(value, dict, path, kind), kind, path, unknown, depth)
    return _scalar(value, kind, path)


def _scalar(value: Any, kind: str, path: str) -> Any:  # noqa: PLR0911  # one line a type
    match kind:
        case "string":
            return _expect(value, str, path, kind)
        case "bool":
            return _expect(value, bool, path, kind)
        case "int":
            return _integer(value, path, kind)
        case "number":
            return _number(value, path, kind)
        case "intOrString":
            return value if isinstance(value, str) else _integer(value, path, kind)
        case "time":
            return _moment(value, path, kind)
        case _:
            return value


def _integer(value: Any, path: str, kind: str) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not -(2**63) <= value < 2**63:
        raise _wrong(value, path, kind)
    return int(value)


def _number(value: Any, path: str, kind: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _wrong(value, path, kind)
    return value


def _moment(value: Any, path: str, kind: str) -> str:
    text: str = value.isoformat() if hasattr(value, "isoformat") else _expect(value, str, path, kind)
    try:
        clock.parse(text)
    except ValueError as error:
        raise _WrongType(f'parsing time "{text}" at {path}: not RFC 3339') from error
    return text


def _quantities(value: Any, path: str, kind: str) -> Any:
    if kind.startswith(shapes.MAP):
        entries = _expect(value, dict, path, kind)
        return {key: _quantity(item, _join(path, key), kind) for key, item in entries.items()}
    return _quantity(value, path, kind)


def _quantity(value: Any, path: str, kind: str) -> str:
    if isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return str(value)
    raise _wrong(value, path, kind)


def _expect(value: Any, wanted: type, path: str, kind: str) -> Any:
    if not isinstance(value, wanted):
        raise _wrong(value, path, kind)
    return value


def _wrong(value: object, path: str, kind: str) -> _WrongType:
    return _WrongType(f"json: cannot unmarshal {_go_type(value)} into Go struct field {path} of type {kind}")


def _go_type(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
