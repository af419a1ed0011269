"""MessagePack as Envoy writes it into a stream: values one after the other, and bytes that are not a whole one yet.

Here because the library at hand reads a text that is there in full, and a stream has no lengths in front. Only what
Envoy's Fluentd logger writes is read; anything else is ``Garbled``. Bounded by what is handed in.
https://github.com/msgpack/msgpack/blob/master/spec.md
"""

import struct
from typing import Any, Final

_NUMBERS: Final = dict(zip(range(0xCA, 0xD4), (f">{form}" for form in "fdBHIQbhiq"), strict=True))
"""Big endian: two floating, four unsigned, four signed."""
_CONSTANTS: Final = {0xC0: None, 0xC2: False, 0xC3: True}
_TEXTS: Final = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_LISTS: Final = {0xDC: ">H", 0xDD: ">I"}
_MAPS: Final = {0xDE: ">H", 0xDF: ">I"}
_DEEPEST: Final = 8
"""A message is four deep."""


class Short(Exception):  # noqa: N818  # it reads as what happened
    """The value is not here in full yet."""


class Garbled(Exception):  # noqa: N818  # as above
    """This is not what Envoy writes."""


def read(data: bytes, at: int = 0, *, depth: int = 0) -> tuple[Any, int]:
    """Read one value; gives it and where the next begins. Raises Short, Garbled."""
    if depth > _DEEPEST:
        raise Garbled(f"deeper than {_DEEPEST}")
    code, at = _bytes(data, at, 1)[0], at + 1
    if 0xA0 <= code <= 0xBF or code in _TEXTS:
        length, at = (code & 0x1F, at) if code <= 0xBF else _number(data, at, _TEXTS[code])
        return _bytes(data, at, length).decode(errors="replace"), at + length
    if 0x90 <= code <= 0x9F or code in _LISTS:
        length, at = (code & 0x0F, at) if code <= 0x9F else _number(data, at, _LISTS[code])
        return _values(data, at, length, depth)
    if 0x80 <= code <= 0x8F or code in _MAPS:
        length, at = (code & 0x0F, at) if code <= 0x8F else _number(data, at, _MAPS[code])
        flat, at = _values(data, at, 2 * length, depth)
        return dict(zip(map(str, flat[::2]), flat[1::2], strict=True)), at
    return _scalar(data, at, code)


def _scalar(data: bytes, at: int, code: int) -> tuple[Any, int]:
    if code < 0x80:
        return code, at
    if code >= 0xE0:
        return code - 0x100, at
    if code in _CONSTANTS:
        return _CONSTANTS[code], at
    if code in _NUMBERS:
        return _number(data, at, _NUMBERS[code])
    raise Garbled(f"a value that begins with {code:#x}")


def _values(data: bytes, at: int, count: int, depth: int) -> tuple[list[Any], int]:
    if count > len(data):  # each is a byte at least, and all of it must fit into what is handed in
        raise Short
    found = []
    for _ in range(count):
        value, at = read(data, at, depth=depth + 1)
        found.append(value)
    return found, at


def _number(data: bytes, at: int, form: str) -> tuple[Any, int]:
    size = struct.calcsize(form)
    return struct.unpack(form, _bytes(data, at, size))[0], at + size


def _bytes(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise Short
    return bytes(data[at : at + length])
