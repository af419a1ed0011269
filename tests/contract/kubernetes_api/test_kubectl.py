"""The real ``kubectl`` at work: what people type, and what they see.

Against any cluster; the lab's own is the default. Leaves out exec, attach, port-forward and explain, which a
lab does not serve.
"""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator

import pytest

from tests.contract.kubernetes_api import cluster
from tests.contract.kubernetes_api.kubectl import Kubectl
from tests.fakes import lab_node


@pytest.fixture
async def node(api: cluster.Cluster) -> AsyncIterator[lab_node.FakeNode]:
    """Yield a node on which pods run at once."""
    async with lab_node.running(api, f"contract-{uuid.uuid4().hex[:8]}") as made:
        yield made


def manifest(node: lab_node.FakeNode, image: str = "x:1", replicas: int = 2) -> str:
    """Return a Deployment and its Service, as JSON that is YAML."""
    labels = {"app": "web"}
    containers = [{"name": "c", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers, "nodeSelector": node.hostname}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    ports = [{"port": 80, "targetPort": "http"}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": labels, "ports": ports},
    }
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [deployment, service]})


async def test_apply_and_roll_out(kubectl: Kubectl, node: lab_node.FakeNode) -> None:
    """Create, change nothing, change an image, wait, look, go back, delete."""
    said = await kubectl("apply", "-f", "-", stdin=manifest(node))
    assert said.splitlines() == ["deployment.apps/web created", "service/web created"]
    assert "successfully rolled out" in await kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    said = await kubectl("apply", "-f", "-", stdin=manifest(node))
    assert said.splitlines() == ["deployment.apps/web unchanged", "service/web unchanged"]
    said = await kubectl("apply", "-f", "-", stdin=manifest(node, "x:2"))
    assert said.splitlines()[0] == "deployment.apps/web configured"
    assert "successfully rolled out" in await kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    assert await kubectl("get", "deploy", "web", "-o=jsonpath={.spec.template.spec.containers[0].image}") == "x:2"
    await kubectl("rollout", "undo", "deploy/web")
    await kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    assert await kubectl("get", "deploy", "web", "-o=jsonpath={.spec.template.spec.containers[0].image}") == "x:1"
    assert 'deployment.apps "web" deleted' in await kubectl("delete", "deploy", "web", "--timeout=30s")


async def test_server_side_apply_and_diff(kubectl: Kubectl, node: lab_node.FakeNode) -> None:
    """Conflicts are shown; forcing resolves them; diff exits 1 when there is one."""
    assert "serverside-applied" in await kubectl("apply", "--server-side", "-f", "-", stdin=manifest(node))
    await kubectl("scale", "deploy/web", "--replicas=3")
    said = await kubectl("apply", "--server-side", "-f", "-", stdin=manifest(node), code=1)
    assert ".spec.replicas" in said
    await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest(node))
    assert await kubectl("diff", "-f", "-", stdin=manifest(node)) == ""
    assert "x:9" in await kubectl("diff", "-f", "-", stdin=manifest(node, "x:9"), code=1)


async def test_tables(kubectl: Kubectl, node: lab_node.FakeNode) -> None:
    """The columns that people know."""
    await kubectl("apply", "-f", "-", stdin=manifest(node))
    await kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    heads = {
        "pods": "NAME READY STATUS RESTARTS AGE",
        "services": "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE",
        "deployments": "NAME READY UP-TO-DATE AVAILABLE AGE",
        "replicasets": "NAME DESIRED CURRENT READY AGE",
        "endpointslices": "NAME ADDRESSTYPE PORTS ENDPOINTS AGE",
        "nodes": "NAME STATUS ROLES AGE VERSION",
        "namespaces": "NAME STATUS AGE",
        "events": "LAST SEEN TYPE REASON OBJECT MESSAGE",
    }
    for plural, head in heads.items():
        shown = await kubectl("get", plural)
        assert re.split(r"\s{2,}|\s(?=SEEN)", shown.splitlines()[0].strip()) == re.split(r" (?!SEEN)", head) or (
            shown.split("\n")[0].split() == head.split()
        )
    rows = (await kubectl("get", "pods", "--no-headers")).splitlines()
    assert all(re.fullmatch(r"web-\S+\s+1/1\s+Running\s+0\s+\d+s", row) for row in rows)
    assert re.search(r"web\s+2/2\s+2\s+2\s+\d+s", await kubectl("get", "deploy"))
    assert node.name in await kubectl("get", "pods", "-o", "wide")
    everything = await kubectl("get", "all")
    assert {"pod/", "service/", "deployment.apps/", "replicaset.apps/"} <= set(
        re.findall(r"^\S+?/", everything, re.MULTILINE)
    )


