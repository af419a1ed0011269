"""Follows the cluster, its policies and routes, tells proxies what follows from them, and those two how they stand.

Here because destination and policy need the same picture of one moment, and it has one owner. Nothing is told before
everything was read once: a proxy that is told half a cluster would forget the other half. Leaves out what a change
means (``cluster.index``, ``policy.book``) and who is told what (``discovery.hub``).
"""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import typing
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import grpc
import prometheus_client
from envoy.service.discovery.v3 import ads_pb2_grpc

from injector.cluster import index, model, objects, remarks
from injector.discovery import hub, metrics, service
from injector.discovery import settings as discovery_settings
from injector.identity import server as identity_server
from injector.identity import serving
from injector.kube import events
from injector.policy import book
from injector.policy import service as policies
from injector.routes import attach, meshes
from injector.routes import book as route_book
from injector.routes import service as routes
from injector.routes import status as route_status
from ipseity import identity, informer, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_GRACE_S: Final = 1.0
_COALESCE_S: Final = 0.01
_LOOK_S: Final = 0.1
_STATUS_S: Final = 1.0
"""How often policies are looked at for a status that is due."""
_READERS: Final[Mapping[str, tuple[kube.Resource, Callable[[Any], objects.Record | None]]]] = {
    "namespaces": (kube.Resource(path="/api/v1/namespaces"), objects.namespace),
    "pods": (kube.PODS, objects.pod),
    "services": (kube.SERVICES, objects.service),
    "endpointslices": (kube.Resource(path="/apis/discovery.k8s.io/v1/endpointslices"), objects.endpoint_slice),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What it is for."""

    trust_domain: identity.TrustDomain
    address: str
    """``host:port`` of discovery."""
    namespace: str
    """Ours."""


class Steering:
    """One control plane's picture of the cluster. ``start`` once, ``tasks`` for ever, ``close``."""

    def __init__(  # noqa: PLR0913  # whom it asks, whom it tells, and what time it is
        self,
        api: "client.ApiClient",
        options: Options,
        registry: prometheus_client.CollectorRegistry,
        *,
        own: serving.OwnLeaf,
        pod_gone: Callable[[str], None],
        tell: Callable[[events.Event], None],
        leads: Callable[[], bool],
        beside: Callable[[Any], None],
        boot_ns: Callable[[], int],
        clock: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        """``pod_gone`` hears the UIDs of deleted pods; ``tell`` takes Events; ``clock`` only grows.

        ``leads``: whether it is us who write statuses and tell Events; ``beside`` adds what else the port serves.
        """
        self._options = options
        self._own = own
        self._pod_gone = pod_gone
        self._leads = leads
        self._beside = beside
        self._clock = clock
        self._wall_s = wall_s
        self._metrics = metrics.Metrics(registry)
        self._index = index.Index(options.trust_domain)
        self._book = book.Book(options.trust_domain)
        self.hub = hub.Hub(discovery_settings.Settings(trust_domain=options.trust_domain), self._metrics, clock=clock)
        self._service = service.Service(self.hub, self._metrics, options.trust_domain, clock=clock, wall_s=wall_s)
        self._informers: dict[str, informer.Informer[Any]] = {
            name: informer.Informer(api, resource, trim=read, clock=boot_ns)
            for name, (resource, read) in _READERS.items()
        }
        self._policies = policies.follow(api, boot_ns)
        self._statuses = policies.Statuses(api)
        self._routes = routes.follow(api, boot_ns)
        self._meshes = routes.follow_meshes(api, boot_ns)
        self._route_book = route_book.Book()
        self._mesh_book = meshes.Book()
        self._route_statuses = routes.Statuses(api)
        self._attacher = attach.Attacher()
        self._attached = attach.NOTHING
        self._remarks = remarks.Remarks(tell)
        self._more = asyncio.Event()
        self._due = asyncio.Event()
        self._grpc: Any = None

    @property
    def synced(self) -> bool:
        """Whether everything was read once; the Gateway API need not be installed."""
        routed = all(each.synced or each.trouble == "absent" for each in self._routes.values())
        return routed and self._policies.synced and all(each.synced for each in self._informers.values())

    @property
    def state(self) -> model.ClusterState:
        """The cluster as it is known now."""
        return self._index.state()

    async def start(self) -> None:
        """Open the socket; our own leaf must be there. Proxies wait until there is something to tell."""
        self._grpc = grpc.aio.server(options=service.OPTIONS)
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self._service, self._grpc)
        self._beside(self._grpc)
        credentials = serving.credentials(self._own, mutual=True)
        identity_server.listen(self._grpc, self._options.address, credentials, "discovery")
        await self._grpc.start()

    def tasks(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Give what must run for ever."""
        following = [self._follow(each) for each in self._informers.values()]
        following += [self._follow_routes(name, each) for name, each in self._routes.items()]
        following += [self._follow_policies(), self._follow_meshes()]
        return *following, self._publish(), self._write_statuses(), self.hub.run()

    def began_to_lead(self) -> None:
        """Look at everything again: whoever led before may not have come to the latest."""
        self._due.set()
        self._more.set()

    async def drain(self, over_s: float) -> None:
        """Have proxies move to another control plane, one after the other; no new connections meanwhile.

        Connections are told to end first (GOAWAY), so that a proxy whose stream ends opens another connection.
        """
        if self._grpc is None:
            return
        stopping = asyncio.create_task(self._grpc.stop(over_s + _GRACE_S))
        await self._service.drain(over_s)
        await stopping

    async def close(self) -> None:
        """End all streams: proxies go on with what they know."""
        self._service.close()
        if self._grpc is not None:
            await self._grpc.stop(_GRACE_S)

    def refresh_metrics(self) -> None:
        """Set the gauges; called before they are read."""
        self.hub.refresh_metrics()
        self._metrics.held.set(sum(self._index.unresolved.values()))
        self._metrics.misconfigured.set(len(self._index.misconfigured))
        self._metrics.misbalanced.set(len(self._index.misbalanced))
        for name, each in (*self._informers.items(), *self._routes.items(), ("xmeshes", self._meshes)):
            self._metrics.malformed.labels(name).set(each.malformed)
        self._metrics.malformed.labels("authorizationpolicies").set(self._policies.malformed + self._book.nameless)

    async def _follow(self, source: informer.Informer[Any]) -> None:
        async with contextlib.aclosing(source.events()) as events:
            async for event in events:
                if event.change is informer.Change.GONE:
                    self._index.gone(event.value)
                    if isinstance(event.value, objects.PodRecord):
                        self._pod_gone(event.value.pod.ref.uid)
                else:
                    self._index.seen(event.value)
                self._changed()

    async def _follow_policies(self) -> None:
        async with contextlib.aclosing(self._policies.events()) as events:
            async for event in events:
                if event.change is informer.Change.GONE:
                    self._book.forget(event.value)
                else:
                    self._book.apply(event.value)
                self._changed()

    async def _follow_routes(self, plural: str, source: routes.Events) -> None:
        async with contextlib.aclosing(source.events()) as events:
            async for event in events:
                routes.take(self._route_book, plural, event)
                self._changed()

    async def _follow_meshes(self) -> None:
        """Note what they say, which changes nothing but their own status."""
        async with contextlib.aclosing(self._meshes.events()) as events:
            async for event in events:
                gone = event.change is informer.Change.GONE
                (self._mesh_book.forget if gone else self._mesh_book.apply)(event.value)
                self._due.set()

    def _changed(self) -> None:
        self._more.set()

    async def _publish(self) -> None:
        """Publish what is true, once everything was read; a burst of events makes one state."""
        while True:
            with contextlib.suppress(TimeoutError):  # a list that was empty brings no event, and counts as read
                async with asyncio.timeout(None if self.hub.ready else _LOOK_S):  # wait_for may swallow a cancellation
                    await self._more.wait()
            if self.synced and (self._more.is_set() or not self.hub.ready):
                self._more.clear()
                state, known = self._index.state(), self._route_book
                self._attached = self._attacher.update(state.services, known.routes, known.grants)
                self.hub.publish(state, self._book.policies, self._attached)
                if self._leads():
                    self._remarks.update(self._index.misbalanced)
                self._due.set()
            await asyncio.sleep(_COALESCE_S)

    async def _write_statuses(self) -> None:
        """Write what policies and routes must say of themselves: soon after a change, and when something is due."""
        again_s: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if again_s is None else max(_STATUS_S, again_s - self._clock())):
                    await self._due.wait()
            self._due.clear()
            await asyncio.sleep(_STATUS_S)
            if not self._leads():  # whoever does writes them; when it is us, all are looked at
                again_s = None
                continue
            text = dt.datetime.fromtimestamp(self._wall_s(), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            pods = list(self.state.pods.values())
            stated = (
                *route_status.plan(self._route_book.entries.values(), self._attached, now_text=text),
                *meshes.plan(self._mesh_book.items, namespace=self._options.namespace, now_text=text),
            )
            due = (
                await self._statuses.write(self._book.entries, pods, now_s=self._clock(), now_text=text),
                await self._route_statuses.write(stated, now_s=self._clock()),
            )
            again_s = min((each for each in due if each is not None), default=None)
