"""Upgrade and uninstall, with traffic on: nothing is cut, nothing is forgotten, nothing is left."""

import json
from typing import Any, Final

from ipseity.installing import manifests
from tests.cluster import checks, ground, own, record, traffic, workloads
from tests.cluster.subjects import agent

Json = dict[str, Any]

_CHANGED: Final = ("--agent-setting", "log_level=debug", "--mesh-setting", "log_level=debug")
"""Makes both of them roll, and changes nothing else."""


async def _unbroken(on: ground.Ground, since: int, during: str) -> str:
    """Give how many calls were made since; raises Failed if one of them failed."""
    await traffic.settled(
        on,
        on.meshed,
        "client",
        "web",
        good=lambda call: bool(call["status"] == 200),
        what=f"calls go on after {during}",
    )
    count, failed = await traffic.failed_since(on, on.meshed, "client", "web", since)
    if failed:
        raise record.Failed(f"{len(failed)} of {count} calls failed during {during}: {json.dumps(failed[0])}")
    return f"0 of {count} calls failed"


@checks.check(
    "upgrade/rolls",
    "ipseity upgrade rolls both parts, and no call fails",
    "install/install",
    "destination/service",
    admin=True,
    changes=True,
)
async def rolls(on: ground.Ground) -> str:
    """By a changed setting."""
    since = await traffic.number(on, on.meshed, "client", "web")
    out = await on.succeed(
        "upgrade", *on.given.reach, *on.given.flags, *_CHANGED, "--timeout", f"{on.given.limit_s:.0f}"
    )
    for each in ("deployment/ipseity-control", "daemonset/ipseity-agent"):
        if f"{each} changed" not in out:
            raise record.Failed(f"{each} was not changed:\n{out}")
    return await _unbroken(on, since, "the upgrade")


@checks.check("upgrade/counts", "new agents go on from what old ones counted", "upgrade/rolls", "agent/names")
async def counts(on: ground.Ground) -> str:
    """From pinned tables and the checkpoint, both on the node."""
    before = float(on.notes["connections"])
    seen: list[float] = []

    async def holds() -> bool:
        seen.append(agent.connections(await agent.series(on)))
        return seen[-1] >= before

    async def why() -> list[str]:
        return [f"{before:.0f} before, {seen[-1]:.0f} now"]

    hint = "is /sys/fs/bpf of the nodes a BPF file system, and /run/ipseity writable? docs/install.md, Nodes"
    await on.until(holds, "the counters are where they were", limit_s=60, why=why, hint=hint)
    return f"{before:.0f} before, {seen[-1]:.0f} after"


@checks.check("upgrade/injects", "the new control plane injects as the old one did", "upgrade/rolls", "webhook/asked")
async def injects(on: ground.Ground) -> str:
    """And a pod that it injects becomes ready."""
    path = f"/apis/apps/v1/namespaces/{on.meshed}/deployments/web"
    again = {"ipseity.io/cluster-suite-again": "yes"}
    await on.where.merge(path, {"spec": {"template": {"metadata": {"annotations": again}}}})
    await on.rolled_out(on.meshed, "web")
    return "web is rolled out anew"


@checks.check(
    "uninstall/all",
    "ipseity uninstall takes it out, running pods go on",
    "install/install",
    admin=True,
    changes=True,
)
async def uninstall(on: ground.Ground) -> str:
    """Programs in the nodes' kernels included. The kind stays if it was there before."""
    has_traffic = bool(on.notes.get("traffic"))
    since = await traffic.number(on, on.meshed, "client", "web") if has_traffic else 0
    words = ["uninstall", *([] if on.kind_was_there else ["--purge"]), *on.given.reach]
    out = await on.succeed(*words, "--timeout", f"{on.given.limit_s:.0f}")
    on.installing = False
    if "the kernels of all nodes are cleaned" not in out:
        raise record.Failed(f"it does not say that nodes are cleaned:\n{out}")
    return await _unbroken(on, since, "uninstalling") if has_traffic else "no traffic to watch"


@checks.check("uninstall/left", "nothing of it is left in the cluster", "uninstall/all", admin=True, changes=True)
async def left(on: ground.Ground) -> str:
    """Objects of the cluster, bundles and labels in namespaces."""
    found = await own.leftovers(on)
    if found:
        raise record.Failed("\n".join(found), hint="kubectl delete these; then say so in an issue")
    return f"and no {manifests.NAMESPACE}"


@checks.check(
    "uninstall/pods",
    "a pod that asks for a sidecar waits for nobody",
    "uninstall/all",
    admin=True,
    changes=True,
)
async def late(on: ground.Ground) -> str:
    """It starts as it was written."""
    spec = workloads.pod_spec(on.given, "server", {})
    await on.apply(workloads.account(on.meshed, "late"), workloads.deployment(on.meshed, "late", spec))
    await on.rolled_out(on.meshed, "late")
    (pod,) = await on.pods(on.meshed, "late")
    if pod["spec"].get("initContainers"):
        raise record.Failed("it was injected: somebody still answers")
    return "ready, without a sidecar"


CHECKS: Final = (rolls, counts, injects, uninstall, left, late)
