"""What sends a pod's TCP through its proxy: one nftables table, as text. Pure.

    app --> output:     dnat to 15001, unless: the proxy's own user, loopback, a status port, a skipped port
    net --> prerouting: dnat to 15006, unless: the status port, a skipped port

Here because a mesh that misses one connection is a mesh that lies; so the whole plan is a value that can be read and
tested. Leaves out UDP, ICMP and SCTP, which pass by untouched, who loads it (``install``) and whether it works
(``selfcheck``).

Things that are not seen at once:

- *A pod to its own address* (or localhost) goes over the loopback interface: straight to the application, no proxy. The
  kernel translates the destination of a connection that starts here once, at output; prerouting does not see it again.
- *A pod to its own Service*: the application's connection is redirected, and the proxy may choose this very pod as the
  endpoint. That connection, from the proxy's user over loopback, would reach the application without the proxy's
  inbound side, which is who understands mTLS. Hence the hairpin rule: where the proxy's outbound side has marked its
  socket by ``SO_PRIORITY`` = ``HAIRPIN_PRIORITY`` (a proxy without capabilities may), it is redirected to the inbound
  port as if it came from outside. The inbound side must not mark its own sockets, so nothing can go in a circle.
- *The proxy's own two ports* called directly (from outside or from the pod) would make the proxy connect to itself
  without end; the guard refuses such connections before anything is translated.
- *A port that is probed by TCP* would be found open by whoever asks, since the proxy listens for it. So it is looked
  whether the application listens there: if not, the caller is refused as he would be without a proxy; if so, he is
  redirected like everybody. Nothing gets past the proxy by it, so who asks does not matter.
- *Another pod's status port* is reached directly: Envoy would hand the connection to its own listener on that port, so
  a meshed Prometheus would read its own metrics under everybody's name.
- *A pod that routes for others* (VPN, gateway): TCP that it forwards goes through its proxy as well.
- Whatever runs as the proxy's user is not redirected: an application must not. An application that has NET_ADMIN can
  remove the table. The redirect is no security boundary; the server's policy is.
"""

from typing import Final, NamedTuple

from injector import names
from injector.sidecar import ports

TABLE: Final = "ipseity"
HAIRPIN_PRIORITY: Final = 6
"""``SO_PRIORITY`` of the proxy's outbound sockets: the highest value that needs no capability (socket(7))."""
OURS: Final = (names.OUTBOUND_PORT, names.INBOUND_PORT)


class Redirect(NamedTuple):
    """What is redirected in one pod."""

    proxy_uid: int = names.PROXY_UID
    skip_inbound: tuple[ports.PortRange, ...] = ()
    """Ports of this pod whose callers reach the application directly."""
    skip_outbound: tuple[ports.PortRange, ...] = ()
    """Ports, anywhere, that the application reaches directly."""
    probed: tuple[ports.PortRange, ...] = ()
    """Ports of this pod that the kubelet probes by TCP: where nobody listens, a caller is refused."""


def ruleset(plan: Redirect) -> str:
    """Write the table, to be loaded at once: whatever was there before is replaced in the same transaction."""
    status = ports.PortRange(names.STATUS_PORT, names.STATUS_PORT)
    inbound, outbound = ports.joined((status, *plan.skip_inbound)), ports.joined((status, *plan.skip_outbound))
    return f"""\
{remove()}
table inet {TABLE} {{
  chain guard_output {{
    type filter hook output priority mangle; policy accept;
    oifname "lo" ct direction original tcp dport {{ {_listed(OURS)} }} counter reject with tcp reset
  }}
  chain guard_prerouting {{
    type filter hook prerouting priority mangle; policy accept;
    iifname != "lo" ct direction original tcp dport {{ {_listed(OURS)} }} counter reject with tcp reset
{_probed(plan.probed)}  }}
{_LISTENS if plan.probed else ""}  chain output {{
    type nat hook output priority -100; policy accept;
    meta l4proto != tcp return
    {_hairpin(plan.proxy_uid, "ip daddr != 127.0.0.0/8")}
    {_hairpin(plan.proxy_uid, "ip6 daddr != ::1")}
    meta skuid {plan.proxy_uid} return
    oifname "lo" return
    {_skip(outbound)}
    meta l4proto tcp counter redirect to :{names.OUTBOUND_PORT}
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    meta l4proto != tcp return
    iifname "lo" return
    {_skip(inbound)}
    meta l4proto tcp counter redirect to :{names.INBOUND_PORT}
  }}
}}
"""


def remove() -> str:
    """Write what removes the table, whether it is there or not: to add what exists is no error, to delete it is."""
    return f"add table inet {TABLE}\ndelete table inet {TABLE}\n"


def _hairpin(uid: int, foreign: str) -> str:
    mark = f"meta priority 0:{HAIRPIN_PRIORITY}"
    return f'oifname "lo" meta skuid {uid} {mark} {foreign} meta l4proto tcp counter redirect to :{names.INBOUND_PORT}'


_LISTENS: Final = """\
  chain listens {
    socket transparent { 0, 1 } return comment "there is a socket, of whatever kind"
    counter reject with tcp reset
  }
"""


def _probed(probed: tuple[ports.PortRange, ...]) -> str:
    """Write the rule for probed ports; what this pod only forwards is not its own."""
    if not probed:
        return ""
    begins = 'iifname != "lo" ct direction original ct state new fib daddr type local'
    return f"    {begins} tcp dport {{ {_listed(ports.joined(probed))} }} jump listens\n"


def _skip(skipped: tuple[ports.PortRange, ...]) -> str:
    """Write the rule for skipped ports. There is always one: nftables has no empty set."""
    return f"tcp dport {{ {_listed(skipped)} }} return"


def _listed(members: tuple[object, ...]) -> str:
    return ", ".join(str(each) for each in members)
