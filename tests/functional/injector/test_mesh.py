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


LATE = """
import os, signal, socket, ssl, threading
from tests.fakes import authority
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
print("silent", flush=True)
signal.sigwait({signal.SIGUSR1})
key, chain = authority.make().identity("spiffe://application.example/own", dns="own")
paper = os.memfd_create("paper")
os.write(paper, key + chain)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"/proc/self/fd/{paper}")
def serve(call, context):
    with call:
        path = call.recv(4096).split()[1]
        call.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\n\\r\\n%b" % (len(path), path))
def listen(port, context):
    server = socket.create_server(("", port))
    server = context.wrap_socket(server, server_side=True) if context else server
    while True:
        try:
            serve(server.accept()[0], context)
        except (OSError, IndexError):
            pass
threading.Thread(target=listen, args=(7000, None)).start()
listen(8443, context)
"""
PROBES = {
    "late": {"tcpSocket": {"port": 7000}},
    "secured": {"httpGet": {"port": 8443, "path": "/ok", "scheme": "HTTPS"}},
}


def late(name: str) -> str:
    """Write a strict pod that is probed from the beginning, and whose application listens when it is told to."""
    container = {
        "name": "app",
        "image": "tests/late",
        "command": ["PYTHON", "-c", LATE],
        "env": [{"name": "PYTHONPATH", "value": "REPOSITORY"}],
        "readinessProbe": {**PROBES[name], "periodSeconds": 1, "failureThreshold": 1},
    }
    meta = {"name": name, "namespace": "shop", "labels": {"app": name}}
    said = {"ipseity.io/inject": "enabled", **STRICT}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "annotations": said}, "spec": spec})


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_says_whether_the_application_listens_where_plaintext_is_refused(where: mesh.Mesh, name: str) -> None:
    """By TCP and HTTPS, as written: not ready before, ready after; and nobody else gets in where the kubelet does."""
    where.apply(late(name))
    failed = ("events", "shop", "--field-selector", f"involvedObject.name={name},reason=Unhealthy")
    mesh.wait_until(lambda: where.get(*failed), SETTLED_S, "its probe was tried")
    (pod,) = where.get("pods", "shop", "-l", f"app={name}")
    assert {"False"} == {each["status"] for each in pod["status"]["conditions"] if each["type"] == "Ready"}
    where.run("shop", name, "/bin/kill", "-USR1", "1")
    where.kubectl("wait", "-n", "shop", f"pod/{name}", "--for=condition=Ready", f"--timeout={SETTLED_S:.0f}s")
    stranger, address = where.pod("shop", "plain"), pod["status"]["podIP"]
    asks = ["/usr/bin/curl", "-sk", "-m", "5", "-o", "/dev/null", "-w", "%{http_code} %header{x-ipseity-denied}"]
    if name == "secured":
        said = {path: where.run("shop", stranger, *asks, f"https://{address}:8443{path}") for path in ("/ok", "/other")}
        assert {"/ok": "200 ", "/other": "403 no-identity"} == said
    else:
        said = where.run("shop", stranger, "/usr/bin/curl", "-s", "-m", "5", f"http://{address}:7000/")
        assert "ipseity: refused: no-identity" == said


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
