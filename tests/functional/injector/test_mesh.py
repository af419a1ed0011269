"""The mesh as a user meets it: manifests applied with kubectl, one annotation, real pods of a lab on two nodes.

Left out: what takes minutes (tests/prove: rotation, outage, the whole matrix of verdicts) and what is on the wire
(tests/prove/mesh_works.py captures it).
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.prove import mesh_works
from tests.scene import lab, mesh

SETTLED_S = 20.0
STRICT = {"config.ipseity.io/inbound-policy": "strict"}


@pytest.fixture(scope="module")
def where() -> Iterator[mesh.Mesh]:
    """Two injected Deployments that call each other, one that is strict, and one without a sidecar."""
    with mesh.up("ci-mesh") as up:
        text = mesh.namespace("shop")
        text += mesh.server("shop", "client", node="node-a") + "---" + mesh.server("shop", "web", node="node-b")
        text += "---" + mesh.server("shop", "strict", annotations=STRICT) + "---"
        text += mesh.server("shop", "plain", inject=False)
        up.apply(text)
        up.ready("shop", "client", "web", "strict", "plain")
        yield up
    assert [] == lab.left_behind("ci-mesh")


def called(where: mesh.Mesh, source: str, target: str) -> dict[str, Any]:
    """Try every protocol once."""
    return where.call("shop", where.pod("shop", source), "every", target)


@pytest.mark.parametrize(("source", "target"), [("client", "web"), ("web", "client")])
def test_every_protocol_works_and_the_caller_is_proven(where: mesh.Mesh, source: str, target: str) -> None:
    """HTTP/1.1, gRPC, WebSocket, bytes, and a server that speaks first; a forged caller is not believed."""
    checks = mesh_works.judge(called(where, source, target), source)
    assert dict.fromkeys(checks, True) == checks


def test_a_pod_without_a_sidecar_is_reached_and_served_as_before(where: mesh.Mesh) -> None:
    """Permissive is the default: nobody is cut off by his neighbour's annotation; nor does he get a name by it."""
    for source, target in (("client", "plain"), ("plain", "web")):
        found = called(where, source, target)
        assert (200, True) == (found["http1"].get("status"), found["opaque"].get("same"))
    assert "" == found["http1"]["caller"]


def test_strict_refuses_plaintext_and_its_probes_go_on(where: mesh.Mesh) -> None:
    """With words for HTTP, a closed connection for bytes; the kubelet's probe keeps the pod ready."""
    found = called(where, "plain", "strict")
    assert (403, "error") == (found["http1"].get("status"), *found["opaque"])
    assert found["http1"]["denied"]
    assert 200 == called(where, "client", "strict")["http1"]["status"]
    (pod,) = where.get("pods", "shop", "-l", "app=strict")
    assert {"True"} == {each["status"] for each in pod["status"]["conditions"] if each["type"] == "Ready"}


def test_a_policy_admits_one_identity_and_says_so(where: mesh.Mesh) -> None:
    """The other is answered 403 with the reason; the policy's status says that it is accepted and whom it governs."""
    where.apply(json.dumps(mesh.policy("shop", "web", mesh.accounts("shop", "client"))))
    try:
        mesh.wait_until(
            lambda: called(where, "strict", "web")["http1"].get("status") == 403, SETTLED_S, "it is in force"
        )
        assert 200 == called(where, "client", "web")["http1"]["status"]
        mesh.wait_until(lambda: accepted(where, "web") == "True", SETTLED_S, "its status is written")
    finally:
        where.kubectl("delete", "authorizationpolicy", "web", "-n", "shop")
    mesh.wait_until(lambda: called(where, "strict", "web")["http1"].get("status") == 200, SETTLED_S, "it is gone")


def accepted(where: mesh.Mesh, name: str) -> str:
    """Read the condition ``Accepted`` of a policy."""
    (policy,) = [each for each in where.get("authorizationpolicies", "shop") if each["metadata"]["name"] == name]
    conditions = (policy.get("status") or {}).get("conditions") or []
    return next((str(each["status"]) for each in conditions if each["type"] == "Accepted"), "")


def test_a_bad_annotation_keeps_the_pod_out_and_says_what_is_allowed(where: mesh.Mesh) -> None:
    """Its name, its value and the values that are allowed."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "wrong",
            "namespace": "shop",
            "annotations": {"ipseity.io/inject": "enabled", "config.ipseity.io/inbound-policy": "lenient"},
        },
        "spec": {"containers": [{"name": "app", "image": "none", "command": ["sleep", "1"]}]},
    }
    with pytest.raises(RuntimeError, match=r"inbound-policy.*lenient.*permissive"):
        where.apply(json.dumps(pod))
