"""Who talks to whom, whether both have proven it, and as whom. From what the proxies counted since they started.

A secured edge is told by the called proxy, which has seen the caller's certificate. A plain one is told by the calling
proxy where there is one, since plaintext has no name at the other end. Here because it proves that mTLS is in use.
Leaves out the kernel's own view of the same (``agent``), which sees also what no proxy does.
"""

import dataclasses
import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from injector.cluster import model as cluster
from injector.discovery import naming
from injector.seeing import measured, stat
from ipseity import identity, table


class Secured(enum.StrEnum):
    """What proves who is at the ends."""

    MTLS = "mTLS"
    PLAIN = "plain"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Edge:
    """One row."""

    source: str
    """``namespace/workload``; ``namespace/sa/account`` where several workloads share the account; "?": somebody of the
    mesh; "(no sidecar)": a caller that proves nothing, such as the kubelet with its probes."""
    destination: str
    port: str
    secured: Secured
    source_identity: str
    """SPIFFE ID that was proven; empty: none."""
    destination_identity: str
    why: str
    """Why it is not secured; empty where it is or nobody knows."""
    connections: int


_Counts = dict[tuple[str, str, str, Secured, str, str, str], int]
_UNKNOWN: Final = "?"
_BARE: Final = "(no sidecar)"
_OUTSIDE: Final = "(not known)"
_REFUSED: Final = "(refused)"


def edges(
    state: cluster.ClusterState, read: Mapping[identity.PodRef, measured.Measured], *, namespace: str
) -> list[Edge]:
    """Give all edges of which one end is in ``namespace`` ("": any), in the order of their names."""
    named = _workloads(state)
    counts: _Counts = {}
    for ref, one in read.items():
        pod = state.pods.get(ref)
        if pod is None:
            continue
        for key, connections in (*_inbound(state, named, pod, one), *_outbound(state, pod, one)):
            if connections and (not namespace or any(end.startswith(f"{namespace}/") for end in key[:2])):
                counts[key] = counts.get(key, 0) + connections
    return sorted(Edge(**dict(zip(_FIELDS, key, strict=True)), connections=count) for key, count in counts.items())  # type: ignore[arg-type]  # the key has the fields' types, in their order


_FIELDS: Final = ("source", "destination", "port", "secured", "source_identity", "destination_identity", "why")
_Told = tuple[tuple[str, str, str, Secured, str, str, str], int]


def _workloads(state: cluster.ClusterState) -> Mapping[identity.ServiceAccount, str]:
    """Name each account by the workload that alone has it."""
    users: dict[identity.ServiceAccount, set[str]] = {}
    for pod in state.pods.values():
        users.setdefault(pod.account, set()).add(stat.name(pod))
    return {account: next(iter(names)) for account, names in users.items() if len(names) == 1}


def _inbound(
    state: cluster.ClusterState,
    named: Mapping[identity.ServiceAccount, str],
    pod: cluster.Pod,
    one: measured.Measured,
) -> Iterator[_Told]:
    """Tell what the called proxy knows."""
    mine = str(cluster.account_id(state.trust_domain, pod.account))
    destination = stat.name(pod)
    for peer, served in one.inbound.items():
        account = _account(peer.account)
        if account is not None:
            source = named.get(account, f"{account.namespace}/sa/{account.name}")
            proven = str(cluster.account_id(state.trust_domain, account))
            yield (source, destination, peer.port, Secured.MTLS, proven, mine, ""), served.connections
        elif peer.account == naming.ANYBODY:
            yield (_UNKNOWN, destination, peer.port, Secured.MTLS, "", mine, ""), served.connections
        else:
            why = "the caller proves nothing"
            yield (_BARE, destination, peer.port, Secured.PLAIN, "", "", why), served.connections


def _outbound(state: cluster.ClusterState, pod: cluster.Pod, one: measured.Measured) -> Iterator[_Told]:
    """Tell what only the calling proxy knows: whom it called in plaintext, or could not call."""
    source = stat.name(pod)
    for name, called in one.outbound.items():
        service = naming.read_service(name)
        if service is not None:
            why = _why(state, state.services.get(service.key))
            yield (source, service.key, str(service.port), Secured.PLAIN, "", "", why), called.plain
        elif name == naming.PASSTHROUGH:
            yield (source, _OUTSIDE, "", Secured.PLAIN, "", "", "no Service and no pod of the mesh"), called.plain
        elif name == naming.REFUSED:
            yield (source, _REFUSED, "", Secured.PLAIN, "", "", "refused by the caller's proxy"), called.connections


def _why(state: cluster.ClusterState, service: cluster.Service | None) -> str:
    """Say why a Service is called in plaintext, as far as it shows."""
    if service is None:
        return "the Service is gone"
    endpoints = [each for found in service.endpoints.values() for each in found]
    bare = sorted({str(each.pod) for each in endpoints if each.account is None and each.pod is not None})
    if not endpoints:
        return "it has no endpoint now"
    if not bare:
        meshed = all(each.account is not None for each in endpoints)
        return "all endpoints are meshed by now" if meshed else "endpoints are no pods of this cluster"
    pod = next((each for each in state.pods.values() if str(each.ref) == bare[0]), None)
    skipped = pod is not None and pod.meshed
    more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
    return f"{'port skipped' if skipped else 'not injected'}: {bare[0]}{more}"


def _account(text: str) -> identity.ServiceAccount | None:
    namespace, slash, name = text.partition("/")
    try:
        return identity.ServiceAccount(namespace, name) if slash else None
    except identity.InvalidIdentity:
        return None


_COLUMNS: Final = (
    table.Column(title="SRC", shrinks=True),
    table.Column(title="DST", shrinks=True),
    table.Column(title="PORT", right=True),
    table.Column(title="SECURED"),
    table.Column(title="SRC IDENTITY", shrinks=True),
    table.Column(title="DST IDENTITY", shrinks=True),
)
_COLOURS: Final = {Secured.MTLS: table.Colour.GREEN, Secured.PLAIN: table.Colour.YELLOW}


def lines(found: Sequence[Edge], *, width: int | None, colour: bool) -> list[str]:
    """Lay out the table. What is not secured says why in the place of the identity."""
    rows = [
        [
            table.Cell(each.source),
            table.Cell(each.destination),
            table.Cell(each.port or "-"),
            table.Cell(each.secured, _COLOURS[each.secured]),
            table.Cell(each.source_identity or each.why or "-"),
            table.Cell(each.destination_identity or "-"),
        ]
        for each in found
    ]
    return table.lines(_COLUMNS, rows, width=width, colour=colour)


def document(found: Iterable[Edge]) -> dict[str, Any]:
    """Give everything for programs."""
    return {
        "edges": [
            {
                "source": each.source,
                "destination": each.destination,
                "port": each.port or None,
                "secured": each.secured.value,
                "sourceIdentity": each.source_identity or None,
                "destinationIdentity": each.destination_identity or None,
                "why": each.why or None,
                "connections": each.connections,
            }
            for each in found
        ]
    }