async def test_create_speaks_protobuf(kubectl: Kubectl, api: cluster.Cluster, namespace: str) -> None:
    """What kubectl makes itself it sends in that form."""
    await kubectl("create", "configmap", "m", "--from-literal=k=v")
    await kubectl("create", "secret", "generic", "s", "--from-literal=k=v")
    await kubectl("create", "serviceaccount", "me")
    await kubectl("create", "service", "clusterip", "web", "--tcp=80:http")
    await kubectl("create", "deployment", "d", "--image=x:1", "--replicas=0", "--port=80")
    await kubectl("create", "job", "j", "--image=x:1", "--", "sleep", "7")
    prefix = f"/api/v1/namespaces/{namespace}"
    assert (await api.get(f"{prefix}/configmaps/m")).expect(200)["data"] == {"k": "v"}
    assert (await api.get(f"{prefix}/secrets/s")).expect(200)["data"] == {"k": "dg=="}
    ports = (await api.get(f"{prefix}/services/web")).expect(200)["spec"]["ports"]
    assert ports == [{"name": "80-http", "port": 80, "protocol": "TCP", "targetPort": "http"}]
    found = (await api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/d")).expect(200)
    assert (found["spec"]["replicas"], found["spec"]["selector"]) == (0, {"matchLabels": {"app": "d"}})
    assert found["spec"]["template"]["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    job = (await api.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/j")).expect(200)
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == ["sleep", "7"]


async def test_pods_by_hand(kubectl: Kubectl, node: lab_node.FakeNode) -> None:
    """run, wait, label, annotate, describe, logs, events, delete."""
    selector = json.dumps({"spec": {"nodeSelector": node.hostname}})
    await kubectl("run", "p", "--image=x:1", f"--overrides={selector}", "--labels=a=b")
    await kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=30s")
    await kubectl("label", "pod", "p", "c=d")
    await kubectl("annotate", "pod", "p", "e=f")
    assert await kubectl("get", "pods", "-l", "a=b,c=d", "-o", "name") == "pod/p\n"
    assert "Successfully assigned" in await kubectl("events", "--for=pod/p")
    described = await kubectl("describe", "pod", "p")
    assert {"Annotations:      e: f", f"Node:             {node.name}/10.99.0.1"} <= set(described.splitlines())
    assert json.loads(await kubectl("logs", "p", "--tail=7"))["query"]["tailLines"] == "7"
    assert 'pod "p" deleted' in await kubectl("delete", "pod", "p", "--timeout=30s")
    assert "not found" in await kubectl("get", "pod", "p", code=1)


async def test_a_node_is_drained(kubectl: Kubectl, node: lab_node.FakeNode) -> None:
    """Cordoned, emptied by eviction, and back."""
    selector = json.dumps({"spec": {"nodeSelector": node.hostname}})
    await kubectl("run", "p", "--image=x:1", f"--overrides={selector}")
    await kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=30s")
    said = await kubectl("drain", node.name, "--force", "--timeout=30s")
    assert "pod/p evicted" in said
    assert "SchedulingDisabled" in await kubectl("get", "node", node.name)
    assert "uncordoned" in await kubectl("uncordon", node.name)


async def test_mistakes_are_explained(kubectl: Kubectl) -> None:
    """A field that is not there, a value that cannot be: the words of the real server."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "dada": {}}
    said = await kubectl("apply", "-f", "-", stdin=json.dumps(body), code=1)
    assert 'strict decoding error: unknown field "dada"' in said
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}
    said = await kubectl("apply", "-f", "-", stdin=json.dumps(body), code=1)
    assert 'The Pod "p" is invalid: spec.containers[0].image: Required value' in said


async def test_discovery(kubectl: Kubectl) -> None:
    """Short names and groups."""
    said = await kubectl("api-resources", "--no-headers")
    assert re.search(r"^deployments\s+deploy\s+apps/v1\s+true\s+Deployment$", said, re.MULTILINE)
    assert "discovery.k8s.io/v1" in (await kubectl("api-versions")).splitlines()
    assert json.loads(await kubectl("version", "-o", "json"))["serverVersion"]["major"] == "1"


async def test_a_watch_ends_with_what_it_waits_for(kubectl: Kubectl, namespace: str) -> None:
    """``wait --for=create`` and ``--for=delete``."""
    waiting = asyncio.ensure_future(kubectl("wait", "--for=create", "configmap/m", "--timeout=30s"))
    await kubectl("create", "configmap", "m")
    assert "condition met" in await waiting
    gone = asyncio.ensure_future(kubectl("wait", "--for=delete", "configmap/m", "--timeout=30s"))
    await kubectl("delete", "configmap", "m")
    await gone


async def test_a_token_and_whose_it_is(kubectl: Kubectl, namespace: str) -> None:
    """``kubectl create token``; ``auth whoami`` with it; a TokenReview by ``create -f -``."""
    token = (await kubectl("create", "token", "default", "--duration=11m", "--audience=my-agent")).strip()
    spec = {"token": token, "audiences": ["my-agent"]}
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    said = json.loads(await kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review)))
    assert f"system:serviceaccount:{namespace}:default" == said["status"]["user"]["username"]
    own = (await kubectl("create", "token", "default")).strip()
    assert f"system:serviceaccount:{namespace}:default" in await kubectl("auth", "whoami", f"--token={own}")
    assert "tokenreviews" in await kubectl("api-resources", "--api-group=authentication.k8s.io")
    words = await kubectl("create", "token", "default", "--duration=9m", code=1)
    assert "may not specify a duration less than 10 minutes" in words
