"""Puts one API server together and runs it until it is told to stop.

State lives in memory. A server that is stopped in order leaves it in the state directory, and the next one there goes
on from it; one that is killed starts empty.
"""

import asyncio
import base64
import contextlib
import dataclasses
import json
import pathlib
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence

import aiohttp
import structlog
from aiohttp import web

from comparisons.lab import clock, controllers, errors
from comparisons.lab.api import (
    addresses,
    admission,
    assembly,
    authorizing,
    calling,
    change,
    establishing,
    front,
    kinds,
    listening,
    registry,
    retention,
    store,
    trust,
)

LOG = structlog.get_logger("lab.api")

SHUTDOWN_S = 0.5
"""How long open watches get to notice the end."""
LOG_SERVER = aiohttp.ClientTimeout(total=None, connect=5)
"""A followed log has no end; a node that does not answer is on this very machine and will not."""
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run it."""

    state: pathlib.Path
    listen: listening.Place
    """Where the kubeconfig leads."""
    inside: listening.Place | None = None
    """Where nodes and pods come, if that is another place."""
    history: int
    """How many events of each kind are remembered for watches and pages."""
    controllers: bool
    rbac: bool = False
    """Whether roles bind; without, whoever is known may do everything."""


async def run(options: Options, stopped: asyncio.Event) -> None:
    """Serve until ``stopped`` is set."""
    async with serving(options) as kubeconfig, contextlib.AsyncExitStack() as stack:
        if options.controllers:
            authority = (options.state / "ca.crt").read_text()
            await stack.enter_async_context(controllers.following(str(kubeconfig), authority=authority))
        await stopped.wait()


@contextlib.asynccontextmanager
async def serving(options: Options) -> AsyncIterator[pathlib.Path]:
    """Serve meanwhile; yield the kubeconfig."""
    places = [options.listen, *([options.inside] if options.inside else [])]
    keys = trust.prepare(options.state, [*(place.ip for place in places), front.CLUSTER_IP], clock.wall_ns())
    objects = store.Store(history=options.history)
    snapshot = options.state / "objects.json"
    _resume(objects, snapshot)
    pods_from = options.inside.namespace if options.inside else None
    async with contextlib.AsyncExitStack() as stack:
        caller = await stack.enter_async_context(calling.connected(objects, pods_from))
        rules = registry.Registry(objects, addresses.Ranges(), admission.Admission(objects, caller))
        sockets = [stack.enter_context(listening.at(place)) for place in places]
        own, *others = [listening.endpoint(each) for each in sockets]
        await _found(rules, *(others or [own]), rbac=options.rbac)
        definitions = establishing.Establishing(rules)
        definitions.settle()
        async with (
            _answering(rules, keys, sockets, pods_from, rbac=options.rbac),
            _meanwhile(retention.keep_short(objects)),
            _meanwhile(definitions.run()),
        ):
            kubeconfig = options.state / "kubeconfig"
            authority = base64.b64encode(keys.ca.read_bytes()).decode()
            trust.write_private(kubeconfig, trust.kubeconfig(keys, own.url, authority))
            LOG.info("serving", url=own.url, kubeconfig=str(kubeconfig))
            yield kubeconfig
    trust.write_private(snapshot, json.dumps(objects.dump()))


@contextlib.asynccontextmanager
async def _answering(
    rules: registry.Registry,
    keys: trust.Trust,
    sockets: Sequence[socket.socket],
    pods_from: pathlib.Path | None,
    *,
    rbac: bool,
) -> AsyncIterator[None]:
    """Take requests meanwhile."""
    url = listening.endpoint(sockets[-1]).url
    reaching = aiohttp.TCPConnector(socket_factory=calling.socket_factory(pods_from), limit=0)
    async with (
        aiohttp.ClientSession(timeout=LOG_SERVER) as to_nodes,
        aiohttp.ClientSession(timeout=LOG_SERVER, connector=reaching) as to_pods,
    ):
        handlers = assembly.server_of(rules, keys, url, to_nodes=to_nodes, to_pods=to_pods, rbac=rbac)
        runner = web.AppRunner(
            handlers.application(), access_log=None, shutdown_timeout=SHUTDOWN_S, handler_cancellation=True
        )
        await runner.setup()
        try:
            for each in sockets:
                await web.SockSite(runner, each, ssl_context=keys.tls()).start()
            yield
        finally:
            await runner.cleanup()


def _resume(objects: store.Store, snapshot: pathlib.Path) -> None:
    """Go on from what an orderly stop has left; once: a server that is killed later must not fall back to it."""
    if not snapshot.exists():
        return
    try:
        objects.load(json.loads(snapshot.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise errors.LabError(
            f"cannot read the saved objects in {snapshot}: {error!r}", hint="remove the file to start without them"
        ) from error
    snapshot.unlink()


@contextlib.asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()


async def _found(rules: registry.Registry, at: front.Endpoint, *, rbac: bool) -> None:
    """Create what every cluster has: its namespaces, the way to this server and, where they bind, the first roles."""
    write = change.Change(manager="kube-apiserver", now_wall_ns=clock.wall_ns())
    for name in NAMESPACES:
        if rules.store.get(kinds.NAMESPACE, ("", name)) is None:
            await rules.create(
                kinds.NAMESPACE, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, write
            )
    for kind, value in authorizing.FOUNDATION if rbac else ():
        if rules.store.get(kind, ("", value["metadata"]["name"])) is None:
            await rules.create(kind, "", {"apiVersion": kind.api_version, "kind": kind.kind, **value}, write)
    await front.publish(rules, at, write)
