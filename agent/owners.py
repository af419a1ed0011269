"""``ipseity who-owned IP[@time]``: who had an address, and when.

Here because a log line from yesterday has an address and no name, and the address belongs to somebody else by now. The
answer is the line that is marked; around it stands who had it before and after, gaps included. Leaves out how the agent
knows (``ownership``).
"""

import dataclasses
import datetime as dt
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final

from agent import apiaddress, client, errors, flowjson, model, walltime
from ipseity import screen, table

HOLDS: Final = 0
DOES_NOT_HOLD: Final = 1
_FOREVER: Final = 2**63 - 1
_COLUMNS: Final = (
    table.Column(title="OWNER", shrinks=True),
    table.Column(title="SERVICE ACCOUNT"),
    table.Column(title="UID"),
    table.Column(title="FROM"),
    table.Column(title="TO"),
    table.Column(title="EVIDENCE"),
    table.Column(title=""),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which address, and when."""

    address: model.IpAddress
    at_wall_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of time with one owner, or with nobody."""

    start_ns: int
    end_ns: int
    owner: flowjson.Owner | None

    def covers(self, at_ns: int) -> bool:
        return self.start_ns <= at_ns < self.end_ns


def parse(text: str, now_wall_ns: int) -> Question:
    """Read ``10.7.0.9`` or ``10.7.0.9@12:03:07``. Raises ValueError."""
    address, _, moment = text.partition("@")
    return Question(
        address=ipaddress.ip_address(address),
        at_wall_ns=walltime.parse_near(moment, now_wall_ns) if moment else now_wall_ns,
    )


def ask(question: Question, servers: Sequence[apiaddress.ApiAddress]) -> list[flowjson.Owners]:
    """Ask every agent. Raises errors.Unavailable."""
    query = {"ip": str(question.address), "at": walltime.text(question.at_wall_ns)}
    answers = []
    for server in servers:
        body = client.get(server, "/owners", query)
        try:
            answers.append(flowjson.decode_owners(body))
        except ValueError as error:
            raise errors.Unavailable(f"the agent at {server} gave no usable answer: {error}") from error
    return answers


def best(answers: Sequence[flowjson.Owners]) -> flowjson.Owners:
    """Choose the agent that knows best: sockets on its own node prove who had the address.

    Histories are not mixed: two agents heard of the same change at different moments.
    """
    return max(answers, key=lambda answer: sum(owner.evidence is model.Evidence.KERNEL for owner in answer.owners))


def run(question: Question, answer: flowjson.Owners, page: screen.Page, *, as_json: bool) -> int:
    """Print what the agent knows; 0 if exactly one owner is known for that time."""
    spans = _spans(answer)
    owners = {span.owner.uid: span.owner for span in spans if span.owner and span.covers(question.at_wall_ns)}
    if as_json:
        page.print([flowjson.encode(answer).decode()])
    else:
        _show(question, spans, owners, page)
    return HOLDS if len(owners) == 1 else DOES_NOT_HOLD


def _show(question: Question, spans: Sequence[_Span], owners: Mapping[str, flowjson.Owner], page: screen.Page) -> None:
    page.print([_verdict(question, list(owners.values()), colour=page.colour)])
    if spans:
        rows = [_row(span, question, ambiguous=len(owners) > 1) for span in spans]
        page.print(["", *table.lines(_COLUMNS, rows, width=page.size().columns, colour=page.colour)])


def _spans(answer: flowjson.Owners) -> list[_Span]:
    """Give the stretches of time in order, those with nobody included."""
    owned = [_Span(_ns(owner.start_time, 0), _ns(owner.end_time, _FOREVER), owner) for owner in answer.owners]
    filled: list[_Span] = []
    known_to: int | None = None
    for span in sorted(owned, key=lambda span: (span.start_ns, span.end_ns)):
        if known_to is not None and span.start_ns > known_to:
            filled.append(_Span(known_to, span.start_ns, None))
        filled.append(span)
        known_to = max(known_to or 0, span.end_ns)
    if known_to is not None and known_to < _FOREVER:
        filled.append(_Span(known_to, _FOREVER, None))
    return filled


def _ns(text: str, otherwise: int) -> int:
    return walltime.parse(text) if text else otherwise


def _verdict(question: Question, owners: Sequence[flowjson.Owner], *, colour: bool) -> str:
    said, meaning = "nobody, as far as is known", table.Colour.RED
    if len(owners) == 1:
        said, meaning = _name(owners[0]), table.Colour.BOLD
    elif owners:
        said = "it cannot be told: " + " or ".join(sorted(map(_name, owners)))
    whole = f"{question.address} at {walltime.clock(question.at_wall_ns)}: {table.printable(said)}"
    return table.paint(whole, meaning) if colour else whole


def _name(owner: flowjson.Owner | None) -> str:
    if owner is None:
        return "nobody"
    name = f"{owner.namespace}/{owner.name}" if owner.namespace else owner.name
    return name if owner.kind is model.Kind.POD else f"{owner.kind} {name}"


def _row(span: _Span, question: Question, *, ambiguous: bool) -> list[table.Cell]:
    here = span.covers(question.at_wall_ns)
    mark = ""
    if here:
        mark = "<- at that time, one of several" if ambiguous else "<- at that time"
    owner = span.owner
    return [
        table.Cell(_name(owner), table.Colour.BOLD if here else table.Colour.NONE if owner else table.Colour.DIM),
        table.Cell(owner.service_account if owner else ""),
        table.Cell(_short(owner.uid) if owner else ""),
        table.Cell("before" if span.start_ns == 0 else _moment(span.start_ns, question)),
        table.Cell("now" if span.end_ns == _FOREVER else _moment(span.end_ns, question)),
        _evidence(owner),
        table.Cell(mark, table.Colour.RED if ambiguous else table.Colour.GREEN),
    ]


def _moment(wall_ns: int, question: Question) -> str:
    """Give the time of day, and the day where it is another one."""
    day, asked = (
        dt.datetime.fromtimestamp(each // 10**9, tz=dt.UTC).astimezone() for each in (wall_ns, question.at_wall_ns)
    )
    clock = walltime.clock(wall_ns)
    return clock if day.date() == asked.date() else f"{day:%Y-%m-%d} {clock}"


def _short(uid: str) -> str:
    return uid if len(uid) <= len("6f0c2b1a…") else f"{uid[:8]}…"


def _evidence(owner: flowjson.Owner | None) -> table.Cell:
    if owner is None:
        return table.Cell("")
    proven = owner.evidence is model.Evidence.KERNEL
    return table.Cell(owner.evidence, table.Colour.GREEN if proven else table.Colour.YELLOW)
