"""The agent put together: one event loop that reads, steps, writes a checkpoint and serves.

A tick: cgroup events, an edge for whatever is open, edges, a sweep of open sockets (when due), what is open now, one
``pipeline.step``; then what it told goes to totals, API and flow log, and idle edges are forgotten. Nothing here waits
for a disk, an API server or a reader: each of these drops and counts. The one place that knows every part.
"""

import asyncio
import collections
import contextlib
import gc
import importlib.metadata
import os
import pathlib
import random
import signal
import statistics
import sys
from collections.abc import Collection, Mapping
from typing import Final

import structlog

from agent import (
    answers,
    apiaddress,
    attach,
    cgroups,
    clock,
    config,
    continuity,
    crowding,
    drops,
    edges,
    errors,
    feed,
    health,
    inbox,
    kernel,
    metrics,
    model,
    outlets,
    ownership,
    pipeline,
    reader,
    watching,
    wire,
)
from agent import api as api_server
from ipseity import identity, informer

_CHECKPOINT_NS: Final = 5_000_000_000
"""How much naming may be done again after a kill; totals are exact whenever it was written."""
_EXPIRE_NS: Final = 10_000_000_000
_PINS_NS: Final = 60_000_000_000
"""Whoever removes pins by hand and restarts the agent within a minute has new programs: nothing is counted twice."""
_SHARE: Final = 0.01
"""Of one processor: how much drains may take before they come less often."""
_JITTER: Final = 0.1
_GARBAGE: Final = 20_000
"""Objects made between two looks for cycles, 700 else: 150,000 pods have none, and looking is a fifth of the time that
it takes to know them."""

log = structlog.get_logger("agent")


