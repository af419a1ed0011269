"""An admitted caller ends, and a stranger gets its address at once. ``partition_s``: while the enforcer is cut off."""

import contextlib

from comparisons import match, stage
from comparisons.scenarios import scene

BEFORE_S = 0.3
"""How long the admitted caller calls, once it is answered."""


async def prepare(it: scene.Scene) -> None:
    """Have a server that admits ``client``."""
    await it.serve()
    await it.intend("client")


async def play(it: scene.Scene) -> match.Played:
    """One hand-over."""
    partition_s = it.parameters.get("partition_s", 0.0)
    every = str(it.draw("every_ms", 8, 12))
    first = await it.call("client", "call", "--every", every, "--then", "stay", endless=True)
    began_ns = await it.where.wrote(first, "answered")
    await scene.pause(BEFORE_S)
    it.stop(first)
    pod = await it.where.addressed(it.namespace, first)
    await it.where.wrote(first, "done")
    cut = it.contender.partition(it.where, it.far) if partition_s else contextlib.nullcontext()
    async with cut:
        cut_ns = stage.now_ns()
        await it.dismiss(first)
        freed_ns = stage.now_ns()
        seconds = 1.0 + partition_s
        second = await it.call("intruder", "call", "--every", every, "--seconds", str(seconds))
        started_ns = await it.where.wrote(second, "started")
        await scene.pause(partition_s)
    healed_ns = stage.now_ns()
    await it.done(second)
    ended_ns = stage.now_ns()
    other = await it.where.addressed(it.namespace, second)
    await it.dismiss(second)
    if pod["status"]["podIP"] != other["status"]["podIP"]:
        raise scene.VoidError("the address did not change hands")
    stretches = [
        match.Stretch(lane="owner", text=first, from_ns=began_ns, until_ns=freed_ns),
        match.Stretch(lane="owner", text=second, from_ns=started_ns, until_ns=ended_ns),
    ]
    if partition_s:
        stretches.append(match.Stretch(lane="link", text="cut off", from_ns=cut_ns, until_ns=healed_ns))
    return match.Played(
        accounts={first: "client", second: "intruder"},
        rights=[match.Right(who=first)],
        from_ns=began_ns,
        since_ns=started_ns,
        until_ns=ended_ns,
        address=pod["status"]["podIP"],
        stretches=stretches,
        marks=[(started_ns, "the address has a new owner")],
    )
