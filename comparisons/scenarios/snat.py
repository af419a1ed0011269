"""Two pods call through a node that writes its own address over theirs; one of them is admitted.

``block``: the policy admits the node's address, as people do when they see what arrives.
"""

import contextlib
import ipaddress
from collections.abc import AsyncIterator

from comparisons import match, stage
from comparisons.ip_policy import tracking
from comparisons.lab import netns
from comparisons.scenarios import scene

TABLE = "ipseity-comparison-snat"


async def prepare(it: scene.Scene) -> None:
    """Have a server that admits ``client``, or what the caller's node is."""
    await it.serve()
    ranges = [f"{address}/32" for address in await it.where.addresses(it.near)] if it.parameters.get("block") else []
    await it.intend("client", from_ranges=ranges)
    await it.meanwhile.enter_async_context(translated(it))
    await it.post("client")
    await it.post("intruder")
    await it.known("client", "intruder")


@contextlib.asynccontextmanager
async def translated(it: scene.Scene) -> AsyncIterator[None]:
    """Have the callers' node write its address over theirs, as kube-proxy does for node ports and clouds for egress."""
    here = it.where.names.node(it.near)
    rules = f"""table ip {TABLE} {{
        chain out {{
            type nat hook postrouting priority srcnat
            ip daddr {it.server_ip} masquerade
        }}
    }}"""
    await stage.inside(here, "nft", "-f", "-", given=rules)
    netns.inside(here.netns, lambda: forget(it.server_ip))
    try:
        yield
    finally:
        with contextlib.suppress(stage.StageError):
            await stage.inside(here, "nft", "delete", "table", "ip", TABLE)


def forget(server_ip: str) -> None:
    """Forget who called this address before: what is known stays as it is, and its addresses and ports come again.

    A pod that has ended has left connections, and the kernel gives the next pod at its address the same ports.
    """
    server = ipaddress.ip_address(server_ip)
    tracking.forget([each for each in tracking.read() if each.answering == server])


async def play(it: scene.Scene) -> match.Played:
    """Both call."""
    flags = ("--every", str(it.draw("every_ms", 15, 25)), "--seconds", f"{scene.TRY_S}")
    first = await it.call("client", "call", *flags, at="client", held=True)
    second = await it.call("intruder", "call", *flags, at="intruder", held=True)
    began_ns = await it.go(first, second)
    await it.done(first, second)
    ended_ns = stage.now_ns()
    return match.Played(
        accounts={first: "client", second: "intruder"},
        rights=[match.Right(who=first)],
        since_ns=began_ns,
        until_ns=ended_ns,
        stretches=[
            match.Stretch(lane="owner", text=f"{first} and {second}", from_ns=began_ns, until_ns=ended_ns),
            match.Stretch(lane="link", text="one address for both", from_ns=began_ns, until_ns=ended_ns),
        ],
        marks=[(began_ns, "both begin")],
    )
