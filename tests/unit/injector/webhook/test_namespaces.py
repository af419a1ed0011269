"""What namespaces say, and their label. Leaves out the informer: tests/unit/ipseity."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from injector import names
from injector.webhook import namespaces, review
from ipseity import kube
from tests.fakes import admission, kube_objects

SHOP = "/api/v1/namespaces/shop"
ENABLED = {names.INJECT: "enabled", "config.ipseity.io/proxy-uid": "7", "example.com/x": "y"}
RESOURCE = {"group": "", "version": "v1", "resource": "namespaces"}


def namespace(annotations: dict[str, str], labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"kind": "Namespace", "metadata": {"annotations": annotations, "labels": labels}}


@contextlib.asynccontextmanager
async def following(cluster: kube_objects.KubeObjects) -> AsyncIterator[namespaces.Namespaces]:
    async with cluster.serve() as api:
        followed = namespaces.Namespaces(api, time.monotonic_ns)
        task = asyncio.create_task(followed.run())
        yield followed
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_namespaces_annotated_before_we_listened_get_their_label() -> None:
    """And one that opted out loses it."""
    cluster = kube_objects.KubeObjects()
    cluster.put(SHOP, namespace(ENABLED))
    cluster.put("/api/v1/namespaces/old", namespace({}, {names.INJECTS: "enabled", "team": "a"}))
    cluster.put("/api/v1/namespaces/kube-system", namespace(ENABLED))
    async with following(cluster) as followed:
        await cluster.until(lambda: 2 == sum(method == "PATCH" for method, _ in cluster.requests))
        assert {names.INJECTS: "enabled"} == cluster.objects[SHOP]["metadata"]["labels"]
        assert {"team": "a"} == cluster.objects["/api/v1/namespaces/old"]["metadata"]["labels"]
        assert not cluster.objects["/api/v1/namespaces/kube-system"]["metadata"]["labels"]
        assert followed.synced
        assert {names.INJECT: "enabled", "config.ipseity.io/proxy-uid": "7"} == await followed.annotations("shop")


async def test_a_namespace_not_heard_of_is_asked_for() -> None:
    """What is at hand is not, unless something fresh is wanted."""
    cluster = kube_objects.KubeObjects()
    async with cluster.serve() as api:
        followed = namespaces.Namespaces(api, time.monotonic_ns)
        cluster.put(SHOP, namespace(ENABLED, {names.INJECTS: "enabled"}))
        for fresh in (False, True):
            assert "7" == (await followed.annotations("shop", fresh=fresh))["config.ipseity.io/proxy-uid"]
        assert [("GET", SHOP)] * 2 == cluster.requests
        with pytest.raises(kube.KubernetesError, match="404"):
            await followed.annotations("no/../where")


async def test_a_label_that_cannot_be_written_is_counted() -> None:
    """It is no reason to stop following."""
    cluster = kube_objects.KubeObjects()
    cluster.refuse["PATCH", SHOP] = 403
    cluster.put(SHOP, namespace(ENABLED))
    async with following(cluster) as followed:
        await cluster.until(lambda: ("PATCH", SHOP) in cluster.requests)
        cluster.put("/api/v1/namespaces/next", namespace(ENABLED))
        await cluster.until(lambda: ("PATCH", "/api/v1/namespaces/next") in cluster.requests)
        assert 1 == followed.failed


@pytest.mark.parametrize(
    ("annotations", "labels", "patch"),
    [
        (None, None, []),
        ({names.INJECT: "disabled"}, {}, []),
        ({names.INJECT: "enabled"}, {"a": "b"}, [("add", "/metadata/labels/ipseity.io~1injects", "enabled")]),
        ({names.INJECT: "enabled"}, None, [("add", "/metadata/labels", {names.INJECTS: "enabled"})]),
        ({names.INJECT: "enabled"}, {names.INJECTS: "enabled"}, []),
        ({names.INJECT: "enable"}, {names.INJECTS: "enabled"}, [("remove", "/metadata/labels/ipseity.io~1injects")]),
    ],
)
def test_a_namespace_that_is_written_gets_the_right_label(annotations: Any, labels: Any, patch: Any) -> None:
    """In the same request."""
    made = {"metadata": {"name": "shop", "annotations": annotations, "labels": labels}}
    answer = namespaces.admit(review.read(admission.body(made, resource=RESOURCE)))
    assert patch == [tuple(operation.values()) for operation in admission.operations(answer)]


def test_nonsense_is_refused() -> None:
    """A namespace without a name."""
    answer = namespaces.admit(review.read(admission.body({"metadata": {}}, resource=RESOURCE)))
    assert not admission.response(answer)["allowed"]
