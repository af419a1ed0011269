"""How custom objects and their definitions end: finalizers, owners, namespaces, and the definition itself.

And how an informer of ours follows a kind that is not there yet. Leaves out what the controllers do with other kinds:
``test_controllers``.
"""

import asyncio
import contextlib
import pathlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ipseity import informer, kube
from tests.contract.kubernetes_api import cluster, definitions
from tests.contract.kubernetes_api.kubectl import Kubectl

Value = dict[str, Any]
HELD = {"finalizers": ["contract.test/hold"]}


def held(group: definitions.Group, name: str = "g") -> Value:
    body = group.gate(name)
    return {**body, "metadata": {**body["metadata"], **HELD}}


async def test_a_finalizer_holds(group: definitions.Group) -> None:
    """Deleted, still there, and gone when it is let go."""
    await group.define()
    await group.api.create(group.path(), held(group))
    found = (await group.api.delete(f"{group.path()}/g")).expect(200)
    assert "deletionTimestamp" in found["metadata"]
    (await group.api.patch(f"{group.path()}/g", {"metadata": {"finalizers": None}})).expect(200)
    assert (await group.api.get(f"{group.path()}/g")).code == 404


async def test_a_field_named_finalizers_holds_nothing(group: definitions.Group) -> None:
    """Only a namespace's spec has some that count."""
    names = {"type": "array", "items": {"type": "string"}}
    spec = {"type": "object", "properties": {"action": {"type": "string"}, "finalizers": names}}
    await group.define(definitions.version(spec=spec))
    await group.api.create(group.path(), group.gate(finalizers=["x"]))
    (await group.api.delete(f"{group.path()}/g")).expect(200)
    assert (await group.api.get(f"{group.path()}/g")).code == 404


def owned_by(owner: Value, kind: str, version: str) -> Value:
    reference = {"apiVersion": version, "kind": kind, "name": owner["metadata"]["name"]}
    return {"ownerReferences": [{**reference, "uid": owner["metadata"]["uid"]}]}


async def test_owners(group: definitions.Group, maps: str) -> None:
    """A custom object owns and is owned: what nobody owns any more goes."""
    await group.define()
    top = await group.api.create(maps, cluster.config_map("top"))
    body = group.gate()
    body["metadata"] |= owned_by(top, "ConfigMap", "v1")
    middle = await group.api.create(group.path(), body)
    bottom = cluster.config_map("bottom")
    bottom["metadata"] |= owned_by(middle, "Gate", f"{group.name}/v1")
    await group.api.create(maps, bottom)
    (await group.api.delete(f"{maps}/top")).expect(200)
    await group.api.until_gone(maps, "bottom")
    assert (await group.api.get(f"{group.path()}/g")).code == 404


async def test_a_namespace_takes_them_along(group: definitions.Group) -> None:
    """Also those with finalizers, which it waits for."""
    await group.define()
    name = f"{group.namespace}-n"
    await group.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    path = group.path(namespace=name)
    await group.api.create(path, group.gate("free"))
    await group.api.create(path, held(group, "held"))
    (await group.api.delete(f"/api/v1/namespaces/{name}")).expect(200)
    await group.api.until(path, lambda found: "deletionTimestamp" in found["metadata"])
    assert "Terminating" == (await group.api.get(f"/api/v1/namespaces/{name}")).expect(200)["status"]["phase"]
    refused = await group.api.call("POST", path, group.gate("late"))
    assert "because it is being terminated" in refused.refused(403, "Forbidden")["message"]
    (await group.api.patch(f"{path}/held", {"metadata": {"finalizers": None}})).expect(200)
    await group.api.until_gone("/api/v1/namespaces", name)


async def test_a_definition_takes_its_objects_along(group: definitions.Group) -> None:
    """It waits for the last of them, refuses new ones, and then nothing is served any more."""
    name = (await group.define())["metadata"]["name"]
    await group.api.create(group.path(), held(group, "held"))
    await group.api.create(group.path(), group.gate("free"))
    deleted = (await group.api.delete(f"{definitions.PATH}/{name}")).expect(200)
    assert ["customresourcecleanup.apiextensions.k8s.io"] == deleted["metadata"]["finalizers"]
    await group.api.until(group.path(), lambda found: "deletionTimestamp" in found["metadata"])
    refused = (await group.api.call("POST", group.path(), group.gate("late"))).refused(405, "MethodNotAllowed")
    assert "create not allowed while custom resource definition is terminating" == refused["message"]
    (await group.api.patch(f"{group.path()}/held", {"metadata": {"finalizers": None}})).expect(200)
    await group.api.until_gone(definitions.PATH, name)
    await until_absent(group, group.path())
    await until_absent(group, f"/apis/{group.name}")


