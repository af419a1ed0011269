"""The node's share of the cluster's network: Services become address translation, other nodes become routes.

Here because both follow watches and both end in the node's namespace: what kube-proxy and a network plugin are on a
real node. What the kernel refuses is said and tried again; it never stops the node.
"""

import asyncio
import pathlib
from typing import TYPE_CHECKING, Any

import structlog

from comparisons.lab import errors, netlink, network, plan, services
from ipseity import informer

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
SETTLE_S = 0.02
"""How long changes of Services are collected before they become rules: a rollout is one change. Arbitrary."""
RETRY_S = 1.0
log = structlog.get_logger("lab.node")


class Proxy:
    """One node's. ``service_changed`` is called after every change of a Service."""

    def __init__(self, name: str, namespace: pathlib.Path) -> None:
        self._name = name
        self._namespace = namespace
        self._services: dict[str, Json] = {}
        self._slices: dict[str, Json] = {}
        self._nodes: dict[str, plan.NodePlan] = {}
        self._routed: set[tuple[str, str]] = set()
        self._dirty = asyncio.Event()
        self.service_changed: Callable[[], None] = lambda: None

    def services(self) -> list[Json]:
        """Return the Services known now, in a stable order."""
        return services.merged(self._services)

    def slices(self) -> list[Json]:
        """Return the EndpointSlices known now, in a stable order."""
        return services.merged(self._slices)

    def seed(self, found: Json) -> None:
        """Take in a list of Services, so that the first pods find in their variables what was there before them."""
        for it in found.get("items") or ():
            self._services.setdefault(it["metadata"]["uid"], trim_service(it))

    def take_service(self, event: informer.WatchEvent[Json]) -> None:
        """Take in a change of a Service."""
        _take(self._services, event)
        self._dirty.set()
        self.service_changed()

    def take_slice(self, event: informer.WatchEvent[Json]) -> None:
        """Take in a change of an EndpointSlice."""
        _take(self._slices, event)
        self._dirty.set()
        if services.headless(event.value):  # its pods have names of their own
            self.service_changed()

    def take_node(self, event: informer.WatchEvent[Json]) -> None:
        """Take in a change of a node."""
        it = plan.NodePlan(**event.value)
        if event.change is informer.Change.GONE:
            self._nodes.pop(it.name, None)
        elif it.name != self._name:
            self._nodes[it.name] = it
        self._dirty.set()

    async def run(self) -> None:
        """Keep rules and routes as the API says, for ever."""
        rules = ""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(SETTLE_S)
            self._dirty.clear()
            wanted = services.ruleset(services.frontends(self.services(), self.slices()))
            try:
                if wanted != rules:
                    await services.apply(self._namespace, wanted)
                    rules = wanted
                await asyncio.to_thread(self._route)
            except errors.LabError as error:
                log.warning("the node's network lags behind", error=str(error))
                await asyncio.sleep(RETRY_S)
                self._dirty.set()

    def _route(self) -> None:
        operations = network.routes(self._nodes.values(), link=network.UPLINK)
        wanted = {(it.destination, it.gateway) for it in operations if isinstance(it, network.Route)}
        if wanted != self._routed:
            kept = {destination for destination, _ in wanted}
            old = [network.NoRoute(destination=it) for it, _ in sorted(self._routed) if it not in kept]
            netlink.apply(self._namespace, [*old, *operations])
            self._routed = wanted


def _take(known: dict[str, Json], event: informer.WatchEvent[Json]) -> None:
    if event.change is informer.Change.GONE:
        known.pop(event.uid, None)
    else:
        known[event.uid] = event.value


def _metadata(it: Json) -> Json:
    return {key: it["metadata"][key] for key in ("namespace", "name", "labels") if it["metadata"].get(key)}


def trim_service(it: Json) -> Json:
    """Keep what rules, variables and names are made of."""
    kept = ("type", "clusterIP", "clusterIPs", "ports")
    return {"metadata": _metadata(it), "spec": {key: it["spec"][key] for key in kept if it["spec"].get(key)}}


def trim_slice(it: Json) -> Json:
    """Keep what rules are made of."""
    kept = ("addressType", "endpoints", "ports")
    return {"metadata": _metadata(it), **{key: it[key] for key in kept if it.get(key)}}


def trim_node(it: Json) -> Json | None:
    """Keep what routes are made of; a node without addresses or ranges is none yet."""
    ips = [one["address"] for one in (it.get("status") or {}).get("addresses") or () if one["type"] == "InternalIP"]
    cidrs = (it.get("spec") or {}).get("podCIDRs") or ()
    return {"name": it["metadata"]["name"], "ips": tuple(ips), "pod_cidrs": tuple(cidrs)} if ips and cidrs else None
