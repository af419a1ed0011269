"""What a check found, and how it is told: the verdict first, then a line for each finding, with what to do about it.

Here because each program checks what it knows, and a person reads one answer. Leaves out what is checked (the programs)
and who is asked (``check``).
"""

import dataclasses
import enum
import json
from collections.abc import Iterable, Sequence
from typing import Final

from ipseity import screen, table


class Status(enum.StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    """It works, with less, or not for ever."""
    FAIL = "fail"
    """It does not work."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    name: str
    status: Status
    text: str
    hint: str = ""
    """What to do about it; only where something is wrong."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one program found."""

    verdict: str
    """One sentence without a full stop; what is wrong is in it by name."""
    findings: tuple[Finding, ...]


_COLOURS: Final = {
    Status.OK: table.Colour.GREEN,
    Status.WARN: table.Colour.YELLOW,
    Status.FAIL: table.Colour.RED,
}
_STATUS_WIDTH: Final = max(map(len, Status))
_LEAST_ROOM: Final = 40


def names(found: Iterable[Finding], status: Status) -> str:
    """List by name what came out like this, each once; empty: nothing did."""
    return ", ".join(dict.fromkeys(each.name for each in found if each.status is status))


def report(sections: Sequence[Section], page: screen.Page) -> list[str]:
    """Write the verdicts, then a line for each finding, with a hint below what is not well."""
    found = [finding for section in sections for finding in section.findings]
    width = max((len(finding.name) for finding in found), default=0)
    return [
        *(section.verdict for section in sections),
        "",
        *(line for finding in found for line in _lines(finding, width, page)),
    ]


def _lines(finding: Finding, width: int, page: screen.Page) -> Iterable[str]:
    status = finding.status.ljust(_STATUS_WIDTH)
    if page.colour:
        status = table.paint(status, _COLOURS[finding.status])
    margin = " " * (width + 2 + _STATUS_WIDTH + 2)
    room = max(_LEAST_ROOM, page.size().columns - len(margin))
    first, *more = table.wrapped(table.printable(finding.text), room)
    yield f"{finding.name.ljust(width)}  {status}  {first}"
    yield from (margin + line for line in more)
    if finding.hint:
        yield from (margin + line for line in table.wrapped(f"hint: {finding.hint}", room))


def document(sections: Iterable[Section]) -> str:
    """Write everything for programs: one JSON array."""
    found = [dataclasses.asdict(finding) for section in sections for finding in section.findings]
    return json.dumps(found, indent=2)


def hold(sections: Iterable[Section]) -> bool:
    """Tell whether nothing failed."""
    return all(finding.status is not Status.FAIL for section in sections for finding in section.findings)
