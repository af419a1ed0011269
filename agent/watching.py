"""The agent's watch of the Kubernetes API: connected again and again; what is heard is given to who needs it.

Here because attribution goes on without the API, with what is known. Leaves out what is kept of each object (``pods``,
``keysecret``) and what follows from it.
"""

import asyncio
import typing
from collections.abc import Callable
from typing import Final

import structlog

from agent import clock, config, drops, handshake, keys, keysecret, model, ownership, pipeline, pods
from ipseity import identity, informer, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_RETRY_S: Final = 1.0

log = structlog.get_logger("agent")


class Watch:
    """Follows the API for one agent."""

    def __init__(
        self,
        settings: config.Config,
        lost: drops.Drops,
        line: pipeline.Pipeline,
        shaking: handshake.Handshake,
        *,
        heard_boot_ns: int,
    ) -> None:
        """Prepare. ``heard_boot_ns``: when a former agent last heard."""
        self._config = settings
        self._drops = lost
        self._line = line
        self._handshake = shaking
        self._heard_ns = heard_boot_ns
        self._cluster: pods.Cluster | None = None
        self._secret: informer.Informer[keys.Keys | keys.Unusable] | None = None

    @property
    def synced(self) -> bool:
        """Whether pods, services and nodes have been listed once."""
        return self._cluster is not None and self._cluster.synced

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

    def look(self) -> None:
        """Tell that there is no Secret with keys, once the API has been asked for it."""
        if self._secret is not None and self._secret.synced and not len(self._secret):
            self._handshake.take(None)

    async def run(self, deliver: Callable[[model.ObjectEvent], object]) -> None:
        """Follow until cancelled."""
        while True:
            try:
                api = await kube.connect(self._config.kubeconfig, self._config.context)
            except kube.KubernetesError as error:
                self._drops.say("kubernetes", str(error), hint=error.hint)
                await asyncio.sleep(_RETRY_S)
                continue
            self._drops.over("kubernetes")
            async with api:
                self._cluster = self._prepare(api)
                try:
                    await self._cluster.follow(deliver)
                except* Exception as group:  # whatever it was, attribution goes on and the watch begins anew
                    self._drops.count("watch_died")
                    log.exception("watch ended", errors=[repr(error) for error in group.exceptions])
            self._heard_ns = clock.boot_ns()
            await asyncio.sleep(_RETRY_S)

    def _prepare(self, api: "client.ApiClient") -> pods.Cluster:
        owners = self._line.owners
        known: dict[str, ownership.Object] = {
            **owners.alive(model.Pod),
            **owners.alive(model.Service),
            **owners.alive(model.Node),
        }
        return pods.Cluster(
            api,
            clock=clock.boot_ns,
            only_node="" if self._line.tags.whole else self._config.node(),
            known=known,
            heard_boot_ns=self._heard_ns,
            beside=self._beside(api),
        )

    def _beside(self, api: "client.ApiClient") -> list[pods.Beside]:
        """Follow what identities in handshakes need: service accounts, and the keys."""
        if not self._handshake.wanted:
            return []
        found = [pods.Beside(pods.accounts(api, clock.boot_ns), self._take_account)]
        if self._handshake.follows_secret:
            place = keysecret.Place.parse(self._config.handshake_secret)
            self._secret = keysecret.follow(api, place, clock.boot_ns)
            found.append(pods.Beside(self._secret, self._take_keys))
        return found

    def _take_account(self, event: informer.WatchEvent[identity.ServiceAccount]) -> None:
        gone = event.change is informer.Change.GONE
        (self._line.tags.lose if gone else self._line.tags.learn)(event.value)

    def _take_keys(self, event: informer.WatchEvent[keys.Keys | keys.Unusable]) -> None:
        self._handshake.take(None if event.change is informer.Change.GONE else event.value)
