"""``ipseity mismatches``: how often an address would have named somebody else, whom, why, and for how long.

Here because a rate alone convinces nobody: the answer is the first line, the names are under it, and how long such a
window is stands at the end. Owners and addresses of one pair of workloads are one row, unless the table is wide. Leaves
out flags (``cli``) and the agents' part (``mismatchjson``).
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from agent import apiaddress, client, errors, flowjson, mismatchjson, model, verdicts, walltime
from ipseity import screen, table

HOLDS: Final = 0
_WORDS: Final = {
    verdicts.Mismatch.IP_REUSED: "address reused",
    verdicts.Mismatch.STALE_CACHE: "API out of reach",
    verdicts.Mismatch.TERMINAL_POD_KEPT_IP: "ended pod kept it",
    verdicts.Mismatch.HOST_NETWORK: "hostNetwork",
    verdicts.Mismatch.SNAT: "source translated",
    verdicts.Mismatch.NODE_IP: "behind a node's port",
    verdicts.Mismatch.SIDECAR: "own sidecar answered",
    verdicts.Mismatch.CLUSTERIP: "behind a Service",
    verdicts.Mismatch.UNKNOWN_CGROUP: "pod not in the API",
    verdicts.Mismatch.LATE_EVENT: "API told late",
    verdicts.Mismatch.UNDETERMINED: "undetermined",
}
_TIMES: Final = {"ip": "at the time", "ip_read": "when it was read", "handshake": "by the handshake"}
_BOUNDS: Final = (
    ("< 10 ms", 10_000),
    ("< 100 ms", 100_000),
    ("< 1 s", 1_000_000),
    ("< 10 s", 10_000_000),
    ("< 1 min", 60_000_000),
)
_BAR: Final = 30
_LASTING: Final = frozenset(
    {
        verdicts.Mismatch.HOST_NETWORK,
        verdicts.Mismatch.SNAT,
        verdicts.Mismatch.NODE_IP,
        verdicts.Mismatch.SIDECAR,
        verdicts.Mismatch.CLUSTERIP,
    }
)
"""Wrong as long as there are such flows."""
_COLUMNS: Final = (
    table.Column(title="WAS", shrinks=True),
    table.Column(title="ADDRESS SAID", shrinks=True),
    table.Column(title="ADDRESS"),
    table.Column(title="WHY"),
    table.Column(title="OWNERS", right=True),
    table.Column(title="FLOWS", right=True),
    table.Column(title="SINCE", right=True),
    table.Column(title="WRONG FOR", right=True),
)
_WIDE: Final = (
    table.Column(title="END"),
    table.Column(title="CONNS", right=True),
    table.Column(title="BYTES", right=True),
    table.Column(title="WITH"),
    table.Column(title="NODE"),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to show."""

    servers: tuple[apiaddress.ApiAddress, ...]
    method: mismatchjson.Method = "ip"
    reasons: tuple[verdicts.Mismatch, ...] = ()
    """Empty: all."""
    namespaces: tuple[str, ...] = ()
    """Of who it was, or of whom the address named; empty: all."""

    def admits(self, line: mismatchjson.Line) -> bool:
        """Tell whether a line is wanted."""
        named = {line.was.namespace} | ({line.said.namespace} if isinstance(line.said, flowjson.Answer) else set())
        return (
            line.method == self.method
            and (not self.reasons or line.reason in self.reasons)
            and (not self.namespaces or bool(named.intersection(self.namespaces)))
        )


@dataclasses.dataclass(slots=True)
class _Row:
    """Lines that are shown as one."""

    node: str
    lines: list[mismatchjson.Line]


def ask(question: Question) -> list[mismatchjson.Mismatches]:
    """Ask every agent; its lines are those that are wanted. Raises errors.Unavailable."""
    answers = []
    for server in question.servers:
        body = client.get(server, "/mismatches", {})
        try:
            answer = mismatchjson.decode(body)
        except ValueError as error:
            raise errors.Unavailable(f"the agent at {server} gave no usable answer: {error}") from error
        lines = tuple(line for line in answer.mismatches if question.admits(line))
        answers.append(msgspec.structs.replace(answer, mismatches=lines))
    return answers


def run(question: Question, page: screen.Page, *, output: str) -> int:
    """Print what the agents know. Raises errors.Unavailable if one cannot be asked."""
    answers = ask(question)
    if output == "json":
        page.print([mismatchjson.document(answers)])
        return HOLDS
    page.print([_verdict(question, answers, colour=page.colour)])
    rows = _rows(answers, wide=output == "wide")
    if rows:
        columns = [*_COLUMNS, *_WIDE] if output == "wide" else list(_COLUMNS)
        cells = [_cells(row, wide=output == "wide") for row in rows]
        width = None if output == "wide" else page.size().columns
        page.print(["", *table.lines(columns, cells, width=width, colour=page.colour)])
    windows = [line for answer in answers for line in answer.mismatches if line.window != "none"]
    if windows:
        page.print(["", *_histogram(windows)])
    left_out = sum(answer.left_out for answer in answers)
    if left_out:
        page.print(["", f"{table.number(left_out)} older lines are no longer kept; the counters have them"])
    return HOLDS


