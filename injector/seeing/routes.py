"""``ipseity routes``: which routes apply to which Service, how they stand, what their rules say and what they carried.

Here because a route that does nothing looks like one that works until its status, its weights and its requests are
beside each other. The status is what the control plane has written. Leaves out reading (``commands``).
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Final

from injector.routes import book, model, status
from injector.seeing import routed, stat
from ipseity import table

_GOOD: Final = "Accepted"
_UNSAID: Final = "(not said)"
_MARKS: Final = {model.PathKind.EXACT: "", model.PathKind.PREFIX: "*", model.PathKind.REGEX: "~"}
_CONDITIONS: Final = ("Accepted", "ResolvedRefs", "PartiallyInvalid")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One backend of a rule."""

    backend: str
    """``namespace/name:port``."""
    weight: int
    percent: float
    sent: routed.Sent


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule."""

    number: int
    matches: tuple[str, ...]
    does: str
    """What it does instead of sending somewhere; empty: it sends."""
    shares: tuple[Share, ...]
    sent: routed.Sent


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One route and one of its Services."""

    service: str
    port: str
    """Empty: all."""
    route: str
    """``HTTPRoute namespace/name``."""
    consumer: bool
    """For the clients of its own namespace only."""
    status: str
    """``Accepted``, or the reason why not, or what is wrong with it."""
    message: str
    rules: tuple[Rule, ...]


def applied(entries: Iterable[book.Entry], sent: routed.Reading, *, wanted: str, namespace: str) -> list[Applied]:
    """List routes by Service. ``wanted``: only this Service (``namespace/name``); ``namespace``: only in it."""
    found = [
        _applied(entry, parent, sent)
        for entry in entries
        for parent in entry.parents
        if wanted in {"", parent.key} and namespace in {"", parent.namespace}
    ]
    return sorted(found, key=lambda each: (each.service, each.port, each.route))


def _applied(entry: book.Entry, parent: model.Parent, sent: routed.Reading) -> Applied:
    route = f"{entry.kind} {entry.namespace}/{entry.name}"
    reason, message = _standing(entry, parent)
    mine = {
        way: each
        for way, each in sent.items()
        if (way.service, way.route) == (parent.key, route) and (parent.port is None or way.port == str(parent.port))
    }
    rules = () if entry.route is None else entry.route.rules
    return Applied(
        service=parent.key,
        port=parent.section or ("" if parent.port is None else str(parent.port)),
        route=route,
        consumer=entry.namespace != parent.namespace,
        status=reason,
        message=message,
        rules=tuple(_rule(number, each, mine) for number, each in enumerate(rules, start=1)),
    )


def _standing(entry: book.Entry, parent: model.Parent) -> tuple[str, str]:
    """Give what the control plane says: the first thing that is wrong, or that nothing is."""
    listed = entry.status.get("parents")
    for said in listed if isinstance(listed, list) else ():
        if not isinstance(said, dict) or said.get("controllerName") != status.CONTROLLER:
            continue
        if said.get("parentRef") != parent.written:
            continue
        held = {each.get("type"): each for each in said.get("conditions") or () if isinstance(each, dict)}
        for kind in _CONDITIONS:
            condition = held.get(kind, {})
            if condition.get("status") == ("True" if kind == "PartiallyInvalid" else "False"):
                return str(condition.get("reason")), str(condition.get("message"))
        return (_GOOD, "") if held else (_UNSAID, "")
    return _UNSAID, entry.error or "the control plane has not looked at it yet"


def _rule(number: int, rule: model.Rule, sent: routed.Reading) -> Rule:
    mine = {way: each for way, each in sent.items() if way.rule == str(number)}
    weights = sum(each.weight for each in rule.backends)
    return Rule(
        number=number,
        matches=tuple(_match(each) for each in rule.matches),
        does=_does(rule),
        shares=tuple(
            Share(
                backend=_backend(each.reference),
                weight=each.weight,
                percent=100 * each.weight / weights if weights else 0.0,
                sent=routed.total(
                    one
                    for way, one in mine.items()
                    if way.backend == f"{each.reference.namespace}/{each.reference.name}"
                ),
            )
            for each in rule.backends
        ),
        sent=routed.total(mine.values()),
    )


