"""Prometheus' text format, as Envoy writes it: the few series that are wanted, out of thousands.

Here because a library for it reads every line into objects, at a hundred times the cost, and a mesh has hundreds of
proxies. Leaves out what the series mean (``measured``).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

# Anybody may serve these bytes. What was matched is not tried again (possessive), so a line costs its length.
_QUOTED: Final = r'"(?:[^"\\]|\\.)*+"'
_LINE: Final = re.compile(
    rf"([a-zA-Z_:][a-zA-Z0-9_:]*+)(?:\{{((?:[^\"}}]|{_QUOTED})*+)\}})? ++([^ ]++)(?: ++-?[0-9]++)?"
)
_LABEL: Final = re.compile(rf"([a-zA-Z_][a-zA-Z0-9_]*+)=({_QUOTED}),?+")
_MAX_LINE: Final = 4096
"""Names of Kubernetes end long before; in characters."""
_ESCAPES: Final = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


class Sample(NamedTuple):
    """One line."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples(text: str, wanted: frozenset[str]) -> Iterator[Sample]:
    """Read the lines of the series that are wanted. A line that cannot be read is passed over: it is no sample."""
    for line in text.splitlines():
        if len(line) > _MAX_LINE:
            continue
        name = line.partition("{")[0].partition(" ")[0]
        if name not in wanted:
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        labels = _labels(found[2] or "")
        if labels is None:
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        yield Sample(name, labels, value)


def _labels(text: str) -> dict[str, str] | None:
    """Read label after label; None: there is something else among them."""
    labels: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _LABEL.match(text, at)
        if found is None:
            return None
        labels[found[1]] = re.sub(r"\\.", _unescaped, found[2][1:-1])
        at = found.end()
    return labels


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[0], found[0])
