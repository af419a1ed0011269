"""The API server itself: its version, its clock, what this account may, and that our informer can follow it."""

import asyncio
import contextlib
import email.utils
import time
import uuid
from typing import Any, Final

from ipseity import informer, kube
from tests.cluster import checks, ground, own, record

_OLDEST, _NEWEST = (1, 31), (1, 37)
"""What manifests are validated for."""
_SKEW_S: Final = 20.0
"""From when on new certificates are not valid yet."""
_GROUPS: Final = (
    "/apis/apps/v1",
    "/apis/discovery.k8s.io/v1",
    "/apis/events.k8s.io/v1",
    "/apis/admissionregistration.k8s.io/v1",
    "/apis/apiextensions.k8s.io/v1",
    "/apis/authentication.k8s.io/v1",
    "/apis/rbac.authorization.k8s.io/v1",
)
_NEEDED: Final = (
    ("create", "", "namespaces"),
    ("patch", "", "namespaces"),
    ("create", "", "pods"),
    ("get", "", "pods/log"),
    ("get", "", "pods/proxy"),
    ("create", "", "serviceaccounts/token"),
    ("create", "apps", "deployments"),
    ("create", "authentication.k8s.io", "tokenreviews"),
    ("create", "ipseity.io", "authorizationpolicies"),
)
"""To try what is there."""
_TO_INSTALL: Final = (
    ("patch", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("patch", "rbac.authorization.k8s.io", "clusterroles"),
    ("escalate", "rbac.authorization.k8s.io", "clusterroles"),
    ("bind", "rbac.authorization.k8s.io", "clusterroles"),
    ("delete", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
)


@checks.check("server/version", "Kubernetes is one that is supported")
async def version(on: ground.Ground) -> str:
    """1.31 to 1.37; nodes with Linux on amd64, 5.10 or later."""
    said = (await on.ask("GET", "/version")).body
    found = (int(said["major"]), int("".join(filter(str.isdigit, said["minor"]))))
    if not _OLDEST <= found <= _NEWEST:
        raise record.Failed(
            f"Kubernetes {said['gitVersion']}; manifests are validated for 1.31 to 1.37",
            hint="what follows may work all the same: docs/install.md",
        )
    return f"{said['gitVersion']} at {on.api.configuration.host}"


@checks.check("server/groups", "every API that is used is served")
async def groups(on: ground.Ground) -> str:
    """A group may be switched off with --runtime-config."""
    missing = [each for each in _GROUPS if (await on.ask("GET", each)).status != 200]
    if missing:
        raise record.Failed(f"not served: {', '.join(missing)}", hint="see --runtime-config of the API server")
    return f"{len(_GROUPS)} of {len(_GROUPS)}"


@checks.check("server/rights", "this account may do what the suite does")
async def rights(on: ground.Ground) -> str:
    """To install takes what cluster-admin may; checks that need it are left out without, and say so."""
    if await _may(on, "*", "*", "*"):
        return "everything"
    lacking = [f"{verb} {name}" for verb, group, name in _NEEDED if not await _may(on, verb, group, name)]
    to_install = [f"{verb} {name}" for verb, group, name in _TO_INSTALL if not await _may(on, verb, group, name)]
    on.admin = not to_install
    if not on.given.installed:
        lacking += to_install
    if lacking:
        raise record.Failed(
            f"it may not {', '.join(lacking)}", hint="use an account that is bound to cluster-admin; other checks go on"
        )
    return "all that is needed"


async def _may(on: ground.Ground, verb: str, group: str, resource: str) -> bool:
    name, _, subresource = resource.partition("/")
    wanted = {"verb": verb, "group": group, "resource": name, "subresource": subresource}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": wanted},
    }
    answer = await on.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    if answer.status != 201:
        raise record.Failed(f"it cannot be told: {ground.message(answer)}")
    return bool(answer.body["status"]["allowed"])


@checks.check("server/clock", "its clock and this machine's agree")
async def clock(on: ground.Ground) -> str:
    """Certificates are valid from 20 s before they were signed."""
    began_s = time.time()  # noqa: TID251  # two machines' clocks are what is compared
    answer = await on.ask("GET", "/version")
    server_s = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp() + 0.5
    off_s = abs(server_s - (began_s + time.time()) / 2)  # noqa: TID251  # see above
    if off_s > _SKEW_S:
        raise record.Failed(f"{off_s:.0f} s apart", hint="run an NTP client on both: timedatectl")
    return f"within {max(off_s, 0.5):.1f} s"


@checks.check("server/nodes", "every node is ready, and the agent can run on it")
async def nodes(on: ground.Ground) -> str:
    """Linux 5.10 or later on amd64."""
    found = await on.items("/api/v1/nodes")
    trouble, told = [], []
    for each in found:
        info, name = each["status"]["nodeInfo"], each["metadata"]["name"]
        ready = {one["type"]: one["status"] for one in each["status"].get("conditions") or ()}.get("Ready")
        kernel = tuple(int("".join(filter(str.isdigit, part)) or 0) for part in info["kernelVersion"].split(".")[:2])
        if ready != "True":
            trouble.append(f"node {name} is not ready: agents and cleaning wait for it")
        if info["operatingSystem"] == "linux" and (kernel < (5, 10) or info["architecture"] != "amd64"):
            trouble.append(
                f"node {name}: Linux {info['kernelVersion']} on {info['architecture']}; 5.10 on amd64 is needed"
            )
        told.append(f"{info['kernelVersion']} {info.get('containerRuntimeVersion', '')}".strip())
    if trouble or not found:
        raise record.Failed("\n".join(trouble) or "there is no node", hint="kubectl get nodes -o wide")
    return f"{len(found)}: {', '.join(sorted(set(told)))}"


@checks.check("server/namespaces", "namespaces can be made, and get what they all have")
async def namespaces(on: ground.Ground) -> str:
    """Where everything else happens; with their default account and the API server's authority."""
    await own.prepare(on)
    for name in (on.meshed, on.plain, on.guarded):
        for where in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
            path = f"/api/v1/namespaces/{name}/{where}"
            hint = "kube-controller-manager makes it: does it run?"
            await on.until(lambda path=path: on.get(path), f"{path} is there", limit_s=30, hint=hint)
    return f"{on.meshed} and two more"


@checks.check("server/watch", "our informer follows a life: added, changed, gone", "server/namespaces")
async def watch(on: ground.Ground) -> str:
    """As agent and control plane follow everything."""
    where = f"/api/v1/namespaces/{on.plain}/configmaps"
    name = f"watched-{uuid.uuid4().hex[:5]}"
    resource = kube.Resource(path=where, field_selector=f"metadata.name={name}")
    loop = asyncio.get_running_loop()
    following: informer.Informer[Any] = informer.Informer(
        on.api, resource, trim=lambda each: each.get("data") or {}, clock=lambda: int(loop.time() * 1e9)
    )
    seen: list[Any] = []
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": on.plain}}

    async def follow() -> None:
        async with contextlib.aclosing(following.events()) as events:
            async for event in events:
                value = "gone" if event.change is informer.Change.GONE else event.value.get("x")
                seen.append(value)

    task = asyncio.create_task(follow())
    try:
        for value in ("1", "2"):
            await on.apply({**body, "data": {"x": value}})
            await _until_seen(on, seen, value)
        await on.delete(f"{where}/{name}")
        await _until_seen(on, seen, "gone")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    if seen != ["1", "2", "gone"] or following.malformed:
        raise record.Failed(f"seen {seen} instead of 1, 2, gone; {following.malformed} malformed")
    return "3 events"


async def _until_seen(on: ground.Ground, seen: list[Any], value: str) -> None:
    async def holds() -> bool:
        return value in seen

    async def why() -> list[str]:
        return [f"seen until then: {seen}"]

    await on.until(holds, f"the watch tells {value}", limit_s=15, why=why)


CHECKS: Final = (version, groups, rights, clock, nodes, namespaces, watch)
