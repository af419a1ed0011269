"""The control plane with the rights that its manifest gives it: enough for all that it does.

Leaves out that there are none too many: a person reads that in ``deploy/mesh/control-plane.yaml``.
"""

import asyncio
import json
import pathlib
import ssl
from collections.abc import Iterator

import aiohttp
import grpc
import pytest

from injector import names
from injector.kube import rest
from injector.routes import meshes
from ipseity import kube
from tests.contract.injector import test_control_plane as plane
from tests.contract.kubernetes_api import own
from tests.scene import clone, gatekeeper

MANIFEST = clone.ROOT / "deploy/mesh/control-plane.yaml"
PATIENCE_S = 30
POLICY = {
    "apiVersion": "ipseity.io/v1alpha1",
    "kind": "AuthorizationPolicy",
    "metadata": {"name": "nobody", "namespace": "shop"},
    "spec": {"targetRefs": [{"kind": "Pod", "selector": {}}], "action": "ALLOW"},
}
ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "web"}]},
}
GRPC_ROUTE = {**ROUTE, "kind": "GRPCRoute"}
MESH = {
    "apiVersion": "gateway.networking.x-k8s.io/v1alpha1",
    "kind": "XMesh",
    "metadata": {"name": "ours"},
    "spec": {"controllerName": "ipseity.io/mesh"},
}
POD = {
    "metadata": {
        "generateName": "web-5d-",
        "annotations": {names.INJECT: "enabled"},
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d", "uid": "u", "controller": True}
        ],
    },
    "spec": {"containers": [{"name": "web", "image": "web"}]},
}


@pytest.fixture
def system(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    with own.served(tmp_path / "api") as kubeconfig:
        yield kubeconfig


async def ask_for_a_pod(port: int) -> None:
    """Send the webhook a review of a pod of a ReplicaSet."""
    request = {"uid": "1", "resource": {"group": "", "version": "v1", "resource": "pods"}, "operation": "CREATE"}
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {**request, "namespace": "shop", "object": POD},
    }
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{port}/inject"
        async with session.post(url, data=json.dumps(review), ssl=context) as answer:
            assert (await answer.json())["response"]["allowed"]


async def test_its_roles_are_enough(system: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Start, a namespace that wants injection, a policy, routes, a pod's admission, a token: nothing is forbidden."""
    await plane.install(system)
    await plane.define(system, "gateway-api/*.yaml")
    wants = {"name": "shop", "annotations": {names.INJECT: "enabled"}}
    async with await kube.connect(str(system)) as api:
        await rest.create(api, "/api/v1/namespaces", {"metadata": wants})
    async with gatekeeper.before(system, gatekeeper.Roles(MANIFEST), tmp_path) as keeper:
        running = plane.running(keeper.kubeconfig, tmp_path)
        control = await asyncio.to_thread(running.__enter__)
        try:
            async with await kube.connect(str(system)) as api:
                await rest.create(api, "/apis/ipseity.io/v1alpha1/namespaces/shop/authorizationpolicies", POLICY)
                routes = "/apis/gateway.networking.k8s.io/v1/namespaces/shop"
                await rest.create(api, f"{routes}/httproutes", ROUTE)
                await rest.create(api, f"{routes}/grpcroutes", GRPC_ROUTE)
                await rest.create(api, meshes.PATH, MESH)
                found = await rest.get(api, f"{plane.SYSTEM}/configmaps/{names.TRUST_BUNDLE}")
            assert found is not None
            await ask_for_a_pod(control.ports["webhook"])
            bundle = found["data"][names.TRUST_KEY].encode()
            with pytest.raises(grpc.RpcError):
                await asyncio.to_thread(plane.certify, control, bundle, token="a.b.c")
            for verb, resource in (
                ("patch", "namespaces"),
                ("patch", "authorizationpolicies/status"),
                ("patch", "httproutes/status"),
                ("patch", "grpcroutes/status"),
                ("list", "referencegrants"),
                ("patch", "xmeshes/status"),
                ("get", "replicasets"),
                ("create", "events"),
                ("create", "tokenreviews"),
                ("create", "configmaps"),
                ("get", "leases"),
                ("create", "leases"),
                ("update", "leases"),
            ):
                async with asyncio.timeout(PATIENCE_S):
                    await keeper.asked(verb, resource)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)
        assert set() == keeper.refused
