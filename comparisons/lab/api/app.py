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
from collections.abc import AsyncIterator, Coroutine

import aiohttp
import structlog
from aiohttp import web

from comparisons.lab import clock, controllers, errors
from comparisons.lab.api import (
    addresses,
    change,
    kinds,
    logs,
    registry,
    resources,
    retention,
    server,
    store,
    subresources,
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
    host: str
    port: int
    """0: any free one; the kubeconfig tells."""
    history: int
    """How many events of each kind are remembered for watches and pages."""
    controllers: bool


async def run(options: Options, stopped: asyncio.Event) -> None:
    """Serve until ``stopped`` is set."""
    async with serving(options) as kubeconfig, contextlib.AsyncExitStack() as stack:
        if options.controllers:
            await stack.enter_async_context(controllers.following(str(kubeconfig)))
        await stopped.wait()


@contextlib.asynccontextmanager
async def serving(options: Options) -> AsyncIterator[pathlib.Path]:
    """Serve meanwhile; yield the kubeconfig."""
    keys = trust.prepare(options.state, options.host, clock.wall_ns())
    objects = store.Store(history=options.history)
    snapshot = options.state / "objects.json"
    _resume(objects, snapshot)
    rules = registry.Registry(objects, addresses.Ranges())
    _found(rules)
    async with (
        aiohttp.ClientSession(timeout=LOG_SERVER) as session,
        _listening(options, rules, keys, session) as url,
        _meanwhile(retention.keep_short(objects)),
    ):
        kubeconfig = options.state / "kubeconfig"
        authority = base64.b64encode(keys.ca.read_bytes()).decode()
        trust.write_private(kubeconfig, trust.kubeconfig(keys, url, authority))
        LOG.info("serving", url=url, kubeconfig=str(kubeconfig))
        yield kubeconfig
    trust.write_private(snapshot, json.dumps(objects.dump()))


@contextlib.asynccontextmanager
async def _listening(
    options: Options, rules: registry.Registry, keys: trust.Trust, session: aiohttp.ClientSession
) -> AsyncIterator[str]:
    handlers = server.Server(
        resources=resources.Resources(rules),
        subresources=subresources.Subresources(rules, logs.Logs(rules, session)),
        token=keys.token,
    )
    runner = web.AppRunner(
        handlers.application(), access_log=None, shutdown_timeout=SHUTDOWN_S, handler_cancellation=True
    )
    await runner.setup()
    try:
        await _listen(runner, options, keys)
        host, port = runner.addresses[0][:2]
        yield f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, options: Options, keys: trust.Trust) -> None:
    try:
        await web.TCPSite(runner, options.host, options.port, ssl_context=keys.tls()).start()
    except OSError as error:
        raise errors.LabError(
            f"cannot listen on {options.host}:{options.port}: {error.strerror}",
            hint="give another --listen ADDRESS:PORT",
        ) from error


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


def _found(rules: registry.Registry) -> None:
    """Create the namespaces that every cluster has."""
    write = change.Change(manager="kube-apiserver", now_wall_ns=clock.wall_ns())
    for name in NAMESPACES:
        if rules.store.get(kinds.NAMESPACE, ("", name)) is None:
            rules.create(
                kinds.NAMESPACE, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, write
            )
