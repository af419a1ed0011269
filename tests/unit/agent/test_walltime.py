"""agent/walltime: times as records and people write them. Left out: the clock, which it does not read."""

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import walltime

NOW = 1_795_352_400_123_456_789
"""2026-11-22T13:00:00.123456789Z."""
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


@given(st.integers(0, 4_102_444_800 * 10**9))
def test_what_is_written_is_read(wall_ns: int) -> None:
    """Not one nanosecond is lost."""
    assert wall_ns == walltime.parse(walltime.text(wall_ns))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-11-22T13:00:00Z", 1_795_352_400_000_000_000),
        ("2026-11-22T14:00:00+01:00", 1_795_352_400_000_000_000),
        ("2026-11-22T13:00:00.5Z", 1_795_352_400_500_000_000),
    ],
)
def test_rfc_3339(written: str, expected: int) -> None:
    """What other programs write."""
    assert expected == walltime.parse(written)


@pytest.mark.parametrize("written", ["", "noon", "2026-11-22T13:00:00", "5m", "2026-13-01T00:00:00Z"])
def test_only_whole_times_are_exact(written: str) -> None:
    """A time without its zone is nobody's time."""
    with pytest.raises(ValueError, match=r".+"):
        walltime.parse(written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("5m", NOW - 300 * 10**9),
        ("1h30m", NOW - 5400 * 10**9),
        ("250ms", NOW - 250 * 10**6),
        ("1.5s", NOW - 1500 * 10**6),
        ("13:00:00", 1_795_352_400_000_000_000 - 3600 * 10**9),
        ("14:00:00", 1_795_352_400_000_000_000),
        ("14:00", 1_795_352_400_000_000_000),
        ("14:00:00.123", 1_795_352_400_123_000_000),
        ("14:00:01", 1_795_352_400_000_000_000 - 86_399 * 10**9),
        ("9:00", 1_795_352_400_000_000_000 - 5 * 3600 * 10**9),
        ("2026-11-22T13:00:00Z", 1_795_352_400_000_000_000),
        ("2026-11-22 14:00:00", 1_795_352_400_000_000_000),
        ("2026-11-22", 1_795_352_400_000_000_000 - 14 * 3600 * 10**9),
    ],
)
def test_what_a_person_types(written: str, expected: int) -> None:
    """A time ago; a time of day, today or else yesterday; a date and time in this zone or its own."""
    assert expected == walltime.parse_near(written, NOW, BERLIN)


@pytest.mark.parametrize(
    "written", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9" * 12 + "d", "9" * 400 + "d"]
)
def test_a_time_that_nobody_can_spell_is_refused(written: str) -> None:
    """Before the year 1 or after 9999; also longer ago than a float can say."""
    with pytest.raises(ValueError, match=r"not in the years 1 to 9999|longer ago than any time"):
        walltime.parse_near(written, NOW, BERLIN)


@pytest.mark.parametrize("written", ["", "5", "m", "25:00", "12:60", "yesterday", "-5m"])
def test_what_is_no_time_says_how_to_write_one(written: str) -> None:
    """The message shows the forms."""
    with pytest.raises(ValueError, match=r"write 5m, 12:03:07 or 2026-11-22T12:03:07Z|must be in"):
        walltime.parse_near(written, NOW, BERLIN)


def test_time_of_day_for_a_person() -> None:
    """To the millisecond, in the given zone."""
    assert walltime.clock(NOW, BERLIN) == "14:00:00.123"
    assert walltime.clock(NOW, dt.UTC) == "13:00:00.123"


def test_the_machine_s_own_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a zone it is the machine's, both ways."""
    assert walltime.parse_near(walltime.clock(NOW), NOW) == NOW // 10**6 * 10**6
