"""Delta ADS over gRPC: one stream per proxy, whose identity is its certificate's.

Here because this is the edge: bytes and time become calls of ``session``, and what it answers is written. A stream
does not outlive the certificate that it was opened with. A pod that is not known yet is waited for, not refused: its
proxy is often faster than the watch. Leaves out the socket and its credentials.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import grpc
import structlog
from envoy.service.discovery.v3 import ads_pb2_grpc

from injector import errors
from injector.discovery import caller, hub, metrics, resource, session
from ipseity import identity

OPTIONS: Final = (
    ("grpc.max_receive_message_length", 16 << 20),  # names and versions of ten thousand resources are 1 MB
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),  # proxies ping every 20 s; the default is 5 min
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_idle_ms", 60_000),  # one without a stream: no proxy of ours
    ("grpc.max_connection_age_ms", 1_800_000),  # so that proxies spread over a new replica; give or take 10 %
    ("grpc.max_connection_age_grace_ms", 10_000),
    ("grpc.max_concurrent_streams", 2),
    ("grpc.max_allowed_incoming_connections", 4_000),  # an idle one has some 50 kB, and a certificate
    ("grpc.server_max_unrequested_time_in_server", 300),  # hundreds that come at once are taken in one by one: by
    # default those that wait for 30 s are cancelled, and begin anew
    ("grpc.so_reuseport", 0),  # two control planes on one port would each know half of the proxies
)
"""For ``grpc.aio.server``."""
_STREAMS: Final = 2
"""Of one pod: a proxy has one, and the one before it may not have been seen to end yet."""
_BETWEEN_S: Final = 0.05
"""Longest between the ends of two streams while draining: few proxies need not be waited for."""
_TURNS: Final = 16
"""Proxies that are written to at a time: all that a thousand Services come to is 7 MB."""
_HEAVY_TURNS: Final = 4
"""Of what is heavy (``session.HEAVY``): all others' turns come in between."""
_TURN_S: Final = 0.5
"""Longest wait for a turn: those who have it may be slow, and a policy must not wait for them."""
_log = structlog.get_logger("discovery")


