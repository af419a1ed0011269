"""What is published of connected proxies: counted, bounded, the worst by name; and who is forgotten.

Leaves out what is made of it (tests/unit/injector/seeing/test_inspection.py).
"""

import asyncio
import contextlib
import itertools

import msgspec

from injector import names
from injector.discovery import hub, proxies
from tests.fakes import clusters, mesh_api

NOW_S = 1_795_350_000.0
PATH = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/configmaps/{proxies.NAME}"


def status(pod: str, state: str = "synced", behind_s: float = 0.0, refused: str = "") -> hub.Status:
    return hub.Status(namespace="shop", pod=pod, state=state, behind_s=behind_s, nacks=0, refused=refused)


def report(*statuses: hub.Status, pods: int = 0) -> proxies.Report:
    state = clusters.state([clusters.pod(number, ready=True) for number in range(pods)])
    return proxies.report(statuses, state, now_s=NOW_S, version="1")


def test_the_worst_are_named_first() -> None:
    """Who refuses, then who is behind for long; a proxy that is behind for a moment is as it should be."""
    found = report(
        status("a"),
        status("b", "behind", 1.0),
        status("c", "behind", 9.0),
        status("d", "refusing", 6.0, "LDS: " + "x" * 999),
        status("e", "behind", 70.0),
    )
    assert (5, 1, 3, 0) == (found.connected, found.synced, found.troubled, found.absent)
    assert ["shop/d", "shop/e", "shop/c"] == [each.pod for each in found.named]
    assert 300 == len(found.named[0].reason)


def test_ready_pods_that_are_not_connected_are_absent() -> None:
    """A pod that is not ready is still on its way."""
    found = report(status("web-1"), pods=3)
    assert (2, ["shop/web-0", "shop/web-2"]) == (found.absent, [each.pod for each in found.named])
    state = clusters.state([clusters.pod(1, ready=False), clusters.pod(2, ready=True, meshed=False)])
    assert 0 == proxies.report([], state, now_s=NOW_S, version="1").absent


def test_of_all_that_are_absent_there_is_a_tag() -> None:
    """So that whoever reads several reports can tell who is in none of them, beyond the fifty that are named."""
    found = report(pods=211)
    assert (211, 50) == (found.absent, len(found.named))
    assert {proxies.tag(f"shop/web-{number}") for number in range(211)} == found.tags()
    assert None is msgspec.structs.replace(found, absent=212).tags()
    assert None is msgspec.structs.replace(found, absent_tags="no").tags()
    assert frozenset() == report().tags()


def test_a_report_stays_small() -> None:
    """Everything is counted, fifty are named: a ConfigMap holds 1 MiB."""
    found = report(*(status(f"p{n}", "refusing", 9.0, "y" * 999) for n in range(5000)))
    assert (5000, 50) == (found.troubled, len(found.named))
    assert len(msgspec.json.encode(found)) < 25_000


async def test_what_is_published_replaces_who_is_long_gone() -> None:
    """Another control plane's that is alive stays."""
    api = mesh_api.FakeMeshApi()
    old, young = (
        msgspec.json.encode(msgspec.structs.replace(report(), time_s=int(NOW_S) - age)).decode() for age in (601, 9)
    )
    async with api.running() as client:
        await api.put(PATH, {"metadata": {"name": proxies.NAME}, "data": {"gone": old, "other": young}})
        task = asyncio.create_task(proxies.publish(client, names.SYSTEM_NAMESPACE, "own", report, every_s=60))
        await api.until(lambda: "own" in api.objects[PATH]["data"])
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert {"own", "other"} == set(await proxies.read(client, names.SYSTEM_NAMESPACE))


async def test_who_seemed_to_be_gone_and_writes_again_stays() -> None:
    """Its clock was behind, or it was away for a while: it is taken away once."""
    api = mesh_api.FakeMeshApi()
    times = itertools.count(1)
    old = msgspec.json.encode(msgspec.structs.replace(report(), time_s=int(NOW_S) - 601)).decode()

    def current() -> proxies.Report:
        return msgspec.structs.replace(report(), synced=next(times))

    def written() -> int:
        said = api.objects[PATH]["data"].get("own")
        return msgspec.json.decode(said)["synced"] if said else 0

    async with api.running() as client:
        await api.put(PATH, {"metadata": {"name": proxies.NAME}, "data": {"slow": old}})
        task = asyncio.create_task(proxies.publish(client, names.SYSTEM_NAMESPACE, "own", current, every_s=0.01))
        await api.until(lambda: written() > 0)
        assert {"own"} == set(api.objects[PATH]["data"])
        await api.put(PATH, {"metadata": {"name": proxies.NAME}, "data": {**api.objects[PATH]["data"], "slow": old}})
        again = written() + 2
        await api.until(lambda: written() >= again)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert {"own", "slow"} == set(api.objects[PATH]["data"])


async def test_trouble_is_tried_again() -> None:
    """An API server that is away for a while costs nothing but the news."""
    api = mesh_api.FakeMeshApi()
    api.failing = 503
    async with api.running() as client:
        task = asyncio.create_task(proxies.publish(client, names.SYSTEM_NAMESPACE, "own", report, every_s=0.01))
        await asyncio.sleep(0.05)
        api.failing = 0
        await api.until(lambda: PATH in api.objects)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
