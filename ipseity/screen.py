"""A terminal whose content is redrawn in place, and put back as it was.

Here because a live table must not scroll: it is drawn on the terminal's second screen, line over line so that nothing
flickers, and what was last seen stays in the scroll-back when it ends. Leaves out what is drawn.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self, TextIO

from ipseity import table

_ENTER: Final = "\x1b[?1049h\x1b[?25l"  # second screen, no cursor
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_CLEAR_LINE: Final = "\x1b[K"
_CLEAR_BELOW: Final = "\x1b[J"
_AGREED: Final = os.terminal_size((table.WIDTH, 24))
"""Of what is no terminal."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where an answer goes, and what that allows."""

    stream: TextIO
    terminal: bool
    colour: bool

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str]) -> Self:
        """Look at a stream. Colour is for terminals, unless NO_COLOR (no-color.org) or a dumb one forbid it."""
        terminal = stream.isatty()
        plain = bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
        return cls(stream=stream, terminal=terminal, colour=terminal and not plain)

    def size(self) -> os.terminal_size:
        """Give columns and lines; asked each time, since a window may be resized."""
        if not self.terminal:
            return _AGREED
        try:
            found = os.get_terminal_size(self.stream.fileno())
        except OSError:
            return _AGREED
        return found if found.columns and found.lines else _AGREED  # a terminal that nobody sized says 0 x 0

    def print(self, lines: Iterable[str]) -> None:
        """Write lines and let them go at once: somebody may wait for each."""
        self.stream.writelines(f"{line}\n" for line in lines)
        self.stream.flush()


class Screen:
    """Draws lines in place; leaves the last drawing behind."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._last: Sequence[str] = ()

    def __enter__(self) -> Self:
        self._page.stream.write(_ENTER)
        self._page.stream.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._page.stream.write(_LEAVE)
        self._page.print(self._last)

    def draw(self, lines: Sequence[str], footer: str) -> None:
        """Draw as many lines as there is room for, and the footer below."""
        self._last = [*lines, footer]
        room = max(2, self._page.size().lines - 2)
        shown = list(lines[:room])
        if len(lines) > room:
            shown[-1] = f"... {len(lines) - room + 1} more rows; a longer window or a filter shows them"
        body = "".join(f"{line}{_CLEAR_LINE}\n" for line in [*shown, footer])
        self._page.stream.write(_HOME + body.rstrip("\n") + _CLEAR_BELOW)
        self._page.stream.flush()
