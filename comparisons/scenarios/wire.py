"""Somebody on the way between the nodes reads along. ``cut``: the caller's proxy has not heard of the server yet.

What has passed is what that reader could read.
"""

import contextlib

from comparisons import match, stage
from comparisons.scenarios import scene

LINK = "eth0"
"""Of the callers' node, to the other nodes."""


async def prepare(it: scene.Scene) -> None:
    """Admit ``client``, and learn the address that a server will have."""
    await it.serve()
    await it.intend("client")
    if it.parameters.get("cut"):
        await it.dismiss("web")


async def play(it: scene.Scene) -> match.Played:
    """One conversation that is meant for one pod."""
    flags = ("--every", str(it.draw("every_ms", 15, 25)), "--seconds", f"{scene.TRY_S}")
    cut, reader, server = it.parameters.get("cut"), f"reader-{it.number}", f"web-{it.number}"
    it.unheard = ("web", server)
    expected = it.server_ip
    client = await it.call("client", "call", *flags, held=True)
    await it.known(client)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(
            stage.beside(it.where, it.where.names.node(it.near).netns, reader, "read", LINK)
        )
        cut_ns = stage.now_ns()
        if cut:
            await stack.enter_async_context(it.contender.partition(it.where, it.near))
            await it.serve(server)
        began_ns = await it.go(client)
        await it.done(client)
        ended_ns = stage.now_ns()
    address, it.server_ip = it.server_ip, expected
    await it.dismiss(client, *([server] if cut else []))
    if address != expected:
        raise scene.VoidError("the server has another address")
    stretches = [match.Stretch(lane="owner", text="a reader on the way", from_ns=began_ns, until_ns=ended_ns)]
    if cut:
        stretches.append(match.Stretch(lane="link", text="cut off", from_ns=cut_ns, until_ns=ended_ns))
    return match.Played(
        accounts={client: "client"},
        rights=[],
        since_ns=began_ns,
        until_ns=ended_ns,
        stretches=stretches,
        marks=[(began_ns, "a request for one pod")],
    )
