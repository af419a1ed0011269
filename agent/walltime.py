"""Wall-clock times as people and records write them.

Here because the flow record, the API's ``since`` and ``who-owned 10.7.0.9@12:03:07`` must mean the same instant.
A time is Unix nanoseconds (a float has no room for them). Leaves out the clock: ``now`` is an argument.
"""

import datetime as dt
import functools
import re
from typing import Final

_NS_PER_S: Final = 1_000_000_000
_YEARS_1_TO_9999_NS: Final = range(-62_135_596_800 * _NS_PER_S, 253_402_300_800 * _NS_PER_S)
"""What ``text`` can spell."""
_UNITS_NS: Final = {"ms": 10**6, "s": _NS_PER_S, "m": 60 * _NS_PER_S, "h": 3600 * _NS_PER_S, "d": 86400 * _NS_PER_S}
_AGO: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_AGO_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_CLOCK: Final = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?")
_FRACTION: Final = re.compile(r"\.(\d+)")


@functools.lru_cache(maxsize=1024)
def _second_text(second: int) -> str:
    return dt.datetime.fromtimestamp(second, tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def text(wall_ns: int) -> str:
    """Spell a time as RFC 3339, UTC, with nanoseconds."""
    second, rest = divmod(wall_ns, _NS_PER_S)
    return f"{_second_text(second)}.{rest:09d}Z"


def parse(written: str) -> int:
    """Read an RFC 3339 time with its zone. Raises ValueError."""
    moment = dt.datetime.fromisoformat(written)
    if moment.tzinfo is None:
        raise ValueError(f"{written!r} has no time zone; end it with Z for UTC")
    return _exact(moment, written)


def parse_near(written: str, now_ns: int, zone: dt.tzinfo | None = None) -> int:
    """Read what a person types: RFC 3339, "5m" (ago), or the time of day that was last (12:03:07). Raises ValueError.

    A time without a zone is in ``zone``; None is the machine's own.
    """
    if _AGO.fullmatch(written):
        try:
            ago_ns = sum(round(float(count) * _UNITS_NS[unit]) for count, unit in _AGO_PART.findall(written))
        except OverflowError:
            raise ValueError(f"{written!r} is longer ago than any time") from None
        return _spellable(now_ns - ago_ns, written)
    if _CLOCK.fullmatch(written):
        return _time_of_day(written, now_ns, zone)
    try:
        moment = dt.datetime.fromisoformat(written)
    except ValueError:
        raise ValueError(f"{written!r} is no time; write 5m, 12:03:07 or 2026-11-22T12:03:07Z") from None
    return _exact(moment if moment.tzinfo else _placed(moment, zone), written)


def clock(wall_ns: int, zone: dt.tzinfo | None = None) -> str:
    """Spell the time of day to the millisecond, for a person; None is the machine's own zone."""
    second, rest = divmod(wall_ns, _NS_PER_S)
    moment = dt.datetime.fromtimestamp(second, tz=dt.UTC).astimezone(zone)
    return f"{moment:%H:%M:%S}.{rest // 10**6:03d}"


def _time_of_day(written: str, now_ns: int, zone: dt.tzinfo | None) -> int:
    now = dt.datetime.fromtimestamp(now_ns // _NS_PER_S, tz=dt.UTC).astimezone(zone)
    of_day = dt.time.fromisoformat(written.zfill(5) if written.count(":") == 1 else written.rjust(8, "0"))
    moment = _placed(dt.datetime.combine(now.date(), of_day), zone)
    at_ns = _exact(moment, written)
    return at_ns if at_ns <= now_ns else _exact(moment - dt.timedelta(days=1), written)


def _placed(moment: dt.datetime, zone: dt.tzinfo | None) -> dt.datetime:
    return moment.replace(tzinfo=zone) if zone else moment.astimezone()


def _exact(moment: dt.datetime, written: str) -> int:
    """Give the nanoseconds, which ``datetime`` has no room for."""
    fraction = _FRACTION.search(written)
    rest = int(fraction[1][:9].ljust(9, "0")) if fraction else 0
    return _spellable(int(moment.replace(microsecond=0).timestamp()) * _NS_PER_S + rest, written)


def _spellable(wall_ns: int, written: str) -> int:
    if wall_ns not in _YEARS_1_TO_9999_NS:
        raise ValueError(f"{written!r} is not in the years 1 to 9999")
    return wall_ns
