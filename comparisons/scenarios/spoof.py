"""A stranger with CAP_NET_RAW, which containers have unless it is taken from them, sends under an admitted address."""

from comparisons import match, stage
from comparisons.scenarios import scene


async def prepare(it: scene.Scene) -> None:
    """Have a server that admits ``client``, and a client that is silent."""
    await it.serve()
    await it.intend("client", port=scene.UDP, udp=True)


async def play(it: scene.Scene) -> match.Played:
    """Datagrams: nobody needs the answer to have done harm."""
    flags = ("--every", str(it.draw("every_ms", 10, 15)), "--kind")
    port = scene.UDP
    first = await it.call("client", "call", *flags, "udp", "--then", "stay", port=port, held=True, endless=True)
    client = await it.where.addressed(it.namespace, first)
    address = client["status"]["podIP"]
    second = await it.call(
        "intruder", "call", *flags, "spoof", "--as", address, "--seconds", "0.8", port=port, held=True
    )
    await it.where.wrote(second, "started")
    await it.go(first)
    began_ns = await it.where.wrote(first, "answered")
    started_ns = await it.go(second)
    await it.done(second)
    it.stop(first)
    await it.done(first)
    ended_ns = stage.now_ns()
    await it.dismiss(first, second)
    return match.Played(
        accounts={first: "client", second: "intruder"},
        rights=[match.Right(who=first)],
        from_ns=began_ns,
        since_ns=started_ns,
        until_ns=ended_ns,
        address=address,
        stretches=[match.Stretch(lane="owner", text=first, from_ns=began_ns, until_ns=ended_ns)],
        marks=[(started_ns, "somebody else writes this address")],
    )
