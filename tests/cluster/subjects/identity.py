"""Identity: trust bundle, tokens as this server reviews them, and what the control plane signs and does not."""

import json
from typing import Any, Final

from ipseity.installing import manifests, trouble
from tests.cluster import checks, ground, record, workloads

Json = dict[str, Any]

_AUDIENCE: Final = "identity.ipseity.io"
_SERVICE: Final = f"ipseity-control.{manifests.NAMESPACE}.svc:8444"
_MOUNT: Final = "/var/run/asked"
_EXTRA: Final = "authentication.kubernetes.io/pod-name"


@checks.check("identity/bundle", "the trust bundle is in every namespace", "install/there")
async def bundle(on: ground.Ground) -> str:
    """Also in those that were made just now."""
    texts = []
    for name in (on.meshed, on.plain):
        path = f"/api/v1/namespaces/{name}/configmaps/ipseity-trust-bundle"
        hint = f"kubectl -n {manifests.NAMESPACE} logs deploy/ipseity-control"
        found = await on.until(lambda path=path: on.get(path), f"{path} is there", limit_s=60, hint=hint)
        texts.append(found["data"]["ca.crt"])
    if len(set(texts)) != 1 or "BEGIN CERTIFICATE" not in texts[0]:
        raise record.Failed("it is not the same in two namespaces")
    return f"{texts[0].count('BEGIN CERTIFICATE')} anchors"


@checks.check(
    "identity/workloads", "injected pods get a certificate, and become ready", "webhook/namespace", "identity/bundle"
)
async def running(on: ground.Ground) -> str:
    """A server, a caller beside it, a server and a caller without sidecars: what the checks below look at."""
    given, meshed, plain = on.given, on.meshed, on.plain
    web, bare = f"web.{meshed}.svc", f"bare.{plain}.svc"
    targets = {
        "web": f"http://{web}:8080/",
        "web by address": f"http://web-pods.{meshed}.svc:8080/",
        "bytes": f"tcp://{web}:7000/",
        "bare": f"http://{bare}:8080/",
    }
    await on.apply(
        *workloads.server(given, meshed, "web"),
        *workloads.caller(given, meshed, "client", targets),
        *workloads.server(given, plain, "bare"),
        *workloads.caller(given, plain, "stranger", {"web": targets["web"]}),
    )
    await on.rolled_out(meshed, "web", "client")
    await on.rolled_out(plain, "bare", "stranger")
    proxies = [
        each["name"]
        for pod in await on.pods(meshed, "web")
        for each in pod["status"].get("initContainerStatuses") or ()
        if each["name"] == "ipseity-proxy" and each.get("ready")
    ]
    if not proxies:
        raise record.Failed("the server is ready, and has no proxy that is")
    return "4 workloads, 2 with a sidecar"


@checks.check("identity/review", "the server reviews tokens by audience and pod", "identity/workloads")
async def reviewed(on: ground.Ground) -> str:
    """What the control plane stands on: bound to a pod, for our audience alone, refused for another."""
    (pod, *_) = await on.pods(on.meshed, "client")
    named = {key: pod["metadata"][key] for key in ("name", "uid")}
    spec = {
        "audiences": [_AUDIENCE],
        "expirationSeconds": 600,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", **named},
    }
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{on.meshed}/serviceaccounts/client/token"
    made = await on.ask("POST", path, body)
    if made.status != 201:
        raise record.Failed(f"no token: {ground.message(made)}", hint=ground.refusal_hint(made))
    token = made.body["status"]["token"]
    good, other = [await _review(on, token, each) for each in (_AUDIENCE, "https://somebody.else")]
    user = good.get("user") or {}
    if not good.get("authenticated") or _AUDIENCE not in (good.get("audiences") or ()):
        raise record.Failed(f"a good token is not: {json.dumps(good)[:400]}")
    if (user.get("extra") or {}).get(_EXTRA) != [named["name"]]:
        raise record.Failed(f"the review does not say of which pod a token is: {json.dumps(user)[:400]}")
    if other.get("authenticated"):
        raise record.Failed("a token passes for an audience that it is not for")
    return user["username"]


async def _review(on: ground.Ground, token: str, audience: str) -> Json:
    spec = {"token": token, "audiences": [audience]}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    answer = await on.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)
    if answer.status != 201:
        raise record.Failed(f"no review: {ground.message(answer)}", hint=ground.refusal_hint(answer))
    return dict(answer.body["status"])


@checks.check("identity/signed", "what a pod's token proves is signed, and nothing else", "identity/bundle")
async def signed(on: ground.Ground) -> str:
    """Asked from a pod, with the kubelet's own projected tokens: ours, the API server's, none."""
    sources = [
        {"serviceAccountToken": {"audience": _AUDIENCE, "expirationSeconds": 600, "path": "ours"}},
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "api"}},
        {"configMap": {"name": "ipseity-trust-bundle"}},
    ]
    pod = workloads.once(
        on.given,
        on.plain,
        "asks",
        "certify",
        {
            "TOKENS": json.dumps({"ours": f"{_MOUNT}/ours", "api": f"{_MOUNT}/api", "none": ""}),
            "TRUST": f"{_MOUNT}/ca.crt",
            "ADDRESS": _SERVICE,
        },
        packages=True,
        container={"volumeMounts": [{"name": "asked", "mountPath": _MOUNT, "readOnly": True}]},
        volumes=[{"name": "asked", "projected": {"sources": sources}}],
        securityContext={"fsGroup": 4711},
    )
    told: dict[str, str] = json.loads(await played(on, pod))
    wanted = f"spiffe://cluster.local/ns/{on.plain}/sa/default"
    wrong = [f"ours: {told['ours']}"] if not told["ours"].endswith(wanted.partition("/ns/")[2]) else []
    wrong += [f"{name}: {told[name]}" for name in ("api", "none") if not told[name].startswith("UNAUTHENTICATED")]
    if wrong:
        raise record.Failed("\n".join(wrong), hint=f"kubectl -n {manifests.NAMESPACE} logs deploy/ipseity-control")
    return told["ours"]


async def played(on: ground.Ground, pod: Json) -> str:
    """Run a pod to its end, and give the last line that it said."""
    path = ground.path(pod)
    await on.delete(path)
    await on.until(lambda: _absent(on, path), "an older pod of that name is gone")
    await on.apply(pod)

    async def over() -> str:
        found = await on.get(path)
        phase = str(((found or {}).get("status") or {}).get("phase", ""))
        return phase if phase in {"Succeeded", "Failed"} else ""

    async def why() -> list[str]:
        found = await on.get(path)
        events = await on.items(f"/api/v1/namespaces/{pod['metadata']['namespace']}/events")
        return trouble.of_pods([found] if found else [], events)

    name, where = pod["metadata"]["name"], pod["metadata"]["namespace"]
    phase = await on.until(over, f"pod {name} has ended", why=why, hint=f"kubectl -n {where} describe pod {name}")
    lines = await on.log(where, name, "app")
    if phase == "Failed" or not lines:
        raise record.Failed(f"pod {name} ended as {phase}:\n" + "\n".join(lines[-5:]))
    return lines[-1]


async def _absent(on: ground.Ground, path: str) -> bool:
    return await on.get(path) is None


CHECKS: Final = (bundle, running, reviewed, signed)
