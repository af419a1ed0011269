"""``ipseity tap``: which pods are meant, what is run in them, and how what they tell is written.

Here because a record is the same whoever asks, and what a caller sent (a path, a host) must not reach a terminal as it
is. Pure. Leaves out running it (``tapping``), and what a record has (``discovery.tapped``).
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from injector import errors, names
from injector.cluster import model as cluster
from injector.cluster import objects
from injector.discovery import naming
from injector.kube import exec as execution
from injector.seeing import stat
from ipseity import identity, table

MOST_PODS: Final = 8
"""Arbitrary: lines of more are read by nobody."""
_RUN: Final = "run"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A pod that is tapped."""

    pod: cluster.Pod
    place: execution.Place
    command: tuple[str, ...]
    """How its proxy's image starts ``ipseity sidecar``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One request, as one proxy told of it."""

    time: str
    """RFC 3339."""
    direction: str
    pod: str
    source: str
    """SPIFFE ID; empty: nobody has proven anything."""
    destination: str
    method: str
    authority: str
    path: str
    """Without the query."""
    protocol: str
    port: int
    status: int
    """0: the client has gone before there was an answer."""
    grpc_status: int | None
    milliseconds: int
    flags: str
    """Envoy's response flags; empty: none."""
    route: str
    """``HTTPRoute namespace/name``; empty: none."""
    rule: int | None
    backend: str
    """``namespace/name:port`` of the Service that got it; empty: none."""
    request_bytes: int
    response_bytes: int


def targets(items: Iterable[Mapping[str, Any]], wanted: str) -> list[Target]:
    """Find the pods that ``wanted`` means: a pod, or all of a workload; by name. Raises CannotRun."""
    found, bare = [], 0
    for item in items:
        try:
            record = objects.pod(item)
        except objects.Malformed:
            continue
        if record is None or wanted not in {record.pod.ref.name, stat.name(record.pod).partition("/")[2]}:
            continue
        command = _command(item)
        if not record.pod.meshed or not command:
            bare += 1
            continue
        ref = record.pod.ref
        place = execution.Place(namespace=ref.namespace, pod=ref.name, container=names.PROXY)
        found.append(Target(pod=record.pod, place=place, command=command))
    if found:
        return sorted(found, key=lambda each: each.pod.ref.name)
    if bare:
        raise errors.CannotRun(f"{wanted} has no sidecar", hint=f"annotate it with {names.INJECT}: enabled")
    raise errors.CannotRun(f"there is no pod and no workload {wanted!r}", hint="see: ipseity stat, or kubectl get pods")


def _command(item: Mapping[str, Any]) -> tuple[str, ...]:
    """Read off the proxy's container how ``ipseity sidecar`` is started there."""
    spec = item.get("spec") or {}
    for each in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        words = list(each.get("command") or ())
        if each.get("name") == names.PROXY and len(words) > 1 and words[-1] == _RUN:
            return tuple(words[:-1])
    return ()


def read(line: bytes, target: Target, trust_domain: identity.TrustDomain) -> Told | None:
    """Read one line of ``ipseity sidecar tap``; None: it is none."""
    try:
        said = msgspec.json.decode(line)
        mine = str(cluster.account_id(trust_domain, target.pod.account))
        inbound = said["direction"] == "inbound"
        return Told(
            time=str(said["time"]),
            direction="inbound" if inbound else "outbound",
            pod=str(target.pod.ref),
            source=_text(said, "source") if inbound else mine,
            destination=mine if inbound else _text(said, "destination"),
            method=_text(said, "method"),
            authority=_text(said, "authority"),
            path=_text(said, "path"),
            protocol=_text(said, "protocol"),
            port=_number(said, "port"),
            status=_number(said, "status"),
            grpc_status=None if said.get("grpcStatus") is None else _number(said, "grpcStatus"),
            milliseconds=_number(said, "milliseconds"),
            flags=_text(said, "flags").removeprefix("-"),
            route=_route(said),
            rule=int(_text(said, "routeRule") or 0) or None,
            backend=_backend(_text(said, "backend")),
            request_bytes=_number(said, "requestBytes"),
            response_bytes=_number(said, "responseBytes"),
        )
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key)
    return value if isinstance(value, str) else ""


def _number(said: Mapping[str, Any], key: str) -> int:
    return int(said.get(key) or 0)


def _route(said: Mapping[str, Any]) -> str:
    name = _text(said, "routeName")
    return f"{_text(said, 'routeKind')} {_text(said, 'routeNamespace')}/{name}" if name else ""


def _backend(name: str) -> str:
    found = naming.read_service(name)
    return f"{found.key}:{found.port}" if found is not None else ""


_COLUMNS: Final = (
    table.Column(title="TIME", width=12),
    table.Column(title="SOURCE", shrinks=True, width=16),
    table.Column(title="DESTINATION", shrinks=True, width=16),
    table.Column(title="STATUS", right=True),
    table.Column(title="LATENCY", right=True),
    table.Column(title="ROUTE", width=12),
    table.Column(title="REQUEST"),
)
_US_PER_MS: Final = 1000


class Lines:
    """Writes requests line by line, in columns that stay where they are."""

    def __init__(self, *, width: int | None, colour: bool) -> None:
        self._layout = table.Layout(_COLUMNS, [], width=width)
        self._colour = colour

    def header(self) -> str:
        """Give the line of titles."""
        return self._layout.header(colour=self._colour)

    def line(self, told: Told) -> str:
        """Give one request. What callers sent is made harmless by the table."""
        status = str(told.status or "-") if told.grpc_status is None else f"grpc {told.grpc_status}"
        bad = told.status >= 500 or told.grpc_status not in {None, 0}
        cells = (
            table.Cell(told.time[11:23]),
            table.Cell(_who(told.source)),
            table.Cell(_who(told.destination)),
            table.Cell(status, table.Colour.RED if bad or not told.status else table.Colour.NONE),
            table.Cell(table.duration(told.milliseconds * _US_PER_MS)),
            table.Cell(f"{told.route.partition('/')[2]} #{told.rule}" if told.route else "-"),
            table.Cell(f"{told.method} {told.authority}{told.path}" + (f"  {told.flags}" if told.flags else "")),
        )
        return self._layout.line(cells, colour=self._colour)


def _who(spiffe_id: str) -> str:
    """Shorten an identity of Kubernetes to ``namespace/account``."""
    match spiffe_id.split("/"):
        case ["spiffe:", "", _, "ns", namespace, "sa", account]:
            return f"{namespace}/{account}"
        case _:
            return spiffe_id or "(no identity)"


def document(told: Told) -> dict[str, Any]:
    """Give everything for programs."""
    return {
        "time": told.time,
        "direction": told.direction,
        "pod": told.pod,
        "sourceIdentity": told.source or None,
        "destinationIdentity": told.destination or None,
        "method": told.method,
        "authority": told.authority,
        "path": told.path,
        "protocol": told.protocol,
        "port": told.port,
        "status": told.status or None,
        "grpcStatus": told.grpc_status,
        "milliseconds": told.milliseconds,
        "flags": told.flags or None,
        "route": told.route or None,
        "rule": told.rule,
        "backend": told.backend or None,
        "requestBytes": told.request_bytes,
        "responseBytes": told.response_bytes,
    }


def command(target: Target, *, share: float, seconds: float, most: int) -> Sequence[str]:
    """Spell what is run in a pod."""
    words = ("tap", "--share", f"{share:g}", "--for", f"{seconds:g}", "--most", str(most), "--until-eof")
    return [*target.command, *words]
