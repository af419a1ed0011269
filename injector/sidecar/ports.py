"""Ports as users list them: ``25,4000-4010``. Here because the redirect skips them. Leaves out who may list what."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from injector import errors

_HIGHEST: Final = 65_535
_WRITTEN: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


class PortRange(NamedTuple):
    """Both ends belong to it; host order."""

    low: int
    high: int

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


def parse(words: Iterable[str]) -> tuple[PortRange, ...]:
    """Read ``25`` and ``4000-4010``. Raises CannotRun."""
    return joined(_range(word) for word in words)


def joined(ranges: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """Sort, and join where they touch: nftables refuses ranges that overlap."""
    done: list[PortRange] = []
    for each in sorted(ranges):
        if done and each.low <= done[-1].high + 1:
            done[-1] = PortRange(done[-1].low, max(done[-1].high, each.high))
        else:
            done.append(each)
    return tuple(done)


def _range(word: str) -> PortRange:
    match = _WRITTEN.fullmatch(word.strip())
    if match:
        low = int(match[1])
        high = int(match[2] or match[1])
        if 1 <= low <= high <= _HIGHEST:
            return PortRange(low, high)
    raise errors.CannotRun(f"{word!r} is not a port to skip", hint="write a port or a range, such as 25 or 4000-4010")
