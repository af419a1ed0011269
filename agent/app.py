"""The agent put together: one event loop that reads, steps, writes a checkpoint and serves.

A tick: cgroup events, edges, then (when due) a sweep of open sockets, one ``pipeline.step``, then what it told goes to
totals, API and flow log, and idle edges are forgotten. Nothing here blocks on a disk, an API server or a reader: each
of these drops and counts.
"""

import asyncio
import collections
import contextlib
import dataclasses
import importlib.metadata
import os
import pathlib
import random
import signal
import statistics
import sys
from collections.abc import Mapping
from typing import Final

import structlog

from agent import (
    answers,
    apiaddress,
    cgroups,
    checkpoint,
    clock,
    config,
    edges,
    feed,
    flowlog,
    health,
    kernel,
    live,
    metrics,
    model,
    ownership,
    pipeline,
    pods,
    records,
    remembered,
    sockets,
    wire,
)
from agent import api as api_server
from ipseity import kube

_CHECKPOINT_NS: Final = 5_000_000_000
"""How much naming may be done again after a kill; totals are exact whenever it was written."""
_RESCAN_NS: Final = 60_000_000_000
"""Repairs what the cgroup ring lost."""
_EXPIRE_NS: Final = 10_000_000_000
_SHARE: Final = 0.01
"""Of one processor: how much the drain, and how much the sweep, may take before they come less often."""
_JITTER: Final = 0.1
_RETRY_S: Final = 5.0
_PRIVATE: Final = config.Config().cluster_prefixes

log = structlog.get_logger("agent")


@dataclasses.dataclass(slots=True)
class _Due:
    """When what is next due, in boot time."""

    sweep_ns: int = 0
    checkpoint_ns: int = 0
    rescan_ns: int = 0
    expire_ns: int = 0


