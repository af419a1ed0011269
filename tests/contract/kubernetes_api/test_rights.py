"""A server whose roles bind, against what a real one (v1.36.2) said to an account without rights.

Leaves out how rules are read: ``tests/unit/lab/api/test_authorizing.py``.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.contract.kubernetes_api import cluster, own
from tests.fakes import recordings

RBAC = "rbac.authorization.k8s.io"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    with own.served(tmp_path_factory.mktemp("rights") / "api", "--rbac", "--no-controllers") as kubeconfig:
        yield kubeconfig


async def account(admin: cluster.Cluster, system: pathlib.Path, namespace: str, name: str) -> cluster.Cluster:
    """Speak as a service account, over the administrator's connections."""
    await admin.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await admin.create(path, {"metadata": {"name": name}})
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    token = (await admin.call("POST", f"{path}/{name}/token", body)).expect(201)["status"]["token"]
    session = aiohttp.ClientSession(
        admin.session._base_url, headers={"Authorization": f"Bearer {token}"}, connector=admin.session.connector,
        connector_owner=False,
    )  # fmt: skip
    return cluster.Cluster(session)


async def test_an_account_may_what_it_was_given(system: pathlib.Path) -> None:
    """Refused in the recorded words; allowed from the moment that a binding says so; told so when it asks."""
    async with cluster.connected(system) as admin:
        app = await account(admin, system, "rec", "app")
        async with app.session:
            pods = "/api/v1/namespaces/rec/pods"
            recorded = recordings.load("api-403-no-rights")
            refused = await app.get(pods)
            assert (recorded["status"], recorded["body"]) == (refused.code, refused.body)
            assert not await may(app, verb="list", resource="pods", namespace="rec")

            rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
            await admin.create(f"/apis/{RBAC}/v1/namespaces/rec/roles", {"metadata": {"name": "r"}, "rules": rules})
            bound: dict[str, Any] = {"roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "r"}}
            bound |= {"subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": "rec"}]}
            await admin.create(f"/apis/{RBAC}/v1/namespaces/rec/rolebindings", {"metadata": {"name": "b"}, **bound})

            (await app.get(pods)).expect(200)
            assert await may(app, verb="list", resource="pods", namespace="rec")
            everywhere = (await app.get("/api/v1/pods")).refused(403, "Forbidden")
            assert everywhere["message"].endswith('cannot list resource "pods" in API group "" at the cluster scope')
            (await app.get("/apis/apps/v1")).expect(200)
            path = (await app.get("/metrics")).refused(403, "Forbidden")
            assert 'forbidden: User "system:serviceaccount:rec:app" cannot get path "/metrics"' == path["message"]


async def test_the_administrator_may_everything(system: pathlib.Path) -> None:
    async with cluster.connected(system) as admin:
        assert await may(admin, verb="*", resource="*", group="*")
        both = {"spec": {"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"verb": "get"}}}
        (await admin.call("POST", REVIEWS, both)).refused(422, "Invalid")


async def may(who: cluster.Cluster, **attributes: str) -> bool:
    """Ask whether one may."""
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    answer = await who.call("POST", REVIEWS, {**body, "spec": {"resourceAttributes": attributes}})
    return bool(answer.expect(201)["status"]["allowed"])
