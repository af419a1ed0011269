"""Tables that people like to read: aligned, humanised, in colour where there is a terminal to show it.

Here because every command that lists something should look the same, and a library for it costs more memory and
start-up time than the commands themselves. Leaves out what is listed (``columns``) and where it goes.
"""

import dataclasses
import enum
import textwrap
from collections.abc import Sequence
from typing import Final, NamedTuple

WIDTH: Final = 100
_GAP: Final = "  "
_MIN_SHRUNK: Final = 10
_ELLIPSIS: Final = "…"
_RESET: Final = "\x1b[0m"
_STEP: Final = 1000
_SMALL_US: Final = 100
_US_PER_MS: Final = 1000
_US_PER_S: Final = 1_000_000
_S_PER_MIN: Final = 60


class Colour(enum.StrEnum):
    """ANSI codes that every terminal has."""

    NONE = ""
    BOLD = "\x1b[1m"
    DIM = "\x1b[2m"
    RED = "\x1b[31m"
    GREEN = "\x1b[32m"
    YELLOW = "\x1b[33m"


class Cell(NamedTuple):
    """Text, and the colour that it means."""

    text: str
    colour: Colour = Colour.NONE


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """How one column is laid out."""

    title: str
    right: bool = False
    """Numbers are right-aligned."""
    shrinks: bool = False
    """May be cut in the middle where the table would be too wide."""
    width: int = 0
    """At least this wide: for lines that are written before the next is known."""


class Layout:
    """Columns with their widths settled."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, width: int | None) -> None:
        self._columns = columns
        self._widths = _fit(columns, _natural(columns, rows), width)

    def header(self, *, colour: bool) -> str:
        """Give the line of titles."""
        return self.line([Cell(column.title, Colour.BOLD) for column in self._columns], colour=colour)

    def line(self, cells: Sequence[Cell], *, colour: bool) -> str:
        """Give one row, without a line end."""
        parts = []
        for cell, column, width in zip(cells, self._columns, self._widths, strict=True):
            text = _shorten(printable(cell.text), width) if column.shrinks else printable(cell.text)
            padding = " " * (width - len(text))
            painted = paint(text, cell.colour) if colour else text
            parts.append(padding + painted if column.right else painted + padding)
        return _GAP.join(parts).rstrip()


def lines(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, width: int | None = WIDTH, colour: bool
) -> list[str]:
    """Lay out a whole table."""
    layout = Layout(columns, rows, width=width)
    return [layout.header(colour=colour), *(layout.line(row, colour=colour) for row in rows)]


def paint(text: str, colour: Colour) -> str:
    """Colour a text."""
    return f"{colour}{text}{_RESET}" if colour and text else text


def printable(text: str) -> str:
    """Replace what could move a cursor or change a colour: names come from whoever may create a cgroup."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def wrapped(text: str, width: int) -> list[str]:
    """Break a sentence into lines."""
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def _natural(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[int]:
    widths = [max(len(column.title), column.width) for column in columns]
    for row in rows:
        widths = [max(width, len(cell.text)) for width, cell in zip(widths, row, strict=True)]
    return widths


def _fit(columns: Sequence[Column], widths: list[int], width: int | None) -> list[int]:
    """Take from the widest column that may shrink, one by one, until it fits or nothing more can be taken."""
    fitted = list(widths)
    if width is None:
        return fitted
    spare = width - len(_GAP) * (len(columns) - 1)
    while sum(fitted) > spare:
        able = [n for n, column in enumerate(columns) if column.shrinks and fitted[n] > _least(column)]
        if not able:
            break
        fitted[max(able, key=fitted.__getitem__)] -= 1
    return fitted


def _least(column: Column) -> int:
    return max(_MIN_SHRUNK, len(column.title))


def _shorten(text: str, width: int) -> str:
    """Cut out the middle: names differ at both ends."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return text[: width - 1 - tail] + _ELLIPSIS + (text[-tail:] if tail else "")


def size(count: int) -> str:
    """Spell bytes: 999 B, 48.0 kB, 310 kB, 1.2 MB."""
    return _scaled(count, ("B", "kB", "MB", "GB", "TB", "PB", "EB"))


def number(count: int) -> str:
    """Spell a count: exact while it is short, then 12.3 k."""
    return str(count) if count < 10 * _STEP else _scaled(count, ("", "k", "M", "G", "T", "P", "E"))


def _scaled(count: int, units: Sequence[str]) -> str:
    if count < _STEP:
        return f"{count} {units[0]}".rstrip()
    value = float(count)
    for unit in units[:-1]:
        if value < _STEP - 0.5:  # else it would be written as 1000
            return _short(value, unit)
        value /= _STEP
    return _short(value, units[-1])


def _short(value: float, unit: str) -> str:
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"  # 100.0 has a digit too many


def duration(microseconds: float) -> str:
    """Spell a time span: 64 us, 0.2 ms, 340 ms, 1.4 s, 3 min."""
    if microseconds < _SMALL_US:
        return f"{microseconds:.0f} us"
    if microseconds < _US_PER_S - 500:  # else it would be written as 1000 ms
        return _short(microseconds / _US_PER_MS, "ms")
    seconds = microseconds / _US_PER_S
    return f"{seconds:.1f} s" if seconds < _S_PER_MIN - 0.05 else f"{seconds / _S_PER_MIN:.0f} min"
