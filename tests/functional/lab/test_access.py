"""Pods that prove themselves and talk to the API from inside a lab. Leaves out what tokens say: the contract tests'."""

import asyncio
import time
from typing import Any

import pytest

from comparisons.lab import lab
from tests.functional.lab import conftest

ASK = """
import http.client, json, os, ssl, sys
own = "/var/run/secrets/kubernetes.io/serviceaccount"
tls = ssl.create_default_context(cafile=f"{own}/ca.crt")
def ask(host, token):
    port = int(os.environ["KUBERNETES_SERVICE_PORT"])
    connection = http.client.HTTPSConnection(host, port, context=tls, timeout=5)
    body = json.dumps({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"})
    headers = {"Authorization": "Bearer " + open(token).read(), "Content-Type": "application/json"}
    connection.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body, headers)
    answer = connection.getresponse()
    said = json.load(answer)
    return answer.status, said.get("status", {}).get("userInfo", {}).get("username") if answer.status < 300 else said
for host in (os.environ["KUBERNETES_SERVICE_HOST"], "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"):
    print(host, *ask(host, f"{own}/token"))
print(ask("kubernetes.default", "/identity/token")[0])
print(open(f"{own}/namespace").read())
"""
IDENTITY: dict[str, Any] = {
    "name": "identity",
    "projected": {
        "sources": [
            {"serviceAccountToken": {"path": "token", "audience": "identity.ipseity.io", "expirationSeconds": 600}}
        ]
    },
}
MOUNTED = {"volumeMounts": [{"name": "identity", "mountPath": "/identity"}]}


@pytest.mark.parametrize("node", ["node-a", "node-b"])
async def test_a_pod_asks_the_api(api: conftest.Api, node: str) -> None:
    """By the Service's address and names, with the mounted certificates; a token for somebody else is refused."""
    own = {"volumes": [IDENTITY], "container": MOUNTED, "enableServiceLinks": False}
    await api.pod(f"asks-{node}", "python3", "-c", ASK, node=node, restartPolicy="Never", **own)
    await api.until(f"asks-{node}", lambda status: "terminated" in conftest.main(status).get("state", {}))
    user = "201 system:serviceaccount:default:default"
    hosts = ("10.96.0.1", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    assert [*(f"{host} {user}" for host in hosts), "401", "default"] == (await api.log(f"asks-{node}")).splitlines()


STAT = "stat -Lc '%a %u %g' /identity/token; cat /identity/token > /dev/null && echo read"


@pytest.mark.parametrize(
    ("name", "security", "lines"),
    [
        ("anybody", {}, ["644 0 0", "read"]),
        ("user", {"runAsUser": 1234}, ["600 1234 0", "read"]),
        ("group", {"runAsUser": 1234, "fsGroup": 77}, ["640 1234 77", "read"]),
    ],
)
async def test_who_reads_a_token(api: conftest.Api, name: str, security: dict[str, Any], lines: list[str]) -> None:
    """The kubelet's modes and owners."""
    pod = {"restartPolicy": "Never", "volumes": [IDENTITY], "securityContext": security, "container": MOUNTED}
    await api.pod(name, "sh", "-c", STAT, **pod)
    await api.phase(name, "Succeeded")
    assert lines == (await api.log(name)).splitlines()


async def test_no_token_where_none_is_wanted(api: conftest.Api) -> None:
    """The pod says so."""
    script = "ls /var/run/secrets/kubernetes.io/serviceaccount"
    made = await api.pod("without", "sh", "-c", script, restartPolicy="Never", automountServiceAccountToken=False)
    await api.phase("without", "Failed")
    assert "volumes" not in made["spec"]


async def test_a_service_that_comes_later_has_a_name(api: conftest.Api, state: lab.State) -> None:
    """In pods that run already; also the pods of a Service without an address."""
    await api.pod("early", "sh", "-c", "until getent hosts late.default.svc db-0.db; do sleep 0.05; done")
    await api.phase("early", "Running")
    late = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "late"}, "spec": {"ports": [{"port": 8443}]}}
    address = (await api.create(late, "services"))["spec"]["clusterIP"]
    spec = {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 5432}]}
    db = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": spec}
    await api.create(db, "services")
    container = {"name": "c", "image": "none", "command": ["sleep", "100"]}
    own = {"hostname": "db-0", "subdomain": "db", "nodeName": "node-b", "containers": [container]}
    metadata = {"name": "db-0", "labels": {"app": "db"}}
    await api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": own})
    pod_ip = (await api.ready("db-0"))["status"]["podIP"]
    end_s = time.monotonic() + 10
    while not {address, pod_ip} <= set((await api.log("early")).split()):
        assert time.monotonic() < end_s
        await asyncio.sleep(0.02)
