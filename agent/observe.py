"""``ipseity observe``: who talks to whom, asked of one agent or of several.

Here because the choice of what an answer looks like is made once: a snapshot is a table of the graph; on a terminal
``-f`` redraws that table; in a pipe ``-f`` writes record by record, as they come; json and jsonl are exact. Leaves out
flags (``cli``), filters (``selection``), asking (``gather``), rows (``graph``) and looks (``columns``).
"""

import dataclasses
import enum
import time
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from agent import apiaddress, columns, errors, flowjson, gather, graph, rowjson, selection, walltime
from ipseity import screen

_EDGES: Final = ("edge",)
_REDRAW_S: Final = 0.5
_HOLDS: Final = 0


class Output(enum.StrEnum):
    """How the answer is written."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to show, and how."""

    servers: tuple[apiaddress.ApiAddress, ...]
    wanted: selection.Selection
    since_wall_ns: int | None = None
    last: int | None = None
    follow: bool = False
    output: Output = Output.TABLE
    by: graph.By | None = None
    """None: every record for itself."""

    def is_table(self) -> bool:
        """Tell whether it is for people."""
        return self.output in (Output.TABLE, Output.WIDE)

    def filters(self) -> selection.Selection:
        """Give the filters; a table shows what edges did, and not once more what each connection did."""
        return self.wanted.narrowed(_EDGES) if self.is_table() else self.wanted


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """One run of the command."""

    question: Question
    page: screen.Page
    err: TextIO
    losses: gather.Losses = dataclasses.field(default_factory=gather.Losses)

    def tell(self, lines: Iterable[str]) -> None:
        """Say something beside the answer."""
        self.err.writelines(f"ipseity: {line}\n" for line in lines)
        self.err.flush()

    def width(self, *, rows: bool) -> int | None:
        """Give how wide a line may be: a table keeps to the page; in a pipe, or if wide, as long as it is."""
        free = self.question.output is Output.WIDE or not (rows or self.page.terminal)
        return None if free else self.page.size().columns


def run(question: Question, page: screen.Page, err: TextIO) -> int:
    """Answer; returns the exit code. Raises errors.Unavailable if an agent cannot be asked."""
    session = _Session(question=question, page=page, err=err)
    if not question.follow:
        _snapshot(session)
    else:
        try:
            _follow(session)
        except KeyboardInterrupt:  # the way to end it
            page.stream.flush()
    session.tell(session.losses.told())
    return _HOLDS


def _snapshot(session: _Session) -> None:
    question, page = session.question, session.page
    kept = gather.merged(_ask(session))
    chosen = _choose(question, kept)
    page.print(_written(session, chosen))
    if not chosen:
        session.tell([f"no flow matches, of {len(kept)} kept" if kept else "the agents keep no flows yet"])
    elif page.terminal and question.is_table():
        session.tell([_summary(chosen, question)])


def _ask(session: _Session) -> list[gather.Kept]:
    since_wall_ns = session.question.since_wall_ns
    return [gather.kept(server, since_wall_ns, session.losses) for server in session.question.servers]


def _choose(question: Question, flows: Sequence[flowjson.Flow]) -> list[flowjson.Flow]:
    """Apply the filters, then take the last ones."""
    filters = question.filters()
    chosen = [flow for flow in flows if filters.admits(flow)]
    return chosen if question.last is None else chosen[max(0, len(chosen) - question.last) :]


def _written(session: _Session, chosen: Sequence[flowjson.Flow]) -> Iterable[str]:
    """Write what was chosen, line by line."""
    question = session.question
    if question.by is None:
        if question.is_table():
            return columns.records(chosen, width=session.width(rows=False), colour=session.page.colour)
        return _exact(question, chosen)
    rows = graph.of(chosen, question.by).rows()
    return _table(session, rows) if question.is_table() else _exact(question, rows)


def _exact(question: Question, found: Sequence[graph.Row | flowjson.Flow]) -> Iterable[str]:
    return [rowjson.document(found)] if question.output is Output.JSON else map(rowjson.line, found)


def _table(session: _Session, rows: Sequence[graph.Row]) -> list[str]:
    wide = session.question.output is Output.WIDE
    return columns.rows(rows, wide=wide, width=session.width(rows=True), colour=session.page.colour)


def _summary(chosen: Sequence[flowjson.Flow], question: Question) -> str:
    """Say what the table covers, and what to type next."""
    nodes = len({flow.node_name for flow in chosen})
    first = walltime.clock(walltime.parse(min(flow.start_time for flow in chosen)))
    span = f"{nodes} node{'s' * (nodes > 1)}, since {first}"
    return f"{span}; live: -f, exact: -o json" + ("" if question.by is None else ", each flow: --aggregate-by none")


def _follow(session: _Session) -> None:
    """Show what is kept, if that was asked for or a table begins with it; then what comes."""
    question = session.question
    if question.by is not None and not (session.page.terminal and question.is_table()):
        raise errors.Unavailable(
            "rows change while one follows: they cannot be written line by line",
            hint="leave out -f or --aggregate-by, or write a table to a terminal",
        )
    stream, chosen = gather.Stream(), []
    if question.by is not None or question.since_wall_ns is not None or question.last is not None:
        answers = _ask(session)
        chosen = _choose(question, gather.merged(answers))
        for answer in answers:
            stream.follow(answer.address, answer.flows[-1].time if answer.flows else "")
    else:
        for server in question.servers:
            gather.check(server)
            stream.follow(server, None)
    if question.by is None:
        _write_on(session, chosen, stream)
    else:
        _draw_on(session, graph.of(chosen, question.by), stream)


def _write_on(session: _Session, chosen: Sequence[flowjson.Flow], stream: gather.Stream) -> None:
    """Write record by record."""
    question, page, filters = session.question, session.page, session.question.filters()
    layout = columns.Records(width=session.width(rows=False), colour=page.colour)
    write = layout.line if question.is_table() else rowjson.line
    page.print([layout.header()] if question.is_table() else [])
    page.print(map(write, chosen))
    while True:
        arrived = stream.take(_REDRAW_S, session.losses)
        if isinstance(arrived, str):
            session.tell([arrived])
        elif arrived is not None and filters.admits(arrived):
            page.print([write(arrived)])


def _draw_on(session: _Session, drawn: graph.Graph, stream: gather.Stream) -> None:
    """Redraw the table as flows come, at most twice a second."""
    filters, trouble, due_s = session.question.filters(), "", 0.0
    with screen.Screen(session.page) as shown:
        while True:
            if time.monotonic() >= due_s:
                shown.draw(_table(session, drawn.rows()), _footer(drawn, trouble))
                due_s = time.monotonic() + _REDRAW_S
            arrived = stream.take(max(0.0, due_s - time.monotonic()), session.losses)
            if isinstance(arrived, str):
                trouble = arrived
            elif arrived is not None:
                trouble = ""
                if filters.admits(arrived):
                    drawn.add(arrived)


def _footer(drawn: graph.Graph, trouble: str) -> str:
    if trouble:
        return trouble
    if not drawn.last_time:
        return "no flows yet; Ctrl-C ends"
    first, last = (walltime.clock(walltime.parse(each)) for each in (drawn.first_time, drawn.last_time))
    nodes = len(drawn.nodes)
    return f"{nodes} node{'s' * (nodes > 1)}, {first} to {last}; Ctrl-C ends"