class Service(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]  # generated, without types
    """The servicer."""

    def __init__(
        self,
        known: hub.Hub,
        counted: metrics.Metrics,
        trust_domain: identity.TrustDomain,
        *,
        clock: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        """``clock`` gives seconds that only grow, ``wall_s`` seconds since the epoch."""
        self._hub = known
        self._counted = counted
        self._trust_domain = trust_domain
        self._clock = clock
        self._wall_s = wall_s
        self._closing = asyncio.Event()
        self._turns = asyncio.Semaphore(_TURNS)
        self._heavy_turns = asyncio.Semaphore(_HEAVY_TURNS)
        self._waiting: dict[hub.Proxy, asyncio.Task[None]] = {}
        """Proxies that wait for a turn with what is heavy."""
        self._streams: dict[tuple[str, str], list[hub.Proxy]] = {}

    async def drain(self, over_s: float) -> None:
        """End all streams, one after the other: a thousand proxies that come at once keep each other waiting."""
        leaving = list(self._hub.proxies)
        for each in leaving:
            each.leaving = True
            each.wake.set()
            await asyncio.sleep(min(over_s / len(leaving), _BETWEEN_S))

    def close(self) -> None:
        """End all streams; proxies go on with what they know, and come back."""
        self._closing.set()
        for each in self._hub.proxies:
            each.wake.set()

    async def DeltaAggregatedResources(self, requests: AsyncIterator[Any], context: Any) -> None:  # noqa: N802  # protobuf's spelling
        """Serve one proxy until either end has had enough."""
        try:
            who = caller.of(_certificate(context), self._trust_domain)
        except errors.Refused as error:
            self._counted.refused.labels(error.reason).inc()
            _log.warning("proxy refused", peer=context.peer(), error=str(error), hint=error.hint)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        proxy = hub.Proxy(who, self._clock())
        self._make_room(who).append(proxy)
        self._hub.proxies.add(proxy)
        reading = asyncio.create_task(self._read(proxy, requests))
        try:
            await self._write(proxy, context, reading)
        except session.BrokenProtocol as error:
            self._counted.refused.labels("protocol").inc()
            _log.warning("proxy cut off", pod=who.pod, namespace=who.namespace, error=str(error))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except grpc.aio.AbortError:
            raise
        except Exception:  # noqa: BLE001  # a defect of ours ends the stream, and is said
            self._counted.refused.labels("defect").inc()
            _log.exception("proxy not served", pod=who.pod, namespace=who.namespace)
            await context.abort(grpc.StatusCode.INTERNAL, "an error of ipseity's own")
        finally:
            self._hub.proxies.discard(proxy)
            self._forget(proxy)
            if proxy in self._waiting:
                self._waiting.pop(proxy).cancel()
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, session.BrokenProtocol):
                await reading

    async def StreamAggregatedResources(self, requests: AsyncIterator[Any], context: Any) -> None:  # noqa: N802  # protobuf's spelling
        """Refuse the state-of-the-world variant, in words."""
        del requests
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "only delta ADS is served: api_type DELTA_GRPC")

    def _make_room(self, who: caller.Caller) -> list[hub.Proxy]:
        """Give a pod's streams, oldest first, after ending those beyond the bound: the newest is the one it hears."""
        same = self._streams.setdefault((who.namespace, who.pod), [])
        for each in same[: max(0, len(same) + 1 - _STREAMS)]:
            each.replaced = True
            each.wake.set()
        return same

    def _forget(self, proxy: hub.Proxy) -> None:
        key = (proxy.who.namespace, proxy.who.pod)
        self._streams[key].remove(proxy)
        if not self._streams[key]:
            del self._streams[key]

    async def _read(self, proxy: hub.Proxy, requests: AsyncIterator[Any]) -> None:
        try:
            async for request in requests:
                nack = proxy.session.receive(request, self._clock())
                if nack is not None:
                    self._note(proxy, nack)
                proxy.wake.set()
        finally:
            proxy.wake.set()

    def _note(self, proxy: hub.Proxy, nack: session.Nack) -> None:
        """Count a refusal, and say it once for as long as it is the same."""
        kind = resource.SHORT[nack.kind]
        self._counted.nacks.labels(kind).inc()
        if nack.reason != proxy.complained:
            proxy.complained = nack.reason
            _log.error(
                "proxy refuses its configuration",
                pod=proxy.who.pod,
                namespace=proxy.who.namespace,
                type=kind,
                reason=nack.reason,
                revision=nack.version,
            )

    async def _write(self, proxy: hub.Proxy, context: Any, reading: "asyncio.Task[None]") -> None:
        while not (self._closing.is_set() or proxy.leaving):
            if reading.done():
                await reading  # raises what ended it
                return
            left_s = proxy.who.until_s - self._wall_s()
            if proxy.replaced:
                self._counted.refused.labels("replaced").inc()
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "this pod has opened newer streams")
            if left_s <= 0:
                self._counted.refused.labels("expired").inc()
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the certificate of this stream has ended")
            proxy.wake.clear()
            if self._hub.tell(proxy):
                await self._push(proxy, context)
            deadline_s = proxy.session.deadline_s
            if deadline_s is not None:
                left_s = min(left_s, max(0.01, deadline_s - self._clock()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await proxy.wake.wait()

    async def _push(self, proxy: hub.Proxy, context: Any) -> None:
        heavy, proxy.heavy = proxy.heavy, False
        async with self._turn():
            for response in proxy.session.poll(self._clock(), heavy=heavy):
                kind = resource.SHORT[response.type_url]
                await context.write(response)
                self._counted.responses.labels(kind).inc()
                self._counted.resources.labels(kind).inc(len(response.resources))
                if proxy.news:
                    self._counted.push.observe(max(0.0, self._clock() - proxy.changed_s))
        if heavy:
            proxy.relieved.set()  # or nothing could be sent yet: the answer that is missing wakes it again
        elif proxy.session.owes and proxy not in self._waiting:
            self._waiting[proxy] = asyncio.create_task(self._wait(proxy))

    async def _wait(self, proxy: hub.Proxy) -> None:
        """Give a proxy its turn with what is heavy. It goes on hearing of everything else meanwhile."""
        async with self._heavy_turns:
            proxy.relieved.clear()
            proxy.heavy = True
            proxy.wake.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TURN_S):
                    await proxy.relieved.wait()
        self._waiting.pop(proxy, None)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for a turn to write: what is under way to everybody at once is memory. Nobody waits for a slow proxy."""
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            yield
            return
        try:
            yield
        finally:
            self._turns.release()


def _certificate(context: Any) -> bytes:
    """Give the caller's leaf, PEM; empty where there is none."""
    found = context.auth_context().get("x509_pem_cert") or [b""]
    return bytes(found[0])
