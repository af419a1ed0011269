"""What one proxy has counted, from its ``/metrics``: by whom it was called, and whom it called.

Here because Envoy's names are only known to those who chose them (``discovery.naming``), and what is above should read
like the mesh. Counters are as they stand; ``since`` gives the difference of two readings. Leaves out reading
(``scrape``) and workloads (``stat``, ``edges``).
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Final, TypeVar

from injector.discovery import naming
from injector.seeing import exposition

K = TypeVar("K")

_HTTP: Final = "envoy_http_conn_manager_prefix"
_TCP: Final = "envoy_tcp_prefix"
_CLUSTER: Final = "envoy_cluster_name"
_CLASS: Final = "envoy_response_code_class"
_BUCKET: Final = "envoy_http_downstream_rq_time_bucket"
_ANSWERED: Final = "envoy_http_downstream_rq_xx"
_INBOUND: Final = {
    "envoy_http_downstream_rq_rx_reset": ("abandoned", _HTTP),
    "envoy_http_downstream_cx_total": ("connections", _HTTP),
    "envoy_http_downstream_cx_rx_bytes_total": ("received_bytes", _HTTP),
    "envoy_http_downstream_cx_tx_bytes_total": ("sent_bytes", _HTTP),
    "envoy_tcp_downstream_cx_total": ("connections", _TCP),
    "envoy_tcp_downstream_cx_rx_bytes_total": ("received_bytes", _TCP),
    "envoy_tcp_downstream_cx_tx_bytes_total": ("sent_bytes", _TCP),
}
_OUTBOUND: Final = {
    "envoy_cluster_upstream_cx_total": "connections",
    "envoy_cluster_upstream_cx_connect_fail": "failed",
    "envoy_cluster_ssl_handshake": "secured",
}
WANTED: Final = frozenset({*_INBOUND, *_OUTBOUND, _BUCKET, _ANSWERED})
"""Series that are read here."""
_FAILED_CLASS: Final = "5"
"""Linkerd's and Istio's: a request has failed if the server says that it is to blame."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Calls that came in."""

    requests: int = 0
    """Answered."""
    failed: int = 0
    """Of them, with 5xx. gRPC's own status is not looked at."""
    abandoned: int = 0
    """Not answered: the caller gave up waiting, or was gone."""
    within: Mapping[float, int] = dataclasses.field(default_factory=dict)
    """Requests answered within so many milliseconds, cumulative; ``math.inf``: all."""
    connections: int = 0
    received_bytes: int = 0
    """From the callers; on the wire, TLS aside."""
    sent_bytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """Connections that went out to one Service, account or elsewhere."""

    connections: int = 0
    """Begun."""
    failed: int = 0
    """Never established."""
    secured: int = 0
    """In which both ends have proven who they are."""

    @property
    def plain(self) -> int:
        """Established in plaintext. Never below 0: counters of one moment are not read in one moment."""
        return max(0, self.connections - self.failed - self.secured)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One reading of one proxy."""

    inbound: Mapping[naming.Peer, Served]
    outbound: Mapping[str, Called]
    """By the name of the cluster; the pod's own application left out."""


def read(text: str) -> Measured:
    """Read what a proxy has counted since it started. What is not there is 0, as Envoy leaves unused series out."""
    served: dict[naming.Peer, dict[str, int]] = {}
    within: dict[naming.Peer, dict[float, int]] = {}
    called: dict[str, dict[str, int]] = {}
    for sample in exposition.samples(text, WANTED):
        if not 0 <= sample.value < 2**63:  # also NaN
            continue
        value = int(sample.value)
        if sample.name in _OUTBOUND:
            cluster = sample.labels.get(_CLUSTER, "")
            if _is_outbound(cluster):
                _add(called, cluster, _OUTBOUND[sample.name], value)
            continue
        field, label = _INBOUND.get(sample.name, ("", _HTTP))
        peer = naming.read_inbound(sample.labels.get(label, ""))
        if peer is None:
            continue
        if sample.name == _BUCKET:
            within.setdefault(peer, {})[_bound(sample.labels.get("le", ""))] = value
        elif sample.name == _ANSWERED:
            _add(served, peer, "requests", value)
            _add(served, peer, "failed", value if sample.labels.get(_CLASS) == _FAILED_CLASS else 0)
        else:
            _add(served, peer, field, value)
    peers = {*served, *within}
    return Measured(
        inbound={peer: Served(within=within.get(peer, {}), **served.get(peer, {})) for peer in peers},
        outbound={cluster: Called(**counts) for cluster, counts in called.items()},
    )


def since(after: Measured, before: Measured) -> Measured:
    """Give what was counted between two readings. A counter that fell was reset: all that it says is new."""
    return Measured(
        inbound={peer: _served(each, before.inbound.get(peer, Served())) for peer, each in after.inbound.items()},
        outbound={name: _called(each, before.outbound.get(name, Called())) for name, each in after.outbound.items()},
    )


def _served(after: Served, before: Served) -> Served:
    reset = after.requests < before.requests or after.within.get(math.inf, 0) < before.within.get(math.inf, 0)
    within = {} if reset else before.within
    return Served(
        requests=_grown(after.requests, before.requests),
        failed=_grown(after.failed, before.failed),
        abandoned=_grown(after.abandoned, before.abandoned),
        within={bound: _grown(count, within.get(bound, 0)) for bound, count in after.within.items()},
        connections=_grown(after.connections, before.connections),
        received_bytes=_grown(after.received_bytes, before.received_bytes),
        sent_bytes=_grown(after.sent_bytes, before.sent_bytes),
    )


def _called(after: Called, before: Called) -> Called:
    return Called(
        connections=_grown(after.connections, before.connections),
        failed=_grown(after.failed, before.failed),
        secured=_grown(after.secured, before.secured),
    )


def _grown(after: int, before: int) -> int:
    return after - before if after >= before else after


def _is_outbound(cluster: str) -> bool:
    return (
        naming.read_service(cluster) is not None
        or naming.read_account(cluster) is not None
        or cluster in {naming.PASSTHROUGH, naming.REFUSED}
    )


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.inf


def _add(counts: dict[K, dict[str, int]], key: K, field: str, value: int) -> None:
    of = counts.setdefault(key, {})
    of[field] = of.get(field, 0) + value
