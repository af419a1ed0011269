"""Injection: the API server asks the webhook, about the right pods, and takes what it answers."""

import json
import time
from typing import Any, Final

from ipseity.installing import manifests
from tests.cluster import checks, ground, record, workloads

Json = dict[str, Any]

_PATH: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/ipseity"
_UNREACHED: Final = (
    "the API server must reach the Service ipseity-system/ipseity-control, port 8443: from its own network, also where "
    "that is outside of the cluster's. Look at firewalls and NetworkPolicies; kubectl get events -A"
)
_PROXY: Final = "ipseity-proxy"
_REDIRECT: Final = "ipseity-redirect"
_LEARNT_S: Final = 20.0
"""For every API server to have learnt of the registration, and every node of the Service."""
_TOKENS: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


def _pod(on: ground.Ground, where: str, **annotations: str) -> Json:
    spec = workloads.pod_spec(on.given, "server", {}, automountServiceAccountToken=True)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "tried-", "namespace": where, "annotations": annotations},
        "spec": spec,
    }


def _containers(pod: Json) -> dict[str, Json]:
    spec = pod["spec"]
    return {each["name"]: each for each in (*(spec.get("initContainers") or ()), *spec["containers"])}


async def _made(on: ground.Ground, where: str, **annotations: str) -> Json:
    answer = await on.create(_pod(on, where, **annotations), dry_run=True)
    if answer.status != 201:
        said = ground.message(answer)
        raise record.Failed(said, hint=_UNREACHED if "webhook" in said else ground.refusal_hint(answer))
    return dict(answer.body)


@checks.check("webhook/registered", "the webhook is registered, with its authority", "install/there")
async def registered(on: ground.Ground) -> str:
    """The control plane does it itself, as soon as it is ready."""

    async def holds() -> Json | None:
        found = await on.get(_PATH)
        hooks = (found or {}).get("webhooks") or ()
        return found if hooks and all(each["clientConfig"].get("caBundle") for each in hooks) else None

    hint = f"kubectl -n {manifests.NAMESPACE} logs deploy/ipseity-control"
    found = await on.until(holds, "the webhook is registered", limit_s=60, hint=hint)
    on.notes["registered"] = found["metadata"]["generation"]
    return f"{len(found['webhooks'])} webhooks"


@checks.check("webhook/asked", "a pod that asks for it gets a sidecar", "webhook/registered")
async def asked(on: ground.Ground) -> str:
    """The whole way: API server, Service, TLS, answer, patch. And what the server's own plug-ins do afterwards."""
    last: list[str] = []
    told_ms: list[float] = []

    async def injected() -> dict[str, Json] | None:
        began_s = time.monotonic()
        try:
            pod = await _made(on, on.meshed, **{"ipseity.io/inject": "enabled"})
        except record.Failed as failed:
            last[:] = [str(failed)]
            return None
        told_ms.append((time.monotonic() - began_s) * 1e3)
        last[:] = ["it is admitted as it was: the API server does not ask. Is MutatingAdmissionWebhook on?"]
        return found if _PROXY in (found := _containers(pod)) else None

    async def why() -> list[str]:
        return last

    what = "a pod that asks for a sidecar gets one"
    found: dict[str, Json] = await on.until(injected, what, limit_s=_LEARNT_S, why=why, hint=_UNREACHED)
    if found[_PROXY].get("restartPolicy") != "Always":
        raise record.Failed("the server dropped restartPolicy of an init container: it knows no native sidecars")
    wrong = [
        name for name, each in found.items()
        if _TOKENS not in [mount["mountPath"] for mount in each.get("volumeMounts") or ()]
    ]  # fmt: skip
    if wrong:
        raise record.Failed(
            f"no token for the API server in {', '.join(wrong)}: the ServiceAccount plug-in did not run again",
            hint="reinvocation of plug-ins after webhooks is part of every API server since 1.15",
        )
    return f"answered in {told_ms[-1]:.0f} ms"


@checks.check("webhook/others", "other pods are let alone", "webhook/asked")
async def others(on: ground.Ground) -> str:
    """No annotation; and one that says no, in a namespace that says yes."""
    for where, said in ((on.plain, {}), (on.meshed, {"ipseity.io/inject": "disabled"})):
        if _PROXY in _containers(await _made(on, where, **said)):
            raise record.Failed(f"a pod in {where} with {said or 'no annotation'} got a sidecar")
    return "2 of 2"


