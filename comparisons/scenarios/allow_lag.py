"""A new pod that is admitted calls as its first act, known or not."""

from comparisons import match, stage
from comparisons.scenarios import scene


async def prepare(it: scene.Scene) -> None:
    """Have a server that admits ``client``."""
    await it.serve()
    await it.intend("client")


async def play(it: scene.Scene) -> match.Played:
    """One newcomer."""
    every = str(it.draw("every_ms", 9, 14))
    async with it.alone():  # it is a race
        first = await it.call("client", "call", "--every", every, "--seconds", f"{scene.TRY_S}")
        started_ns = await it.where.wrote(first, "started")
        await it.done(first)
        ended_ns = stage.now_ns()
    await it.dismiss(first)
    return match.Played(
        accounts={first: "client"},
        rights=[match.Right(who=first)],
        since_ns=started_ns,
        until_ns=ended_ns,
        stretches=[match.Stretch(lane="owner", text=first, from_ns=started_ns, until_ns=ended_ns)],
        marks=[(started_ns, "its first act")],
    )
