"""A stranger and an admitted caller call side by side: a server with something special, or over another protocol.

Serves several scenarios; what is special is a parameter: ``host_network``, ``udp``, ``skip_port``, ``shared_account``.
"""

from comparisons import match, stage
from comparisons.scenarios import scene


async def prepare(it: scene.Scene) -> None:
    """Have the server, and say who may call it."""
    skipped = {"config.ipseity.io/skip-inbound-ports": str(scene.HTTP)} if it.parameters.get("skip_port") else None
    spec = {"hostNetwork": True} if it.parameters.get("host_network") else None
    await it.serve(annotations=skipped, spec=spec)
    udp = bool(it.parameters.get("udp"))
    await it.intend("client", port=scene.UDP if udp else scene.HTTP, udp=udp)


async def play(it: scene.Scene) -> match.Played:
    """Both call."""
    udp, shared = bool(it.parameters.get("udp")), bool(it.parameters.get("shared_account"))
    flags = ["--every", str(it.draw("every_ms", 10, 15)), *(["--kind", "udp"] if udp else [])]
    port = scene.UDP if udp else scene.HTTP
    first = await it.call("client", "call", *flags, "--seconds", "2.5", "--then", "stay", port=port)
    began_ns = await it.where.wrote(first, "answered")
    role = "client" if shared else "intruder"
    second = await it.call(
        role, "call", *flags, "--seconds", "0.8", port=port, name=f"intruder-{it.number}", labels={"app": "intruder"}
    )
    started_ns = await it.where.wrote(second, "started")
    await it.done(second)
    ended_ns = stage.now_ns()
    await it.dismiss(first, second)
    return match.Played(
        accounts={first: "client", second: role},
        rights=[match.Right(who=first)],
        from_ns=began_ns,
        since_ns=started_ns,
        until_ns=ended_ns,
        stretches=[
            match.Stretch(lane="owner", text=first, from_ns=began_ns, until_ns=ended_ns),
            match.Stretch(lane="owner", text=second, from_ns=started_ns, until_ns=ended_ns),
        ],
        marks=[(started_ns, "the stranger begins")],
    )
