"""The control plane put together: identity, webhook, discovery and policy in one process, over one client.

Here because the parts share what they know of the cluster, and because one place must say in which order they come up
and go down. A part that ends ends the process: the kubelet starts a whole one, which is the state that is tested.
Leaves out what any part does.
"""

import asyncio
import contextlib
import datetime as dt
import gc
import importlib.metadata
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, Final

import prometheus_client
import structlog

from injector import config, errors, health, leading, names, replicas, steering
from injector.discovery import proxies
from injector.identity import server as identity_server
from injector.kube import events
from injector.proto import replicas_pb2_grpc
from injector.webhook import announcements, configuration, files, metrics, namespaces, options, rotation, server, tls
from ipseity import identity, kube

log = structlog.get_logger("control-plane")

_RETRY_S: Final = 1.0
COMPONENT: Final = "ipseity-control"
_GARBAGE: Final = 20_000
"""Objects made between two looks for cycles, 700 else: with two thousand proxies a look at everything is a third of a
second in which nobody is told anything, and every second change met one."""


def run(settings: config.Config) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status. Raises CannotRun, SettingError."""
    _configure_log(settings)
    return asyncio.run(_run(settings))


async def _run(settings: config.Config) -> int:
    gc.set_threshold(_GARBAGE)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await _connect(settings) as api:
        plane = ControlPlane(api, settings)
        async with contextlib.aclosing(plane.running()) as running:
            async for _ in running:
                log.info("serving", trust_domain=settings.trust_domain, pod=settings.pod_name)
                await stop.wait()
    log.info("stopped")
    return 0


async def _connect(settings: config.Config) -> Any:
    return await kube.connect(settings.kubeconfig, settings.context)


class ControlPlane:
    """Every part, and the tasks that drive them."""

    def __init__(self, api: Any, settings: config.Config) -> None:
        """Put the parts together. Raises CannotRun and SettingError for settings that cannot be used."""
        self.settings = settings
        self._api = api
        self.registry = prometheus_client.CollectorRegistry()
        self.pod = identity.PodRef(settings.pod_namespace, settings.pod_name, settings.pod_uid)
        self.trust_domain = _trust_domain(settings)
        self.writer = events.Writer(api, component=COMPONENT, instance=settings.pod_name, clock=_wall_s)
        self._ending = False
        self.leading = leading.Leading(
            api,
            self.pod.namespace,
            self.pod.name,
            self.registry,
            wall_s=_wall_s,
            began=self._began_to_lead,
        )
        self.identity = identity_server.Server(
            api,
            self._identity(),
            self.registry,
            leads=self.leading.leads,
            knows=lambda: self.following.known,
            tell=self.writer.tell,
            clock=_wall_s,
            boot_ns=time.monotonic_ns,
        )
        self.sharing = replicas.Service(self.identity.ledger, self.identity.own, self.trust_domain)
        self.steering = steering.Steering(
            api,
            steering.Options(
                trust_domain=self.trust_domain,
                address=self._address(settings.discovery_port),
                namespace=settings.pod_namespace,
            ),
            self.registry,
            own=self.identity.own,
            pod_gone=self.identity.ledger.gone,
            tell=self.writer.tell,
            leads=self.leading.leads,
            beside=lambda server: replicas_pb2_grpc.add_ReplicasServicer_to_server(self.sharing, server),
            boot_ns=time.monotonic_ns,
            clock=time.monotonic,
            wall_s=_wall_s,
        )
        self.following = replicas.Following(
            self.identity.ledger,
            self.identity.own,
            self.pod,
            lambda: replicas.control_planes(self.steering.state.pods, self.pod.namespace),
            host=names.control_plane(self.pod.namespace),
            port=settings.discovery_port,
        )
        self._injection(api)
        self.health = health.Server(self.registry, self._ready(), refresh=self._refresh)

    def _identity(self) -> identity_server.Options:
        settings = self.settings
        return identity_server.Options(
            trust_domain=self.trust_domain,
            namespace=settings.pod_namespace,
            pod=self.pod,
            cluster_domain=settings.cluster_domain,
            log=settings.issuance_log,
            leaf_life_s=settings.leaf_life_s,
            settle_s=settings.bundle_settle_s,
            address=self._address(settings.identity_port),
        )

    def _injection(self, api: Any) -> None:
        settings = self.settings
        self.credentials = tls.Credentials()
        self.namespaces = namespaces.Namespaces(api, time.monotonic_ns)
        self.counted = metrics.Metrics(self.registry)
        self.announcements = announcements.Announcements(api, self.writer, self.counted, time.monotonic)
        self.certificate = self._certificate(api)
        self.webhook = server.Server(
            self.credentials,
            options.installation(settings, importlib.metadata.version("ipseity"), settings.pod_namespace),
            self.namespaces,
            self.announcements,
            self.counted,
            is_ready=lambda: self.namespaces.synced,
        )

    def _certificate(self, api: Any) -> rotation.Rotation | files.Files:
        settings = self.settings
        given = settings.webhook_certificate, settings.webhook_key
        if given[0] and given[1]:
            brought = files.Files(self.credentials, given[0], given[1])
            brought.load()
            return brought
        if any(given):
            raise errors.CannotRun(
                "only one of --webhook-certificate and --webhook-key is given", hint="give both, or none"
            )
        service = names.control_plane(settings.pod_namespace)
        return rotation.Rotation(
            api,
            self.credentials,
            configuration.Endpoint(namespace=settings.pod_namespace, port=settings.webhook_port),
            hosts=(service, f"{service}.{settings.cluster_domain}"),
            leads=self.leading.leads,
            clock=lambda: dt.datetime.fromtimestamp(_wall_s(), dt.UTC),
            namespace=settings.pod_namespace,
        )

    async def running(self) -> AsyncGenerator[None, None]:
        """Come up, yield once while everything runs, go down. Raises whatever ended a part."""
        settings = self.settings
        await self.health.start(settings.listen, settings.health_port)
        try:
            await self.identity.start()
            await self.steering.start()
            async with _driven(*self._tasks()):
                await self.webhook.start(settings.listen, settings.webhook_port)
                yield
                await self._hand_over()
            await self._withdraw()
        finally:
            await self.steering.close()
            await self.identity.close()
            await self.health.close()

    async def _hand_over(self) -> None:
        """Go without anybody having to wait: another one decides from now on, and serves whoever comes to it."""
        self._ending = True
        await self.leading.election.resign()
        # Callers learn from readiness that we end; until they have, everything is answered.
        await self.webhook.close(linger_s=self.settings.linger_s)
        await self.identity.finish()
        await self.sharing.finish()
        await self.identity.leave()
        await self.steering.drain(self.settings.drain_s)

    async def _withdraw(self) -> None:
        """Say nothing more of proxies, so that they are not counted twice. What cannot be said ends by its age."""
        with contextlib.suppress(kube.KubernetesError):
            await proxies.withdraw(self._api, self.pod.namespace, self.pod.name)

    def _began_to_lead(self) -> None:
        self.identity.publisher.wake()
        self.steering.began_to_lead()

    def _tasks(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return (
            self.leading.election.run(),
            self.following.run(),
            self.writer.run(),
            self.announcements.run(),
            self.namespaces.run(),
            self.certificate.run(),
            *self.identity.tasks(),
            *self.steering.tasks(),
            proxies.publish(self._api, self.pod.namespace, self.pod.name, self._report),
        )

    def _report(self) -> proxies.Report:
        version = importlib.metadata.version("ipseity")
        return proxies.report(self.steering.hub.statuses(), self.steering.state, now_s=_wall_s(), version=version)

    def _ready(self) -> dict[str, Callable[[], bool]]:
        return {
            "its end": lambda: not self._ending,
            "an issuer": lambda: self.identity.authority.issuer is not None,
            "the trust bundle in every namespace": lambda: self.identity.publisher.published,
            "namespaces": lambda: self.namespaces.synced,
            "the webhook's certificate": lambda: self.credentials.pair is not None,
            "the cluster": lambda: self.steering.synced,
        }

    def _refresh(self) -> None:
        self.leading.refresh_metrics()
        self.identity.refresh_metrics()
        self.steering.refresh_metrics()
        expires = self.certificate.expires
        self.counted.certificate_expiry.set(expires.timestamp() if expires else 0)

    def _address(self, port: int) -> str:
        host = self.settings.listen
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.asynccontextmanager
async def _driven(*tasks: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run tasks meanwhile. One that ends, however, ends the whole: its error comes out here."""
    try:
        async with asyncio.TaskGroup() as group:
            started = [group.create_task(_for_ever(task)) for task in tasks]
            yield
            for task in started:
                task.cancel()
    except BaseExceptionGroup as several:
        # A person is told what is wrong and what to do about it, not in how many tasks it was noticed.
        known = several.subgroup(errors.MeshError)
        if known is None:
            raise
        raise _first(known) from several


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    found = several.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


async def _for_ever(task: Coroutine[Any, Any, None]) -> None:
    await task
    raise errors.CannotRun(f"{task!r} ended", hint="this is a defect in ipseity")


def _trust_domain(settings: config.Config) -> identity.TrustDomain:
    try:
        return identity.TrustDomain(settings.trust_domain)
    except identity.InvalidIdentity as error:
        raise errors.CannotRun(str(error), hint="see --trust-domain") from error


def _wall_s() -> float:
    return time.time()  # noqa: TID251  # the one place of the control plane that reads it


def _configure_log(settings: config.Config) -> None:
    """Write fields to standard error, one line an event."""
    if settings.log_format == "json":
        chain: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        chain = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True), *chain],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
