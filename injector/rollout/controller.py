"""The controller of rollouts put together: follows Canaries, and has a keeper look after each. ``ipseity rollout run``.

Here because one place must say in which order things come up and go down. It is a process of its own: it needs rights
that the control plane has not (to change routes), and must not take traffic down with it. A Canary that trips it is
counted, logged and tried again, and holds up no other. Leaves out what becomes of one Canary (``keeper``).
"""

import asyncio
import contextlib
import signal
import sys
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiohttp
import prometheus_client
import structlog

from injector import errors, health
from injector.kube import election, events, leases
from injector.rollout import config, keeper, metrics, model, prometheus, proxies, reading
from injector.seeing import scrape
from ipseity import informer, kube

log = structlog.get_logger("rollout")

COMPONENT: Final = "ipseity-rollout"
_AT_ONCE: Final = 16
"""Looks that are under way together: arbitrary, but bounded towards the API server."""
_READ_AT_ONCE: Final = 8
"""Sidecars, for all Canaries together. Arbitrary; pods that lie may still cost 30 MB each while they are read, and
16 MB each until the next look: docs/limitations.md."""
_RETRY_S: Final = 5.0
_DEFECT_S: Final = 30.0
_METADATA: Final = ("namespace", "name", "uid", "generation", "creationTimestamp", "annotations")


def run(settings: config.Config) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status. Raises CannotRun."""
    _configure_log(settings)
    return asyncio.run(_run(settings))


async def _run(settings: config.Config) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    address = _address(settings.prometheus)
    async with await kube.connect(settings.kubeconfig, settings.context) as api, aiohttp.ClientSession() as session:
        controller = Controller(api, session, settings, address)
        await controller.health.start(settings.listen, settings.health_port)
        try:
            async with _until(stop, controller.run()):
                log.info("serving", pod=settings.pod_name, prometheus=settings.prometheus)
                await stop.wait()
            await controller.election.resign()
        finally:
            await controller.health.close()
    log.info("stopped")
    return 0


@contextlib.asynccontextmanager
async def _until(stop: asyncio.Event, work: Any) -> AsyncIterator[None]:
    """Run work meanwhile. If it ends, its error comes out here; it is cancelled otherwise."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda _: stop.set())
    try:
        yield
        if task.done():
            await task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


class Controller:
    """Every part, and the tasks that drive them."""

    def __init__(self, api: Any, session: aiohttp.ClientSession, settings: config.Config, address: str) -> None:
        self._api = api
        self.registry = prometheus_client.CollectorRegistry()
        self.counted = metrics.Metrics(self.registry)
        self.writer = events.Writer(api, component=COMPONENT, instance=settings.pod_name, clock=_wall_s)
        self.election = election.Election(
            api,
            settings.pod_namespace,
            COMPONENT,
            leases.Candidate(election.name_of(settings.pod_name), leases.Timing()),
            boot_s=lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
            wall_s=_wall_s,
            began=self._began,
        )
        self.canaries: informer.Informer[dict[str, Any]] = informer.Informer(
            api, kube.Resource(path=model.PATH), trim=trim, clock=time.monotonic_ns
        )
        sources: dict[model.Provider, keeper.Source] = {
            model.Provider.PROXIES: proxies.Proxies(scrape.ByAddress(session, at_once=_READ_AT_ONCE))
        }
        if address:
            sources[model.Provider.PROMETHEUS] = prometheus.Prometheus(session, address)
        self._known: dict[str, reading.Canary] = {}
        self._wake: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._world = keeper.World(
            api=api,
            sources=sources,
            clock=time.monotonic,
            wall_s=_wall_s,
            tell=self.writer.tell,
            counted=self.counted,
            leads=lambda: self.election.leads,
            others=self._known.values,
        )
        self.health = health.Server(self.registry, self._ready(), refresh=self._refresh)

    def _ready(self) -> dict[str, Callable[[], bool]]:
        return {"Canaries": lambda: self.canaries.synced}

    def _refresh(self) -> None:
        self.counted.leads.set(int(self.election.leads))

    def _began(self) -> None:
        for each in self._wake.values():
            each.set()

    async def run(self) -> None:
        """Run for ever. Raises whatever ended a part."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.writer.run())
                group.create_task(self.election.run())
                await self._follow(group)
        except BaseExceptionGroup as several:
            known = [each for each in several.exceptions if isinstance(each, errors.MeshError)]
            if not known:
                raise
            raise known[0] from several

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        async with contextlib.aclosing(self.canaries.events()) as changes:
            async for event in changes:
                item = reading.canary(event.value)
                if event.change is informer.Change.GONE:
                    self._forget(event.uid, item)
                else:
                    self._take(event.uid, item, group)
                for uid, each in self._known.items():  # whom it was in the way of, or is now
                    if each.namespace == item.namespace:
                        self._wake[uid].set()

    def _take(self, uid: str, item: reading.Canary, group: asyncio.TaskGroup) -> None:
        self._known[uid] = item
        if uid not in self._tasks:
            self._wake[uid] = asyncio.Event()
            self._tasks[uid] = group.create_task(self._keep(uid, keeper.Keeper(self._world, item.namespace, item.name)))

    def _forget(self, uid: str, item: reading.Canary) -> None:
        for one in (self._known, self._wake):
            one.pop(uid, None)
        task = self._tasks.pop(uid, None)
        if task is not None:
            task.cancel()
        if not any((each.namespace, each.name) == (item.namespace, item.name) for each in self._known.values()):
            self.counted.forget(item.namespace, item.name)

    async def _keep(self, uid: str, one: keeper.Keeper) -> None:
        """Look after one Canary for ever."""
        wake, trouble = self._wake[uid], ""
        while True:
            wake.clear()
            try:
                async with self._turn:
                    wait_s = await one.look()
                trouble = ""
            except kube.KubernetesError as error:
                self.counted.errors.labels("kubernetes").inc()
                if str(error) != trouble:
                    where = {"namespace": one.namespace, "canary": one.name}
                    log.warning("a look failed, and is tried again", **where, error=str(error), hint=error.hint)
                trouble, wait_s = str(error), _RETRY_S
            except (
                Exception
            ):  # one Canary that trips us must not take the others with it; it is counted and logged whole
                self.counted.errors.labels("defect").inc()
                log.exception("a defect; the look is tried again", namespace=one.namespace, canary=one.name)
                wait_s = _DEFECT_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await wake.wait()


def trim(item: Any) -> dict[str, Any]:
    """Keep what a person writes: our own writes wake nobody."""
    metadata = {key: item["metadata"][key] for key in _METADATA if key in item["metadata"]}
    return {"metadata": metadata, "spec": item.get("spec")}


def _address(text: str) -> str:
    """Read the address of Prometheus. Raises CannotRun."""
    if text and urllib.parse.urlsplit(text).scheme not in {"http", "https"}:
        raise errors.CannotRun(f"--prometheus: {text!r} is no URL", hint="write http://HOST:PORT")
    return text


def _wall_s() -> float:
    return time.time()  # noqa: TID251  # the one place of this program that reads it


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
