"""A service outside scales: it has another address now, and the one that was written down has another tenant."""

import contextlib

from comparisons import match, stage
from comparisons.scenarios import scene

LINK = "fabric"
"""Of the lab's way out."""


def addresses(it: scene.Scene) -> tuple[str, str]:
    """Give two addresses of the Internet that no other lane uses (RFC 5737, TEST-NET-2): the old and the new one."""
    lane = it.where.nodes[0]
    at = 10 + 4 * (ord(lane[-1]) - ord("a"))
    return f"198.51.100.{at}", f"198.51.100.{at + 1}"


async def prepare(it: scene.Scene) -> None:
    """Have a policy by which ``client`` calls the address that the name had when it was looked up."""
    old, _ = addresses(it)
    await it.intend(app="client", to_ranges=[f"{old}/32"])
    await it.post("client")
    await it.post("client", name="other")
    await it.known("client", "other")


async def play(it: scene.Scene) -> match.Played:
    """Call both: the partner is at the new address, a stranger at the old one."""
    flags = ("--every", str(it.draw("every_ms", 15, 25)), "--seconds", f"{scene.TRY_S}")
    old, new = addresses(it)
    fabric = it.where.names.fabric
    async with contextlib.AsyncExitStack() as stack:
        for address, name in ((old, f"tenant-{it.number}"), (new, f"partner-{it.number}")):
            await stack.enter_async_context(stage.address(fabric, LINK, address))
            words = ("serve", "--http", str(scene.HTTP), "--at", address)  # other lanes' are beside it
            await stack.enter_async_context(stage.beside(it.where, fabric, name, *words))
        name = f"client-{it.number}"
        partner = await it.call("client", "call", *flags, at="client", address=new, name=name, held=True)
        name = f"client-w{it.number}"
        tenant = await it.call("client", "call", *flags, at="other", address=old, name=name, held=True)
        began_ns = await it.go(partner, tenant)
        await it.done(partner, tenant)
    ended_ns = stage.now_ns()
    return match.Played(
        accounts={partner: "client", tenant: "client"},
        rights=[match.Right(who=partner)],
        since_ns=began_ns,
        until_ns=ended_ns,
        address=old,
        stretches=[match.Stretch(lane="owner", text="intruder: a new tenant", from_ns=began_ns, until_ns=ended_ns)],
        marks=[(began_ns, "the name leads elsewhere")],
    )
