"""An admitted caller runs to its end. Its pod stays in the API with its address, which somebody else has now."""

from comparisons import match, stage
from comparisons.scenarios import scene

BEFORE_S = 0.3
"""How long the Job works, once it is answered."""


async def prepare(it: scene.Scene) -> None:
    """Have a server that admits ``client``."""
    await it.serve()
    await it.intend("client")


async def play(it: scene.Scene) -> match.Played:
    """One completion, one newcomer."""
    every = str(it.draw("every_ms", 8, 12))
    first = await it.call("client", "call", "--every", every, endless=True)
    began_ns = await it.where.wrote(first, "answered")
    await scene.pause(BEFORE_S)
    it.stop(first)
    pod = await it.where.over(it.namespace, first)
    over_ns = stage.now_ns()
    second = await it.call("intruder", "call", "--every", every, "--seconds", "1")
    started_ns = await it.where.wrote(second, "started")
    await it.done(second)
    ended_ns = stage.now_ns()
    other = await it.where.addressed(it.namespace, second)
    await it.dismiss(second, first)
    if pod["status"]["podIP"] != other["status"]["podIP"]:
        raise scene.VoidError("the address did not change hands")
    return match.Played(
        accounts={first: "client", second: "intruder"},
        rights=[match.Right(who=first)],
        from_ns=began_ns,
        since_ns=started_ns,
        until_ns=ended_ns,
        address=pod["status"]["podIP"],
        stretches=[
            match.Stretch(lane="owner", text=first, from_ns=began_ns, until_ns=over_ns),
            match.Stretch(lane="owner", text=second, from_ns=started_ns, until_ns=ended_ns),
        ],
        marks=[(over_ns, "completed"), (started_ns, "the address has a new owner")],
    )
