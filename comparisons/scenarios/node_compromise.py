"""Somebody has root on the callers' node: first it acts in an admitted pod's network, then from what it took there.

The pod is moved off its node after ``noticed_s``; what was taken is its address, which the node still gets packets
for, and its key where it has one.
"""

import asyncio
import contextlib
import os
import pathlib
from collections.abc import AsyncIterator, Sequence

from comparisons import match, stage
from comparisons.scenarios import scene


async def prepare(it: scene.Scene) -> None:
    """Have a server that admits ``client``."""
    await it.serve()
    await it.intend("client")


async def play(it: scene.Scene) -> match.Played:
    """One take-over."""
    every = str(it.draw("every_ms", 15, 25))
    noticed_s = it.parameters["noticed_s"]
    first = await it.call("client", "call", "--every", every, "--seconds", "0.3", "--then", "stay")
    began_ns = await it.where.wrote(first, "answered")
    await it.where.wrote(first, "done")
    pod = await it.where.ready(it.namespace, first)
    here = it.where.names.node(it.near)
    loot, address = it.contender.loot(it.where, pod), pod["status"]["podIP"]
    flags = ["--every", every, "--seconds"]
    inside, after = f"root-{it.number}", f"thief-{it.number}"
    started_ns = stage.now_ns()
    await act(it, inside, here.pod_netns(pod["metadata"]["uid"]), [*flags, str(noticed_s)])
    await it.dismiss(first)
    moved_ns = stage.now_ns()
    words = [*flags, "1.0", "--from", address]
    if loot is not None:
        key = it.where.truth() / f"loot-{it.number}"
        key.write_bytes(loot.pem)
        words += ["--loot", str(key), "--sni", loot.server_name, "--alpn", loot.protocol]
    async with owning(it.where, it.near, address):
        await act(it, after, here.netns, words)
        await scene.pause(0.5)
    ended_ns = stage.now_ns()
    return match.Played(
        accounts={first: "client", inside: "root", after: "root"},
        rights=[match.Right(who=first)],
        from_ns=began_ns,
        since_ns=started_ns,
        until_ns=ended_ns,
        address=address,
        stretches=[
            match.Stretch(lane="owner", text=first, from_ns=began_ns, until_ns=moved_ns),
            match.Stretch(lane="owner", text=after, from_ns=moved_ns, until_ns=ended_ns),
        ],
        marks=[(started_ns, "root on the node"), (moved_ns, "the pod is moved off")],
    )


async def act(it: scene.Scene, who: str, netns: pathlib.Path, flags: Sequence[str]) -> None:
    """Run a caller that is no pod in a network namespace, to its end."""
    log, target = str(it.where.truth() / who), f"{it.server_ip}:{scene.HTTP}"
    words = ["nsenter", f"--net={netns}", stage.PYTHON, "-I", "-S", str(stage.ACTOR), "call", log, target, *flags]
    process = await asyncio.create_subprocess_exec(
        *words, env={**os.environ, "WHO": who}, start_new_session=True, stderr=asyncio.subprocess.PIPE
    )
    _, complained = await process.communicate()
    if process.returncode != 0:
        raise stage.StageError(f"root on {it.near} could not call: {complained.decode(errors='replace')[-200:]}")


@contextlib.asynccontextmanager
async def owning(where: stage.Stage, node: str, address: str) -> AsyncIterator[None]:
    """Have a pod's address on the node itself: packets for it are led there anyway."""
    here = where.names.node(node)
    await stage.inside(here, "ip", "address", "add", f"{address}/32", "dev", "lo")
    try:
        yield
    finally:
        with contextlib.suppress(stage.StageError):
            await stage.inside(here, "ip", "address", "del", f"{address}/32", "dev", "lo")
