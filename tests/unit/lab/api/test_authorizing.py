"""Roles and bindings as RBAC reads them. Leaves out HTTP: ``tests/contract/kubernetes_api/test_rights.py``."""

from typing import Any

import pytest

from comparisons.lab.api import authorizing, kinds, status, store, users

WEB = users.service_account("shop", "web", "uid", {})
CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING = kinds.ROLES
ACCOUNT = {"kind": "ServiceAccount", "name": "web", "namespace": "shop"}
Value = dict[str, Any]


def roles(*objects: tuple[kinds.Kind, Value]) -> authorizing.Roles:
    kept = store.Store(history=9)
    for kind, value in objects:
        metadata = value["metadata"]
        named = {"kind": kind.kind, "apiVersion": kind.api_version, **value}
        kept.put(kind, (metadata.get("namespace", ""), metadata["name"]), named)
    return authorizing.Roles(kept)


def role(*rules: Value, namespace: str = "", name: str = "one") -> tuple[kinds.Kind, Value]:
    where = {"namespace": namespace} if namespace else {}
    return (ROLE if namespace else CLUSTER_ROLE), {"metadata": {"name": name, **where}, "rules": list(rules)}


def binding(subject: Value, *, namespace: str = "", kind: str = "", name: str = "one") -> tuple[kinds.Kind, Value]:
    where = {"namespace": namespace} if namespace else {}
    reference = {"kind": kind or ("Role" if namespace else "ClusterRole"), "name": name}
    value = {"metadata": {"name": name, **where}, "roleRef": reference, "subjects": [subject]}
    return (ROLE_BINDING if namespace else CLUSTER_ROLE_BINDING), value


READ = {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}


@pytest.mark.parametrize(
    ("asked", "wish"),
    [
        (("GET", "/api/v1/pods", {}), {"verb": "list", "resource": "pods"}),
        (("GET", "/api/v1/pods", {"watch": "true"}), {"verb": "watch", "resource": "pods"}),
        (("GET", "/api/v1/namespaces/shop", {}), {"resource": "namespaces", "namespace": "shop", "name": "shop"}),
        (("PATCH", "/api/v1/namespaces/shop/status", {}), {"verb": "patch", "subresource": "status"}),
        (("GET", "/api/v1/namespaces/shop/pods/a/log", {}), {"verb": "get", "subresource": "log", "name": "a"}),
        (("DELETE", "/apis/apps/v1/namespaces/shop/deployments", {}), {"verb": "deletecollection", "group": "apps"}),
        (
            ("GET", "/api/v1/configmaps", {"watch": "1", "fieldSelector": "metadata.name=one"}),
            {"verb": "watch", "name": "one"},
        ),
        (("POST", "/api/v1/namespaces/shop/serviceaccounts/a/token", {}), {"verb": "create", "subresource": "token"}),
        (("GET", "/apis/apps/v1", {}), {"verb": "get", "path": "/apis/apps/v1"}),
    ],
)
def test_requests_are_read_as_the_real_server_does(asked: tuple[str, str, dict[str, str]], wish: Value) -> None:
    found = authorizing.understood(*asked)
    assert wish == {key: getattr(found, key) for key in wish}


def test_nobody_may_what_nothing_says() -> None:
    wish = authorizing.understood("GET", "/api/v1/namespaces/rec/pods", {})
    with pytest.raises(status.Refused) as refused:
        roles().check(WEB, wish)
    assert 403 == refused.value.code


def test_administrators_are_asked_nothing() -> None:
    assert roles().allow(users.ADMIN, authorizing.understood("DELETE", "/api/v1/nodes/a", {}))


def test_a_role_of_a_cluster_holds_everywhere_and_one_of_a_namespace_there() -> None:
    here = authorizing.understood("GET", "/api/v1/namespaces/shop/pods", {})
    there = authorizing.understood("GET", "/api/v1/namespaces/other/pods", {})
    everywhere = authorizing.understood("GET", "/api/v1/pods", {})
    wide = roles(role(READ), binding(ACCOUNT))
    assert [True] * 3 == [wide.allow(WEB, each) for each in (here, there, everywhere)]
    narrow = roles(role(READ, namespace="shop"), binding(ACCOUNT, namespace="shop"))
    assert [True, False, False] == [narrow.allow(WEB, each) for each in (here, there, everywhere)]
    lent = roles(role(READ), binding(ACCOUNT, namespace="shop", kind="ClusterRole"))
    assert [True, False, False] == [lent.allow(WEB, each) for each in (here, there, everywhere)]


def test_names_subresources_and_groups_are_told_apart() -> None:
    one = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["keys"], "verbs": ["list", "get"]}
    held = roles(role(one, READ), binding(ACCOUNT))
    asked = {
        "/api/v1/namespaces/a/secrets/keys": True,
        "/api/v1/namespaces/a/secrets/other": False,
        "/api/v1/namespaces/a/secrets": False,
        "/api/v1/namespaces/a/pods/one/log": True,
        "/api/v1/namespaces/a/pods/one/status": False,
        "/apis/metrics.k8s.io/v1/pods": False,
    }
    assert asked == {path: held.allow(WEB, authorizing.understood("GET", path, {})) for path in asked}
    named = authorizing.understood("GET", "/api/v1/secrets", {"fieldSelector": "metadata.name=keys"})
    assert held.allow(WEB, named)


def test_everybody_may_ask_what_there_is() -> None:
    held = roles(*authorizing.FOUNDATION)
    for path in ("/api", "/apis/apps/v1", "/openapi/v3", "/openid/v1/jwks"):
        assert held.allow(WEB, authorizing.understood("GET", path, {})), path
    assert not held.allow(WEB, authorizing.understood("GET", "/metrics", {}))
    assert held.allow(WEB, authorizing.understood("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {}))
