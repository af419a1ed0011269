"""``ipseity stat``, ``edges``, ``routes`` and ``top``. Registered by the project's entry points.

Here because what these commands do is this feature's. Each imports what it runs when it runs. Leaves out who prints
errors (``ipseity.cli``).
"""

# ruff: noqa: PLC0415  # lazy imports are the point, see above

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from injector import names
from injector.policy import options
from ipseity import identity, screen, settings

if TYPE_CHECKING:
    from kubernetes.aio import client

    from injector.policy import reading
    from injector.routes import book
    from injector.seeing import measured, routed, scrape, top

Command = Callable[..., Any]
_MOST_NAMED: Final = 5


def _asked(command: Command) -> Command:
    """Add the options that say what is asked."""
    for option in (
        settings.click_options(options.Options),
        click.option(
            "--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True,
            help="How it is written.",
        ),
        click.option(
            "--via", type=click.Choice(["auto", "api", "pods"]), default="auto", show_default=True,
            help="How to reach proxies: through the API server, or at the pods' addresses; auto: those in a pod.",
        ),
        click.option("--namespace", "-n", default="", metavar="NAME", help="Only this one; else all."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.option(
    "--window", type=click.IntRange(1, 300), default=10, show_default=True, metavar="S", help="Seconds to measure."
)
@_asked
def stat(window: int, namespace: str, output: str, via: str, **given: object) -> int:
    """Show success rate, request rate and latency of each workload, as its proxies count them.

    Measures for a while: asks every proxy, waits, and asks again.
    """
    from injector.seeing import stat as statistics

    page = screen.Page.of(sys.stdout, os.environ)
    loaded = settings.load(options.Options, given, os.environ)
    moment, grown, unread, took_s = asyncio.run(_grown(loaded, via, namespace, window))
    found = statistics.rows(moment.state, grown, took_s, namespace=namespace)
    if output == "json":
        page.print([json.dumps(statistics.document(found, took_s), indent=2)])
    else:
        page.print(statistics.lines(found, width=page.size().columns, colour=page.colour))
    return _complain(moment, unread, namespace, via)


@click.command()
@_asked
def edges(namespace: str, output: str, via: str, **given: object) -> int:
    """Show who talks to whom, and whether both ends have proven who they are.

    Since the proxies started.
    """
    from injector.seeing import edges as graph

    page = screen.Page.of(sys.stdout, os.environ)
    loaded = settings.load(options.Options, given, os.environ)
    moment, readings = asyncio.run(_once(loaded, via))
    found = graph.edges(moment.state, readings.read, namespace=namespace)
    if output == "json":
        page.print([json.dumps(graph.document(found), indent=2)])
    else:
        page.print(graph.lines(found, width=page.size().columns if page.terminal else None, colour=page.colour))
    if not found and readings.read:
        click.echo("no connection yet, since the proxies started", err=True)
    return _complain(moment, readings.unread, namespace, via)


@click.command(name="routes")
@click.argument("service", default="", metavar="[SERVICE]")
@_asked
def routes(service: str, namespace: str, output: str, via: str, **given: object) -> int:
    """List HTTPRoutes and GRPCRoutes by Service: status, rules, weights, and the requests that took each rule.

    SERVICE is [NAMESPACE/]NAME; without it, all. Requests are those since the callers' proxies started.
    """
    from injector.seeing import routes as listing

    page = screen.Page.of(sys.stdout, os.environ)
    loaded = settings.load(options.Options, given, os.environ)
    wanted = service if "/" in service or not service else f"{namespace or 'default'}/{service}"
    moment, entries, readings = asyncio.run(_routed(loaded, via))
    sent = _added(readings.read)
    found = listing.applied(entries, sent, wanted=wanted, namespace="" if wanted else namespace)
    if output == "json":
        page.print([json.dumps(listing.document(found), indent=2)])
    else:
        page.print(listing.lines(found, width=page.size().columns if page.terminal else None, colour=page.colour))
    if not found:
        click.echo(f"no route has {f'Service {wanted}' if wanted else 'a Service'} as its parent", err=True)
    for warning in (each for each in moment.warnings if each.startswith("Service ")):
        click.echo(f"warning: {warning}", err=True)
    return _complain(moment, readings.unread, "", via)


def _added(read: "Mapping[identity.PodRef, routed.Reading]") -> "routed.Reading":
    from injector.seeing import routed

    return routed.added(read.values())


async def _routed(
    loaded: options.Options, via: str
) -> "tuple[reading.Moment, list[book.Entry], scrape.Readings[routed.Reading]]":
    """Read the routes, and what every proxy has sent by them. Raises KubernetesError."""
    from injector.routes import service as following
    from injector.seeing import routed, scrape

    async with _reached(loaded, via) as (api, moment, scraper):
        entries = await following.read(api)
        return moment, entries, await scrape.everybody(scraper, moment.state.pods.values(), routed.read, routed.WANTED)


@click.command(name="top")
@click.option(
    "--window", type=click.IntRange(1, 300), default=5, show_default=True, metavar="S", help="Seconds to measure."
)
@_asked
def live(window: int, namespace: str, output: str, via: str, **given: object) -> int:
    """Show the requests that are being sent, by Service, route and backend: rate, success, latency.

    On a terminal it is drawn anew after each window, until Ctrl-C; else once.
    """
    page = screen.Page.of(sys.stdout, os.environ)
    loaded = settings.load(options.Options, given, os.environ)
    return asyncio.run(_top(loaded, via, page, _Shown(namespace=namespace, window_s=window, output=output)))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What ``top`` shows."""

    namespace: str
    window_s: float
    output: str


async def _top(loaded: options.Options, via: str, page: screen.Page, shown: _Shown) -> int:
    from injector.seeing import routed, scrape, top

    async with _cluster(loaded, via) as (moment, scraper):
        pods = list(moment.state.pods.values())
        before, began_s = await scrape.everybody(scraper, pods, routed.read, routed.WANTED), time.monotonic()
        again = page.terminal and shown.output == "table"
        with screen.Screen(page) if again else contextlib.nullcontext() as drawn:
            while True:
                await asyncio.sleep(shown.window_s)
                after, ended_s = await scrape.everybody(scraper, pods, routed.read, routed.WANTED), time.monotonic()
                both = before.read.keys() & after.read.keys()
                grown = [routed.since(after.read[ref], before.read[ref]) for ref in both]
                found = top.rows(grown, ended_s - began_s, namespace=shown.namespace)
                if drawn is None:
                    _print(page, found, ended_s - began_s, shown)
                    return _complain(moment, {**before.unread, **after.unread}, "", via)
                unread = f", {len(after.unread)} not read" if after.unread else ""
                footer = f"{len(both)} proxies{unread}, last {ended_s - began_s:.0f} s; Ctrl-C ends"
                drawn.draw(top.lines(found, width=page.size().columns, colour=page.colour), footer)
                before, began_s = after, ended_s


def _print(page: screen.Page, found: "list[top.Row]", window_s: float, shown: _Shown) -> None:
    from injector.seeing import top

    if shown.output == "json":
        page.print([json.dumps(top.document(found, window_s), indent=2)])
    else:
        page.print(top.lines(found, width=page.size().columns if page.terminal else None, colour=page.colour))
        if not found:
            click.echo("no request was answered in that time", err=True)


@contextlib.asynccontextmanager
async def _cluster(loaded: options.Options, via: str) -> "AsyncIterator[tuple[reading.Moment, scrape.Scraper]]":
    async with _reached(loaded, via) as (_, moment, scraper):
        yield moment, scraper


@contextlib.asynccontextmanager
async def _reached(
    loaded: options.Options, via: str
) -> "AsyncIterator[tuple[client.ApiClient, reading.Moment, scrape.Scraper]]":
    import aiohttp

    from injector.policy import reading
    from injector.seeing import scrape
    from ipseity import kube

    api = await kube.connect(loaded.kubeconfig, loaded.context)
    try:
        moment = await reading.read(api, loaded.domain)
        if via == "api" or (via == "auto" and not _inside(loaded)):
            yield api, moment, scrape.ThroughApi(api)
        else:
            async with aiohttp.ClientSession() as session:
                yield api, moment, scrape.ByAddress(session)
    finally:
        await api.close()


def _inside(loaded: options.Options) -> bool:
    """Whether this is a pod of the cluster that is asked."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and not loaded.kubeconfig and not loaded.context


async def _once(loaded: options.Options, via: str) -> "tuple[reading.Moment, scrape.Readings[measured.Measured]]":
    from injector.seeing import measured, scrape

    async with _cluster(loaded, via) as (moment, scraper):
        return moment, await scrape.everybody(scraper, moment.state.pods.values(), measured.read, measured.WANTED)


async def _grown(
    loaded: options.Options, via: str, namespace: str, window_s: float
) -> "tuple[reading.Moment, Mapping[identity.PodRef, Any], Mapping[identity.PodRef, str], float]":
    """Read twice; gives what was counted in between, who could not be read, and how long it was."""
    from injector.seeing import measured, scrape

    async with _cluster(loaded, via) as (moment, scraper):
        pods = [pod for pod in moment.state.pods.values() if pod.ref.namespace == namespace or not namespace]
        before, began_s = await scrape.everybody(scraper, pods, measured.read, measured.WANTED), time.monotonic()
        await asyncio.sleep(window_s)
        after, ended_s = await scrape.everybody(scraper, pods, measured.read, measured.WANTED), time.monotonic()
    both = before.read.keys() & after.read.keys()
    grown = {ref: measured.since(after.read[ref], before.read[ref]) for ref in both}
    return moment, grown, {**before.unread, **after.unread}, ended_s - began_s


def _complain(moment: "reading.Moment", unread: Mapping[identity.PodRef, str], namespace: str, via: str) -> int:
    """Name the proxies that are missing from the answer, which make it exit code 1; say so if there is none at all."""
    pods = [pod for pod in moment.state.pods.values() if pod.ref.namespace == namespace or not namespace]
    if not any(pod.meshed for pod in pods):
        where = f"in namespace {namespace}" if namespace else "in this cluster"
        click.echo(
            f"no pod {where} has a sidecar: annotate it with {names.INJECT}: enabled, and make it anew", err=True
        )
    for ref, why in sorted(unread.items(), key=lambda each: str(each[0]))[:_MOST_NAMED]:
        click.echo(f"warning: {ref} is not in it: {why}", err=True)
    if len(unread) > _MOST_NAMED:
        click.echo(f"warning: and {len(unread) - _MOST_NAMED} more", err=True)
    if unread and via == "pods":
        click.echo(
            "hint: can the pods' addresses be reached from here? --via api asks through the API server", err=True
        )
    return 1 if unread else 0
