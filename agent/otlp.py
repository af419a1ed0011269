"""OTLP export: flows as log records and totals as metrics, sent to whatever store a user has. Off unless asked for.

Outcome: what the endpoint took is counted, and so is what it did not get, by signal and reason. Here because a
collector is slow, full or away exactly when a cluster is in trouble, and none of that may hold a drain: ``write`` and
``measure`` only hand over, and a thread of its own encodes, sends and waits. A full queue drops what is new.

Leaves out messages (``otlplogs``, ``otlpmetrics``) and what an answer means (``otlppost``).
"""

import asyncio
import collections
import contextlib
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import structlog
from opentelemetry.proto.resource.v1 import resource_pb2
from prometheus_client import metrics_core

from agent import clock, metrics, model, otlplogs, otlpmetrics, otlppost

_BATCH: Final = 512
"""Log records in one request: OpenTelemetry's own default, some 60 kB compressed."""
_LINGER_S: Final = 1.0
"""How long flows wait for others: OpenTelemetry's own default."""
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0
_GIVE_UP_S: Final = 300.0
"""How long one batch is tried: as the collector's own exporters do it."""
_NS_PER_S: Final = 1_000_000_000
Reasons = collections.Counter[tuple[str, str]]

log = structlog.get_logger("agent")


class Exporter:
    """The thread. ``write`` and ``measure`` never raise and never wait."""

    def __init__(
        self,
        target: otlppost.Target,
        *,
        resource: resource_pb2.Resource,
        version: str,
        starts: otlpmetrics.Starts,
        max_waiting: int,
    ) -> None:
        """Start. Raises SettingError if certificates or headers cannot be used."""
        if target.headers_file is not None:
            otlppost.file_headers(target.headers_file)
        self._post = otlppost.Post(target, otlppost.context(target))
        self._url = target.url
        self._resource = resource
        self._version = version
        self._starts = starts
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._sent: collections.Counter[str] = collections.Counter({signal.value: 0 for signal in otlppost.Signal})
        self._failed: Reasons = collections.Counter()
        self._lost: Reasons = collections.Counter()
        self._flows: collections.deque[model.Flow] = collections.deque()
        self._snapshot: otlpmetrics.Snapshot | None = None
        self._in_hand: collections.Counter[str] = collections.Counter()
        self._troubled: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._more = asyncio.Event()
        self._due = asyncio.Event()
        self._stop = asyncio.Event()
        self._ended = threading.Event()
        self._end_s = 0.0
        self._thread = threading.Thread(target=self._live, name="otlp", daemon=True)  # a hung peer must not hold exit
        self._thread.start()

    # From the tick's thread

    def write(self, flows: Sequence[model.Flow], which: str) -> None:
        """Take those of the flows that are wanted, as many as there is room for."""
        flows = [flow for flow in flows if otlplogs.wanted(flow, which)]
        with self._lock:
            room = max(0, self._max_waiting - len(self._flows))
            self._flows.extend(flows[:room])
            if len(flows) > room:
                self._lost["logs", "queue_full"] += len(flows) - room
        if flows:
            self._wake(self._more)

    def measure(self, wall_ns: int, flows: metrics.FlowMetrics, families: Sequence[metrics_core.Metric]) -> None:
        """Take totals as they are now; they replace those that still wait, and that is counted."""
        snapshot = otlpmetrics.Snapshot(
            wall_ns=wall_ns,
            labels=flows.labels,
            bounds_us=flows.bounds_us,
            flows=[held.save() for held in flows.held()],
            families=families,
        )
        with self._lock:
            if self._snapshot is not None:
                self._lost["metrics", "late"] += 1
            self._snapshot = snapshot
        self._wake(self._due)

    @property
    def waiting(self) -> int:
        """Flows in the queue."""
        return len(self._flows)

    @property
    def sent(self) -> Mapping[str, int]:
        """Log records and data points that were taken, by signal."""
        with self._lock:
            return dict(self._sent)

    @property
    def failed(self) -> Mapping[tuple[str, str], int]:
        """Attempts that were not taken, by signal and reason."""
        with self._lock:
            return dict(self._failed)

    @property
    def lost(self) -> Mapping[tuple[str, str], int]:
        """What the endpoint did not get, by signal and reason: log records, data points, and whole ``late`` exports."""
        with self._lock:
            return dict(self._lost)

    def close(self, timeout_s: float) -> bool:
        """Send what waits and stop; what is not sent by then is counted as lost. False: the thread still hangs."""
        self._end_s = timeout_s * 0.8
        self._wake(self._stop)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _wake(self, event: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have ended
            self._loop.call_soon_threadsafe(event.set)

    # In the exporter's own thread

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        except Exception:  # nothing of the agent may end with it
            log.exception("the OTLP export has ended; flows go on elsewhere")
        finally:
            self._loop.close()

    async def _run(self) -> None:
        await self._post.open()
        tasks = [asyncio.create_task(self._logs()), asyncio.create_task(self._metrics())]
        try:
            await self._stop.wait()
            await asyncio.wait(tasks, timeout=self._end_s)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._post.close()
            self._count_what_is_left()

    def _count_what_is_left(self) -> None:
        with self._lock:
            self._in_hand["logs"] += len(self._flows)
            self._flows.clear()
            for signal, count in self._in_hand.items():
                if count:
                    self._lost[signal, "shutdown"] += count
            left = dict(+self._in_hand)
            self._in_hand.clear()
        if left:
            log.warning("not everything was exported before the end", endpoint=self._url, left=left)

    async def _logs(self) -> None:
        while flows := await self._take():
            with self._defects(otlppost.Signal.LOGS, len(flows)):
                made = otlplogs.request(
                    flows, resource=self._resource, version=self._version, read_wall_ns=clock.now().wall_ns
                )
                await self._deliver(otlppost.Signal.LOGS, made.SerializeToString(), len(flows))

    async def _take(self) -> list[model.Flow]:
        """Wait for flows, and a little for more; nothing means that there will be no more."""
        while not self._flows and not self._stop.is_set():
            self._more.clear()
            await self._either(self._more)
        if len(self._flows) < _BATCH:
            await self._pause(_LINGER_S)
        with self._lock:
            batch = [self._flows.popleft() for _ in range(min(_BATCH, len(self._flows)))]
            self._in_hand["logs"] = len(batch)
            return batch

    async def _metrics(self) -> None:
        while True:
            await self._either(self._due)
            self._due.clear()
            with self._lock:
                snapshot, self._snapshot = self._snapshot, None
            if snapshot is None and self._stop.is_set():
                return
            if snapshot is not None:
                with self._defects(otlppost.Signal.METRICS, len(snapshot.flows)):
                    await self._tell(snapshot)

    async def _tell(self, snapshot: otlpmetrics.Snapshot) -> None:
        made = otlpmetrics.requests(snapshot, self._starts, resource=self._resource, version=self._version)
        for request, points in made:
            self._in_hand["metrics"] = points
            await self._deliver(otlppost.Signal.METRICS, request.SerializeToString(), points)

    @contextlib.contextmanager
    def _defects(self, signal: otlppost.Signal, count: int) -> Iterator[None]:
        """Let go of what we cannot write, by a mistake of ours; what comes after may be written."""
        try:
            yield
        except Exception:
            self._lose(signal, "defect", count)
            log.exception("some of what is exported cannot be written", signal=signal.value)

    async def _deliver(self, signal: otlppost.Signal, body: bytes, count: int) -> None:
        """Send until it is taken, refused, or not worth it any more."""
        began_ns, backoff_s = clock.boot_ns(), _FIRST_WAIT_S
        while True:
            last = self._stop.is_set()
            outcome = await self._post.send(signal, body)
            if outcome.fate is not otlppost.Fate.AGAIN:
                self._account(signal, outcome, count)
                return
            self._again(signal, outcome)
            # Half of it at random: agents of a whole cluster must not come back in step.
            wait_s = max(backoff_s * random.uniform(0.5, 1.0), outcome.wait_s)  # noqa: S311  # spreads load, hides nothing
            backoff_s = min(2 * backoff_s, _LONGEST_WAIT_S)
            if not last:
                await self._pause(wait_s)
            why = self._hopeless(outcome, last=last, tried_ns=clock.boot_ns() - began_ns)
            if why:
                self._lose(signal, why, count)
                return

    def _hopeless(self, outcome: otlppost.Outcome, *, last: bool, tried_ns: int) -> str:
        """Say why something is not tried again; empty: it is."""
        asked_to_wait = self._stop.is_set() and outcome.wait_s > 0
        if last or asked_to_wait:
            return "shutdown"
        return outcome.reason if tried_ns > _GIVE_UP_S * _NS_PER_S else ""

    def _account(self, signal: otlppost.Signal, outcome: otlppost.Outcome, count: int) -> None:
        if outcome.fate is otlppost.Fate.LOST:
            with self._lock:
                self._failed[signal.value, outcome.reason] += 1
            self._lose(signal, outcome.reason, count)
            self._say(signal, "an OTLP endpoint does not take what we send; it is lost, and counted", outcome)
            return
        rejected = min(outcome.rejected, count)
        with self._lock:
            self._sent[signal.value] += count - rejected
            self._in_hand[signal.value] = 0
            if rejected:
                self._lost[signal.value, "rejected"] += rejected
        if rejected:
            self._say(signal, "an OTLP endpoint rejects some of what we send; it is lost, and counted", outcome)
        elif signal.value in self._troubled:
            self._troubled.discard(signal.value)
            log.warning("the OTLP endpoint takes what we send again", endpoint=self._url, signal=signal.value)

    def _again(self, signal: otlppost.Signal, outcome: otlppost.Outcome) -> None:
        with self._lock:
            self._failed[signal.value, outcome.reason] += 1
        self._say(signal, "an OTLP endpoint does not take what we send; it is tried again", outcome)

    def _lose(self, signal: otlppost.Signal, reason: str, count: int) -> None:
        with self._lock:
            self._lost[signal.value, reason] += count
            self._in_hand[signal.value] = 0

    def _say(self, signal: otlppost.Signal, what: str, outcome: otlppost.Outcome) -> None:
        """Log once, until it is over."""
        if signal.value not in self._troubled:
            self._troubled.add(signal.value)
            log.warning(what, endpoint=self._url, signal=signal.value, reason=outcome.reason, said=outcome.said)

    async def _either(self, event: asyncio.Event) -> None:
        """Wait for an event, or the end."""
        waiting = [asyncio.create_task(event.wait()), asyncio.create_task(self._stop.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