def _verdict(question: Question, answers: Sequence[mismatchjson.Mismatches], *, colour: bool) -> str:
    """Say how often; of all that was checked, whatever the filters."""
    checked, wrong = _counts(answers, question.method)
    when = _TIMES[question.method]
    nodes = f"{len(answers)} node{'s' * (len(answers) != 1)}"
    if not checked:
        return (
            f"nothing could be checked yet: no end is known by kernel or handshake whose address the API tells; {nodes}"
        )
    who = "the handshake" if question.method == "handshake" else "the address"
    said = f"{who} was wrong about {table.number(wrong)} of {table.number(checked)} ends, {when}"
    share = f"{wrong / checked:.2%}" if wrong else "0 %"
    whole = f"{share.replace('%', ' %').replace('  ', ' ')}: {said}; {nodes}"
    meaning = table.Colour.RED if wrong else table.Colour.GREEN
    return table.paint(whole, meaning) if colour else whole


def _counts(answers: Iterable[mismatchjson.Mismatches], method: str) -> tuple[int, int]:
    mine = [each for answer in answers for each in answer.checked if each.method == method]
    return sum(each.checked for each in mine), sum(sum(each.mismatches.values()) for each in mine)


def _rows(answers: Iterable[mismatchjson.Mismatches], *, wide: bool) -> list[_Row]:
    """Put together what is one row: most flows first, or as they were seen where each stands for itself."""
    if wide:
        return [_Row(answer.node_name, [line]) for answer in answers for line in answer.mismatches]
    found: dict[tuple[str, str, str], _Row] = {}
    for answer in answers:
        for line in answer.mismatches:
            key = (_workload(line.was), _workload(line.said), line.reason)
            found.setdefault(key, _Row(answer.node_name, [])).lines.append(line)
    return sorted(found.values(), key=lambda row: (-sum(line.flows for line in row.lines), row.lines[0].start_time))


def _cells(row: _Row, *, wide: bool) -> list[table.Cell]:
    lines, first = row.lines, row.lines[0]
    addresses, owners = sorted({line.address for line in lines}), {_identity(line.was) for line in lines}
    name = _full if wide else _workload
    cells = [
        table.Cell(table.printable(name(first.was)), table.Colour.BOLD),
        table.Cell(table.printable(name(first.said)), table.Colour.RED),
        table.Cell(addresses[0] if len(addresses) == 1 else f"{len(addresses)} addresses"),
        table.Cell(_WORDS[first.reason]),
        table.Cell(table.number(len(owners))),
        table.Cell(table.number(sum(line.flows for line in lines))),
        table.Cell(walltime.clock(walltime.parse(min(line.start_time for line in lines)))),
        table.Cell(_window(lines)),
    ]
    if wide:
        cells += [
            table.Cell(first.end),
            table.Cell(table.number(first.opened)),
            table.Cell(table.size(first.moved_bytes)),
            table.Cell(table.printable(", ".join(first.peers))),
            table.Cell(row.node),
        ]
    return cells


def _window(lines: Sequence[mismatchjson.Line]) -> str:
    """Say how long: of several the longest."""
    if all(line.window == "none" for line in lines):
        return "always" if lines[0].reason in _LASTING else "-"
    longest = max(lines, key=lambda line: line.window_us)
    text = table.duration(longest.window_us)
    return f"{text}, still" if longest.window == "open" else text


def _histogram(windows: Sequence[mismatchjson.Line]) -> list[str]:
    """Draw how long the windows were."""
    closed = [line.window_us for line in windows if line.window == "closed"]
    bars = [*((label, 0) for label, _ in _BOUNDS), ("longer", 0)]
    counts = dict(bars)
    for window_us in closed:
        counts[next((label for label, bound in _BOUNDS if window_us < bound), "longer")] += 1
    if len(closed) < len(windows):
        counts["still"] = len(windows) - len(closed)
    most = max(counts.values())
    rows = [
        f"{label:>9}  {'█' * round(_BAR * count / most) or '▏' * bool(count)} {table.number(count)}".rstrip()
        for label, count in counts.items()
    ]
    return ["how long an address was wrong, by owner:", *rows]


def _identity(answer: flowjson.Answer) -> tuple[str, ...]:
    return (answer.uid,) if answer.uid else (answer.kind, answer.namespace, answer.name)


def _workload(answer: flowjson.Answer | str) -> str:
    if isinstance(answer, str):
        return answer
    if answer.kind is model.Kind.POD and answer.workloads:
        return f"{answer.namespace}/{answer.workloads[0].name}"
    return _full(answer)


def _full(answer: flowjson.Answer | str) -> str:
    if isinstance(answer, str):
        return answer
    name = answer.name or answer.service_account or (f"pod {answer.uid}" if answer.uid else "unknown")
    name = f"{answer.namespace}/{name}" if answer.namespace else name
    return name if answer.kind is model.Kind.POD else f"{answer.kind} {name}"