class Agent:
    """Everything between ``start`` and ``close``."""

    def __init__(self, settings: config.Config) -> None:
        """Open the kernel and the checkpoint. Raises errors.AgentError."""
        self.config = settings
        self.root = settings.cgroup_root or cgroups.find_root()
        self.tree = cgroups.Tree(self.root)
        self.kernel = kernel.open_kernel(
            kernel.Options(
                cgroup_root=self.root,
                bpffs=settings.bpffs,
                tracefs=settings.tracefs,
                instance=settings.instance,
                max_edges=settings.max_edges,
            )
        )
        self.private = set(_PRIVATE) <= set(settings.cluster_prefixes)
        self.kernel.settle(
            records=settings.records and bool(settings.flow_log),
            private=self.private,
            kept=settings.cluster_prefixes,
            collapsed=settings.external_prefixes,
        )
        self.remotes = live.Remotes(edges.Prefixes(settings.cluster_prefixes, settings.external_prefixes))
        self.owners = ownership.Ownership(history_s=settings.history_s)
        self.pipeline = pipeline.Pipeline(self.owners, max_edges=settings.max_edges)
        self.metrics = metrics.FlowMetrics(
            max_series=settings.max_series,
            grace_s=settings.series_grace_s,
            pod_labels=settings.pod_labels,
            bounds_us=wire.RTT_BOUNDS_US,
        )
        self.older = live.Older()
        self.feed = feed.Feed(max_flows=settings.max_flows, node_name=settings.node())
        self.flowlog = self._flow_log()
        self.drain = health.Histogram()
        self.drops: dict[str, int] = {}
        self.cluster: pods.Cluster | None = None
        self.last_tick_ns = 0
        self._heard_ns = self._resume()
        self._events: list[model.ObjectEvent] = []
        self._due = _Due()
        self._listening: frozenset[tuple[int, int]] = frozenset()
        self._stop = asyncio.Event()
        self._said: set[str] = set()
        self._spent_s: collections.deque[float] = collections.deque(maxlen=9)

    # What the API is told

    def now_health(self) -> health.Health:
        """Describe the agent at this moment."""
        boot_ns = clock.boot_ns()
        return health.Health(
            version=importlib.metadata.version("ipseity"),
            kernel=os.uname().release,
            edges=len(self.pipeline.table),
            max_edges=self.config.max_edges,
            drops=self._all_drops(),
            drain=self.drain,
            watch_staleness_s=self.cluster.staleness_s(boot_ns) if self.cluster else {"pods": -1.0},
            map_entries={"edges": len(self.pipeline.table)},
            map_capacity={"edges": self.config.max_edges},
            programs_attached={
                **dict.fromkeys(self.kernel.programs, True),
                **dict.fromkeys(self.kernel.missing, False),
            },
        )

    def _answers(self) -> answers.AgentAnswers:
        return answers.AgentAnswers(
            node_name=self.config.node(),
            ownership=lambda: self.owners,
            flows=self.metrics,
            now_health=self.now_health,
            last_tick_ns=lambda: self.last_tick_ns,
            synced=lambda: self.cluster is not None and self.cluster.synced,
        )

    # The life of the agent

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        server = api_server.Server(apiaddress.parse(self.config.api), self._answers(), self.feed)
        await server.start()
        watching = asyncio.create_task(self._watch())
        log.info(
            "started",
            node=self.config.node(),
            cgroup_root=str(self.root),
            adopted=self.kernel.adopted,
            missing=self.kernel.missing,
        )
        try:
            while not self._stop.is_set():
                spent_s = await self._guarded_tick()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), self._pause_s(spent_s))
        finally:
            watching.cancel()
            await self._guarded_tick()
            self._save(clock.boot_ns())
            await server.close()
            if self.flowlog:
                self.flowlog.close(2.0)
            self.kernel.close()
            log.info("stopped")
        return 0

    async def _guarded_tick(self) -> float:
        """Run one tick; an error in it is counted and said, and the next one goes on from the kernel's counters."""
        before_s = clock.cpu_s()
        try:
            await self._tick()
        except OSError as error:
            self._drop("tick_failed")
            log.exception("drain failed", error=str(error))
        return clock.cpu_s() - before_s

    async def _tick(self) -> None:
        began_s = clock.cpu_s()
        now = clock.now()
        cgroup_events = self._cgroup_events(now.boot_ns)
        keys, values = self.kernel.edges()
        ended, malformed = records.read(self._connection_records())
        self._drop("record_malformed", malformed)
        pending, older = await self._sweep(now.boot_ns) if now.boot_ns >= self._due.sweep_ns else ({}, [])
        events, self._events = self._events, []
        told = self.pipeline.step(
            pipeline.Inputs(
                boot_ns=now.boot_ns,
                wall_of=now.wall_of,
                cgroup_events=cgroup_events,
                object_events=events,
                keys=keys,
                values=values,
                pending=pending,
                older=older,
                connections=ended,
            )
        )
        self._tell(told, now.boot_ns)
        self.drain.observe(clock.cpu_s() - began_s)
        self.last_tick_ns = now.boot_ns
        log.info(
            "drained",
            edges=len(keys),
            flows=len(told.edges),
            connections=len(told.connections),
            held_back=told.held_back,
            events=len(events),
            cgroups=len(cgroup_events),
            cpu_ms=round((clock.cpu_s() - began_s) * 1e3, 2),
        )

    def _tell(self, told: pipeline.Outputs, boot_ns: int) -> None:
        for flow in told.edges:
            self.metrics.add(flow, boot_ns)
        if boot_ns >= self._due.expire_ns:
            self._due.expire_ns = boot_ns + _EXPIRE_NS
            self.metrics.expire(boot_ns, self._workloads())
        # What was told of an edge must be in the file before the kernel forgets the edge.
        if (len(told.idle) or boot_ns >= self._due.checkpoint_ns) and self._save(boot_ns):
            self.kernel.forget(told.idle)
        self.feed.publish([*told.edges, *told.connections])
        if self.flowlog:
            self.flowlog.write([*told.edges, *told.connections])

    # Edges of the agent

    def _cgroup_events(self, boot_ns: int) -> list[model.CgroupEvent]:
        events: list[model.CgroupEvent] = []
        for raw in self.kernel.cgroup_records():
            event = wire.cgroup_event(raw)
            if isinstance(event, wire.Malformed):
                self._drop(event.what)
            else:
                events.append(event)
        if boot_ns >= self._due.rescan_ns or "cgroup_mkdir" in self.kernel.missing:
            self._due.rescan_ns = boot_ns + _RESCAN_NS
            events += self.tree.changes(self.owners.lives.alive(), boot_ns)
        return events

    def _connection_records(self) -> wire.Array:
        array, malformed = wire.connection_records(self.kernel.records())
        self._drop("record_malformed", malformed)
        return array

    async def _sweep(self, boot_ns: int) -> tuple[Mapping[bytes, model.Moved], list[edges.Change]]:
        """Ask for open sockets, then for the slots of those that are followed: in this order nothing is told twice."""
        took, seen = await asyncio.to_thread(_timed_sweep, self.root)
        pause_s = min(max(took / _SHARE, self.config.min_interval_s), self.config.sweep_interval_s)
        self._due.sweep_ns = boot_ns + int(pause_s * 0.9e9)
        if seen.refused:
            self._say_once(
                "sweep_refused", "cannot look into network namespaces", count=seen.refused, hint="needs CAP_SYS_ADMIN"
            )
        rows = self.kernel.connections()
        followed = {
            cookie: live.Followed(cgroup, netns, direction)
            for cookie, cgroup, netns, direction in zip(
                rows["cookie"].tolist(),
                rows["cgroup"].tolist(),
                rows["netns"].tolist(),
                rows["direction"].tolist(),
                strict=True,
            )
        }
        self._listening = frozenset((each.netns, each.port) for each in seen.listeners)
        ours = self.owners.lives.by_id  # a namespace may be shared with what is not below our root
        open_now = [each for each in seen.samples if each.cgroup in ours or each.cookie in followed]
        older = self.older.changes(open_now, followed, self._listening, self.remotes, boot_ns)
        return live.pending(open_now, followed, self.remotes), older

    async def _watch(self) -> None:
        """Follow the API; attribution goes on without it, with what is known."""
        while True:
            try:
                client = await kube.connect(self.config.kubeconfig, self.config.context)
            except kube.KubernetesError as error:
                self._say_once("kubernetes", str(error), hint=error.hint)
                await asyncio.sleep(_RETRY_S)
                continue
            async with client:
                known: dict[str, ownership.Object] = {
                    **self.owners.alive(model.Pod),
                    **self.owners.alive(model.Service),
                    **self.owners.alive(model.Node),
                }
                self.cluster = pods.Cluster(client, clock=clock.boot_ns, known=known, heard_boot_ns=self._heard_ns)
                try:
                    await self.cluster.follow(self._deliver)
                except* Exception as group:  # whatever it was, attribution goes on and the watch begins anew
                    self._drop("watch_died")
                    log.exception("watch ended", errors=[repr(error) for error in group.exceptions])
            await asyncio.sleep(_RETRY_S)

    def _deliver(self, event: model.ObjectEvent) -> None:
        self._events.append(event)

    # Checkpoint

    def _resume(self) -> int:
        """Go on from the checkpoint; returns when the API was last heard, 0 without one."""
        state, why = checkpoint.load(self.config.state)
        if state is None:
            if why != "none yet":
                self._drop("checkpoint_unreadable")
                log.warning("starting without checkpoint", file=str(self.config.state), reason=why)
            return 0
        try:
            if self.kernel.adopted:
                self.pipeline.table.load(state.edges)
            self.metrics.load(state.metrics)
            remembered.load(state.owners, self.owners)
        except (ValueError, KeyError, TypeError) as error:
            self._drop("checkpoint_unreadable")
            log.warning("checkpoint does not fit", file=str(self.config.state), error=str(error))
            self.owners = self.pipeline.owners = ownership.Ownership(history_s=self.config.history_s)
            return 0
        return state.written_boot_ns

    def _save(self, boot_ns: int) -> bool:
        self._due.checkpoint_ns = boot_ns + _CHECKPOINT_NS
        state = checkpoint.State(
            boot_id=checkpoint.boot_id(),
            written_boot_ns=boot_ns,
            edges=self.pipeline.table.dump(),
            metrics=self.metrics.dump(),
            owners=remembered.dump(self.owners),
        )
        try:
            checkpoint.save(self.config.state, state)
        except OSError as error:
            self._drop("checkpoint_failed")
            self._say_once("checkpoint", "cannot write the checkpoint", file=str(self.config.state), error=str(error))
            return False
        self._said.discard("checkpoint")
        return True

    # Small things

    def _flow_log(self) -> flowlog.FlowLog | None:
        if not self.config.flow_log:
            return None
        return flowlog.FlowLog(
            pathlib.Path(self.config.flow_log),
            max_bytes=self.config.flow_log_max_bytes,
            files=self.config.flow_log_files,
            node_name=self.config.node(),
        )

    def _pause_s(self, spent_s: float) -> float:
        """Wait so long that the drain takes its share of a processor, within the bounds of the settings; jittered.

        By the median of the last drains: a single slow one (the first, a burst of events) says little about the next.
        """
        self._spent_s.append(spent_s)
        usual_s = statistics.median(self._spent_s) if len(self._spent_s) > 2 else 0.0
        wanted = min(max(usual_s / _SHARE, self.config.min_interval_s), self.config.max_interval_s)
        return wanted * random.uniform(1 - _JITTER, 1)  # noqa: S311  # spreads load, hides nothing

    def _workloads(self) -> frozenset[tuple[str, str, str]]:
        return frozenset(
            (pod.namespace, pod.workload or pod.name, pod.workload_kind)
            for pod in self.owners.alive(model.Pod).values()
        ) | frozenset(
            (service.namespace, service.name, "Service") for service in self.owners.alive(model.Service).values()
        )

    def _drop(self, stage: str, count: int = 1) -> None:
        self.drops[stage] = self.drops.get(stage, 0) + count

    def _say_once(self, what: str, message: str, **fields: object) -> None:
        if what not in self._said:
            self._said.add(what)
            log.warning(message, **fields)

    def _all_drops(self) -> dict[str, int]:
        drops = {
            **self.drops,
            **self.kernel.losses(),
            "api_slow_reader": self.feed.lost,
            "cgroup_unreadable": self.tree.unreadable,
        }
        drops |= {f"ownership_{kind}": count for kind, count in self.owners.evicted.items()}
        if self.flowlog:
            drops |= {f"flow_log_{cause.value}": count for cause, count in self.flowlog.drops.items()}
        if self.cluster:
            drops |= {f"watch_malformed_{name}": count for name, count in self.cluster.malformed().items()}
        return drops


def _timed_sweep(root: pathlib.Path) -> tuple[float, sockets.Sweep]:
    before_s = clock.cpu_s()
    found = sockets.sweep(root)
    return clock.cpu_s() - before_s, found


def run(settings: config.Config) -> int:
    """Run the agent until it is told to stop. Raises errors.AgentError if it cannot start."""
    _configure_log(settings)
    return asyncio.run(_run(settings))


async def _run(settings: config.Config) -> int:
    return await Agent(settings).run()


def _configure_log(settings: config.Config) -> None:
    """Write fields to standard error, one line an event."""
    render = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True), render],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