class Agent:
    """Everything between start and stop."""

    def __init__(self, settings: config.Config) -> None:
        """Open the kernel and the checkpoint. Raises errors.AgentError."""
        self.config = settings
        self.outlets = outlets.Outlets(settings)
        self.drops = drops.Drops()
        self.inbox = inbox.Inbox(self.drops)
        root = settings.cgroup_root or cgroups.find_root()
        self.kernel = _open_kernel(settings, root)
        self.reader = reader.Reader(
            self.kernel,
            root,
            edges.Prefixes(settings.cluster_prefixes, settings.external_prefixes),
            self.drops,
            sweep_s=(settings.min_interval_s, settings.sweep_interval_s),
        )
        self.pipeline = pipeline.Pipeline(
            ownership.Ownership(history_s=settings.history_s),
            max_edges=settings.max_edges,
            all_pods=settings.remote_evidence == "ip",
            trust_domain=identity.TrustDomain(settings.trust_domain),
        )
        self.metrics = metrics.FlowMetrics(
            max_series=settings.max_series,
            grace_s=settings.series_grace_s,
            pod_labels=settings.pod_labels,
            bounds_us=wire.RTT_BOUNDS_US,
        )
        self.continuity = continuity.Continuity(settings.state, self.drops)
        self.feed = feed.Feed(max_flows=settings.max_flows, node_name=settings.node())
        self.drain = health.Histogram()
        self._last_tick_ns = 0
        self._checkpoint_due_ns = 0
        self._expire_due_ns = 0
        self._pins_due_ns = 0
        self._crowded: frozenset[int] = frozenset()
        self._spent_s: collections.deque[float] = collections.deque(maxlen=9)
        self._stop = asyncio.Event()
        self._told_ns: Mapping[str, int] = self.continuity.resume(self.metrics, self.pipeline)
        owners = self.pipeline.owners
        known: dict[str, ownership.Object] = {
            **owners.alive(model.Pod),
            **owners.alive(model.Service),
            **owners.alive(model.Node),
        }
        self.watch = watching.Watch(
            settings,
            self.drops,
            self.kernel,
            self.reader,
            known=known,
            uids=owners.lives.in_pods(),
            told_boot_ns=self._told_ns,
        )

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit status."""
        gc.set_threshold(_GARBAGE)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        server = api_server.Server(apiaddress.parse(self.config.api), self._answers(), self.feed)
        try:
            await server.start()
        except BaseException:
            self.kernel.close()
            raise
        try:
            self.watch.start()
        except BaseException:
            await server.close()
            self.kernel.close()
            raise
        log.info("started", node=self.config.node(), adopted=self.kernel.adopted, missing=self.kernel.missing)
        try:
            while not self._stop.is_set():
                spent_s = await self._guarded_tick()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s(spent_s)):
                        await self._stop.wait()
        finally:
            ended = await asyncio.to_thread(self.watch.close)
            await self._guarded_tick()
            self.continuity.save(self.metrics, self.pipeline, clock.boot_ns(), self._told_ns)
            await server.close()
            self.outlets.measure(clock.now(), self.metrics, self._health, last=True)
            await asyncio.to_thread(self.outlets.close)
            if ended:  # else the descriptors end with the process: a number must not be another file's for that thread
                self.kernel.close()
            log.info("stopped", watch_ended=ended)
        return 0

    async def _guarded_tick(self) -> float:
        """Run one tick; returns the processor seconds it took.

        An error in it is counted and said, and the next one goes on from the kernel's counters: nothing was committed.
        What it had taken besides comes with the next one once more.
        """
        before_s = clock.cpu_s()
        try:
            await self._tick()
        except Exception:  # an always-on process must outlive whatever one reading holds
            self.drops.count("tick_failed")
            self.inbox.failed()
            self.reader.scan_again()
            log.exception("tick failed")
        return clock.cpu_s() - before_s

    async def _tick(self) -> None:
        began_s = clock.cpu_s()
        # Before what the API told is taken: then all of the lists is in it, and they were read before this moment.
        heard, silent_since_ns, told_ns = self.watch.synced, self.watch.silent_since_ns, self.watch.told_ns
        now = clock.now()
        lives = self.pipeline.owners.lives
        self._hear(lives.alive(), now.boot_ns)
        self.reader.make_edges(self.pipeline.table)
        keys, values = self.kernel.edges()
        self._crowd(crowding.owners(keys, self.config.max_edges))
        self.inbox.fresh.connections.extend(self.reader.ended())
        still_open, older = await self.reader.open_connections(lives.by_id, now.boot_ns)
        taken = self.inbox.all()
        told = self.pipeline.step(
            pipeline.Inputs(
                boot_ns=now.boot_ns,
                wall_of=now.wall_of,
                cgroup_events=taken.cgroup_events,
                object_events=taken.object_events,
                keys=keys,
                values=values,
                gone=self.kernel.gone,
                still_open=still_open,
                older=older,
                connections=taken.connections,
                heard=heard,
                silent_since_boot_ns=silent_since_ns,
            )
        )
        self.inbox.done()
        self._told_ns = told_ns
        self._tell(told, now.boot_ns)
        self.outlets.measure(now, self.metrics, self._health)
        self._last_tick_ns = now.boot_ns
        self._look_after_pins(now.boot_ns)
        spent_s = clock.cpu_s() - began_s
        self.drain.observe(spent_s)
        log.info(
            "drained",
            edges=len(keys),
            flows=len(told.edges),
            connections=len(told.connections),
            held_back=told.held_back,
            events=len(taken.object_events),
            cgroups=len(taken.cgroup_events),
            cpu_ms=round(spent_s * 1e3, 2),
        )

    def _hear(self, alive: Collection[model.CgroupId], boot_ns: int) -> None:
        """Take what came since the last tick, and what the kernel has not told of."""
        told = self.watch.cgroups()
        self.inbox.fresh.cgroup_events.extend(told)
        self.inbox.fresh.object_events.extend(self.watch.objects())
        for event in self.watch.accounts():
            gone = event.change is informer.Change.GONE
            (self.pipeline.tags.lose if gone else self.pipeline.tags.learn)(event.value)
        missed = self.reader.cgroups_missed(told, alive, boot_ns)
        self.inbox.fresh.cgroup_events.extend(missed or ())
        self.watch.tick(missed)

    def _crowd(self, crowded: frozenset[int]) -> None:
        if crowded == self._crowded:
            return
        self._crowded = crowded
        self.kernel.crowd(crowded)
        if crowded:
            hint = "what they reach anew is counted together, until they have less than a quarter of the table"
            self.drops.say("crowded", "cgroups fill the table of edges", cgroups=sorted(crowded), hint=hint)
        else:
            self.drops.over("crowded")

    def _tell(self, told: pipeline.Outputs, boot_ns: int) -> None:
        for flow in told.edges:
            self.metrics.add(flow, boot_ns)
        last_told = self.kernel.let_go()
        if boot_ns >= self._expire_due_ns:
            self._expire_due_ns = boot_ns + _EXPIRE_NS
            self.metrics.expire(boot_ns, self._workloads())
        # What was told of an edge must be in the file before the kernel forgets the edge, and what was told of one that
        # it has forgotten cannot be read again.
        if len(told.idle) or last_told or boot_ns >= self._checkpoint_due_ns:
            self._checkpoint_due_ns = boot_ns + _CHECKPOINT_NS
            saved = self.continuity.save(self.metrics, self.pipeline, boot_ns, self._told_ns)
            # Without a file a restart will miss what was told of them; a table that fills up misses new ones now.
            if saved or len(self.pipeline.table) > self.config.max_edges // 2:
                self.kernel.forget(told.idle)
        self.feed.publish([*told.edges, *told.connections])
        self.outlets.take(told.edges, told.connections)

    def _look_after_pins(self, boot_ns: int) -> None:
        """See that the next agent will find what runs."""
        if boot_ns < self._pins_due_ns:
            return
        self._pins_due_ns = boot_ns + _PINS_NS
        try:
            missing = self.kernel.pin_again()
        except errors.KernelRefused as error:
            self.drops.count("pins_refused")
            self.drops.say("pins", str(error), hint=error.hint)
            return
        self.drops.over("pins")
        self.drops.count("pins_removed", len(missing))
        if missing:
            log.warning("somebody has removed our pins; they are back", pins=missing)

    def _answers(self) -> answers.AgentAnswers:
        return answers.AgentAnswers(
            node_name=self.config.node(),
            line=lambda: self.pipeline,
            flows=self.metrics,
            now_health=self._health,
            last_tick_ns=lambda: self._last_tick_ns,
            synced=lambda: self.watch.synced,
        )

    def _health(self) -> health.Health:
        boot_ns = clock.boot_ns()
        return health.Health(
            version=importlib.metadata.version("ipseity"),
            kernel=os.uname().release,
            edges=len(self.pipeline.table),
            max_edges=self.config.max_edges,
            crowded=len(self._crowded),
            drops=self._all_drops(),
            drain=self.drain,
            watch_staleness_s=self.watch.staleness_s(boot_ns),
            map_entries={"edges": len(self.pipeline.table)},
            map_capacity={"edges": self.config.max_edges},
            programs_attached={
                **dict.fromkeys(self.kernel.programs, True),
                **dict.fromkeys(self.kernel.missing, False),
            },
            **self.outlets.health(),
        )

    def _all_drops(self) -> dict[str, int]:
        found = {**self.drops.by_stage, **self.kernel.losses()}
        found |= {
            "join_full": self.pipeline.not_joined,
            "api_slow_reader": self.feed.lost,
            "cgroup_unreadable": self.reader.tree.unreadable,
        }
        found |= {f"ownership_{kind}": count for kind, count in self.pipeline.owners.evicted.items()}
        found |= self.outlets.drops()
        found |= {f"watch_malformed_{name}": count for name, count in self.watch.malformed().items()}
        return found

    def _workloads(self) -> frozenset[metrics.Workload]:
        owners = self.pipeline.owners
        pods_alive = owners.alive(model.Pod).values()
        live = {(pod.namespace, pod.workload_kind, pod.workload or pod.name) for pod in pods_alive}
        live |= {(pod.namespace, "Pod", pod.name) for pod in pods_alive}
        live |= {(service.namespace, "Service", service.name) for service in owners.alive(model.Service).values()}
        live |= {(account.namespace, "ServiceAccount", account.name) for account in self.pipeline.tags.accounts()}
        return frozenset(live)

    def _pause_s(self, spent_s: float) -> float:
        """Wait so long that drains take their share of a processor, within the bounds of the settings; jittered.

        By the median of the last drains: a single slow one (the first, a burst of events) says little about the next.
        """
        self._spent_s.append(spent_s)
        usual_s = statistics.median(self._spent_s) if len(self._spent_s) > 2 else 0.0
        wanted = min(max(usual_s / _SHARE, self.config.min_interval_s), self.config.max_interval_s)
        return wanted * random.uniform(1 - _JITTER, 1)  # noqa: S311  # spreads load, hides nothing


def _open_kernel(settings: config.Config, root: pathlib.Path) -> kernel.Kernel:
    held = kernel.Kernel(
        attach.Options(
            cgroup_root=root,
            bpffs=settings.bpffs,
            tracefs=settings.tracefs,
            instance=settings.instance,
            max_edges=settings.max_edges,
            max_prefixes=max(1024, len(settings.cluster_prefixes) + len(settings.external_prefixes) + 2),
        )
    )
    held.settle(
        records=settings.makes_records(),
        private=settings.keeps_private(),
        kept=settings.cluster_prefixes,
        collapsed=settings.external_prefixes,
    )
    return held


def run(settings: config.Config) -> int:
    """Run the agent until it is told to stop. Raises errors.AgentError if it cannot start."""
    _configure_log(settings)
    return asyncio.run(_run(settings))


async def _run(settings: config.Config) -> int:
    return await Agent(settings).run()


def _configure_log(settings: config.Config) -> None:
    """Write fields to standard error, one line an event."""
    if settings.log_format == "json":
        render: structlog.typing.Processor = structlog.processors.JSONRenderer()
        trace: structlog.typing.Processor = structlog.processors.format_exc_info
        chain = [trace, render]
    else:
        chain = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True), *chain],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
