"""TokenRequest, TokenReview and who asks, against what a real API server (v1.36.2) said.

The recorded requests are made again with tokens of the server under test; answers are equal but for what is of the
moment: names, UIDs, times, tokens. Leaves out the ten seconds for which a deleted pod's token still passes: that is
the unit tests', which own the clock.
"""

import base64
import json
import pathlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.kubernetes_api import cluster
from tests.fakes import lab_node, recordings

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
API = "https://kubernetes.default.svc.cluster.local"


@pytest.fixture
async def bound(api: cluster.Cluster, namespace: str) -> AsyncIterator[dict[str, Any]]:
    """Yield a pod of the account ``app`` on a node, as the recordings had one."""
    await api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "app"}})
    name = f"contract-{uuid.uuid4().hex[:8]}"
    async with lab_node.running(api, name):
        pod = cluster.pod("bare", serviceAccountName="app", nodeName=name)
        yield await api.create(f"/api/v1/namespaces/{namespace}/pods", pod)


async def request(api: cluster.Cluster, namespace: str, account: str = "app", **spec: Any) -> cluster.Answer:
    """POST a TokenRequest."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return await api.call("POST", path, body)


def reference(pod: dict[str, Any]) -> dict[str, Any]:
    """Return what binds a token to a pod."""
    return {"kind": "Pod", "apiVersion": "v1", **{key: pod["metadata"][key] for key in ("name", "uid")}}


async def token(api: cluster.Cluster, pod: dict[str, Any], *audiences: str) -> str:
    """Return a token that is bound to a pod."""
    answer = await request(
        api,
        pod["metadata"]["namespace"],
        audiences=list(audiences),
        expirationSeconds=600,
        boundObjectRef=reference(pod),
    )
    return str(answer.expect(201)["status"]["token"])


async def review(api: cluster.Cluster, shown: str, *audiences: str) -> Any:
    """POST a TokenReview; its whole answer."""
    spec = {"token": shown} | ({"audiences": list(audiences)} if audiences else {})
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    return (await api.call("POST", REVIEWS, body, headers={"User-Agent": ""})).expect(201)


def parts(shown: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token."""
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in shown.split(".")[:2])
    return header, claims


