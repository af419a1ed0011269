"""A protobuf body -> plain values: what ``kubectl create`` and other Go clients send without asking first.

The field numbers are in ``wire.json``, written by ``tests/contract/kubernetes_api/wire_source.py`` from kubectl's own
type tags. Only reading: answers are JSON, which every client's Accept header admits. The envelope is
k8s.io/apimachinery's ``runtime.Unknown``.
"""

import base64
import functools
import json
import pathlib
import struct
from collections.abc import Iterator
from typing import Any

from comparisons.lab import clock
from comparisons.lab.api import status

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
MAX_DEPTH = 64
"""As ``decoding.MAX_DEPTH``."""
_ENVELOPE: dict[str, list[str]] = {"1": ["typeMeta", "typeMeta"], "2": ["raw", "bytes"]}
_TYPE_META: dict[str, list[str]] = {"1": ["apiVersion", "string"], "2": ["kind", "string"]}

Value = dict[str, Any]
_Row = list[str]


class _Malformed(Exception):  # noqa: N818  # it reads as what happened
    pass


@functools.cache
def _messages() -> dict[str, dict[str, _Row]]:
    loaded: dict[str, dict[str, _Row]] = json.loads(pathlib.Path(__file__).with_name("wire.json").read_text())
    return {**loaded, "envelope": _ENVELOPE, "typeMeta": _TYPE_META}


def decode(body: bytes) -> Value:
    """Return the object in an envelope; raises Refused (400)."""
    try:
        envelope = _message(_unwrapped(body), "envelope", 0)
        said = envelope.get("typeMeta", {})
        shape = _messages()["roots"].get(f"{said.get('apiVersion')}/{said.get('kind')}") or _anywhere(
            said.get("kind", "")
        )
        return {**_message(base64.b64decode(envelope.get("raw", "")), str(shape), 0), **said}
    except (_Malformed, struct.error, IndexError, UnicodeDecodeError, OverflowError, OSError, ValueError) as error:
        raise status.bad_request(f"the object provided is unrecognized: protobuf parse error: {error}") from error


def _unwrapped(body: bytes) -> bytes:
    if not body.startswith(MAGIC):
        raise _Malformed("provided data does not appear to be a protobuf message, expected prefix k8s")
    return body[len(MAGIC) :]


def _anywhere(kind: str) -> str:
    """Options carry the version of the group that they are sent to, not their own."""
    found = f"meta/v1.{kind}"
    if found not in _messages():
        raise _Malformed(f"no kind {kind!r} is known")
    return found


def _message(data: bytes, shape: str, depth: int) -> Value:
    if depth > MAX_DEPTH:
        raise _Malformed("nested too deeply")
    found: Value = {}
    rows = _messages()[shape]
    for number, raw in _fields(data):
        row = rows.get(str(number))
        if row is not None:
            _add(found, row, raw, depth)
    return found


def _add(found: Value, row: _Row, raw: int | bytes, depth: int) -> None:
    name, kind, *marks = row
    if "map" in marks:
        key, value = _entry(raw, kind, depth)
        found.setdefault(name, {})[key] = value
        return
    value = _value(raw, kind, depth)
    if not name:  # embedded: its fields are ours
        found.update(value)
    elif "list" in marks:
        found.setdefault(name, []).append(value)
    elif value is not None and not ("omit" in marks and value in ("", 0, False)):
        found[name] = value


def _entry(raw: int | bytes, kind: str, depth: int) -> tuple[str, Any]:
    parts = dict(_fields(_bytes(raw)))
    value = _value(parts.get(2, b""), kind, depth)
    return _bytes(parts.get(1, b"")).decode(), value


def _value(raw: int | bytes, kind: str, depth: int) -> Any:  # noqa: PLR0911  # one line a kind
    match kind:
        case "int":
            return _signed(raw)
        case "bool":
            return bool(raw)
        case "string":
            return _bytes(raw).decode()
        case "bytes":
            return base64.b64encode(_bytes(raw)).decode()
        case "time":
            return _time(dict(_fields(_bytes(raw))))
        case "quantity":
            return _bytes(dict(_fields(_bytes(raw))).get(1, b"")).decode() or "0"
        case "intOrString":
            parts = dict(_fields(_bytes(raw)))
            return _bytes(parts.get(3, b"")).decode() if parts.get(1) else _signed(parts.get(2, 0))
        case "json":
            text = _bytes(dict(_fields(_bytes(raw))).get(1, b""))
            return json.loads(text) if text else {}
        case _:
            return _message(_bytes(raw), kind, depth + 1)


def _time(parts: dict[int, int | bytes]) -> str | None:
    """Return a moment; the zero time of Go is an empty message."""
    if not parts:
        return None
    at_wall_ns = _signed(parts.get(1, 0)) * 10**9 + _signed(parts.get(2, 0))
    return clock.rfc3339_nano(at_wall_ns) if at_wall_ns % 10**9 else clock.rfc3339(at_wall_ns)


def _bytes(raw: int | bytes) -> bytes:
    if not isinstance(raw, bytes):
        raise _Malformed("a number where a length was expected")
    return raw


def _signed(raw: int | bytes) -> int:
    if not isinstance(raw, int):
        raise _Malformed("a length where a number was expected")
    return raw - 2**64 if raw >= 2**63 else raw


FIXED64 = 1


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Return (number, value) of each field, in order."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        match key & 7:
            case 0:
                value, place = _varint(data, place)
                yield key >> 3, value
            case 2:
                length, place = _varint(data, place)
                if place + length > len(data):
                    raise _Malformed("unexpected end of message")
                yield key >> 3, data[place : place + length]
                place += length
            case 1 | 5 as fixed:  # no kind has such a field: skipped
                place += 8 if fixed == FIXED64 else 4
            case other:
                raise _Malformed(f"unknown wire type {other}")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:  # the last one
            return value & (2**64 - 1), place
        if shift > 63:  # ten bytes hold 64 bits
            raise _Malformed("a number of more than 64 bits")
