"""What proves who an admitted pod is gets copied, and a stranger calls with it from a pod and an address of its own.

Where nothing but an address proves it, there is nothing to copy, and the stranger calls as it is. ``noticed_s`` later
the account is taken out of the policy.
"""

import datetime as dt

from cryptography import x509

from comparisons import match, stage
from comparisons.contenders import model
from comparisons.scenarios import scene


async def prepare(it: scene.Scene) -> None:
    """Have a server that admits ``client``."""
    await it.serve()
    await it.intend("client")


async def play(it: scene.Scene) -> match.Played:
    """One theft."""
    every = str(it.draw("every_ms", 15, 25))
    first = await it.call("client", "call", "--every", every, "--seconds", "0.3", "--then", "stay")
    began_ns = await it.where.wrote(first, "answered")
    await it.where.wrote(first, "done")
    pod = await it.where.ready(it.namespace, first)
    loot = it.contender.loot(it.where, pod)
    flags = ["--every", every, "--seconds", str(1.0 + it.parameters["noticed_s"])]
    if loot is not None:
        name = f"loot-{it.number}"
        (it.where.truth() / name).write_bytes(loot.pem)
        flags += ["--loot", f"/truth/{name}", "--sni", loot.server_name, "--alpn", loot.protocol]
    second = await it.call("intruder", "call", *flags, meshed=False)
    started_ns = await it.where.wrote(second, "started")
    await scene.pause(it.parameters["noticed_s"])
    await it.intend("nobody")
    noticed_ns = stage.now_ns()
    await it.done(second)
    ended_ns = stage.now_ns()
    await it.dismiss(first, second)
    await it.intend("client")  # for the next run
    await scene.pause(scene.SETTLED_S)
    return match.Played(
        accounts={first: "client", second: "intruder"},
        rights=[match.Right(who=first, until_ns=noticed_ns)],
        from_ns=began_ns,
        since_ns=started_ns,
        until_ns=ended_ns,
        stretches=[
            match.Stretch(lane="owner", text=first, from_ns=began_ns, until_ns=ended_ns),
            match.Stretch(lane="owner", text=second, from_ns=started_ns, until_ns=ended_ns),
        ],
        marks=[(started_ns, told(loot)), (noticed_ns, "out of the policy")],
    )


def told(loot: model.Loot | None) -> str:
    """Say what was stolen, and for how long it would be good."""
    if loot is None:
        return "nothing to steal"
    certificate = x509.load_pem_x509_certificates(loot.pem)[0]
    left = certificate.not_valid_after_utc - dt.datetime.now(tz=dt.UTC)  # noqa: TID251  # how long is what is told
    return f"stolen: a key good for {left.total_seconds() / 3600:.1f} h"
