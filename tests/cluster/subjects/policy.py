"""Policy: who may call whom, in force within moments, with a status that says so."""

from typing import Any, Final

from tests.cluster import checks, ground, record, traffic, workloads

Json = dict[str, Any]

_HINT: Final = "ipseity authz explain NAMESPACE/client NAMESPACE/web; kubectl get authorizationpolicies -A"


def _path(on: ground.Ground) -> str:
    return f"/apis/ipseity.io/v1alpha1/namespaces/{on.meshed}/authorizationpolicies/web"


@checks.check(
    "policy/refused", "who is not admitted is refused, with a reason", "destination/service", "kind/established"
)
async def refused(on: ground.Ground) -> str:
    """A policy for somebody else: HTTP gets 403, plaintext a closed connection."""
    await on.apply(workloads.policy(on.meshed, "web", "web", ["somebody-else"]))
    found = await traffic.settled(
        on, on.meshed, "client", "web",
        good=lambda call: (call["status"], call.get("denied")) == (403, "no-rule"),
        what="the client is refused with 403, x-ipseity-denied: no-rule", hint=_HINT,
    )  # fmt: skip
    await traffic.settled(
        on,
        on.plain,
        "stranger",
        "web",
        good=lambda call: bool(call["status"] != 200),
        what="a stranger is refused",
        hint=_HINT,
    )
    return f"{found['status']}, {found['denied']}"


@checks.check("policy/explained", "ipseity authz explain says why", "policy/refused")
async def explained(on: ground.Ground) -> str:
    """From the API server alone."""
    words = ("authz", "explain", f"{on.meshed}/client", f"{on.meshed}/web:8080", *on.given.reach)
    said = await on.ipseity(*words)
    if said.code != 1 or "DENIED" not in said.out:
        raise record.Failed(f"ended with {said.code}: {said.out.strip()[:500]}{said.err.strip()[:500]}")
    return " ".join(said.out.splitlines()[0].split())[:80]


@checks.check("policy/admitted", "who is admitted gets through at once", "policy/refused")
async def admitted(on: ground.Ground) -> str:
    """The same object, changed; a stranger stays outside."""
    await on.apply(workloads.policy(on.meshed, "web", "web", ["client"]))
    found = await traffic.settled(
        on,
        on.meshed,
        "client",
        "web",
        good=lambda call: bool(call["status"] == 200),
        what="the client is admitted",
        hint=_HINT,
    )
    await traffic.settled(
        on,
        on.plain,
        "stranger",
        "web",
        good=lambda call: bool(call["status"] != 200),
        what="a stranger stays outside",
        hint=_HINT,
    )
    return str(found["caller"])[:80]


@checks.check("policy/status", "its status says what is in force, and for how many pods", "policy/admitted")
async def status(on: ground.Ground) -> str:
    """Written through the subresource; the spec is nobody's but the author's."""

    async def holds() -> Json | None:
        found = await on.found(_path(on))
        said = found.get("status") or {}
        conditions = {each["type"]: each for each in said.get("conditions") or ()}
        current = said.get("observedGeneration") == found["metadata"]["generation"]
        accepted = conditions.get("Accepted", {}).get("status") == "True"
        return said if current and accepted and said.get("targets") == 1 else None

    async def why() -> list[str]:
        found = await on.found(_path(on))
        return [f"generation {found['metadata']['generation']}, status: {found.get('status')}"]

    said = await on.until(holds, "accepted, of this generation, 1 target", limit_s=30, why=why)
    return f"Accepted, generation {said['observedGeneration']}, {said['targets']} target"


@checks.check("policy/removed", "without the policy all is as before", "policy/admitted")
async def removed(on: ground.Ground) -> str:
    """The default mode admits plaintext again."""
    await on.delete(_path(on))
    for namespace, app in ((on.meshed, "client"), (on.plain, "stranger")):
        await traffic.settled(
            on,
            namespace,
            app,
            "web",
            good=lambda call: bool(call["status"] == 200),
            what=f"{app} gets through",
            hint=_HINT,
        )
    return "both callers"


@checks.check("policy/strict", "strict refuses plaintext on running pods, and nothing else", "policy/removed")
async def strict(on: ground.Ground) -> str:
    """An annotation of the namespace, put on and taken off."""
    path = f"/api/v1/namespaces/{on.meshed}"
    for value, good in (("strict", False), (None, True)):
        await on.where.merge(path, {"metadata": {"annotations": {"config.ipseity.io/inbound-policy": value}}})
        await traffic.settled(
            on, on.plain, "stranger", "web", good=lambda call, good=good: (call["status"] == 200) is good,
            what="a stranger gets through" if good else "a stranger is refused", hint=_HINT,
        )  # fmt: skip
        await traffic.settled(
            on,
            on.meshed,
            "client",
            "web",
            good=lambda call: bool(call["status"] == 200),
            what="the client gets through",
            hint=_HINT,
        )
    return "on and off"


CHECKS: Final = (refused, explained, admitted, status, removed, strict)
