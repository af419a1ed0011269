"""What is ours in the cluster: namespaces with our mark, Ipseity if we installed it. Made, and taken out again by mark.

Here because it must be gone whatever happened, also in the next run if this one was killed.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from ipseity.installing import manifests, trouble
from tests.cluster import ground, record, workloads

Json = dict[str, Any]

_NAMESPACES: Final = "/api/v1/namespaces"
KEPT: Final = f"{ground.MARK}-kept"
"""Label on Ipseity's namespace: the kind AuthorizationPolicy is older than this run, and stays."""


async def prepare(on: ground.Ground) -> None:
    """Make our namespaces, with the Secret to pull images with."""
    await on.apply(
        workloads.namespace(on.meshed, on.run),
        workloads.namespace(on.plain, on.run),
        workloads.namespace(on.guarded, on.run, enforce="baseline"),
    )
    for each in (on.meshed, on.plain):
        await _copy_secret(on, each)


async def claim(on: ground.Ground) -> None:
    """Make Ipseity's namespace before it is installed: with our mark, and the Secret to pull images with."""
    system = manifests.namespace()
    labels = {**system["metadata"]["labels"], ground.MARK: on.run, **({KEPT: "yes"} if on.kind_was_there else {})}
    await on.apply({**system, "metadata": {**system["metadata"], "labels": labels}})
    await _copy_secret(on, manifests.NAMESPACE)


async def _copy_secret(on: ground.Ground, namespace: str) -> None:
    where, _, name = on.given.pull_secret.rpartition("/")
    if not name:
        return
    found = await on.get(f"/api/v1/namespaces/{where or 'default'}/secrets/{name}")
    if found is None:
        raise record.Failed(f"there is no Secret {where or 'default'}/{name}", hint="PULL_SECRET is namespace/name")
    kept = {"apiVersion": "v1", "kind": "Secret", "type": found["type"], "data": found["data"]}
    await on.apply({**kept, "metadata": {"name": name, "namespace": namespace}})


async def in_the_way(on: ground.Ground) -> str:
    """Say who has installed Ipseity here already; empty: nobody."""
    workloads_ = ("deployments/ipseity-control", "daemonsets/ipseity-agent")
    found = [await on.get(f"/apis/apps/v1/namespaces/{manifests.NAMESPACE}/{each}") for each in workloads_]
    system = await on.get(ground.SYSTEM)
    if not any(found) and (system is None or ground.MARK not in (system["metadata"].get("labels") or {})):
        return ""
    mark = ((system or {}).get("metadata", {}).get("labels") or {}).get(ground.MARK)
    return f"run {mark} of this suite, which was killed" if mark else "somebody"


async def clean(on: ground.Ground, say: Callable[[str], None], *, run: str = "") -> list[str]:
    """Take out what a run has made (without ``run``: any run); returns what is left and why."""
    selector = f"{ground.MARK}={run}" if run else ground.MARK
    found = await on.items(_NAMESPACES, labelSelector=selector)
    names = [each["metadata"]["name"] for each in found]
    left: list[str] = []
    if manifests.NAMESPACE in names:
        names.remove(manifests.NAMESPACE)
        (system,) = (each for each in found if each["metadata"]["name"] == manifests.NAMESPACE)
        left += await _uninstall(on, say, purge=KEPT not in system["metadata"]["labels"])
    for name in names:
        await on.delete(f"{_NAMESPACES}/{name}")
    if names:
        say(f"removing {', '.join(sorted(names))}")
    results = await asyncio.gather(*(_gone(on, name) for name in names))
    return [*left, *(each for each in results if each)]


async def _uninstall(on: ground.Ground, say: Callable[[str], None], *, purge: bool) -> list[str]:
    say("taking Ipseity out")
    words = ["uninstall", *(["--purge"] if purge else []), *on.given.reach, "--timeout", f"{on.given.limit_s:.0f}"]
    said = await on.ipseity(*words)
    if said.code:
        return [f"Ipseity: {said.err.strip()}"]
    return []


async def _gone(on: ground.Ground, name: str) -> str:
    """Wait until a namespace is gone; say what keeps it if it is not."""
    path = f"{_NAMESPACES}/{name}"

    async def holds() -> bool:
        return await on.get(path) is None

    async def why() -> list[str]:
        found = await on.get(path)
        pods = await on.items(f"{path}/pods")
        return [*trouble.of_namespace(found), *trouble.of_pods(pods)]

    try:
        await on.until(holds, f"namespace {name} is gone", why=why)
    except record.Failed as failed:
        return str(failed)
    return ""


async def leftovers(on: ground.Ground) -> list[str]:
    """List what Ipseity leaves nowhere: objects of the cluster, bundles and labels in namespaces."""
    kinds = {
        "/apis/rbac.authorization.k8s.io/v1/clusterroles": "clusterrole",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings": "clusterrolebinding",
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations": "mutatingwebhookconfiguration",
        **({} if on.kind_was_there else {"/apis/apiextensions.k8s.io/v1/customresourcedefinitions": "definition"}),
    }
    left = [
        f"{kind} {each['metadata']['name']}"
        for path, kind in kinds.items()
        for each in await on.items(path)
        if _is_ours(each["metadata"]["name"])
    ]
    bundles = await on.items("/api/v1/configmaps", fieldSelector="metadata.name=ipseity-trust-bundle")
    left += [f"configmap {each['metadata']['namespace']}/ipseity-trust-bundle" for each in bundles]
    labelled = await on.items(_NAMESPACES, labelSelector="ipseity.io/injects")
    left += [f"label ipseity.io/injects of namespace {each['metadata']['name']}" for each in labelled]
    if await on.get(ground.SYSTEM) is not None:
        left.append(f"namespace {manifests.NAMESPACE}")
    return left


def _is_ours(name: str) -> bool:
    return name in {"ipseity", "ipseity-agent", "ipseity-control"} or name.endswith(".ipseity.io")


def by_hand(names: Iterable[str]) -> list[str]:
    """Say what to type where we were not let finish."""
    return [
        "to take out what is left: make test-cluster CLEAN=1, or",
        "  ipseity uninstall --purge",
        *(f"  kubectl delete namespace {name}" for name in names),
    ]
