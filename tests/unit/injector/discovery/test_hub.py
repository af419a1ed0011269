"""When a proxy is offered a snapshot, and when what it has is the latest already."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import prometheus_client
import pytest

from injector.discovery import caller, hub, metrics, settings
from tests.fakes import clusters

POD = clusters.pod(0)


@pytest.fixture
async def known() -> AsyncIterator[hub.Hub]:
    """Give a hub that runs."""
    counted = metrics.Metrics(prometheus_client.CollectorRegistry())
    loop = asyncio.get_running_loop()
    made = hub.Hub(settings.Settings(trust_domain=clusters.TRUST_DOMAIN), counted, clock=loop.time)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def connected(known: hub.Hub) -> hub.Proxy:
    """Connect the pod's proxy."""
    who = caller.Caller(spiffe_id=clusters.who("web"), namespace="shop", pod=POD.ref.name, until_s=0.0)
    proxy = hub.Proxy(who, 0.0)
    known.proxies.add(proxy)
    return proxy


async def test_a_snapshot_is_made_for_a_change_and_not_for_an_acknowledgement(known: hub.Hub) -> None:
    """A proxy wakes for both, and acknowledgements are many more."""
    proxy = connected(known)
    assert not known.tell(proxy)
    told = []
    for revision in (1, 2):
        proxy.wake.clear()
        known.publish(clusters.state([POD], revision=revision), ())
        async with asyncio.timeout(5):
            await proxy.wake.wait()
        for _ in range(2):
            assert known.tell(proxy)
            told.append(proxy.session._latest)
    first, again, second, last = told
    assert first is again
    assert second is last
    assert (1, 2) == tuple(each.revision for each in (first, second) if each is not None)


async def test_changes_that_never_end_leave_time_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """After work there is a rest, and a change waits for its end, or so long at most; one that comes alone does not."""
    monkeypatch.setattr(hub, "REST_S", 0.3)
    loop, worked_s = asyncio.get_running_loop(), [0.0]
    counted = metrics.Metrics(prometheus_client.CollectorRegistry())
    config = settings.Settings(trust_domain=clusters.TRUST_DOMAIN)
    known = hub.Hub(config, counted, clock=loop.time, worked_s=lambda: worked_s[0])
    proxy, took_s = connected(known), []
    task = asyncio.create_task(known.run())
    for revision in (1, 2):
        proxy.wake.clear()
        began_s = loop.time()
        known.publish(clusters.state([POD], revision=revision), ())
        async with asyncio.timeout(5):
            await proxy.wake.wait()
        took_s.append(loop.time() - began_s)
        worked_s[0] += 1000
    assert took_s[0] < 0.3 <= took_s[1] + 0.001
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_pod_that_is_not_known_is_looked_for_each_time(known: hub.Hub) -> None:
    """It may come with the next change."""
    proxy = connected(known)
    known.publish(clusters.state([], revision=1), ())
    async with asyncio.timeout(5):
        await proxy.wake.wait()
    assert not known.tell(proxy)
    proxy.wake.clear()
    known.publish(clusters.state([POD], revision=2), ())
    async with asyncio.timeout(5):
        await proxy.wake.wait()
    assert known.tell(proxy)
