"""Ages as ``kubectl`` users know them: ``90s``, ``2m5s``, ``3h``, ``5d2h``.

After k8s.io/apimachinery/pkg/util/duration.
"""

from comparisons.lab import clock

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400
UNKNOWN = "<unknown>"


def since(moment: str | None, now_wall_ns: int) -> str:
    """How long ago a timestamp was."""
    return human((now_wall_ns - clock.parse(moment)) // 10**9) if moment else UNKNOWN


def human(seconds: int) -> str:  # noqa: PLR0911  # one line a range, as in the original
    """Return a duration in at most two units."""
    seconds = max(0, seconds)
    if seconds < 2 * MINUTE:
        return f"{seconds}s"
    if seconds < 10 * MINUTE:
        return _two(seconds, MINUTE, "m", 1, "s")
    if seconds < 3 * HOUR:
        return f"{seconds // MINUTE}m"
    if seconds < 8 * HOUR:
        return _two(seconds, HOUR, "h", MINUTE, "m")
    if seconds < 2 * DAY:
        return f"{seconds // HOUR}h"
    if seconds < 8 * DAY:
        return _two(seconds, DAY, "d", HOUR, "h")
    if seconds < 2 * YEAR:
        return f"{seconds // DAY}d"
    return _two(seconds, YEAR, "y", DAY, "d") if seconds < 8 * YEAR else f"{seconds // YEAR}y"


def _two(seconds: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    rest = seconds % large // small
    return f"{seconds // large}{large_unit}" + (f"{rest}{small_unit}" if rest else "")
