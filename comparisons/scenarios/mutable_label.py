"""Somebody who may label pods, and nothing more, gives a stranger the label that is admitted."""

from comparisons import match, stage
from comparisons.scenarios import scene


async def prepare(it: scene.Scene) -> None:
    """Have a server that admits ``client``."""
    await it.serve()
    await it.intend("client")


async def play(it: scene.Scene) -> match.Played:
    """One label."""
    every = str(it.draw("every_ms", 8, 12))
    second = await it.call("intruder", "call", "--every", every, "--seconds", "2")
    started_ns = await it.where.wrote(second, "sent")
    await scene.pause(it.draw("before_ms", 400, 700) / 1000)
    await it.where.patch("Pod", it.namespace, second, {"metadata": {"labels": {"app": "client"}}})
    changed_ns = stage.now_ns()
    await it.done(second)
    ended_ns = stage.now_ns()
    await it.dismiss(second)
    return match.Played(
        accounts={second: "intruder"},
        rights=[],
        from_ns=started_ns,
        since_ns=changed_ns,
        until_ns=ended_ns,
        stretches=[
            match.Stretch(lane="owner", text="intruder, label intruder", from_ns=started_ns, until_ns=changed_ns),
            match.Stretch(lane="owner", text="intruder, label client", from_ns=changed_ns, until_ns=ended_ns),
        ],
        marks=[(changed_ns, "labelled")],
    )
