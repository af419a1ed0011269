"""A pod may call nobody, and its proxy is to see to that. A process in it runs as the proxy's user and is not seen."""

from comparisons import match, stage
from comparisons.scenarios import scene

REFUSE = {"config.ipseity.io/outbound-policy": "strict"}
"""What this mesh has: nothing leaves in plaintext, and the server here speaks nothing else."""


async def prepare(it: scene.Scene) -> None:
    """Have a server outside the mesh, and a policy by which ``intruder`` calls nobody."""
    await it.serve(meshed=False)
    await it.intend(app="intruder", to_ranges=[])
    await it.post("intruder", annotations=REFUSE)
    await it.post("intruder", name="escaped", annotations=REFUSE)
    await it.known("intruder", "escaped")


async def play(it: scene.Scene) -> match.Played:
    """One process that is seen, one that escapes."""
    flags = ("--every", str(it.draw("every_ms", 15, 25)), "--seconds", f"{scene.TRY_S}")
    seen = await it.call("intruder", "call", *flags, at="intruder", held=True)
    uid, name = f"{it.parameters['uid']:g}", f"intruder-w{it.number}"
    escaped = await it.call("intruder", "call", *flags, "--uid", uid, at="escaped", name=name, held=True)
    began_ns = await it.go(seen, escaped)
    await it.done(seen, escaped)
    ended_ns = stage.now_ns()
    return match.Played(
        accounts={seen: "intruder", escaped: "intruder"},
        rights=[],
        since_ns=began_ns,
        until_ns=ended_ns,
        stretches=[match.Stretch(lane="owner", text="intruder", from_ns=began_ns, until_ns=ended_ns)],
        marks=[(began_ns, "both begin")],
    )
