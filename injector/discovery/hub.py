"""Who is connected, and what each is to be told: changes in, debounced; the latest snapshot out, per proxy.

    known = hub.Hub(settings, metrics.Metrics(registry), clock=time.monotonic)
    known.publish(state, policies)          # as often as you like
    await known.run()                       # for ever

Here because changes come in bursts (a roll-out is hundreds in a second) and proxies are many: what is shared is made
once for a burst, and a proxy that is slow gets the latest and never a queue. A snapshot that is not consistent is not
served: the one before stays. Leaves out gRPC (``service``) and the order of a stream (``session``).
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from injector.cluster import model
from injector.discovery import caller, consistency, metrics, session, settings, snapshot, world
from injector.policy import model as policy
from injector.routes import attach

QUIET_S: Final = 0.03
"""A burst has ended when nothing came for so long."""
LONGEST_S: Final = 0.2
"""A change waits no longer for its burst to end."""
SHARE: Final = 0.5
"""Of a core: where changes never end, they are told together, so rarely that the process works no more than so."""
REST_S: Final = 0.5
"""A change waits no longer for that: a policy may be among them."""
_log = structlog.get_logger("discovery")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How one connected proxy is."""

    namespace: str
    pod: str
    state: str
    """``synced``, ``behind``, ``refusing`` or ``unknown``: no such pod yet, or not with this account."""
    behind_s: float
    """Since when it has not accepted the latest; 0: it has."""
    nacks: int
    refused: str
    """The reason of what it refuses now; empty: nothing."""


class Proxy:
    """One stream, and what is behind it."""

    def __init__(self, who: caller.Caller, now_s: float) -> None:
        self.who = who
        self.session = session.Session()
        self.wake = asyncio.Event()
        self.replaced = False
        """Its pod has opened newer streams, and this one is to end."""
        self.leaving = False
        """We end, and it is to find another control plane."""
        self.known = False
        self.changed_s = now_s
        """When what it is being told became true, or when it connected, if that was later."""
        self.news = False
        """It is being told of a change, not of what there was when it connected."""
        self.told: world.World | None = None
        """Whose snapshot it was offered last."""
        self.heavy = False
        """It is its turn to be told what is heavy."""
        self.relieved = asyncio.Event()
        """It was told."""
        self.complained = ""
        self.offered: tuple[int, bool, bool] | None = None
        """Which snapshot its session has: the hub's count, whether it is for IPv6 too, and with taps."""

    @property
    def ipv6(self) -> bool:
        """Whether its kernel has IPv6. It says so itself: a lie breaks its own listeners."""
        node = self.session.node
        return node is not None and bool(node.metadata.fields["ipv6"].bool_value)

    @property
    def taps(self) -> bool:
        """Whether it was started with a way to whoever taps it; it would refuse listeners that refer to that."""
        node = self.session.node
        return node is not None and bool(node.metadata.fields["taps"].bool_value)

    def status(self, latest: world.World | None, now_s: float) -> Status:
        """Say how it is."""
        refused = "; ".join(f"{kind}: {reason}" for kind, reason in sorted(self.session.refused.items()))
        synced = self.known and self.told is latest and self.session.synced
        state = "unknown" if not self.known else "refusing" if refused else "synced" if synced else "behind"
        behind_s = 0.0 if synced else max(0.0, now_s - self.changed_s)
        return Status(
            namespace=self.who.namespace,
            pod=self.who.pod,
            state=state,
            behind_s=behind_s,
            nacks=self.session.nacks,
            refused=refused,
        )


