"""Lists: selectors, pages of one moment, and what a resourceVersion asks for."""

import asyncio

import pytest

from tests.contract.kubernetes_api import cluster

PRIME = 23


def names(found: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    """Names of a list's items, in its order."""
    return [item["metadata"]["name"] for item in found["items"]]


async def test_a_list(api: cluster.Cluster, maps: str, namespace: str) -> None:
    """Items have no kind of their own; the list has one, and a version. All namespaces include ours."""
    await api.create(maps, cluster.config_map("a"))
    found = (await api.get(maps)).expect(200)
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert int(found["metadata"]["resourceVersion"]) > 0
    assert not {"kind", "apiVersion"} & found["items"][0].keys()
    everywhere = (await api.get("/api/v1/configmaps")).expect(200)
    assert namespace in {item["metadata"]["namespace"] for item in everywhere["items"]}


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [
        ("app=web", ["a", "b"]),
        ("app==web,tier!=front", ["b"]),
        ("tier", ["a", "b"]),
        ("!tier", ["c"]),
        ("app in (web, db)", ["a", "b", "c"]),
        ("app notin (web)", ["c"]),
        ("tier notin (front),app", ["b", "c"]),
        ("", ["a", "b", "c"]),
    ],
)
async def test_label_selectors(api: cluster.Cluster, maps: str, selector: str, wanted: list[str]) -> None:
    """Equality, sets and existence; commas are and."""
    await api.create(maps, cluster.config_map("a", app="web", tier="front"))
    await api.create(maps, cluster.config_map("b", app="web", tier="back"))
    await api.create(maps, cluster.config_map("c", app="db"))
    found = (await api.get(maps, labelSelector=selector)).expect(200)
    assert [name for name in names(found) if len(name) == 1] == wanted


async def test_field_selectors(api: cluster.Cluster, pods: str) -> None:
    """By name for every kind; by node, phase and others for pods."""
    for name, node in (("a", "node-7"), ("b", "node-8")):
        await api.create(pods, cluster.pod(name, nodeName=node))
    assert names((await api.get(pods, fieldSelector="spec.nodeName=node-7")).expect(200)) == ["a"]
    assert names((await api.get(pods, fieldSelector="spec.nodeName!=node-7")).expect(200)) == ["b"]
    assert names((await api.get(pods, fieldSelector="metadata.name=b,status.phase=Pending")).expect(200)) == ["b"]
    assert names((await api.get(pods, fieldSelector="spec.hostNetwork=false")).expect(200)) == ["a", "b"]


async def test_pages_are_of_one_moment(api: cluster.Cluster, maps: str) -> None:
    """What is created and deleted between two pages is not seen; the pages together are the first moment."""
    await asyncio.gather(*(api.create(maps, cluster.config_map(f"m{n:02}", mine="yes")) for n in range(PRIME)))
    first = (await api.get(maps, limit=7, labelSelector="mine=yes")).expect(200)
    assert first["metadata"]["remainingItemCount"] == PRIME - 7
    await api.create(maps, cluster.config_map("m10a", mine="yes"))
    (await api.delete(f"{maps}/m20")).expect(200)
    found, token = names(first), first["metadata"]["continue"]
    while token:
        page = (await api.get(maps, limit=7, labelSelector="mine=yes", **{"continue": token})).expect(200)
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        found += names(page)
        token = page["metadata"].get("continue", "")
    assert found == [f"m{n:02}" for n in range(PRIME)]


async def test_exact_versions(api: cluster.Cluster, maps: str) -> None:
    """The past as it was."""
    await api.create(maps, cluster.config_map("a", {"k": "1"}, mine="yes"))
    then = (await api.get(maps, labelSelector="mine=yes")).expect(200)
    (await api.patch(f"{maps}/a", {"data": {"k": "2"}})).expect(200)
    await api.create(maps, cluster.config_map("b", mine="yes"))
    version = then["metadata"]["resourceVersion"]
    exact = {"resourceVersion": version, "resourceVersionMatch": "Exact", "labelSelector": "mine=yes"}
    assert (await api.get(maps, **exact)).expect(200) == then
    newer = (await api.get(maps, **{**exact, "resourceVersionMatch": "NotOlderThan"})).expect(200)
    assert names(newer) == ["a", "b"]


async def test_a_version_that_has_not_been(api: cluster.Cluster, maps: str) -> None:
    """504 after a while, with a hint when to come back."""
    answer = await api.get(maps, resourceVersion="999999999")
    body = answer.refused(504, "Timeout")
    assert body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert answer.headers["Retry-After"] == "1"


async def test_metadata_only(api: cluster.Cluster, maps: str) -> None:
    """PartialObjectMetadata for clients that need no more."""
    await api.create(maps, cluster.config_map("a", {"k": "v"}))
    accept = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    async with api.session.get(maps, headers=accept) as answer:
        found = await answer.json()
    assert found["kind"] == "PartialObjectMetadataList"
    assert {"kind", "apiVersion", "metadata"} == found["items"][-1].keys()
