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
"""Names of Kubernetes end long before; in characters, or bytes of ASCII."""
_ESCAPES: Final = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


class Sample(NamedTuple):
    """One line."""

    name: str
    labels: Mapping[str, str]
    value: float


class Sieve:
    """Keeps of bytes, as they come, the lines of the series that are wanted.

    Lines that are too long, or not in ASCII, which is what names of Kubernetes are made of, are passed over.
    """

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = frozenset(each.encode() for each in wanted)
        self._kept = bytearray()
        self._rest = b""
        self._too_long = False

    def __len__(self) -> int:
        """Give the bytes that are kept."""
        return len(self._kept)

    def feed(self, piece: bytes) -> None:
        """Take what comes next."""
        *whole, rest = (self._rest + piece).split(b"\n")
        for line in whole:
            if not self._too_long:
                self._look(line)
            self._too_long = False
        self._too_long = self._too_long or len(rest) > _MAX_LINE
        self._rest = b"" if self._too_long else rest

    def text(self) -> str:
        """End, and give what was kept."""
        self.feed(b"\n")
        return self._kept.decode("ascii")

    def _look(self, line: bytes) -> None:
        name = line.partition(b"{")[0].partition(b" ")[0]
        if name in self._wanted and len(line) <= _MAX_LINE and line.isascii():
            self._kept += line + b"\n"


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
