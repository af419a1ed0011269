"""Delta ADS over real gRPC with real certificates, on the loopback. Leaves out Envoy (``tests/functional``)."""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable

import grpc
import prometheus_client
import pytest
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

from injector.cluster import model
from injector.discovery import hub, metrics, resource, service, session, settings
from tests.fakes import authority, xds_client
from tests.fakes import clusters as given

AUTHORITY = authority.make()
WEB, CLIENT = given.pod(1), given.pod(2, "client")
PATIENCE_S = 10.0


class Plane:
    """A server, and the clock that it reads for the ends of certificates."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        counted = metrics.Metrics(self.registry)
        self.ahead_s = 0.0
        self.hub = hub.Hub(settings.Settings(trust_domain=given.TRUST_DOMAIN), counted, clock=time.monotonic)
        self.service = service.Service(
            self.hub,
            counted,
            given.TRUST_DOMAIN,
            clock=time.monotonic,
            wall_s=lambda: time.clock_gettime(time.CLOCK_REALTIME) + self.ahead_s,
        )
        self.address = ""
        self.revision = 0

    def publish(self, pods: list[model.Pod], *services: model.Service) -> None:
        """Let this be the cluster."""
        self.revision += 1
        self.hub.publish(given.state(pods, services, revision=self.revision), ())

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that happens soon."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110  # what is waited for has no event of its own
                await asyncio.sleep(0)

    def count(self, name: str, **labels: str) -> float:
        """Read a counter."""
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    """Serve."""
    made = Plane()
    key, chain = AUTHORITY.identity(authority.CONTROL_PLANE_ID, dns=authority.CONTROL_PLANE)
    server = grpc.aio.server(options=service.OPTIONS)
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(made.service, server)
    mutual = grpc.ssl_server_credentials([(key, chain)], AUTHORITY.bundle, require_client_auth=True)
    made.address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', mutual)}"
    await server.start()
    running = asyncio.create_task(made.hub.run())
    yield made
    made.service.close()
    running.cancel()
    await server.stop(None)


@contextlib.asynccontextmanager
async def stream(plane: Plane, pod: model.Pod, *, life_s: float = 3600) -> AsyncIterator[grpc.aio.StreamStreamCall]:
    """Open a stream as a pod's proxy does."""
    dns = f"{pod.ref.name}.{pod.ref.namespace}.pod.{given.TRUST_DOMAIN}"
    key, chain = AUTHORITY.identity(str(given.who(pod.account.name)), dns=dns, life_s=life_s)
    credentials = grpc.ssl_channel_credentials(AUTHORITY.bundle, key, chain)
    name = (("grpc.ssl_target_name_override", authority.CONTROL_PLANE),)
    async with grpc.aio.secure_channel(plane.address, credentials, options=name) as channel:
        yield ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).DeltaAggregatedResources()


async def follow(call: grpc.aio.StreamStreamCall, client: xds_client.Client) -> None:
    """Be a proxy until the stream ends."""
    for request in client.hello():
        await call.write(request)
    while (response := await call.read()) is not grpc.aio.EOF:
        for request in client.take(response):
            await call.write(request)


@pytest.mark.parametrize("heavy", [0, session.HEAVY])
async def test_a_proxy_is_told_and_told_again_when_something_changes(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, heavy: int
) -> None:
    """Over mTLS, as the pod that its certificate names. What is heavy comes too, in its turn."""
    monkeypatch.setattr(session, "HEAVY", heavy)
    plane.publish([WEB, CLIENT], given.service("web", [WEB]))
    client = xds_client.Client()
    async with stream(plane, CLIENT) as call:
        following = asyncio.create_task(follow(call, client))
        await plane.until(lambda: [each.state for each in plane.hub.statuses()] == ["synced"])
        assert "outbound|80|shop/web" in client.names(resource.CLUSTER)
        plane.publish([WEB, CLIENT], given.service("web", [WEB]), given.service("new", [WEB], address="10.96.0.2"))
        await plane.until(lambda: "outbound|80|shop/new|10.96.0.2" in client.names(resource.LISTENER))
        await plane.until(lambda: plane.hub.statuses()[0].state == "synced")
        assert [("shop", "client-2", 0.0, "")] == [
            (each.namespace, each.pod, each.behind_s, each.refused) for each in plane.hub.statuses()
        ]
        plane.hub.refresh_metrics()
        assert 1 == plane.count("ipseity_discovery_proxies", state="synced")
        assert 0 < plane.count("ipseity_discovery_push_seconds_count")
        following.cancel()
    await plane.until(lambda: not plane.hub.proxies)


async def test_a_control_plane_that_ends_sends_its_proxies_away_one_by_one(plane: Plane) -> None:
    """Each stream ends well, and what changes meanwhile is told to those that are still here."""
    plane.publish([WEB, CLIENT], given.service("web", [WEB]))
    async with stream(plane, CLIENT) as one, stream(plane, WEB) as other:
        following = [asyncio.create_task(follow(each, xds_client.Client())) for each in (one, other)]
        await plane.until(lambda: [each.state for each in plane.hub.statuses()] == ["synced", "synced"])
        await asyncio.wait_for(plane.service.drain(0.01), PATIENCE_S)
        await asyncio.wait_for(asyncio.gather(*following), PATIENCE_S)
        assert [grpc.StatusCode.OK] * 2 == [await each.code() for each in (one, other)]
    await plane.until(lambda: not plane.hub.proxies)


