"""A server is made while nobody can put a proxy into it, and it is made all the same."""

from comparisons import match, stage
from comparisons.scenarios import scene


async def prepare(it: scene.Scene) -> None:
    """Learn the address that the server will have, and write the intent: it is there before the pod."""
    await it.serve()
    await it.intend("client")
    await it.dismiss("web")


async def play(it: scene.Scene) -> match.Played:
    """One server without a proxy."""
    flags = ("--every", str(it.draw("every_ms", 15, 25)))
    name, expected = f"web-{it.number}", it.server_ip
    first = await it.call("client", "call", *flags, held=True, endless=True)
    second = await it.call("intruder", "call", *flags, "--seconds", f"{scene.TRY_S}", held=True)
    for each in (first, second):
        await it.where.wrote(each, "started")
    async with it.alone():  # it is away for everybody
        away_ns = stage.now_ns()
        async with it.contender.away(it.where):
            await it.serve(name)
            back_ns = stage.now_ns()
    await it.go(first)
    began_ns = await it.where.wrote(first, "answered")
    started_ns = await it.go(second)
    await scene.pause(scene.TRY_S)
    it.stop(first)
    await it.done(second, first)
    ended_ns = stage.now_ns()
    address, it.server_ip = it.server_ip, expected
    await it.dismiss(first, second, name)
    if address != expected:
        raise scene.VoidError("the server has another address")
    return match.Played(
        accounts={first: "client", second: "intruder"},
        rights=[match.Right(who=first)],
        from_ns=began_ns,
        since_ns=started_ns,
        until_ns=ended_ns,
        stretches=[
            match.Stretch(lane="link", text="webhook away", from_ns=away_ns, until_ns=back_ns),
            match.Stretch(lane="owner", text=first, from_ns=began_ns, until_ns=ended_ns),
            match.Stretch(lane="owner", text=second, from_ns=started_ns, until_ns=ended_ns),
        ],
        marks=[(started_ns, "the stranger begins")],
    )
