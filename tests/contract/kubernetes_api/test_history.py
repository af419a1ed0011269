"""The past that is no longer known: 410, as an HTTP status for a list and inside a 200 for a watch.

On a server of the lab's own with a history of ten events, since no other server can be told to forget. Also: what an
orderly restart keeps.
"""

import contextlib
import pathlib
import socket
from collections.abc import AsyncIterator

import pytest

from tests.contract.kubernetes_api import cluster, definitions, own

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def forgetful(tmp_path: pathlib.Path) -> AsyncIterator[cluster.Cluster]:
    """Yield a server that remembers ten events of each kind."""
    with own.served(tmp_path / "api", "--history", "10", "--no-controllers") as kubeconfig:
        async with cluster.connected(kubeconfig) as api:
            yield api


async def fill(api: cluster.Cluster) -> None:
    """More events than are remembered."""
    for number in range(23):
        await api.create(MAPS, cluster.config_map(f"m{number:02}"))


async def test_a_watch_says_410_inside_a_200(forgetful: cluster.Cluster) -> None:
    """One ERROR event, worded as recorded; then it ends."""
    await fill(forgetful)
    events = [event async for event in forgetful.events(MAPS, resourceVersion="2")]
    assert [event["type"] for event in events] == ["ERROR"]
    status = events[0]["object"]
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"].startswith("too old resource version: 2 (")


async def test_a_list_says_410(forgetful: cluster.Cluster) -> None:
    """For an exact version, and for a page's token."""
    await forgetful.create(MAPS, cluster.config_map("a"))
    await forgetful.create(MAPS, cluster.config_map("b"))
    token = (await forgetful.get(MAPS, limit=1)).expect(200)["metadata"]["continue"]
    await fill(forgetful)
    (await forgetful.get(MAPS, resourceVersion="2", resourceVersionMatch="Exact")).refused(410, "Expired")
    body = (await forgetful.get(MAPS, limit=1, **{"continue": token})).refused(410, "Expired")
    assert body["message"].startswith("The provided continue parameter is too old")


def test_a_start_that_fails_says_why(tmp_path: pathlib.Path) -> None:
    """One line and a hint: for a port that is taken, and for a state that cannot be read."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = own.failed_start(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}")
    assert "cannot listen on 127.0.0.1:" in words
    assert "hint: give another --listen" in words
    (tmp_path / "objects.json").write_text("{")
    assert "hint: remove the file" in own.failed_start(tmp_path, "127.0.0.1:0")


async def test_an_orderly_restart_keeps_everything(tmp_path: pathlib.Path) -> None:
    """Objects, versions, token and certificates; only the events are gone."""
    with own.served(tmp_path / "api", "--no-controllers") as kubeconfig:
        token = kubeconfig.read_text().partition("token:")[2]
        async with cluster.connected(kubeconfig) as api:
            made = await api.create(MAPS, cluster.config_map("a", {"k": "v"}))
            await api.create(MAPS, cluster.config_map("b"))
    with own.served(tmp_path / "api", "--no-controllers") as kubeconfig:
        assert kubeconfig.read_text().partition("token:")[2] == token
        async with cluster.connected(kubeconfig) as api:
            assert (await api.get(f"{MAPS}/a")).expect(200) == made
            events = [e async for e in api.events(MAPS, resourceVersion=made["metadata"]["resourceVersion"])]
            assert events[0]["object"]["code"] == 410
            version = (await api.get(MAPS)).expect(200)["metadata"]["resourceVersion"]
            async with contextlib.aclosing(api.events(MAPS, resourceVersion=version)) as live:
                await api.create(MAPS, cluster.config_map("c"))
                assert (await anext(live))["object"]["metadata"]["name"] == "c"


async def test_an_orderly_restart_keeps_custom_kinds(tmp_path: pathlib.Path) -> None:
    """They are served from the first request on; a definition that was on its way out goes on waiting."""
    crd = definitions.definition("kept.contract.test")
    going = definitions.definition("going.contract.test", shortNames=[])
    gate = {"metadata": {"name": "g", "finalizers": ["contract.test/hold"]}, "spec": {"action": "Allow"}}
    paths = {name: f"/apis/{name}.contract.test/v1/namespaces/default/gates" for name in ("kept", "going")}
    with own.served(tmp_path / "api", "--no-controllers") as kubeconfig:
        async with cluster.connected(kubeconfig) as api:
            for body, name in ((crd, "kept"), (going, "going")):
                await api.create(definitions.PATH, body)
                await definitions.Group(f"{name}.contract.test", "default", api).established(body["metadata"]["name"])
                await api.create(paths[name], gate)
            (await api.delete(f"{definitions.PATH}/gates.going.contract.test")).expect(200)
    with own.served(tmp_path / "api", "--no-controllers") as kubeconfig:
        async with cluster.connected(kubeconfig) as api:
            assert (await api.get(f"{paths['kept']}/g")).expect(200)["spec"] == {"action": "Allow", "replicas": 3}
            (await api.call("POST", paths["going"], gate)).refused(405, "MethodNotAllowed")
            (await api.patch(f"{paths['going']}/g", {"metadata": {"finalizers": None}})).expect(200)
            await api.until_gone(definitions.PATH, "gates.going.contract.test")
