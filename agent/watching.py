"""What the agent hears while it works: the Kubernetes API and the kernel's news of cgroups, in a thread of its own.

Outcome: identities of this node's pods are in the kernel milliseconds after both are known, though a tick may take a
second on a busy node; everything else waits in queues for the next tick. Here because a pod connects milliseconds after
its start. Attribution goes on without the API, with what is known. Leaves out what is kept of each object (``pods``,
``keysecret``) and what the kernel is told of it (``handshake``).
"""

import asyncio
import collections
import contextlib
import sys
import threading
import typing
from collections.abc import Callable, Coroutine, Mapping
from typing import Final

import structlog

from agent import clock, config, drops, handshake, kernel, keys, keysecret, model, ownership, pods, reader
from ipseity import identity, informer, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_RETRY_S: Final = 1.0
_END_S: Final = 2.0
"""Of the five seconds that an agent has to stop."""
_SWITCH_S: Final = 0.0005
"""How long a tick may keep the interpreter from this thread, which asks for it several times per event. 5 ms else."""
Known = Mapping[str, ownership.Object]
AccountEvent = informer.WatchEvent[identity.ServiceAccount]

log = structlog.get_logger("agent")


class Watch:
    """The thread. ``start``, take what has come, ``close``; what is handed over is handed over in order."""

    def __init__(  # noqa: PLR0913  # who is heard, who is told, and what is known from before
        self,
        settings: config.Config,
        lost: drops.Drops,
        held: kernel.Kernel,
        reading: reader.Reader,
        *,
        known: Known,
        uids: Mapping[int, str],
        told_boot_ns: Mapping[str, int],
    ) -> None:
        """Prepare. What a former agent knew: objects by uid, ``uids`` by cgroup in a pod; up to when all was told."""
        self._config = settings
        self._drops = lost
        self._kernel = held
        self._reader = reading
        self._known = known
        self._told_ns = told_boot_ns
        self._handshake = handshake.Handshake(held, settings, lost)
        self._handshake.begin((each for each in known.values() if isinstance(each, model.Pod)), uids)
        self._cgroups: collections.deque[model.CgroupEvent] = collections.deque()
        self._objects: collections.deque[model.ObjectEvent] = collections.deque()
        self._accounts: collections.deque[AccountEvent] = collections.deque()
        self._cluster: pods.Cluster | None = None
        self._secret: informer.Informer[keys.Keys | keys.Unusable] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._begun = threading.Event()
        self._refusal: Exception | None = None
        self._thread = threading.Thread(target=self._live, name="watch", daemon=True)

    # From the tick's thread

    def start(self) -> None:
        """Begin to listen. Raises what keeps the thread from it."""
        sys.setswitchinterval(_SWITCH_S)
        self._thread.start()
        self._begun.wait()
        if self._refusal is not None:
            raise self._refusal

    def close(self) -> bool:
        """Listen no more; what was heard can still be taken. False: the thread still uses the kernel's descriptors."""
        if self._thread.is_alive() and self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop may end by itself meanwhile
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_END_S)
        return not self._thread.is_alive()

    def cgroups(self) -> list[model.CgroupEvent]:
        """Take what the kernel told of cgroups."""
        return _taken(self._cgroups)

    def objects(self) -> list[model.ObjectEvent]:
        """Take what the API told of pods, services and nodes."""
        return _taken(self._objects)

    def accounts(self) -> list[AccountEvent]:
        """Take what the API told of service accounts."""
        return _taken(self._accounts)

    def tick(self, found: list[model.CgroupEvent] | None) -> None:
        """Tell what a scan of the tree has found besides; None: there was none since the last time."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._take_tick, found)

    @property
    def synced(self) -> bool:
        """Whether pods, services and nodes have been listed once."""
        return self._cluster is not None and self._cluster.synced

    @property
    def told_ns(self) -> Mapping[str, int]:
        """Up to when all that happened can be taken, by resource. Read it before ``objects``."""
        return self._cluster.told_ns if self._cluster is not None else self._told_ns

    @property
    def silent_since_ns(self) -> int | None:
        """Since when pods cannot be heard of; None: they can."""
        return self._cluster.silent_since_ns if self._cluster is not None else None

    def staleness_s(self, now_boot_ns: int) -> dict[str, float]:
        """How old the knowledge may be, by resource; -1: nothing was heard yet."""
        return self._cluster.staleness_s(now_boot_ns) if self._cluster else {"pods": -1.0}

    def malformed(self) -> dict[str, int]:
        """Lines and objects that could not be read, by resource."""
        return self._cluster.malformed() if self._cluster else {}

    # In the thread

    def _live(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:
            if self._begun.is_set():
                raise
            self._refusal = error
        finally:
            self._begun.set()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.add_reader(self._kernel.cgroup_events, self._take_cgroups)
        parts = {asyncio.create_task(self._again_and_again(part)) for part in (self._follow, self._look)}
        self._begun.set()
        await self._stop.wait()
        self._loop.remove_reader(self._kernel.cgroup_events)
        for task in parts:
            task.cancel()
        await asyncio.wait(parts)

    async def _again_and_again(self, part: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do a part for ever, whatever ends it: attribution goes on, and it begins anew."""
        while True:
            try:
                await part()
            except kube.KubernetesError as error:
                self._drops.say("kubernetes", str(error), hint=error.hint)
            except Exception as error:
                self._drops.count("watch_died")
                causes = error.exceptions if isinstance(error, ExceptionGroup) else [error]
                log.exception("watch ended", errors=[repr(each) for each in causes])
            await asyncio.sleep(_RETRY_S)

    async def _follow(self) -> None:
        """Follow the API over one client."""
        async with await kube.connect(self._config.kubeconfig, self._config.context) as api:
            self._drops.over("kubernetes")
            self._cluster = self._prepare(api)
            try:
                await self._cluster.follow(self._take_object)
            finally:
                self._known, self._told_ns = self._cluster.known(), self._cluster.told_ns

    def _prepare(self, api: "client.ApiClient") -> pods.Cluster:
        return pods.Cluster(
            api,
            clock=clock.boot_ns,
            only_node=self._config.node() if self._config.remote_evidence == "handshake" else "",
            known=self._known,
            told_boot_ns=self._told_ns,
            beside=self._beside(api),
        )

    def _beside(self, api: "client.ApiClient") -> list[pods.Beside]:
        """Follow what identities in handshakes need: service accounts, and the keys."""
        if not self._handshake.wanted:
            return []
        found = [pods.Beside(pods.accounts(api, clock.boot_ns), self._accounts.append)]
        if self._handshake.follows_secret:
            place = keysecret.Place.parse(self._config.handshake_secret)
            self._secret = keysecret.follow(api, place, clock.boot_ns)
            found.append(pods.Beside(self._secret, self._take_keys))
        return found

    async def _look(self) -> None:
        """Look at what tells nobody when it changes."""
        self._handshake.look(clock.boot_ns())
        if self._secret is not None and self._secret.synced and not len(self._secret):
            self._handshake.take(None)

    def _take_cgroups(self) -> None:
        events = self._reader.cgroup_news()
        self._cgroups.extend(events)
        self._handshake.cgroups(events)

    def _take_tick(self, found: list[model.CgroupEvent] | None) -> None:
        self._handshake.cgroups(found or ())
        self._handshake.tick(scanned=found is not None, pods_known=self.synced)

    def _take_object(self, event: model.ObjectEvent) -> None:
        self._objects.append(event)
        self._handshake.object(event)

    def _take_keys(self, event: informer.WatchEvent[keys.Keys | keys.Unusable]) -> None:
        self._handshake.take(None if event.change is informer.Change.GONE else event.value)


T = typing.TypeVar("T")


def _taken(queue: collections.deque[T]) -> list[T]:
    """Empty a queue that another thread adds to."""
    return [queue.popleft() for _ in range(len(queue))]