@checks.check("webhook/namespace", "a namespace that asks is labelled, its pods injected", "webhook/asked")
async def labelled(on: ground.Ground) -> str:
    """The webhook's own label: API servers select by labels only. Then without a word in the pod."""
    await on.apply(workloads.namespace(on.meshed, on.run, inject=True))
    found = await on.found(f"/api/v1/namespaces/{on.meshed}")
    if (found["metadata"].get("labels") or {}).get("ipseity.io/injects") != "enabled":
        raise record.Failed("the label ipseity.io/injects is not there: the webhook was not asked about the namespace")

    async def injected() -> bool:
        return _PROXY in _containers(await _made(on, on.meshed))

    await on.until(injected, "a pod in it is injected", limit_s=30, hint="API servers learn of labels by a watch")
    return "at once"


@checks.check("webhook/refused", "a pod with a senseless annotation is refused", "webhook/asked")
async def refused(on: ground.Ground) -> str:
    """The message names annotation and value."""
    said = {"ipseity.io/inject": "enabled", "config.ipseity.io/opaque-ports": "many"}
    answer = await on.create(_pod(on, on.meshed, **said), dry_run=True)
    text = ground.message(answer)
    if answer.status < 400 or "opaque-ports" not in text:
        raise record.Failed(f"instead: {text if answer.status >= 400 else 'admitted'}")
    return "names opaque-ports"


@checks.check("webhook/pod-security", "Pod Security baseline minds NET_ADMIN, and nothing else", "webhook/asked")
async def guarded(on: ground.Ground) -> str:
    """Namespaces that enforce it refuse injected pods: docs/injection.md. It must be for that alone."""
    answer = await on.create(_pod(on, on.guarded, **{"ipseity.io/inject": "enabled"}), dry_run=True)
    text = ground.message(answer)
    if answer.status == 201:
        return "not enforced in this cluster: admitted"
    _, _, what = text.partition("violates PodSecurity")
    if not what or _REDIRECT not in what or "NET_ADMIN" not in what or _PROXY in what or '"app"' in what:
        raise record.Failed(text, hint="only the redirect's NET_ADMIN is beyond the level baseline")
    return "refused for NET_ADMIN of the redirect alone, as documented"


@checks.check("webhook/events", "what became of an injection is an Event on the workload", "webhook/asked")
async def announced(on: ground.Ground) -> str:
    """Real servers validate Events; ours come from the control plane."""
    spec = workloads.pod_spec(on.given, "server", {})
    spec["containers"][0]["securityContext"]["runAsUser"] = 2102  # the proxy's: refused, so that nothing runs
    said = {"ipseity.io/inject": "enabled"}
    name = "refused"
    await on.apply(workloads.account(on.meshed, name), workloads.deployment(on.meshed, name, spec, annotations=said))
    where = f"/apis/events.k8s.io/v1/namespaces/{on.meshed}/events"

    async def told() -> Json | None:
        found = await on.items(where)
        return next((each for each in found if _is_about(each, name)), None)

    async def why() -> list[str]:
        found = [each for each in await on.items(where) if name in json.dumps(each.get("regarding") or {})]
        return [f"Event {each.get('reason')}: {each.get('note')}" for each in found[:3]] or ["there is no Event at all"]

    try:
        hint = f"kubectl -n {manifests.NAMESPACE} logs deploy/ipseity-control: may it create events.k8s.io?"
        found = await on.until(told, "an Event InjectionRefused on the Deployment", limit_s=45, why=why, hint=hint)
    finally:
        await on.delete(f"/apis/apps/v1/namespaces/{on.meshed}/deployments/{name}")
    return f"{found['reason']} by {found['reportingController']}"


def _is_about(event: Json, name: str) -> bool:
    about = event.get("regarding") or {}
    return (about.get("kind"), about.get("name"), event.get("reason")) == ("Deployment", name, "InjectionRefused")


@checks.check("webhook/quiet", "nobody rewrites the registration", "webhook/asked")
async def quiet(on: ground.Ground) -> str:
    """The server's defaults are not what the control plane mends, nor a policy what it undoes."""
    found = await on.found(_PATH)
    before, now = on.notes["registered"], found["metadata"]["generation"]
    if now > before:
        managers = {each.get("manager", "?") for each in found["metadata"].get("managedFields") or ()}
        raise record.Failed(
            f"generation {now}, {before} when it was made; written by {', '.join(sorted(managers))}",
            hint=f"kubectl get --raw {_PATH}",
        )
    return f"generation {now} as before"


CHECKS: Final = (registered, asked, others, labelled, refused, guarded, announced)
LAST: Final = (quiet,)