def shape(value: Any) -> Any:
    """Return what a value is made of: keys in their order, lists by their items, scalars by their type."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__


async def test_a_token_request(api: cluster.Cluster, bound: dict[str, Any], namespace: str) -> None:
    """The recorded request has an answer and claims of the recorded form, in the recorded order."""
    recorded, claims = recordings.load("tokenrequest-bound-custom-audience"), recordings.load("token-claims")
    wanted = {**recorded["spec"], "boundObjectRef": reference(bound)}
    answer = (await request(api, namespace, **wanted)).expect(201)
    assert wanted == answer["spec"]
    assert shape(recorded) == shape(answer)
    assert list(recorded["status"]) == list(answer["status"])
    header, said = parts(answer["status"]["token"])
    assert shape(claims) == shape({"header": header, "claims": said})
    assert list(claims["claims"]) == list(said)
    assert list(claims["claims"]["kubernetes.io"]) == list(said["kubernetes.io"])
    assert said["exp"] - said["iat"] == 600
    assert {"name": "bare", "uid": bound["metadata"]["uid"]} == said["kubernetes.io"]["pod"]
    assert bound["spec"]["nodeName"] == said["kubernetes.io"]["node"]["name"]
    assert f"system:serviceaccount:{namespace}:app" == said["sub"]


async def test_the_automounted_token(api: cluster.Cluster, bound: dict[str, Any], namespace: str) -> None:
    """One that asks for 3607 s lives for a year, and says when it should have been replaced."""
    answer = (await request(api, namespace, expirationSeconds=3607, boundObjectRef=reference(bound))).expect(201)
    _, said = parts(answer["status"]["token"])
    assert [API] == said["aud"]
    assert 365 * 24 * 3600 == said["exp"] - said["iat"]
    assert said["iat"] + 3607 == said["kubernetes.io"]["warnafter"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (599, "may not specify a duration less than 10 minutes"),
        (2**32 + 1, "may not specify a duration larger than 2^32 seconds"),
    ],
)
async def test_impossible_lifetimes(api: cluster.Cluster, namespace: str, seconds: int, words: str) -> None:
    """422 in the words of the real server."""
    body = (await request(api, namespace, "default", expirationSeconds=seconds)).refused(422, "Invalid")
    field = f"spec.expirationSeconds: Invalid value: {seconds}: {words}"
    assert f'TokenRequest.authentication.k8s.io "" is invalid: {field}' == body["message"]


async def test_impossible_bindings(api: cluster.Cluster, bound: dict[str, Any], namespace: str) -> None:
    """An absent account or pod, a pod of another account, another pod of that name, another kind."""
    (await request(api, namespace, "nobody")).refused(404, "NotFound")
    absent = {**reference(bound), "name": "none"}
    (await request(api, namespace, boundObjectRef=absent)).refused(404, "NotFound")
    body = (await request(api, namespace, "default", boundObjectRef=reference(bound))).refused(400, "BadRequest")
    words = 'cannot bind token for serviceaccount "default" to pod running with different serviceaccount name.'
    assert words == body["message"]
    other = {**reference(bound), "uid": "b7a2fbb5-0000-0000-0000-000000000000"}
    body = (await request(api, namespace, boundObjectRef=other)).refused(409, "Conflict")
    assert "the UID in the bound object reference" in body["message"]
    body = (await request(api, namespace, boundObjectRef={**reference(bound), "kind": "Service"})).refused(
        400, "BadRequest"
    )
    assert "cannot bind token to object of type /v1, Kind=Service" == body["message"]


CASES = {
    "tokenreview-bound-custom-audience": ("my-agent",),
    "tokenreview-wrong-audience": ("my-agent",),
    "tokenreview-no-audience-asked": ("my-agent",),
    "tokenreview-two-audiences": ("my-agent", "other"),
    "tokenreview-garbage": (),
    "tokenreview-bad-signature": ("my-agent",),
}
"""Recording -> the audiences of the token that is shown."""


@pytest.mark.parametrize("name", CASES)
async def test_a_review(api: cluster.Cluster, bound: dict[str, Any], namespace: str, name: str) -> None:
    """Answered as it was recorded."""
    recorded = recordings.load(name)
    shown = await token(api, bound, *CASES[name]) if CASES[name] else recorded["request"]["spec"]["token"]
    if name == "tokenreview-bad-signature":
        head, _, signature = shown.rpartition(".")
        shown = f"{head}.{signature[:8].swapcase()}{signature[8:]}"
    asked = recorded["request"]["spec"].get("audiences", [])
    answer = await review(api, shown, *asked)
    assert _placed(recorded["response"], shown, bound) == _timeless(answer)


async def test_a_review_of_an_api_token(api: cluster.Cluster, bound: dict[str, Any], namespace: str) -> None:
    """A token that is bound to nothing, for the server itself."""
    shown = (await request(api, namespace, expirationSeconds=600)).expect(201)["status"]["token"]
    recorded = recordings.load("tokenreview-api-audience-token")["response"]
    assert _placed(recorded, shown, bound) == _timeless(await review(api, shown))


def _timeless(answer: dict[str, Any]) -> dict[str, Any]:
    for entry in answer["metadata"]["managedFields"]:
        entry["time"] = ""
    return answer


def _placed(recorded: dict[str, Any], shown: str, pod: dict[str, Any]) -> dict[str, Any]:
    """Return the recorded answer with the names and UIDs of this test's objects."""
    text = json.dumps(_timeless(recorded)).replace(recorded["spec"]["token"], shown)
    if recorded["status"].get("authenticated"):
        said = parts(shown)[1]
        own, old = said["kubernetes.io"], recordings.load("token-claims")["claims"]["kubernetes.io"]
        text = text.replace(":rec", f":{pod['metadata']['namespace']}")
        text = text.replace(old["serviceaccount"]["uid"], own["serviceaccount"]["uid"])
        if "pod" in own:
            text = text.replace(old["pod"]["uid"], own["pod"]["uid"]).replace(old["node"]["uid"], own["node"]["uid"])
            text = text.replace('["vm"]', json.dumps([own["node"]["name"]]))
        was = recorded["status"]["user"]["extra"]["authentication.kubernetes.io/credential-id"][0]
        text = text.replace(was, f"JTI={said['jti']}")
    placed: dict[str, Any] = json.loads(text)
    return placed


