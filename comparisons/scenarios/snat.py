"""Two pods call through a node that writes its own address over theirs; one of them is admitted.

``block``: the policy admits the node's address, as people do when they see what arrives.
"""

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator

from comparisons import match, stage
from comparisons.ip_policy import tracking
from comparisons.lab import layout, netns
from comparisons.scenarios import scene

TABLE = "ipseity-comparison-snat"


async def prepare(it: scene.Scene) -> None:
    """Have a server that admits ``client``, or what the caller's node is."""
    await it.serve()
    ranges = [f"{address}/32" for address in await it.where.addresses(it.near)] if it.parameters.get("block") else []
    await it.intend("client", from_ranges=ranges)
    await it.meanwhile.enter_async_context(translated(it.where.names.node(it.near), it.server_ip))
    await it.post("client")
    await it.post("intruder")
    await it.known("client", "intruder")


@contextlib.asynccontextmanager
async def translated(node: layout.Node, server_ip: str) -> AsyncIterator[None]:
    """Have the callers' node write its address over theirs, as kube-proxy does for node ports and clouds for egress.

    What the node remembers of a connection outlives the rules, either way: see ``forget``.
    """
    rules = f"""table ip {TABLE} {{
        chain out {{
            type nat hook postrouting priority srcnat
            ip daddr {server_ip} masquerade
        }}
    }}"""
    await stage.inside(node, "nft", "-f", "-", given=rules)
    try:
        await forget(node, server_ip)
        yield
    finally:
        with contextlib.suppress(stage.StageError):
            await stage.inside(node, "nft", "delete", "table", "ip", TABLE)
        await forget(node, server_ip)


async def forget(node: layout.Node, server_ip: str) -> None:
    """Have a node forget who called this address: whoever has their address and port next would be translated as they.

    A SYN that was lost is remembered for two minutes, and addresses and ports come again. Raises ``errors.Refused``.
    """
    server = ipaddress.ip_address(server_ip)

    def entries() -> None:
        tracking.forget([each for each in tracking.read() if each.answering == server])

    await asyncio.to_thread(netns.inside, node.netns, entries)  # all lanes share the loop


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
