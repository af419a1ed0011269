"""Destination: connections arrive, proven at both ends, and follow endpoints as they come and go."""

import json
from typing import Any, Final

from tests.cluster import checks, ground, record, traffic

Json = dict[str, Any]

_HINT: Final = "kubectl -n NAMESPACE logs POD -c ipseity-proxy; ipseity check --mesh"


def _proven(on: ground.Ground, call: Json) -> bool:
    told = str(call.get("caller", ""))
    return call["status"] == 200 and f"/ns/{on.meshed}/sa/client" in told and "forged" not in told


@checks.check("destination/service", "through a Service: mTLS, the server is told who calls", "identity/workloads")
async def by_service(on: ground.Ground) -> str:
    """The name is the certificate's; what the caller writes into the header itself is gone."""
    found = await traffic.settled(
        on,
        on.meshed,
        "client",
        "web",
        good=lambda call: _proven(on, call),
        what="calls to the Service are proven",
        hint=_HINT,
    )
    on.notes["traffic"] = True
    return f"{found['took_s'] * 1e3:.0f} ms"


@checks.check("destination/address", "by a pod's own address (a headless Service): the same", "identity/workloads")
async def by_address(on: ground.Ground) -> str:
    """As a StatefulSet's pods are called."""
    found = await traffic.settled(
        on,
        on.meshed,
        "client",
        "web by address",
        good=lambda call: _proven(on, call),
        what="calls to the pod are proven",
        hint=_HINT,
    )
    return f"{found['took_s'] * 1e3:.0f} ms"


@checks.check("destination/bytes", "bytes that are no HTTP arrive", "identity/workloads")
async def as_bytes(on: ground.Ground) -> str:
    """A line there and back."""
    found = await traffic.settled(
        on,
        on.meshed,
        "client",
        "bytes",
        good=lambda call: bool(call["status"] == 200),
        what="bytes come back",
        hint=_HINT,
    )
    return f"{found['took_s'] * 1e3:.0f} ms"


@checks.check("destination/beyond", "a server without a sidecar is reached, and may call in", "identity/workloads")
async def beyond(on: ground.Ground) -> str:
    """In plaintext, in the default mode; a stranger is nobody, whatever it writes into the header."""
    await traffic.settled(
        on,
        on.meshed,
        "client",
        "bare",
        good=lambda call: bool(call["status"] == 200),
        what="calls leave the mesh",
        hint=_HINT,
    )
    found = await traffic.settled(
        on, on.plain, "stranger", "web", good=lambda call: bool(call["status"] == 200), what="calls come in", hint=_HINT
    )
    if found.get("caller"):
        raise record.Failed(f"the server took a stranger for {found['caller']}")
    return "both ways"


@checks.check("destination/endpoints", "endpoints come and go, and no call fails", "destination/service")
async def endpoints(on: ground.Ground) -> str:
    """One more pod, then one less."""
    since = await traffic.number(on, on.meshed, "client", "web")
    for replicas in (2, 1):
        path = f"/apis/apps/v1/namespaces/{on.meshed}/deployments/web"
        await on.where.merge(path, {"spec": {"replicas": replicas}})
        await on.rolled_out(on.meshed, "web")
        names = {each["metadata"]["name"] for each in await on.pods(on.meshed, "web")}

        async def all_answer(names: set[str] = names) -> bool:
            newest = (await traffic.calls(on, on.meshed, "client", "web"))[-8:]
            return {each.get("pod") for each in newest} == names

        what = f"calls reach {len(names)} of {len(names)} pods and no other"
        await on.until(all_answer, what, limit_s=traffic.CHANGE_S, hint=_HINT)
    count, failed = await traffic.failed_since(on, on.meshed, "client", "web", since)
    if failed:
        raise record.Failed(f"{len(failed)} of {count} calls failed: {json.dumps(failed[0])}", hint=_HINT)
    return f"0 of {count} calls failed"


@checks.check("destination/edges", "ipseity edges shows the edge, with both identities", "destination/service")
async def edges(on: ground.Ground) -> str:
    """Read from the proxies through the API server (pods/proxy)."""
    said = await on.ipseity("edges", "-n", on.meshed, "-o", "json", *on.given.reach)
    if said.code > 1:
        raise record.Failed(f"ipseity edges ended with {said.code}: {said.err.strip()}")
    text = json.dumps(json.loads(said.out))
    wanted = [f"/ns/{on.meshed}/sa/{each}" for each in ("client", "web")]
    if not all(each in text for each in wanted):
        raise record.Failed(
            f"no edge from client to web in: {text[:600]}", hint="does the API server reach pods (pods/proxy)?"
        )
    return "client -> web"


CHECKS: Final = (by_service, by_address, as_bytes, beyond, endpoints, edges)
