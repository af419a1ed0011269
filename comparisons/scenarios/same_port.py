"""One caller is admitted to read. The same caller, address and port carry another method."""

from comparisons import match, stage
from comparisons.scenarios import scene


async def prepare(it: scene.Scene) -> None:
    """Have a server that means ``client`` to read only."""
    await it.serve()
    await it.intend("client", method="GET")
    await it.post("client")
    await it.post("client", name="writer")
    await it.known("client", "writer")


async def play(it: scene.Scene) -> match.Played:
    """Read and write at once."""
    every = str(it.draw("every_ms", 15, 25))
    reader = await it.call("client", "call", "--every", every, at="client", held=True, endless=True)
    flags = ("--every", every, "--seconds", f"{scene.TRY_S}", "--method", "POST")
    writer = await it.call("client", "call", *flags, at="writer", name=f"client-w{it.number}", held=True)
    await it.where.wrote(writer, "started")
    await it.go(reader)
    began_ns = await it.where.wrote(reader, "answered")
    started_ns = await it.go(writer)
    await scene.pause(scene.TRY_S)
    it.stop(reader)
    await it.done(writer, reader)
    ended_ns = stage.now_ns()
    return match.Played(
        accounts={reader: "client", writer: "client"},
        rights=[match.Right(who=reader, method="GET"), match.Right(who=writer, method="GET")],
        from_ns=began_ns,
        since_ns=started_ns,
        until_ns=ended_ns,
        stretches=[match.Stretch(lane="owner", text="client", from_ns=began_ns, until_ns=ended_ns)],
        marks=[(started_ns, "it writes")],
    )
