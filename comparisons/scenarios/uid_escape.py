"""A pod may call nobody, and its proxy is to see to that. A process in it runs as the proxy's user and is not seen."""

from comparisons import match, stage
from comparisons.scenarios import scene

REFUSE = {"config.ipseity.io/outbound-policy": "strict"}
"""What this mesh has: nothing leaves in plaintext, and the server here speaks nothing else."""


async def prepare(it: scene.Scene) -> None:
    """Have a server outside the mesh, and a policy by which ``intruder`` calls nobody."""
    await it.serve(meshed=False)
    await it.intend(app="intruder", to_ranges=[])


async def play(it: scene.Scene) -> match.Played:
    """One process that is seen, one that escapes."""
    flags = ("--every", str(it.draw("every_ms", 10, 15)), "--seconds", "0.8")
    seen = await it.call("intruder", "call", *flags, annotations=REFUSE, held=True)
    escaped = await it.call(
        "intruder",
        "call",
        *flags,
        "--uid",
        f"{it.parameters['uid']:g}",
        name=f"intruder-w{it.number}",
        annotations=REFUSE,
        held=True,
    )
    began_ns = await it.go(seen, escaped)
    await it.done(seen, escaped)
    ended_ns = stage.now_ns()
    await it.dismiss(seen, escaped)
    return match.Played(
        accounts={seen: "intruder", escaped: "intruder"},
        rights=[],
        since_ns=began_ns,
        until_ns=ended_ns,
        stretches=[match.Stretch(lane="owner", text="intruder", from_ns=began_ns, until_ns=ended_ns)],
        marks=[(began_ns, "both begin")],
    )