async def test_a_deleted_pod(api: cluster.Cluster, bound: dict[str, Any], namespace: str, pods: str) -> None:
    """Its token, shown for the first time after its end, is refused as it was recorded."""
    shown = await token(api, bound, "my-agent")
    await api.delete(f"{pods}/bare", {"gracePeriodSeconds": 0})
    await api.until_gone(pods, "bare")
    recorded = recordings.load("tokenreview-pod-deleted")["response"]
    assert recorded["status"] == (await review(api, shown, "my-agent"))["status"]


async def test_a_review_without_a_token(api: cluster.Cluster) -> None:
    """400."""
    body = (await api.call("POST", REVIEWS, {"spec": {"token": ""}})).refused(400, "BadRequest")
    assert "token is required for TokenReview in authentication" == body["message"]
    (await api.get(REVIEWS)).refused(405, "MethodNotAllowed")


async def test_who_asks(api: cluster.Cluster, bound: dict[str, Any], namespace: str, pods: str) -> None:
    """A pod with a token for the server is its service account; with one for somebody else it is nobody."""
    kubernetes = {"Authorization": f"Bearer {await token(api, bound)}"}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = (await api.call("POST", SELF, body, headers=kubernetes)).expect(201)
    user = answer["status"]["userInfo"]
    assert f"system:serviceaccount:{namespace}:app" == user["username"]
    assert ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"] == user["groups"]
    assert ["bare"] == user["extra"]["authentication.kubernetes.io/pod-name"]
    recorded = recordings.load("api-401-wrong-audience")
    other = {"Authorization": f"Bearer {await token(api, bound, 'my-agent')}"}
    refused = await api.call("GET", pods, headers=other)
    assert (recorded["status"], recorded["body"]) == (refused.code, refused.body)


async def test_discovery(api: cluster.Cluster, bound: dict[str, Any]) -> None:
    """Anybody can check a token with the published key, and finds that key under its name."""
    import jwt

    recorded = recordings.load("openid-configuration")
    found = (await api.get("/.well-known/openid-configuration")).expect(200)
    assert shape(recorded) == shape(found)
    assert {**recorded, "jwks_uri": ""} == {**found, "jwks_uri": ""}
    assert found["jwks_uri"].endswith("/openid/v1/jwks")
    answer = await api.get("/openid/v1/jwks")
    assert "application/jwk-set+json" == answer.headers["Content-Type"]
    keys = json.loads(answer.expect(200))
    assert shape(recordings.load("openid-jwks")) == shape(keys)
    shown = await token(api, bound, "my-agent")
    key = next(key for key in jwt.PyJWKSet.from_dict(keys).keys if key.key_id == parts(shown)[0]["kid"])
    said = jwt.decode(shown, key, algorithms=["RS256"], audience="my-agent", issuer=API)
    assert "bare" == said["kubernetes.io"]["pod"]["name"]


async def test_the_way_to_the_server(api: cluster.Cluster, kubeconfig: pathlib.Path, namespace: str) -> None:
    """The Service ``kubernetes`` and its slice; the certificates, in every namespace."""
    service = (await api.get("/api/v1/namespaces/default/services/kubernetes")).expect(200)
    assert {"component": "apiserver", "provider": "kubernetes"} == service["metadata"]["labels"]
    assert [("https", 443)] == [(port["name"], port["port"]) for port in service["spec"]["ports"]]
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
    assert "kubernetes" == (await api.get(path)).expect(200)["metadata"]["labels"]["kubernetes.io/service-name"]
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    published = await api.until(maps, lambda found: found["metadata"]["name"] == "kube-root-ca.crt")
    assert "BEGIN CERTIFICATE" in published["data"]["ca.crt"]


async def test_the_certificates_are_put_right(api: cluster.Cluster, namespace: str) -> None:
    """Whoever changes or deletes them finds them again."""
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    first = await api.until(maps, lambda found: found["metadata"]["name"] == "kube-root-ca.crt")
    (await api.patch(f"{maps}/kube-root-ca.crt", {"data": {"ca.crt": "x"}})).expect(200)
    await api.until(maps, lambda found: found.get("data") == first["data"])
    (await api.delete(f"{maps}/kube-root-ca.crt")).expect(200)
    await api.until(maps, lambda found: found["metadata"]["uid"] != first["metadata"]["uid"])
