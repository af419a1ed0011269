"""A stranger and an admitted caller call side by side: a server with something special, or over another protocol.

Serves several scenarios; what is special is a parameter: ``host_network``, ``udp``, ``skip_port``, ``shared_account``,
``audit`` (the proxy writes down and refuses nobody; the stranger has no proxy).
"""

from comparisons import match, stage
from comparisons.scenarios import scene


async def prepare(it: scene.Scene) -> None:
    """Have the server, and say who may call it."""
    annotations = {}
    if it.parameters.get("skip_port"):
        annotations["config.ipseity.io/skip-inbound-ports"] = str(scene.HTTP)
    if it.parameters.get("audit"):
        annotations["config.ipseity.io/inbound-policy"] = "audit"
    spec = {"hostNetwork": True} if it.parameters.get("host_network") else None
    await it.serve(annotations=annotations, spec=spec)
    udp = bool(it.parameters.get("udp"))
    await it.intend("client", port=scene.UDP if udp else scene.HTTP, udp=udp)
    await it.post("client")
    role = "client" if it.parameters.get("shared_account") else "intruder"
    await it.post(role, name="intruder", labels={"app": "intruder"}, meshed=not it.parameters.get("audit"))
    await it.known("client", "intruder")


async def play(it: scene.Scene) -> match.Played:
    """Both call."""
    udp, shared = bool(it.parameters.get("udp")), bool(it.parameters.get("shared_account"))
    flags = ["--every", str(it.draw("every_ms", 15, 25)), *(["--kind", "udp"] if udp else [])]
    port = scene.UDP if udp else scene.HTTP
    role = "client" if shared else "intruder"
    first = await it.call("client", "call", *flags, at="client", port=port, held=True, endless=True)
    flags += ["--seconds", f"{scene.TRY_S}"]
    name = f"intruder-{it.number}"
    second = await it.call(role, "call", *flags, at="intruder", name=name, port=port, held=True)
    await it.where.wrote(second, "started")
    await it.go(first)
    began_ns = await it.where.wrote(first, "answered")
    started_ns = await it.go(second)
    await scene.pause(scene.TRY_S)
    it.stop(first)
    await it.done(second, first)
    ended_ns = stage.now_ns()
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
