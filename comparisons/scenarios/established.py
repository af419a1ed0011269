"""Two callers hold a connection each; one of them is no longer admitted: only its connection should end."""

import contextlib

from comparisons import match, stage
from comparisons.scenarios import scene

TOTAL_S = 60
"""Longer than a run: their pods end it."""
LATEST_S = 5.0
"""How long it may take until who was cut off has noticed: only then is it known that nothing more passes."""


async def prepare(it: scene.Scene) -> None:
    """Have a server that admits both."""
    await it.serve()
    await it.intend("client", "keeper", port=scene.LINES)


async def play(it: scene.Scene) -> match.Played:
    """One withdrawal."""
    await it.intend("client", "keeper", port=scene.LINES)
    every = str(it.draw("every_ms", 15, 25))
    names = [
        await it.call(role, "hold", "--every", every, "--seconds", str(TOTAL_S), port=scene.LINES)
        for role in ("client", "keeper")
    ]
    began_ns = max([await it.where.wrote(name, "answered") for name in names])
    await scene.pause(it.draw("before_ms", 300, 600) / 1000)
    changed_ns = stage.now_ns()  # when it is asked for: some have acted before the API server's answer is here
    await it.intend("keeper", port=scene.LINES)
    await scene.pause(1.5)
    with contextlib.suppress(stage.StageError):  # it is not cut: that is what some are expected to do
        await it.where.wrote(names[0], "refused", limit_s=LATEST_S)
    ended_ns = stage.now_ns()
    await it.dismiss(*names)
    await it.intend("client", "keeper", port=scene.LINES)
    await scene.pause(0.5)
    client, keeper = names
    return match.Played(
        accounts={client: "client", keeper: "keeper"},
        rights=[match.Right(who=client, until_ns=changed_ns), match.Right(who=keeper)],
        from_ns=began_ns,
        since_ns=changed_ns,
        until_ns=ended_ns,
        stretches=[
            match.Stretch(lane="owner", text="client: admitted", from_ns=began_ns, until_ns=changed_ns),
            match.Stretch(lane="owner", text="client: no longer", from_ns=changed_ns, until_ns=ended_ns),
        ],
        marks=[(changed_ns, "the policy refuses client")],
    )
