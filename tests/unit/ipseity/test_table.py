"""ipseity/table and ipseity/screen: layout and looks. Left out: which columns there are (test_observe.py)."""

import io
import os
import pty

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipseity import screen, table

NAME = table.Column(title="NAME", shrinks=True)
BYTES = table.Column(title="BYTES", right=True)


def lines(*rows: tuple[str, str], width: int | None = 100, colour: bool = False) -> list[str]:
    cells = [[table.Cell(name, table.Colour.GREEN), table.Cell(count)] for name, count in rows]
    return table.lines([NAME, BYTES], cells, width=width, colour=colour)


def test_columns_align_and_numbers_stand_right() -> None:
    """As people read numbers."""
    assert lines(("web", "1.2 MB"), ("client", "48 B")) == [
        "NAME     BYTES",
        "web     1.2 MB",
        "client    48 B",
    ]


def test_a_long_name_loses_its_middle() -> None:
    """Both ends of a name tell it apart; numbers are never cut."""
    written = lines(("a" * 40 + "z" * 40, "1.2 MB"), width=30)
    assert max(map(len, written)) == 30
    assert written[1] == "a" * 11 + "…" + "z" * 10 + "  1.2 MB"


def test_what_cannot_shrink_is_not_cut() -> None:
    """A window of ten columns gets a wide table rather than a wrong one."""
    assert lines(("a" * 40, "1" * 40), width=10)[1].endswith("1" * 40)
    assert "a" * 40 in lines(("a" * 40, "1"), width=None)[1]


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=9)), max_size=5))
def test_never_wider_than_asked_for(rows: list[tuple[str, str]]) -> None:
    """Whatever names there are; and one line is one line."""
    written = lines(*rows, width=40)
    assert len(written) == len(rows) + 1
    assert all(len(line) <= 40 and line.isprintable() for line in written)


def test_names_cannot_drive_the_terminal() -> None:
    """Anybody may create a cgroup whose name is an escape sequence."""
    assert "\x1b" not in lines(("\x1b[2Jgone", "1"), colour=False)[1]
    assert "?[2Jgone" in lines(("\x1b[2Jgone", "1"), colour=True)[1]


def test_colour_does_not_move_columns() -> None:
    """Codes have no width."""
    (_, plain), (_, painted) = lines(("web", "1")), lines(("web", "1"), colour=True)
    assert painted == plain.replace("web", "\x1b[32mweb\x1b[0m")


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (48_000, "48.0 kB"),
        (99_949, "99.9 kB"),
        (99_951, "100 kB"),
        (310_000, "310 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_200_000, "1.2 MB"),
        (10**15, "1.0 PB"),
        (10**21, "1000 EB"),
    ],
)
def test_sizes(count: int, expected: str) -> None:
    """Three digits and a unit."""
    assert expected == table.size(count)


@pytest.mark.parametrize(("count", "expected"), [(0, "0"), (9_999, "9999"), (12_345, "12.3 k"), (1_200_000, "1.2 M")])
def test_numbers(count: int, expected: str) -> None:
    """Exact for as long as that is short."""
    assert expected == table.number(count)


@pytest.mark.parametrize(
    ("microseconds", "expected"),
    [
        (0, "0 us"),
        (64, "64 us"),
        (200, "0.2 ms"),
        (99_960, "100 ms"),
        (340_000, "340 ms"),
        (999_499, "999 ms"),
        (999_500, "1.0 s"),
        (1_400_000, "1.4 s"),
        (59_940_000, "59.9 s"),
        (59_960_000, "1 min"),
        (180_000_000, "3 min"),
    ],
)
def test_durations(microseconds: int, expected: str) -> None:
    """The unit that people would choose."""
    assert expected == table.duration(microseconds)


def test_a_pipe_is_plain_and_100_wide() -> None:
    """No terminal: no colour."""
    page = screen.Page.of(io.StringIO(), {})
    assert (page.terminal, page.colour, page.size().columns) == (False, False, 100)


@pytest.mark.parametrize(
    ("environ", "colour"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_a_terminal_has_colour_unless_told_no(environ: dict[str, str], colour: bool) -> None:  # noqa: FBT001  # a parameter
    """NO_COLOR counts if it is not empty, as no-color.org says."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        assert colour == screen.Page.of(stream, environ).colour
    os.close(ours)


def test_a_terminal_without_a_size() -> None:
    """A terminal that nobody sized is treated as the agreed page."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        assert screen.Page.of(stream, {}).size() == (100, 24)
    os.close(ours)


class Terminal(io.StringIO):
    """A stream that says it is a terminal and is none."""

    def isatty(self) -> bool:
        return True


def test_a_screen_is_put_back() -> None:
    """Second screen and hidden cursor are undone, and the last drawing stays."""
    stream = Terminal()
    with screen.Screen(screen.Page.of(stream, {})) as shown:
        shown.draw(["NAME", "web"], "footer")
    written = stream.getvalue()
    assert written.startswith("\x1b[?1049h\x1b[?25l")
    assert written.endswith("\x1b[?25h\x1b[?1049lNAME\nweb\nfooter\n")


def test_a_screen_does_not_scroll() -> None:
    """More rows than lines: as many as fit, and how many more there are."""
    stream = Terminal()
    with screen.Screen(screen.Page.of(stream, {})) as shown:
        shown.draw([f"row {n}" for n in range(100)], "footer")
    drawn = stream.getvalue().partition("\x1b[?25h")[0]
    assert "row 20" in drawn
    assert "row 21" not in drawn
    assert "79 more rows" in drawn
    assert drawn.count("\n") < 24