class Hub:
    """Owns the latest state and the connected proxies. Everything runs on one event loop."""

    def __init__(
        self,
        config: settings.Settings,
        counted: metrics.Metrics,
        *,
        clock: Callable[[], float],
        worked_s: Callable[[], float] = time.process_time,
    ) -> None:
        """``clock`` gives seconds that only grow, ``worked_s`` how many of a processor's the process has used."""
        self._worked_s = worked_s
        self._maker = snapshot.Maker(config)
        self._counted = counted
        self._clock = clock
        self._pending: tuple[model.ClusterState, Sequence[policy.AuthorizationPolicy], attach.Attached] | None = None
        self._more = asyncio.Event()
        self._since_s = 0.0
        self._world: world.World | None = None
        self._world_s = 0.0
        self._began = (0.0, worked_s())
        """Of what was made last: when, and how much the process had worked by then."""
        self._count = 0
        """Of what was made; a proxy that acknowledges has the latest already, and nothing is made for it anew."""
        self._complaint = ""
        self.proxies: set[Proxy] = set()

    @property
    def ready(self) -> bool:
        """Whether there is anything to tell."""
        return self._world is not None

    def publish(
        self,
        state: model.ClusterState,
        policies: Sequence[policy.AuthorizationPolicy],
        routed: attach.Attached = attach.NOTHING,
    ) -> None:
        """Take what is true now. ``routed``: what routes come to in this very state."""
        if self._pending is None:
            self._since_s = self._clock()
        self._pending = (state, policies, routed)
        self._more.set()

    async def run(self) -> None:
        """Make what was published into snapshots, until cancelled."""
        while True:
            await self._burst()
            await self._rest()
            self._apply()

    async def _burst(self) -> None:
        """Wait for a change, and for the end of its burst."""
        await self._more.wait()
        until_s = self._since_s + LONGEST_S
        while True:
            self._more.clear()
            quiet_s = min(QUIET_S, until_s - self._clock())
            if quiet_s <= 0:
                return
            try:
                async with asyncio.timeout(quiet_s):
                    await self._more.wait()
            except TimeoutError:
                return

    async def _rest(self) -> None:
        """Let time pass after work. A change that comes alone finds none to wait for."""
        until_s = self._since_s + REST_S
        began_s, worked_s = self._began
        while True:
            now_s = self._clock()
            enough_s = began_s + (self._worked_s() - worked_s) / SHARE
            if now_s >= min(enough_s, until_s):
                return
            await asyncio.sleep(min(enough_s, until_s) - now_s)

    def _apply(self) -> None:
        if self._pending is None:
            return
        given, self._pending = self._pending, None
        began_s = self._clock()
        self._began = began_s, self._worked_s()
        self._world = self._maker.update(*given)
        self._world_s = self._since_s
        self._count += 1
        self._counted.build.observe(self._clock() - began_s)
        self._counted.failing.set(len(self._world.failing))
        for each in self.proxies:
            each.wake.set()

    def tell(self, proxy: Proxy) -> bool:
        """Offer a proxy the latest snapshot; False where there is none for it (yet)."""
        if self._world is None:
            return False
        asked = (self._count, proxy.ipv6, proxy.taps)
        if proxy.offered == asked:
            return True
        pod = self._world.state.pod_named(proxy.who.namespace, proxy.who.pod)
        if pod is None or pod.account != proxy.who.spiffe_id.account:
            proxy.told = self._world
            return proxy.known  # what it knows stays; a pod that is not known yet will be
        told = self._maker.snapshot(self._world, pod, ipv6=proxy.ipv6, taps=proxy.taps)
        faults = consistency.faults(told)
        if faults:
            self._complain(proxy, faults)
            return proxy.known
        if self._world_s > proxy.changed_s:
            proxy.news, proxy.changed_s = proxy.known, self._world_s
        proxy.known, proxy.told, proxy.offered = True, self._world, asked
        proxy.session.offer(told)
        return True

    def _complain(self, proxy: Proxy, faults: Sequence[str]) -> None:
        self._counted.inconsistent.inc()
        if faults[0] != self._complaint:
            self._complaint = faults[0]
            _log.error("snapshot not served: not consistent", pod=proxy.who.pod, faults=list(faults))

    def statuses(self) -> list[Status]:
        """Say how the connected proxies are, by name."""
        now_s = self._clock()
        return sorted(
            (each.status(self._world, now_s) for each in self.proxies), key=lambda one: (one.namespace, one.pod)
        )

    def refresh_metrics(self) -> None:
        """Set the gauges; called before they are read."""
        states = [each.state for each in self.statuses()]
        for state in ("synced", "behind", "refusing", "unknown"):
            self._counted.proxies.labels(state).set(states.count(state))
