"""Names of clusters, routes, listeners and statistics: what ``seeing`` reads back out of Envoy's metrics.

Envoy ends a name at the first dot when it makes labels of statistics, so dots (service accounts may have them) are
written ``%2E``; nothing else in Kubernetes' names needs it. Bounded: statistics are per service port and per pair of
port and peer identity, never per pod or address.

    cluster.outbound|80|shop/web.upstream_rq_...                        requests to a Service, as the client saw them
    cluster.outbound|80|shop/web.mtls|shop/account.total_match_count    connections by mTLS, and with whom
    cluster.outbound|80|shop/web.plaintext.total_match_count            connections in plaintext
    cluster.direct|shop/account.upstream_cx_total                       to pods by their own addresses, mTLS
    cluster.passthrough....   cluster.refused....                       to who knows whom; what may not be
    http.inbound|8080|shop/client.downstream_rq_...                     requests from a proven identity
    tcp.inbound|8080|shop/client.downstream_cx_...                      connections from a proven identity
    http.inbound|8080|-.   tcp.inbound|8080|-.                          plaintext
    http.inbound|8080|*.   tcp.inbound|8080|*.                          proven, without a chain of its own
"""

from typing import Final, NamedTuple

from ipseity import identity

INBOUND: Final = "inbound"
"""Cluster: the pod's own application, at the address that the client meant."""
INBOUND_TLS: Final = "inbound_tls"
"""Cluster: the same by TLS, for HTTPS probes."""
PASSTHROUGH: Final = "passthrough"
"""Cluster: destinations that are not known to be meshed, as the application meant them."""
REFUSED: Final = "refused"
"""Cluster without endpoints: what may not be ends here, and is counted."""
NOWHERE: Final = "nowhere"
"""Cluster that is never there: a route's backend that is not there, so Envoy answers as the route says."""
OUTBOUND_LISTENER: Final = "outbound"
INBOUND_LISTENER: Final = "inbound"
OUTBOUND_STATS: Final = "outbound"
"""Stat prefix of all outbound managers and listeners: their clusters count, and one set of counters is enough."""
PLAINTEXT: Final = "plaintext"
ANYBODY: Final = "*"
NOBODY: Final = "-"
OTHER: Final = "other"
"""Instead of a port: those that nobody has declared."""


class Service(NamedTuple):
    """A Service port, as the name of its cluster says it."""

    port: int
    key: str
    """``namespace/name``."""


class Peer(NamedTuple):
    """Whom an inbound statistic is about."""

    port: str
    account: str
    """``namespace/account``, or ANYBODY, or NOBODY."""


def service(port: int, key: str) -> str:
    """Name a cluster and its route."""
    return f"outbound|{port}|{key}"


def direct(account: identity.ServiceAccount) -> str:
    """Name the cluster of an account's pods, addressed directly."""
    return f"direct|{_escape(str(account))}"


def match(account: identity.ServiceAccount) -> str:
    """Name the way to an account's endpoints: a transport socket match."""
    return f"mtls|{_escape(str(account))}"


def inbound(port: str, account: str) -> str:
    """Give a stat prefix. ``account``: ``namespace/name``, ANYBODY or NOBODY."""
    return f"inbound|{port}|{_escape(account)}"


def read_service(name: str) -> Service | None:
    """Read the name of a cluster; None where it is no Service's."""
    match name.split("|"):
        case ["outbound", port, key] if port.isdigit():
            return Service(int(port), key)
        case _:
            return None


def read_account(name: str) -> str | None:
    """Read ``namespace/account`` out of the name of a direct cluster or a match; None where there is none."""
    kind, _, account = name.partition("|")
    return _unescape(account) if kind in {"direct", "mtls"} else None


def read_inbound(prefix: str) -> Peer | None:
    """Read an inbound stat prefix; None where it is none."""
    match prefix.split("|"):
        case ["inbound", port, account]:
            return Peer(port, _unescape(account))
        case _:
            return None


def _escape(text: str) -> str:
    return text.replace(".", "%2E")


def _unescape(text: str) -> str:
    return text.replace("%2E", ".")