def _backend(to: model.Reference) -> str:
    return f"{to.namespace}/{to.name}" + ("" if to.port is None else f":{to.port}")


def _does(rule: model.Rule) -> str:
    if rule.redirect is not None:
        return f"redirect {rule.redirect.status}" + (f" to {rule.redirect.hostname}" if rule.redirect.hostname else "")
    return "" if sum(each.weight for each in rule.backends) else "fails: no backend has a weight"


def _match(match: model.Match) -> str:
    """Spell a match: ``GET /cart* x-beta=yes ?q=1``."""
    words = [match.method] if match.method else []
    if match.path is not None and match.path != (model.PathKind.PREFIX, "/"):
        kind, value = match.path
        words.append(f"~{value}" if kind is model.PathKind.REGEX else f"{value}{_MARKS[kind]}")
    if match.service is not None or match.call is not None:
        words.append(f"{_text(match.service)}/{_text(match.call)}")
    words += [f"{each.name}={_text(each.text)}" for each in match.headers]
    words += [f"?{each.name}={_text(each.text)}" for each in match.query]
    return " ".join(words) or "*"


def _text(text: model.Text | None) -> str:
    return "*" if text is None else f"~{text.value}" if text.regex else text.value


_COLUMNS: Final = (
    table.Column(title="SERVICE", shrinks=True),
    table.Column(title="ROUTE", shrinks=True),
    table.Column(title="STATUS"),
    table.Column(title="RULE", right=True),
    table.Column(title="MATCHES", shrinks=True),
    table.Column(title="BACKENDS", shrinks=True),
    table.Column(title="REQUESTS", right=True),
    table.Column(title="SUCCESS", right=True),
)


def lines(found: Sequence[Applied], *, width: int | None, colour: bool) -> list[str]:
    """Lay out the table: a row for each rule; below it what is wrong with whom."""
    rows = [row for each in found for row in _rows(each)]
    said = [f"{each.route}, {each.service}: {each.message}" for each in found if each.status != _GOOD and each.message]
    shown = table.lines(_COLUMNS, rows, width=width, colour=colour)
    return [*shown, *(table.printable(line) for line in dict.fromkeys(said))]


def _rows(each: Applied) -> list[list[table.Cell]]:
    mark = table.Cell(each.status, table.Colour.GREEN if each.status == _GOOD else table.Colour.RED)
    where = f" (clients of {each.route.partition(' ')[2].partition('/')[0]})" if each.consumer else ""
    head = [table.Cell(f"{each.service}:{each.port}" if each.port else each.service), table.Cell(each.route + where)]
    if not each.rules:
        return [[*head, mark, *[stat.NOTHING] * 5]]
    return [
        [
            *(head if rule.number == 1 else [table.Cell("")] * 2),
            mark if rule.number == 1 else table.Cell(""),
            table.Cell(str(rule.number)),
            table.Cell(", ".join(rule.matches)),
            table.Cell(rule.does or ", ".join(_share(share, each.service) for share in rule.shares)),
            table.Cell(table.number(rule.sent.requests)),
            stat.success(rule.sent.success),
        ]
        for rule in each.rules
    ]


def _share(share: Share, service: str) -> str:
    """Spell a backend; its namespace only where it is another than the Service's."""
    return f"{share.backend.removeprefix(service.partition('/')[0] + '/')} {share.percent:.3g}%"


def document(found: Iterable[Applied]) -> dict[str, Any]:
    """Give everything for programs."""
    return {
        "routes": [
            {
                "service": each.service,
                "port": each.port or None,
                "route": each.route,
                "consumer": each.consumer,
                "status": each.status,
                "message": each.message or None,
                "rules": [_document(rule) for rule in each.rules],
            }
            for each in found
        ]
    }


def _document(rule: Rule) -> dict[str, Any]:
    return {
        "rule": rule.number,
        "matches": list(rule.matches),
        "does": rule.does or None,
        "backends": [
            {
                "backend": share.backend,
                "weight": share.weight,
                "requests": share.sent.requests,
                "failed": share.sent.failed,
            }
            for share in rule.shares
        ],
        "requests": rule.sent.requests,
        "failed": rule.sent.failed,
        "successRate": rule.sent.success,
    }
