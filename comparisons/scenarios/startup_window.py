"""A protected pod starts while a stranger is already calling, before its protection is there."""

import asyncio

from comparisons import match, stage
from comparisons.scenarios import scene

AFTER_S = 0.6
"""How long the stranger goes on once the program listens and the pod is ready."""


async def prepare(it: scene.Scene) -> None:
    """Learn the address that the server will have, and write the intent: it is there before the pod."""
    await it.serve()
    await it.intend("client")
    await it.dismiss("web")
    await it.post("intruder")
    await it.known("intruder")


async def slowly(it: scene.Scene) -> None:
    """Have whoever protects the server hear of it late."""
    async with it.contender.partition(it.where, it.far):
        await scene.pause(it.parameters["slow_watch_ms"] / 1000)


async def play(it: scene.Scene) -> match.Played:
    """One start under fire."""
    every = str(it.draw("every_ms", 4, 6))
    ends = ("--seconds", str(scene.ENDLESS_S), "--until", f"stop-intruder-{it.number}")
    second = await it.call("intruder", "call", "--every", every, *ends, at="intruder", held=True)
    await it.where.wrote(second, "started")
    name, expected = f"web-{it.number}", it.server_ip
    async with it.alone():  # it is a race
        await it.go(second)
        created_ns = stage.now_ns()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(slowly(it))
            await it.serve(name)
        ready_ns = await it.where.wrote(name, "ready")
        await scene.pause(AFTER_S)
        it.stop(second)
    address, it.server_ip = it.server_ip, expected
    await it.done(second)
    ended_ns = stage.now_ns()
    await it.dismiss(name)
    if address != expected:
        raise scene.VoidError("the server has another address")
    return match.Played(
        accounts={second: "intruder"},
        rights=[],
        since_ns=ready_ns,
        until_ns=ended_ns,
        stretches=[
            match.Stretch(lane="owner", text="nobody", from_ns=created_ns, until_ns=ready_ns),
            match.Stretch(lane="owner", text=name, from_ns=ready_ns, until_ns=ended_ns),
        ],
        marks=[(ready_ns, "the program listens")],
    )
