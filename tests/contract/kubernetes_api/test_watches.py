"""Watches: the present, then every change once and in order; bookmarks; selectors; the future.

The past that is gone (410) is in ``test_history``: another server's history cannot be made short on demand.
"""

import asyncio
import contextlib
from typing import Any

from tests.contract.kubernetes_api import cluster


async def collected(events: Any, count: int) -> list[tuple[str, str]]:
    """(type, name) of so many events."""
    found = []
    async with contextlib.aclosing(events):
        async for event in events:
            found.append((event["type"], event["object"]["metadata"].get("name", "")))
            if len(found) == count:
                return found
    return found


async def test_every_change_in_order(api: cluster.Cluster, maps: str) -> None:
    """From a list's version on."""
    version = (await api.get(maps)).expect(200)["metadata"]["resourceVersion"]
    await api.create(maps, cluster.config_map("a"))
    (await api.patch(f"{maps}/a", {"data": {"k": "v"}})).expect(200)
    (await api.delete(f"{maps}/a")).expect(200)
    await api.create(maps, cluster.config_map("b"))
    found = await collected(api.events(maps, resourceVersion=version), 4)
    assert found == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")]


async def test_versions_rise(api: cluster.Cluster, maps: str) -> None:
    """Each event has a higher version than the one before; a deletion has its own."""
    version = (await api.get(maps)).expect(200)["metadata"]["resourceVersion"]
    made = await api.create(maps, cluster.config_map("a"))
    (await api.delete(f"{maps}/a")).expect(200)
    versions = [int(version)]
    async with contextlib.aclosing(api.events(maps, resourceVersion=version)) as events:
        async for event in events:
            versions.append(int(event["object"]["metadata"]["resourceVersion"]))
            if event["type"] == "DELETED":
                break
    assert versions == sorted(set(versions))
    assert versions[1] == int(made["metadata"]["resourceVersion"])


async def test_without_a_version_the_present_comes_first(api: cluster.Cluster, maps: str) -> None:
    """As ADDED events; also for version 0."""
    await api.create(maps, cluster.config_map("a", mine="yes"))
    for query in ({}, {"resourceVersion": "0"}):
        assert await collected(api.events(maps, labelSelector="mine=yes", **query), 1) == [("ADDED", "a")]


async def test_live(api: cluster.Cluster, maps: str) -> None:
    """A watch that is open hears of what happens then; two watches hear the same."""
    version = (await api.get(maps)).expect(200)["metadata"]["resourceVersion"]
    heard = [asyncio.ensure_future(collected(api.events(maps, resourceVersion=version), 23)) for _ in range(2)]
    for number in range(23):
        await api.create(maps, cluster.config_map(f"m{number:02}"))
    wanted = [("ADDED", f"m{number:02}") for number in range(23)]
    assert await asyncio.gather(*heard) == [wanted, wanted]


async def test_a_selector_sees_objects_come_and_go(api: cluster.Cluster, maps: str) -> None:
    """An object that starts to match is ADDED, one that ceases to is DELETED; others are not seen."""
    version = (await api.get(maps)).expect(200)["metadata"]["resourceVersion"]
    await api.create(maps, cluster.config_map("a"))
    for label in ("yes", "yes", "no"):
        change = {"metadata": {"labels": {"go": label}}, "data": {"n": label}}
        (await api.patch(f"{maps}/a", change)).expect(200)
    (await api.patch(f"{maps}/a", {"data": {"n": "again"}, "metadata": {"labels": {"go": "yes"}}})).expect(200)
    found = await collected(api.events(maps, resourceVersion=version, labelSelector="go=yes"), 3)
    assert found == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]


async def test_field_selectors_follow_a_pod_to_its_node(api: cluster.Cluster, pods: str) -> None:
    """As a node watches for its pods: it hears of one when it is bound."""
    version = (await api.get(pods)).expect(200)["metadata"]["resourceVersion"]
    await api.create(pods, cluster.pod(schedulerName="nobody"))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "node-7"}}
    await api.create(f"{pods}/p/binding", binding)
    found = await collected(api.events(pods, resourceVersion=version, fieldSelector="spec.nodeName=node-7"), 1)
    assert found == [("ADDED", "p")]


async def test_initial_events_end_with_a_bookmark(api: cluster.Cluster, maps: str) -> None:
    """Streaming lists: the present, then a bookmark that says so."""
    await api.create(maps, cluster.config_map("a", mine="yes"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    seen = []
    async with contextlib.aclosing(api.events(maps, labelSelector="mine=yes", **query)) as events:
        async for event in events:
            seen.append(event["type"])
            if event["type"] == "BOOKMARK":
                break
    assert seen == ["ADDED", "BOOKMARK"]
    assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (event["object"]["kind"], event["object"]["apiVersion"]) == ("ConfigMap", "v1")


async def test_a_bookmark_before_the_end(api: cluster.Cluster, maps: str) -> None:
    """A watch that ends says how far it was, if that was asked for; its version can be gone on from."""
    listed = (await api.get(maps)).expect(200)["metadata"]["resourceVersion"]
    bookmarks = [e async for e in api.events(maps, seconds=3, resourceVersion=listed, allowWatchBookmarks="true")]
    assert [event["type"] for event in bookmarks] == ["BOOKMARK"]
    version = bookmarks[0]["object"]["metadata"]["resourceVersion"]
    assert int(version) >= int(listed)
    await api.create(maps, cluster.config_map("a"))
    assert await collected(api.events(maps, resourceVersion=version), 1) == [("ADDED", "a")]


async def test_the_future_is_silent(api: cluster.Cluster, maps: str) -> None:
    """A watch from a version that has not been stays open and says nothing of what happens before it."""
    watch = asyncio.ensure_future(collected(api.events(maps, seconds=1, resourceVersion="999999999"), 1))
    await api.create(maps, cluster.config_map("a"))
    assert await watch == []


async def test_tables(api: cluster.Cluster, maps: str) -> None:
    """``kubectl get -w``: each event is a table of one row."""
    await api.create(maps, cluster.config_map("a", {"k": "v"}, mine="yes"))
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    query = {"watch": "true", "timeoutSeconds": "1", "labelSelector": "mine=yes"}
    async with api.session.get(maps, headers=accept, params=query) as answer:
        line = await answer.content.readline()
    assert b'"kind":"Table"' in line
    assert b'"cells":["a",1,"' in line
