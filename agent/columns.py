"""How flows look in a table: which columns, what stands in a cell, which colour.

Here because rows of the graph and single records share their look, and the look changes for other reasons than what is
collected (``graph``) and how it is laid out (``table``). Leaves out where it is written to (``observe``).
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

from agent import flowjson, graph, mesh, model, selection, walltime
from ipseity import table

_COLOURS: Final = {
    model.Evidence.KERNEL: table.Colour.GREEN,
    model.Evidence.HANDSHAKE: table.Colour.GREEN,
    model.Evidence.IP: table.Colour.YELLOW,
    model.Evidence.NONE: table.Colour.RED,
}
_NOTHING: Final = table.Cell("-", table.Colour.DIM)
_NAME_WIDTH: Final = 26
"""Room for a name in lines that are written one by one."""


class _Spec(NamedTuple):
    """A column of rows of the graph, and what it shows."""

    column: table.Column
    cell: Callable[[graph.Row], table.Cell]


def _evidence(end: flowjson.Endpoint) -> table.Cell:
    """Say what a name rests on; where there is no better one, why."""
    why = f": {end.reason.replace('_', ' ')}" if end.reason else ""
    return table.Cell(end.evidence + why, _COLOURS[end.evidence])


def _name(name: graph.Name, end: flowjson.Endpoint) -> table.Cell:
    """Say who; a Service says so, since a workload may have the same name."""
    text = f"{name} (service)" if end.kind is model.Kind.SERVICE else str(name)
    return table.Cell(text, table.Colour.DIM if end.kind is model.Kind.UNKNOWN else table.Colour.NONE)


def _port(row: graph.Row) -> table.Cell:
    protocol = "" if row.key.protocol == "tcp" else f"/{row.key.protocol}"
    return table.Cell(f"{row.key.port or 'any'}{protocol}")


def _mean(histogram: tuple[int, int]) -> table.Cell:
    count, sum_us = histogram
    return table.Cell(table.duration(sum_us / count)) if count else _NOTHING


def _failures(failed: dict[str, int]) -> table.Cell:
    if not failed:
        return _NOTHING
    causes = [f"{table.number(count)} {cause.replace('_', ' ')}" for cause, count in sorted(failed.items())]
    return table.Cell(", ".join(causes), table.Colour.RED)


def _failed(failed: dict[str, int]) -> table.Cell:
    return table.Cell(table.number(sum(failed.values())), table.Colour.RED) if failed else _NOTHING


def _connections(row: graph.Row) -> table.Cell:
    partial = "+" if row.totals.partial else ""
    return table.Cell(table.number(row.totals.opened) + partial) if row.key.protocol == "tcp" else _NOTHING


def _tls(row: graph.Row) -> table.Cell:
    """Say what secured the row; "some" where only a part of it was."""
    found = sorted(row.totals.tls)
    if not found:
        return _NOTHING
    secured = found == [mesh.Tls.MTLS]
    return table.Cell(found[0] if len(found) == 1 else "some", table.Colour.GREEN if secured else table.Colour.YELLOW)


def _said(wrong: Collection[graph.Wrong]) -> table.Cell:
    """Say whom an address named that was somebody else's, and why; of several the first."""
    if not wrong:
        return _NOTHING
    first = min(wrong)
    more = f", {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return table.Cell(f"{first.said}: {first.reason.replace('_', ' ')}{more}", table.Colour.RED)


def _account(end: flowjson.Endpoint) -> table.Cell:
    return table.Cell(end.service_account) if end.service_account else _NOTHING


def _right(title: str, width: int = 0) -> table.Column:
    return table.Column(title=title, right=True, width=width)


