"""The JSON paths of definitions: ``.spec.replicas``, ``.status.conditions[?(@.type=="Ready")].status``.

What k8s.io/client-go/util/jsonpath knows and people write in printer columns and scale subresources: fields, quoted
fields, indexes, ``*``, and filters that compare one field. Pure.
"""

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

Step = Callable[[Any], Iterator[Any]]

_FIELD = re.compile(r"\.((?:\\.|[^.\[\]\\*])+)")
_QUOTED = re.compile(r"\[\s*(['\"])((?:\\.|(?!\1).)+)\1\s*\]")
_INDEX = re.compile(r"\[\s*(-?\d+)\s*\]")
_ALL = re.compile(r"\[\s*\*\s*\]|\.\*")
_FILTER = re.compile(r"\[\?\(\s*@(\.[^=!<>()\s]+)\s*(==|!=)\s*(['\"]?)(.*?)\3\s*\)\]")


class BadPath(ValueError):  # noqa: N818  # it reads as what happened
    """The path cannot be read; the text says where."""


@dataclasses.dataclass(frozen=True, slots=True)
class Path:
    """A path that was read."""

    steps: tuple[Step, ...]

    def find(self, value: Any) -> list[Any]:
        """Return what the path leads to, in order."""
        found = [value]
        for step in self.steps:
            found = [below for each in found for below in step(each)]
        return found

    def first(self, value: Any) -> Any:
        """Return the first of what it leads to; None if that is nothing."""
        return next(iter(self.find(value)), None)


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Path:
    """Return the path; raises BadPath."""
    rest = text.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if not rest.startswith((".", "[")):
        raise BadPath(f"{text!r} does not start with a dot")
    steps: list[Step] = []
    while rest not in {"", "."}:
        step, length = _step(rest, text)
        steps.append(step)
        rest = rest[length:]
    return Path(tuple(steps))


def _step(rest: str, whole: str) -> tuple[Step, int]:
    if found := _ALL.match(rest):
        return _every, found.end()
    if found := _FILTER.match(rest):
        wanted = found[4] if found[3] else _literal(found[4])
        return functools.partial(_chosen, parse(found[1]), wanted, found[2] == "=="), found.end()
    if found := _INDEX.match(rest):
        return functools.partial(_item, int(found[1])), found.end()
    if found := _QUOTED.match(rest) or _FIELD.match(rest):
        name = re.sub(r"\\(.)", r"\1", found[found.lastindex or 1])
        return functools.partial(_named, name), found.end()
    raise BadPath(f"{whole!r} cannot be read at {rest!r}")


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _named(name: str, value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and name in value:
        yield value[name]


def _item(index: int, value: Any) -> Iterator[Any]:
    if isinstance(value, list) and -len(value) <= index < len(value):
        yield value[index]


def _every(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield from value.values() if isinstance(value, dict) else value


def _chosen(path: Path, wanted: Any, equal: bool, value: Any) -> Iterator[Any]:  # noqa: FBT001  # a step's parameters
    for each in value if isinstance(value, list) else ():
        if (path.first(each) == wanted) is equal:
            yield each
