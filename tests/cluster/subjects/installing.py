"""Installing: what the server says of every manifest, ``ipseity install``, and that nothing drifts afterwards."""

import json
from typing import Any, Final

from ipseity.installing import manifests
from tests.cluster import checks, ground, own, record

_REFUSED: Final = ("answered 403", "is forbidden")
"""In a log: an account of ours lacks a right."""
_CRD: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/authorizationpolicies.ipseity.io"


@checks.check("install/manifests", "the server takes every manifest, strictly", "server/namespaces", admin=True)
async def judged(on: ground.Ground) -> str:
    """By a dry run; those of our namespace are judged in one that is there."""
    objects = manifests.chosen(manifests.PARTS, manifests.Choices())
    refused, warned = [], []
    for each in objects:
        if "namespace" in each["metadata"]:
            each["metadata"]["namespace"] = on.plain
        query = {"fieldManager": "ipseity-cluster-suite", "force": "true", "fieldValidation": "Strict", "dryRun": "All"}
        answer = await on.ask("PATCH", manifests.path(each), each, kind="application/apply-patch+yaml", **query)
        if answer.status not in {200, 201}:
            refused.append(f"{manifests.shown(each)}: {ground.message(answer)}")
        elif warning := answer.headers.get("Warning"):
            warned.append(f"{manifests.shown(each)}: {warning}")
    if refused:
        raise record.Failed("\n".join(refused), hint="an admission policy, or a field that this version does not know")
    return f"{len(objects)} objects" + (f"; warned: {'; '.join(warned)}" if warned else "")


@checks.check(
    "install/install", "ipseity install ends with everything ready", "server/namespaces", admin=True, changes=True
)
async def install(on: ground.Ground) -> str:
    """As a person does it."""
    on.kind_was_there = await on.get(_CRD) is not None
    on.installing = True
    await own.claim(on)
    await on.succeed("install", *on.given.reach, *on.given.flags, "--timeout", f"{on.given.limit_s:.0f}")
    return "agent and mesh"


@checks.check("install/agents", "an agent is ready on every node that may have one", "install/there")
async def agents(on: ground.Ground) -> str:
    """As the DaemonSet counts."""
    found = await on.found(f"/apis/apps/v1/namespaces/{manifests.NAMESPACE}/daemonsets/ipseity-agent")
    status = found.get("status") or {}
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    if not wanted or wanted != ready:
        raise record.Failed(
            f"{ready} of {wanted} are ready",
            hint=f"kubectl -n {manifests.NAMESPACE} get pods -l app=ipseity-agent -o wide",
        )
    return f"{ready} of {wanted}"


@checks.check("install/there", "Ipseity is there", "server/namespaces")
async def there(on: ground.Ground) -> str:
    """Installed just now, or before."""
    paths = (
        f"/apis/apps/v1/namespaces/{manifests.NAMESPACE}/{each}"
        for each in ("deployments/ipseity-control", "daemonsets/ipseity-agent")
    )
    found = [await on.get(path) for path in paths]
    if not all(found):
        raise record.Failed("it is not installed", hint="leave out INSTALLED=1, and it is installed for this run")
    images = {
        container["image"] for each in found if each for container in each["spec"]["template"]["spec"]["containers"]
    }
    return ", ".join(sorted(images))


@checks.check("install/again", "a second install is refused", "install/install", admin=True, changes=True)
async def again(on: ground.Ground) -> str:
    """It says which command is meant."""
    said = await on.ipseity("install", *on.given.reach, *on.given.flags)
    if said.code != 2 or "use: ipseity upgrade" not in said.err:
        raise record.Failed(f"ended with {said.code}: {said.err or said.out}")
    return "names ipseity upgrade"


@checks.check(
    "install/drift", "nothing of it was changed by the server or others", "install/install", admin=True, changes=True
)
async def drift(on: ground.Ground) -> str:
    """Applied again, every object says unchanged: no defaults, no controller and no policy fights with us."""
    out = await on.succeed("upgrade", *on.given.reach, *on.given.flags, "--timeout", f"{on.given.limit_s:.0f}")
    lines = [line for line in out.splitlines() if "/" in line]
    changed = [line for line in lines if not line.endswith(" unchanged")]
    if changed:
        hint = "kubectl get ... -o yaml --show-managed-fields tells who else writes these"
        raise record.Failed("applied again, it is not the same:\n" + "\n".join(changed), hint=hint)
    return f"{len(lines)} objects unchanged"


@checks.check("install/conflicts", "who would change our fields is told whose they are", "install/install", admin=True)
async def conflicts(on: ground.Ground) -> str:
    """Server-side apply by another manager, with another image, as a dry run: 409 and our name."""
    where = f"/apis/apps/v1/namespaces/{manifests.NAMESPACE}/deployments/ipseity-control"
    change = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "ipseity-control", "namespace": manifests.NAMESPACE},
        "spec": {"template": {"spec": {"containers": [{"name": "control-plane", "image": "example.com/other:1"}]}}},
    }
    query = {"fieldManager": "somebody-else", "dryRun": "All"}
    answer = await on.ask("PATCH", where, change, kind="application/apply-patch+yaml", **query)
    if answer.status != 409 or f'"{manifests.MANAGER}"' not in ground.message(answer):
        raise record.Failed(f"instead of a conflict with {manifests.MANAGER}: {ground.message(answer)[:400]}")
    return "409, names the manager ipseity"


@checks.check("install/check", "ipseity check finds the mesh well", "install/there")
async def well(on: ground.Ground) -> str:
    """All that the mesh looks at itself."""
    found: list[dict[str, Any]] = []

    async def holds() -> bool:
        found[:] = await _checked(on)
        return not any(each["status"] == "fail" for each in found)

    async def why() -> list[str]:
        return [f"{each['name']}: {each['text']}" for each in found if each["status"] == "fail"]

    # What control planes say of themselves may be some seconds away.
    await on.until(holds, "nothing fails", limit_s=60, why=why, hint="ipseity check --mesh says what to do about each")
    warned = [each["name"] for each in found if each["status"] == "warn"]
    return f"{len(found)} findings" + (f", warned: {', '.join(warned)}" if warned else "")


async def _checked(on: ground.Ground) -> list[dict[str, Any]]:
    said = await on.ipseity("check", "--mesh", "-o", "json", *on.given.reach)
    try:
        return list(json.loads(said.out))
    except ValueError as error:
        raise record.Failed(f"ipseity check ended with {said.code}: {said.err.strip()}") from error


@checks.check("install/rights", "our accounts are refused nothing by the API server", "install/there")
async def allowed(on: ground.Ground) -> str:
    """What their logs say, after all of the above."""
    told = []
    for app, container in (("ipseity-control", "control-plane"), ("ipseity-agent", "agent")):
        for pod in await on.pods(manifests.NAMESPACE, app):
            name = pod["metadata"]["name"]
            lines = await on.log(manifests.NAMESPACE, name, container)
            told += [f"{name}: {line}" for line in lines if _is_refusal(line)]
    if told:
        raise record.Failed(
            "\n".join(told[:5]), hint="compare kubectl describe clusterrole ipseity-control, ipseity-agent"
        )
    return "logs of all pods"


def _is_refusal(line: str) -> bool:
    """Namespaces that are going refuse everybody: that is no right that lacks."""
    return any(word in line for word in _REFUSED) and "being terminated" not in line


FIRST: Final = (judged, install, there, agents, again, drift, conflicts, well)
LAST: Final = (allowed,)