_SOURCE: Final = table.Column(title="SOURCE", shrinks=True)
_DESTINATION: Final = table.Column(title="DESTINATION", shrinks=True)
_EVIDENCE: Final = table.Column(title="EVIDENCE")
_FAILED: Final = _Spec(_right("FAILED"), lambda row: _failed(row.totals.failed))
_TABLE: Final = (
    _Spec(_SOURCE, lambda row: _name(row.key.source, row.source)),
    _Spec(_EVIDENCE, lambda row: _evidence(row.source)),
    _Spec(_DESTINATION, lambda row: _name(row.key.destination, row.destination)),
    _Spec(_EVIDENCE, lambda row: _evidence(row.destination)),
    _Spec(_right("PORT"), _port),
    _Spec(_right("CONNS"), _connections),
    _Spec(_right("SENT"), lambda row: table.Cell(table.size(row.totals.sent_bytes))),
    _Spec(_right("RECEIVED"), lambda row: table.Cell(table.size(row.totals.received_bytes))),
    _Spec(_right("RTT"), lambda row: _mean(row.totals.rtt)),
)
_SAID: Final = _Spec(table.Column(title="WHAT IP SAID"), lambda row: _said(row.totals.wrong))
_MORE: Final = (
    _Spec(_right("CONNECT"), lambda row: _mean(row.totals.connect)),
    _Spec(_right("RESENT"), lambda row: table.Cell(table.number(row.totals.retransmits))),
    _Spec(_right("OPEN"), lambda row: table.Cell(table.number(max(0, row.totals.opened - row.totals.closed)))),
    _Spec(table.Column(title="SOURCE ACCOUNT"), lambda row: _account(row.source)),
    _Spec(table.Column(title="DESTINATION ACCOUNT"), lambda row: _account(row.destination)),
    _Spec(table.Column(title="TLS"), _tls),
    _Spec(table.Column(title="SEEN BY"), lambda row: table.Cell(_seen_by(row.views))),
    _Spec(table.Column(title="FAILED"), lambda row: _failures(row.totals.failed)),
)


def _seen_by(views: Sequence[str]) -> str:
    if len(views) > 1:
        return "both"
    return "source" if "EGRESS" in views else "destination"


def rows(found: Sequence[graph.Row], *, wide: bool, width: int | None, colour: bool) -> list[str]:
    """Lay out rows of the graph. Failures, and addresses that lied, have a column only where there are any."""
    specs = [*_TABLE, *_MORE] if wide else list(_TABLE)
    if not wide and any(row.totals.failed for row in found):
        specs.append(_FAILED)
    if any(row.totals.wrong for row in found):
        specs.append(_SAID)
    cells = [[spec.cell(row) for spec in specs] for row in found]
    return table.lines([spec.column for spec in specs], cells, width=width, colour=colour)


_RECORD: Final = (
    table.Column(title="TIME", width=12),
    table.Column(title="SOURCE", shrinks=True, width=_NAME_WIDTH),
    table.Column(title="EVIDENCE"),
    table.Column(title="DESTINATION", shrinks=True, width=_NAME_WIDTH + 6),
    table.Column(title="EVIDENCE"),
    _right("CONNS"),
    _right("SENT", 8),
    _right("RECEIVED"),
    table.Column(title="END"),
)


class Records:
    """Lays out records one by one, without knowing the next; ``width`` None is as wide as names are."""

    def __init__(self, *, width: int | None, colour: bool) -> None:
        self._colour = colour
        self._layout = table.Layout(_RECORD, [], width=width)

    def header(self) -> str:
        """Give the line of titles."""
        return self._layout.header(colour=self._colour)

    def line(self, flow: flowjson.Flow) -> str:
        """Give one record's line; in local time."""
        protocol, ports = selection.transport(flow)
        counters = flow.counters
        cells = (
            table.Cell(walltime.clock(walltime.parse(flow.time)), table.Colour.DIM),
            _record_name(flow.source, flow.ip.source, f":{ports.source_port}" if ports.source_port else ""),
            _evidence(flow.source),
            _record_name(flow.destination, flow.ip.destination, f":{ports.destination_port}/{protocol}"),
            _evidence(flow.destination),
            table.Cell(table.number(counters.opened)) if protocol == "tcp" else _NOTHING,
            table.Cell(table.size(counters.sent_bytes)),
            table.Cell(table.size(counters.received_bytes)),
            _ending(flow),
        )
        return self._layout.line(cells, colour=self._colour)


def records(flows: Sequence[flowjson.Flow], *, width: int | None, colour: bool) -> list[str]:
    """Lay out records that are all known."""
    layout = Records(width=width, colour=colour)
    return [layout.header(), *map(layout.line, flows)]


def _record_name(end: flowjson.Endpoint, address: str, port: str) -> table.Cell:
    name = _name(graph.name(end, address, graph.By.POD), end)
    return name._replace(text=name.text + port)


def _ending(flow: flowjson.Flow) -> table.Cell:
    """Say how a connection ended and after how long; of an edge, what failed."""
    if flow.connection is None:
        return _failures(flow.counters.failed) if flow.counters.failed else table.Cell("")
    reason = flow.connection.end_reason.replace("_", " ")
    colour = table.Colour.NONE if reason == "closed" else table.Colour.RED
    return table.Cell(f"{reason} after {table.duration(flow.connection.duration_us)}", colour)