async def test_watches_of_a_definition_s_objects_end_with_it(group: definitions.Group) -> None:
    """Having told that each object is gone."""
    name = (await group.define())["metadata"]["name"]
    await group.api.create(group.path(), group.gate())
    seen = []
    async with contextlib.aclosing(group.api.events(group.path())) as events:
        async for event in events:
            if event["type"] == "ADDED":
                await group.api.delete(f"{definitions.PATH}/{name}")
            seen.append(event["type"])
    assert ("ADDED", "DELETED") == (seen[0], seen[-1])


async def until_absent(group: definitions.Group, path: str) -> None:
    for _ in range(200):
        if (await group.api.get(path)).code == 404:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{path} is still served")


async def test_a_definition_that_comes_back_has_no_past(group: definitions.Group) -> None:
    """Nothing of the objects before, and no watch from before."""
    name = (await group.define())["metadata"]["name"]
    await group.api.create(group.path(), group.gate())
    before = (await group.api.get(group.path())).expect(200)["metadata"]["resourceVersion"]
    await group.api.delete(f"{definitions.PATH}/{name}")
    await group.api.until_gone(definitions.PATH, name)
    await group.define()
    assert [] == (await group.api.get(group.path())).expect(200)["items"]
    async with contextlib.aclosing(group.api.events(group.path(), resourceVersion=before, seconds=5)) as events:
        async for event in events:
            assert ("ERROR", 410) == (event["type"], event["object"]["code"])
            return
    raise AssertionError("a watch from before the definition went on")


async def test_kubectl_deletes_a_definition(kubectl: Kubectl, group: definitions.Group) -> None:
    """And waits until it is gone."""
    name = (await group.define())["metadata"]["name"]
    await group.api.create(group.path(), group.gate())
    assert "deleted" in await kubectl("delete", "crd", name, "--timeout=30s")
    assert "NotFound" in await kubectl("get", "crd", name, code=1)


@pytest.fixture
async def followed(kubeconfig: pathlib.Path, group: definitions.Group) -> AsyncIterator[informer.Informer[str]]:
    """Yield an informer of gates, of which there is no definition yet."""
    connection = await kube.connect(str(kubeconfig))
    resource = kube.Resource(path=f"/apis/{group.name}/v1/gates")
    yield informer.Informer(
        connection, resource, trim=lambda found: str(found["spec"]["action"]), clock=time.monotonic_ns
    )
    await connection.close()


@pytest.fixture
async def seen(followed: informer.Informer[str]) -> AsyncIterator[asyncio.Queue[tuple[str, str]]]:
    """Yield what the informer tells."""
    queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def follow() -> None:
        async with contextlib.aclosing(followed.events()) as events:
            async for event in events:
                queue.put_nowait((event.change.value, event.value))

    following = asyncio.create_task(follow())
    yield queue
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following


async def test_an_informer_waits_for_a_definition(
    group: definitions.Group, followed: informer.Informer[str], seen: asyncio.Queue[tuple[str, str]]
) -> None:
    """It asks for what is not there, and sees the first object within two seconds of its coming."""
    for _ in range(200):
        if followed.failed_requests >= 5:
            break
        await asyncio.sleep(0.05)
    assert "could not find the requested resource" in followed.last_error
    await group.define()
    await group.api.create(group.path(), group.gate())
    began = time.monotonic()
    assert ("seen", "Allow") == await asyncio.wait_for(seen.get(), 10)
    assert time.monotonic() - began < 2.0


async def test_an_informer_bears_what_becomes_of_a_definition(
    group: definitions.Group, seen: asyncio.Queue[tuple[str, str]]
) -> None:
    """Changed, deleted with its objects, and made anew."""
    name = (await group.define())["metadata"]["name"]
    await group.api.create(group.path(), group.gate())
    assert ("seen", "Allow") == await asyncio.wait_for(seen.get(), 10)
    change = {"spec": {"names": {"shortNames": ["gg"]}}}
    (await group.api.patch(f"{definitions.PATH}/{name}", change)).expect(200)
    (await group.api.patch(f"{group.path()}/g", {"spec": {"action": "Audit"}})).expect(200)
    assert ("seen", "Audit") == await asyncio.wait_for(seen.get(), 10)
    await group.api.delete(f"{definitions.PATH}/{name}")
    assert ("gone", "Audit") == await asyncio.wait_for(seen.get(), 10)
    await group.api.until_gone(definitions.PATH, name)
    await group.define()
    await group.api.create(group.path(), group.gate(action="Audit"))
    assert ("seen", "Audit") == await asyncio.wait_for(seen.get(), 10)
