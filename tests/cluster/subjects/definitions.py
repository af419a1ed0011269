"""The kind AuthorizationPolicy, as this API server serves it: established, found, shown, validated."""

import copy
from typing import Any, Final

from tests.cluster import checks, ground, record, workloads

Json = dict[str, Any]

_CRD: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/authorizationpolicies.ipseity.io"
_GROUP: Final = "/apis/ipseity.io/v1alpha1"
_TABLE: Final = "application/json;as=Table;g=meta.k8s.io;v=v1"
_COLUMNS: Final = ["Name", "Targets", "Action", "Accepted", "Age"]


@checks.check("kind/established", "the kind AuthorizationPolicy is established", "install/there")
async def established(on: ground.Ground) -> str:
    """And its schema is structural."""

    async def conditions() -> dict[str, Json]:
        found = await on.found(_CRD)
        return {each["type"]: each for each in (found.get("status") or {}).get("conditions") or ()}

    async def holds() -> bool:
        found = await conditions()
        return all(found.get(kind, {}).get("status") == "True" for kind in ("Established", "NamesAccepted"))

    async def why() -> list[str]:
        return [f"{kind}: {each.get('status')}: {each.get('message')}" for kind, each in (await conditions()).items()]

    await on.until(holds, "it is established", limit_s=30, why=why, hint=f"kubectl get --raw {_CRD}")
    odd = (await conditions()).get("NonStructuralSchema", {})
    if odd.get("status") == "True":
        raise record.Failed(f"its schema is not structural: {odd.get('message')}")
    return "names accepted, schema structural"


@checks.check("kind/discovery", "clients find it, with its short name", "kind/established")
async def discovered(on: ground.Ground) -> str:
    """In both forms of discovery: aggregated (kubectl since 1.26), and by version."""
    listed = (await on.ask("GET", _GROUP)).body
    names = {each["name"]: each for each in listed.get("resources") or ()}
    lacking = {"authorizationpolicies", "authorizationpolicies/status"} - names.keys()
    short = names.get("authorizationpolicies", {}).get("shortNames") or []
    if lacking or "authzpol" not in short:
        raise record.Failed(f"{_GROUP} lacks {', '.join(sorted(lacking)) or 'the short name authzpol'}")
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    found = (await on.ask("GET", "/apis", accept=accept)).body
    ours = [each for each in found.get("items") or () if each["metadata"]["name"] == "ipseity.io"]
    if found.get("kind") == "APIGroupDiscoveryList" and not ours:
        raise record.Failed("aggregated discovery does not have the group ipseity.io")
    return "aggregated and by version" if ours else "by version"


def _faults(where: str) -> dict[str, tuple[Json, str]]:
    """Give policies that must be refused, and a word of the refusal."""
    good = workloads.policy(where, "judged", "web", ["client"])

    def with_(change: Any) -> Json:
        made = copy.deepcopy(good)
        change(made["spec"])
        return made

    ranges = {"networkAttributes": {"portRanges": [{"start": 9, "end": 7}]}}
    return {
        "no action": (with_(lambda spec: spec.pop("action")), "spec.action"),
        "an action that is none": (with_(lambda spec: spec.update(action="DENY")), "DENY"),
        "two targets": (with_(lambda spec: spec.update(targetRefs=spec["targetRefs"] * 2)), "spec.targetRefs"),
        "a source of two kinds": (with_(lambda spec: spec["rules"][0]["sources"][0].update(namespace="x")), "sources"),
        "a range that is none (CEL)": (
            with_(lambda spec: spec["rules"][0].update(ranges)),
            "start must not be above end",
        ),
        "a field that is none": (with_(lambda spec: spec.update(enforcment="Network")), "enforcment"),
    }


@checks.check("kind/validation", "wrong policies are refused, right ones are not", "kind/established")
async def validated(on: ground.Ground) -> str:
    """By dry runs: each refusal names the place."""
    taken = []
    faults = _faults(on.meshed)
    for name, (body, word) in faults.items():
        answer = await on.create(body, dry_run=True)
        if answer.status not in {400, 422} or word not in ground.message(answer):
            taken.append(f"{name}: {ground.message(answer) if answer.status >= 300 else 'admitted'}")
    if taken:
        raise record.Failed("not refused as it should be:\n" + "\n".join(taken))
    await on.apply(workloads.policy(on.meshed, "judged", "web", ["client"]), dry_run=True)
    return f"{len(faults)} refused, 1 admitted"


@checks.check("kind/columns", "kubectl get shows its columns", "kind/established")
async def shown(on: ground.Ground) -> str:
    """The server makes the table."""
    answer = await on.ask("GET", f"{_GROUP}/namespaces/{on.meshed}/authorizationpolicies", accept=_TABLE)
    found = [each["name"] for each in answer.body.get("columnDefinitions") or ()]
    if found != _COLUMNS:
        raise record.Failed(f"columns are {found}, not {_COLUMNS}")
    return ", ".join(found)


CHECKS: Final = (established, discovered, validated, shown)
