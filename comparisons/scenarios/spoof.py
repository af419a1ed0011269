"""A stranger with CAP_NET_RAW, which containers have unless it is taken from them, sends under an admitted address."""

from comparisons import match, stage
from comparisons.scenarios import scene


async def prepare(it: scene.Scene) -> None:
    """Have a server that admits ``client``, and a client that is silent."""
    await it.serve()
    await it.intend("client", port=scene.UDP, udp=True)
    await it.post("client")
    await it.post("intruder")
    await it.known("client", "intruder")


async def play(it: scene.Scene) -> match.Played:
    """Datagrams: nobody needs the answer to have done harm."""
    flags = ["--every", str(it.draw("every_ms", 10, 15)), "--kind"]
    port = scene.UDP
    client = await it.where.addressed(it.namespace, "client")
    address = client["status"]["podIP"]
    first = await it.call("client", "call", *flags, "udp", at="client", port=port, held=True, endless=True)
    flags += ["spoof", "--as", str(address), "--seconds", f"{scene.TRY_S}"]
    second = await it.call("intruder", "call", *flags, at="intruder", port=port, held=True)
    await it.where.wrote(second, "started")
    await it.go(first)
    began_ns = await it.where.wrote(first, "answered")
    started_ns = await it.go(second)
    await scene.pause(scene.TRY_S)
    it.stop(first)
    await it.done(second, first)
    ended_ns = stage.now_ns()
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