async def test_a_pod_that_is_not_known_yet_is_waited_for(plane: Plane) -> None:
    """The proxy is often faster than the watch. A pod of that name with another account is not it."""
    plane.publish([WEB])
    client = xds_client.Client()
    async with stream(plane, CLIENT) as call:
        following = asyncio.create_task(follow(call, client))
        await plane.until(lambda: [each.state for each in plane.hub.statuses()] == ["unknown"])
        plane.publish([WEB, CLIENT])
        await plane.until(lambda: "inbound" in client.names(resource.LISTENER))
        following.cancel()


async def test_a_refusal_is_counted_and_shows(plane: Plane) -> None:
    """With the proxy's own words; what it accepted before stays."""
    plane.publish([WEB, CLIENT])
    client = xds_client.Client(refuses="inbound")
    async with stream(plane, CLIENT) as call:
        following = asyncio.create_task(follow(call, client))
        await plane.until(lambda: [each.state for each in plane.hub.statuses()] == ["refusing"])
        (status,) = plane.hub.statuses()
        assert "inbound is not accepted" in status.refused
        kinds = {kind: plane.count("ipseity_discovery_nacks_total", type=kind) for kind in ("cds", "lds")}
        assert 1 == sum(kinds.values())
        following.cancel()


async def test_a_certificate_that_names_no_pod_is_refused(plane: Plane) -> None:
    """And counted."""
    key, chain = AUTHORITY.identity(str(given.who("web")))
    credentials = grpc.ssl_channel_credentials(AUTHORITY.bundle, key, chain)
    name = (("grpc.ssl_target_name_override", authority.CONTROL_PLANE),)
    async with grpc.aio.secure_channel(plane.address, credentials, options=name) as channel:
        call = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).DeltaAggregatedResources()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
    assert grpc.StatusCode.PERMISSION_DENIED is refused.value.code()
    assert 1 == plane.count("ipseity_discovery_refused_total", reason="no_pod")


async def test_a_stream_ends_with_its_certificate(plane: Plane) -> None:
    """The proxy has renewed long before, and comes back with the new one."""
    plane.publish([WEB, CLIENT])
    plane.ahead_s = 3598.0
    async with stream(plane, CLIENT) as call:
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await follow(call, xds_client.Client())
    assert grpc.StatusCode.UNAUTHENTICATED is ended.value.code()
    assert 1 == plane.count("ipseity_discovery_refused_total", reason="expired")


async def test_who_breaks_the_protocol_is_cut_off(plane: Plane) -> None:
    """Only that one."""
    plane.publish([WEB, CLIENT])
    async with stream(plane, CLIENT) as call:
        await call.write(discovery_pb2.DeltaDiscoveryRequest(type_url="nonsense"))
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await call.read()
    assert grpc.StatusCode.INVALID_ARGUMENT is ended.value.code()
    await plane.until(lambda: not plane.hub.proxies)


def synced(plane: Plane, count: int) -> bool:
    return ["synced"] * count == [each.state for each in plane.hub.statuses()]


async def test_a_pod_has_two_streams_and_a_third_ends_its_oldest(plane: Plane) -> None:
    """Whoever has one certificate cannot have snapshots made without end; other pods do not notice."""
    plane.publish([WEB, CLIENT])
    async with contextlib.AsyncExitStack() as open_:
        running = []
        for pod, streams in ((WEB, 1), (CLIENT, 2), (CLIENT, 3), (CLIENT, 3)):
            call = await open_.enter_async_context(stream(plane, pod))
            running.append(asyncio.create_task(follow(call, xds_client.Client())))
            await plane.until(functools.partial(synced, plane, streams))
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await asyncio.wait_for(running[1], PATIENCE_S)
        assert grpc.StatusCode.RESOURCE_EXHAUSTED is ended.value.code()
        assert 1 == plane.count("ipseity_discovery_refused_total", reason="replaced")
        assert [False, True, False, False] == [task.done() for task in running]
        for task in running:
            task.cancel()


async def test_all_streams_end_when_the_control_plane_does(plane: Plane) -> None:
    """At once and in order: proxies go on with what they know."""
    plane.publish([WEB, CLIENT])
    async with stream(plane, CLIENT) as call:
        following = asyncio.create_task(follow(call, xds_client.Client()))
        await plane.until(lambda: [each.state for each in plane.hub.statuses()] == ["synced"])
        plane.service.close()
        async with asyncio.timeout(PATIENCE_S):
            await following


async def test_a_burst_of_changes_is_told_as_one(plane: Plane) -> None:
    """A roll-out is hundreds of changes; what is shared is made once for all of them."""
    for number in range(97):
        plane.publish([WEB, CLIENT], given.service("web", [WEB], target=1000 + number))
    await plane.until(lambda: plane.hub.ready)
    assert 1 == plane.count("ipseity_discovery_build_seconds_count")
