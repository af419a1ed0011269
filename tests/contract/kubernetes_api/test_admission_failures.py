"""What becomes of a write whose webhook is down, slow, or talks nonsense: the real server's words, never a crash.

Leaves out webhooks that cannot be resolved by DNS.
"""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from tests.contract.kubernetes_api import cluster, hooked
from tests.fakes import admission_webhook

Value = dict[str, Any]
CALLING = 'failed calling webhook "first.example.com": '

EXPECTED = "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview"


def raw(body: bytes | str, media_type: str = "application/json", status: int = 200) -> web.Response:
    """Return an HTTP answer as it is."""
    data = body.encode() if isinstance(body, str) else body
    return web.Response(body=data, content_type=media_type, status=status)


def review(response: Any, **more: Any) -> web.Response:
    """Return a review as it is, whatever is in it."""
    head = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
    return raw(json.dumps({**head, **more}))


def own(request: Value, **more: Any) -> Value:
    """Return a response with the right uid."""
    return {"uid": request["uid"], "allowed": True, **more}


UNUSABLE: dict[str, tuple[Callable[[Value], Any], str]] = {
    "no JSON": (lambda _: raw("hello"), "failed to call webhook: couldn't get version/kind; json parse error: "),
    "half": (lambda _: raw('{"response": {'), "failed to call webhook: couldn't get version/kind; json parse error: "),
    "a list": (lambda _: raw("[]"), "received invalid webhook response: "),
    "deep": (lambda _: raw("[" * 100_000), "failed to call webhook: couldn't get version/kind; json parse error: "),
    "not UTF-8": (lambda _: raw(b'"\xff"'), "failed to call webhook: couldn't get version/kind; json parse error: "),
    "HTML": (lambda _: raw("<p>", "text/html"), "failed to call webhook: serializer for text/html"),
    "404": (
        lambda _: raw("404 page not found", "text/plain", 404),
        "failed to call webhook: the server could not find the requested resource",
    ),
    "500": (
        lambda _: raw("oh no", "text/plain", 500),
        'failed to call webhook: an error on the server ("oh no") has prevented the request from succeeding',
    ),
    "503": (
        lambda _: raw("", "text/plain", 503),
        "failed to call webhook: the server is currently unable to handle the request",
    ),
    "a redirect": (
        lambda _: web.Response(status=307, headers={"Location": "/elsewhere"}),
        "failed to call webhook: the server responded with the status code 307 but did not return more information",
    ),
    "no response": (lambda _: raw("{}"), "received invalid webhook response: webhook response was absent"),
    "null": (lambda _: review(None), "received invalid webhook response: webhook response was absent"),
    "another uid": (
        lambda request: review({**own(request), "uid": "other"}),
        'received invalid webhook response: expected response.uid="',
    ),
    "another version": (
        lambda request: review(own(request), apiVersion="admission.k8s.io/v1beta1"),
        f"{EXPECTED}, got admission.k8s.io/v1beta1, Kind=AdmissionReview",
    ),
    "no kind": (
        lambda request: raw(json.dumps({"response": own(request)})),
        f"{EXPECTED}, got /, Kind=",
    ),
    "a word for allowed": (lambda request: review(own(request, allowed="yes")), "received invalid webhook response: "),
    "a status that is none": (
        lambda request: review(own(request, allowed=False, status="no")),
        "received invalid webhook response: ",
    ),
    "warnings that are none": (
        lambda request: review(own(request, warnings={"a": 1})),
        "received invalid webhook response: ",
    ),
    "a patch without its type": (
        lambda request: review(own(request, patch="W10=")),
        "received invalid webhook response: webhook returned response.patch but not response.patchType",
    ),
    "a type without its patch": (
        lambda request: review(own(request, patchType="JSONPatch")),
        "received invalid webhook response: webhook returned response.patchType but not response.patch",
    ),
    "a patch that is not base64": (
        lambda request: review(own(request, patchType="JSONPatch", patch="[]")),
        "received invalid webhook response: illegal base64 data",
    ),
    "another type of patch": (
        lambda request: review(own(request, patchType="MergePatch", patch=base64.b64encode(b"[{}]").decode())),
        'unsupported patch type "MergePatch"',
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
async def test_an_unusable_answer(api: cluster.Cluster, pods: str, hooks: hooked.Hooked, name: str) -> None:
    """Refuses the write where failing is closed; is passed by where it is open."""
    hooks.webhook.react, words = UNUSABLE[name]
    await hooks.put(hooks.hook())
    said = (await api.call("POST", pods, cluster.pod())).refused(500, "InternalError")
    assert said["message"].startswith(f"Internal error occurred: {CALLING}{words}"), said["message"]
    assert [{"message": said["message"].removeprefix("Internal error occurred: ")}] == said["details"]["causes"]
    await hooks.clear()
    await hooks.put(hooks.hook(failurePolicy="Ignore"))
    await api.create(pods, cluster.pod())


async def test_a_validating_webhook_may_not_patch(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """Its answer is unusable then."""
    hooks.webhook.react = admission_webhook.annotate("example.com/seen", "yes")
    await hooks.put(hooks.hook(), kind=hooked.VALIDATING)
    said = (await api.call("POST", pods, cluster.pod())).refused(500, "InternalError")
    assert said["message"].endswith(
        "received invalid webhook response: validating webhook may not return response.patch"
    )


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/metadata/annotations/a", "value": "b"},
        {"op": "remove", "path": "/metadata/annotations"},
        {"op": "replace", "path": "/spec/nothing", "value": 1},
        {"op": "move", "from": "/spec/nothing", "path": "/spec/hostname"},
        {"op": "test", "path": "/metadata/name", "value": "other"},
        {"op": "add", "path": "spec", "value": 1},
        {"op": "add", "path": "/spec/containers/9", "value": {"name": "x"}},
        {"op": "add"},
        {"op": "jump", "path": "/spec"},
        {},
        {"op": "replace", "path": "", "value": 7},
        {"op": "replace", "path": "/spec/containers", "value": 7},
        {"op": "replace", "path": "/kind", "value": "Service"},
    ],
    ids=json.dumps,
)
async def test_a_patch_that_does_not_fit(
    api: cluster.Cluster, pods: str, hooks: hooked.Hooked, operation: Value
) -> None:
    """Fails the write whatever the policy says, as the real server does."""
    hooks.webhook.react = lambda _request: admission_webhook.patch(operation)
    await hooks.put(hooks.hook(failurePolicy="Ignore"))
    said = (await api.call("POST", pods, cluster.pod())).refused(500, "InternalError")
    assert said["message"].startswith("Internal error occurred: ")
    assert "failed calling webhook" not in said["message"]


async def test_a_patch_that_is_no_list(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """Nor JSON at all."""
    await hooks.put(hooks.hook(failurePolicy="Ignore"))
    for text in (b"{}", b"nonsense", b"[1]"):
        encoded = base64.b64encode(text).decode()
        hooks.webhook.react = lambda request, patch=encoded: review(own(request, patchType="JSONPatch", patch=patch))
        (await api.call("POST", pods, cluster.pod())).refused(500, "InternalError")


async def test_a_huge_answer(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """Is not read to its end."""
    hooks.webhook.react = lambda request: review(own(request, auditAnnotations={"a": "x" * 20_000_000}))
    await hooks.put(hooks.hook())
    said = (await api.call("POST", pods, cluster.pod())).expect(500)
    assert said["message"].startswith(f"Internal error occurred: {CALLING}failed to call webhook: Post ")


@pytest.mark.parametrize("kind", [hooked.MUTATING, hooked.VALIDATING])
async def test_a_slow_webhook(api: cluster.Cluster, pods: str, hooks: hooked.Hooked, kind: str) -> None:
    """Is waited for as long as it says, and told so."""

    async def react(_request: Value) -> Value:
        await asyncio.Event().wait()
        return {"allowed": True}

    hooks.webhook.react = react
    await hooks.put(hooks.hook(timeoutSeconds=1), kind=kind)
    said = (await api.call("POST", pods, cluster.pod())).refused(500, "InternalError")
    url = f"{hooks.webhook.url}?timeout=1s"
    assert f'{CALLING}failed to call webhook: Post "{url}": context deadline exceeded' in said["message"]
    assert "/mutate?timeout=1s" == hooks.webhook.calls[0].path


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
async def test_a_webhook_that_hangs_up(api: cluster.Cluster, pods: str, hooks: hooked.Hooked, policy: str) -> None:
    """Without a word."""
    calls: list[Any] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(hang_up, hooks.webhook.address, 0)
    port = server.sockets[0].getsockname()[1]
    client = {**hooks.webhook.client(), "url": f"https://{hooks.webhook.address}:{port}/"}
    await hooks.put(hooks.hook(clientConfig=client, failurePolicy=policy))
    answer = await api.call("POST", pods, cluster.pod())
    server.close()
    await server.wait_closed()
    assert calls
    if policy == "Fail":
        assert CALLING in answer.refused(500, "InternalError")["message"]
    else:
        answer.expect(201)


async def test_a_certificate_of_somebody_else(
    api: cluster.Cluster, pods: str, hooks: hooked.Hooked, tmp_path: Any
) -> None:
    """Is not believed."""
    async with admission_webhook.running(tmp_path, hooks.webhook.address) as other:
        client = {"url": hooks.webhook.url, "caBundle": other.ca_bundle}
        await hooks.put(hooks.hook(clientConfig=client))
        said = (await api.call("POST", pods, cluster.pod())).refused(500, "InternalError")
    assert "tls: failed to verify certificate: x509: certificate signed by unknown authority" in said["message"]
    assert [] == hooks.webhook.calls


async def test_two_authorities_in_a_bundle(
    api: cluster.Cluster, pods: str, hooks: hooked.Hooked, tmp_path: Any
) -> None:
    """Either is believed: that is how an authority is replaced."""
    async with admission_webhook.running(tmp_path, hooks.webhook.address) as other:
        both = base64.b64decode(other.ca_bundle) + base64.b64decode(hooks.webhook.ca_bundle)
        client = {"url": hooks.webhook.url, "caBundle": base64.b64encode(both).decode()}
        await hooks.put(hooks.hook(clientConfig=client))
        await api.create(pods, cluster.pod())
    assert ["p"] == hooks.webhook.names


async def test_a_bundle_without_certificates(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """Cannot be used."""
    client = {"url": hooks.webhook.url, "caBundle": base64.b64encode(b"nonsense").decode()}
    await hooks.put(hooks.hook(clientConfig=client))
    said = (await api.call("POST", pods, cluster.pod())).refused(500, "InternalError")
    assert "unable to load root certificates: unable to parse bytes as PEM block" in said["message"]


async def test_a_service(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """Reached by its endpoints, under its own name, which the certificate must have."""
    service = {"namespace": hooks.namespace, "name": "hook", "path": "/mutate"}
    client = {"service": service, "caBundle": hooks.webhook.ca_bundle}
    await hooks.put(hooks.hook(clientConfig=client))
    url = f"https://hook.{hooks.namespace}.svc:443/mutate?timeout=5s"

    async def refusal() -> str:
        said = (await api.call("POST", pods, cluster.pod())).refused(500, "InternalError")
        prefix = f'Internal error occurred: {CALLING}failed to call webhook: Post "{url}": '
        assert said["message"].startswith(prefix), said["message"]
        return str(said["message"].removeprefix(prefix))

    assert 'service "hook" not found' == await refusal()
    services = f"/api/v1/namespaces/{hooks.namespace}/services"
    await api.create(services, {"metadata": {"name": "hook"}, "spec": {"ports": [{"name": "https", "port": 443}]}})
    assert 'no endpoints available for service "hook"' == await refusal()
    await _endpoint(api, hooks)
    assert "tls: failed to verify certificate: x509: " in await refusal()
    assert [] == hooks.webhook.calls


async def test_a_service_with_the_right_name(
    api: cluster.Cluster, pods: str, hooks: hooked.Hooked, tmp_path: Any
) -> None:
    """Is asked, whatever the address and the port behind it are."""
    name = f"hook.{hooks.namespace}.svc"
    async with admission_webhook.running(tmp_path, hooks.webhook.address, [name]) as webhook:
        ports = [{"name": "metrics", "port": 80}, {"name": "https", "port": 8443, "targetPort": "web"}]
        services = f"/api/v1/namespaces/{hooks.namespace}/services"
        await api.create(services, {"metadata": {"name": "hook"}, "spec": {"ports": ports}})
        await _endpoint(api, hooks, webhook.port)
        service = {"namespace": hooks.namespace, "name": "hook", "path": "/mutate", "port": 8443}
        await hooks.put(hooks.hook(clientConfig={"service": service, "caBundle": webhook.ca_bundle}))
        await api.create(pods, cluster.pod())
        (call,) = webhook.calls
    assert (f"{name}:8443", "/mutate?timeout=5s") == (call.headers["Host"], call.path)


async def _endpoint(api: cluster.Cluster, hooks: hooked.Hooked, port: int = 0) -> None:
    body = {
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [hooks.webhook.address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port or hooks.webhook.port}],
    }
    await api.create(f"/apis/discovery.k8s.io/v1/namespaces/{hooks.namespace}/endpointslices", body)
