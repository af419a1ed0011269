"""The handshake on this kernel: both ends know each other, no forgery is believed, nothing fails that connected before.

Here because what lies between a SYN and its hook differs from kernel to kernel. The same cases as ``make prove`` has
for the kernel that we are on, fewer of each; and told to be short: one line for what does not hold.
"""

import contextlib
import dataclasses
import subprocess

from tests.prove import _compat, _forgeries
from tests.scene import handshake, room

CALLS = 23
OF_EACH_KIND = 101
"""Of forged handshakes and of connections that nothing may fail; prime, and short under emulation."""
OLD_PORT, PORT = 7001, 7002
ADDRESSES = ("10.203.0.2", "fd00:203::2", "::ffff:10.203.0.2")
NAT = """
table ip nat {
 chain output { type nat hook output priority -100;
  ip daddr 10.96.0.1 tcp dport 80 dnat to 10.203.0.2:7002;
 }
 chain postrouting { type nat hook postrouting priority 100;
  ip daddr 10.203.0.2 tcp dport 7002 snat to 10.203.0.9;
 }
}
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was found."""

    ends_known: int
    ends: int
    forged: int
    believed: int
    failed: int
    connected: int
    wrong: list[str]
    """In words, what does not hold."""


def measure() -> Told:
    """Put all three to the test."""
    known, ends, wrong = both_ends()
    forgeries = list(_forgeries.measure(OF_EACH_KIND))
    compat = list(_compat.measure(OF_EACH_KIND))
    wrong += [kind.line() for kind in forgeries if not kind.holds]
    wrong += [kind.line() for kind in compat if not kind.unharmed]
    return Told(
        ends_known=known,
        ends=ends,
        forged=sum(kind.sent for kind in forgeries),
        believed=sum(kind.believed for kind in forgeries),
        failed=sum(kind.failed for kind in compat),
        connected=sum(kind.count for kind in compat),
        wrong=wrong,
    )


def both_ends() -> tuple[int, int, list[str]]:
    """Connect straight, to an old listener, with SYN cookies, and through translated addresses."""
    known = ends = 0
    wrong = []
    with contextlib.ExitStack() as stack:
        caller, callee = stack.enter_context(room.pair("told"))
        stack.enter_context(room.talking(callee, handshake.SERVE, str(OLD_PORT)))
        street = stack.enter_context(handshake.watching("told", caller, callee))
        stack.enter_context(room.talking(callee, handshake.SERVE, str(PORT)))
        ways = [(address, port, "") for address in ADDRESSES for port in (OLD_PORT, PORT)]
        ways += [(address, port, "cookies") for address in ADDRESSES[:2] for port in (OLD_PORT, PORT)]
        ways.append(("10.96.0.1", 80, "translated"))
        for address, port, how in ways:
            prepare(caller, callee, how)
            caller.run("python3", "-c", handshake.CALL, address, str(port), str(CALLS))
            found = street.believed(2 * CALLS)
            known, ends = known + found["caller"] + found["callee"], ends + 2 * CALLS
            if dict(found) != {"caller": CALLS, "callee": CALLS}:
                wrong.append(f"{address} port {port} {how}: {dict(found)}")
    return known, ends, wrong


def prepare(caller: room.Room, callee: room.Room, how: str) -> None:
    """Set up the rooms; it goes with them."""
    callee.run("sh", "-c", f"echo {2 if how == 'cookies' else 1} > /proc/sys/net/ipv4/tcp_syncookies")
    if how == "translated":
        room.ip("-n", caller.name, "address", "add", "10.203.0.9/24", "dev", "eth0")
        enter = ["ip", "netns", "exec", caller.name, "nft", "-f", "-"]
        subprocess.run(enter, input=NAT, text=True, check=True)
