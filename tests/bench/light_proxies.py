"""A crowd of proxies that costs little: delta ADS by gRPC and mTLS, one stream each, and no Envoy behind it.

    async with light_proxies.connected(port, bundle, papers) as crowd:
        late_s = await crowd.heard(resource.ROUTE, "outbound|80|shop/web", change)

Each asks for what Envoy asks for and acknowledges what it is told. All are told the same names, so what they ask for is
worked out once, and of a long response only its end is read. Leaves out applying anything: that is Envoy's own time.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Any, Final

import grpc
from envoy.config.cluster.v3 import cluster_pb2
from envoy.service.discovery.v3 import discovery_pb2

from injector.discovery import resource
from tests.fakes import authority

PATIENCE_S = 600.0
_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_OPTIONS: Final = (
    ("grpc.ssl_target_name_override", authority.CONTROL_PLANE),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
)
_AT_ONCE = 64
"""Of the proxies that are not told everything yet: they are one process here, and thousands elsewhere."""
_LONG = 1 << 16
"""Bytes of a response that has everything, and whose names are those that the first one to get it has read."""
_TYPE = b"type.googleapis.com/envoy.config."
_BELOW: Final = {resource.CLUSTER: resource.ENDPOINT, resource.LISTENER: resource.ROUTE}


class Crowd:
    """What the proxies know and hear. Use ``connected``."""

    def __init__(self, port: int, bundle: str) -> None:
        self._address = f"127.0.0.1:{port}"
        self._bundle = bundle.encode()
        self._asked: dict[str, bytes] = {}
        """By type: the request for all that the first response refers to."""
        self._kind, self._name = "", b""
        self._heard_s: list[float] = []
        self._more = asyncio.Event()
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self.size = self.ready = self.bytes = 0
        """Proxies; those that were told everything; what all were told."""

    async def heard(self, kind: str, name: str, change: Callable[[], Awaitable[None]]) -> list[float]:
        """Change something; gives after how many seconds each proxy heard of a resource whose name begins so."""
        began_s: list[float] = []

        async def begin() -> None:
            began_s.append(time.monotonic())
            await change()

        return [each - began_s[0] for each in await self.heard_at(kind, name, listening=begin)]

    async def heard_at(self, kind: str, name: str, *, listening: Callable[[], Awaitable[None]]) -> list[float]:
        """Listen; gives when each proxy heard, on the monotonic clock."""
        self._kind, self._name = kind, name.encode()
        self._heard_s.clear()
        await listening()
        await self.until(lambda: len(self._heard_s) >= self.size)
        return list(self._heard_s)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that proxies tell."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self._more.clear()
                await self._more.wait()

    async def live(self, papers: Sequence[str]) -> None:
        """Be one proxy for ever. ``papers``: key and chain, PEM."""
        key, chain = (text.encode() for text in papers)
        credentials = grpc.ssl_channel_credentials(self._bundle, key, chain)
        async with self._gate, contextlib.AsyncExitStack() as stack:
            channel = grpc.aio.secure_channel(self._address, credentials, options=_OPTIONS)
            await stack.enter_async_context(channel)
            call: Any = channel.stream_stream(_METHOD)()
            for kind in _BELOW:
                await call.write(_request(type_url=kind))
            told: set[str] = set()
            while told != set(resource.TYPES):
                told.add(await self._take(call, told))
            self.ready += 1
            self._more.set()
            open_still = stack.pop_all()
        async with open_still:
            while await self._take(call, told):
                pass
        raise RuntimeError("the control plane has ended the stream of a proxy")

    async def _take(self, call: Any, told_before: Collection[str]) -> str:
        """Take one response; gives its type, empty at the end. ``told_before``: types that it was told of."""
        try:
            told = await call.read()
        except grpc.aio.AioRpcError as error:
            ended = f"the stream of a proxy has ended: {error.code().name}, {error.details()}"
            raise RuntimeError(f"{ended}; {self.ready} of {self.size} had been told everything") from error
        if told is grpc.aio.EOF:
            return ""
        now_s = time.monotonic()
        self.bytes += len(told)
        kind, nonce = _end_of(told)
        await call.write(_request(type_url=kind, response_nonce=nonce))
        if kind in _BELOW and (following := self._following(kind, told, first=kind not in told_before)):
            await call.write(following)
        if kind == self._kind and self._name in told:
            self._heard_s.append(now_s)
            self._more.set()
        return kind

    def _following(self, kind: str, told: bytes, *, first: bool) -> bytes:
        """Give the request for what a response refers to; empty: nothing that is new.

        What is long and not the first are pods' own addresses, which refer to what was asked for already.
        """
        if len(told) > _LONG and (not first or kind in self._asked):
            return self._asked[kind] if first else b""
        response = discovery_pb2.DeltaDiscoveryResponse.FromString(told)
        ours = [each for each in response.resources if each.name.startswith("outbound|")]
        if kind == resource.CLUSTER:
            names = {
                cluster_pb2.Cluster.FromString(each.resource.value).eds_cluster_config.service_name for each in ours
            }
        else:
            names = {each.name.rpartition("|")[0] for each in ours}
        asked = _request(type_url=_BELOW[kind], resource_names_subscribe=sorted(names - {""})) if ours else b""
        if len(told) > _LONG:
            self._asked[kind] = asked
        return asked


@contextlib.asynccontextmanager
async def connected(port: int, bundle: str, papers: Sequence[Sequence[str]]) -> AsyncIterator[Crowd]:
    """Have a proxy for each of the papers; all are told everything. One that ends is an error."""
    crowd = Crowd(port, bundle)
    crowd.size = len(papers)
    async with asyncio.TaskGroup() as group:
        lives = [group.create_task(crowd.live(each)) for each in papers]
        await crowd.until(lambda: crowd.ready >= crowd.size)
        yield crowd
        for each in lives:
            each.cancel()


def _request(**said: Any) -> bytes:
    return bytes(discovery_pb2.DeltaDiscoveryRequest(**said).SerializeToString())


def _end_of(told: bytes) -> tuple[str, str]:
    """Read type and nonce, which follow the resources: fields 4 and 5, each a tag, a length and a short text."""
    at = told.rfind(_TYPE)
    end = at + told[at - 1]
    return told[at:end].decode(), told[end + 2 : end + 2 + told[end + 1]].decode()
